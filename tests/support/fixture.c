/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/assert.h"
#include "rt/overflow.h"

#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct fixture_actor {
        fixture *f;
        fixture_kind kind;
        const char *name;
        cel_task_fn fn;
        void *arg;
        cel_task *task; /* of a FIXTURE_TASK; the fixture's reference */
        /* Of a FIXTURE_THREAD: */
        pthread_t thread;
        _Atomic(cel_ctx *) ctx; /* valid until `may_end`; NULL before it is made */
        sem_t may_end;
        _Atomic bool done;
        int result;
        char text[512]; /* of the error it ended with */
};

static void free_actors(fixture *f);

fixture fixture_new(void)
{
        fixture f = {.clock = cel_clock_new_manual()};

        cel_assert(f.clock);
        cel_assert(cel_runtime_new(&(cel_runtime_options){.clock = f.clock}, &f.runtime) == 0);
        cel__loop_adopt(cel__runtime_loop(f.runtime));
        cel__overflow_watch(cel__runtime_loop(f.runtime));
        cel_assert(cel__scope_new(f.runtime, cel__runtime_loop(f.runtime), CEL_SCOPE_COLLECT_ALL, &f.scope) ==
                   0);
        return f;
}

void fixture_free(fixture *f)
{
        cel_scope_cancel(f->scope);
        cel_scope_cancel(cel__runtime_system_scope(f->runtime));
        free_actors(f);
        while (cel_scope_tasks(f->scope) > 0 || cel_scope_tasks(cel__runtime_system_scope(f->runtime)) > 0)
                cel__loop_turn(cel__runtime_loop(f->runtime), true);
        fixture_settle(f);
        for (unsigned i = 0; i < f->tasks_n; i++)
                cel_task_unref(f->tasks[i]);
        cel__scope_free(f->scope);
        cel__overflow_unwatch();
        cel_runtime_free(f->runtime);
        cel_clock_free(f->clock);
}

cel_task *fixture_spawn(fixture *f, const char *name, cel_task_fn fn, void *arg)
{
        cel_task *task;

        cel_assert(f->tasks_n < FIXTURE_TASKS_MAX);
        cel_assert(cel__task_spawn(f->scope, NULL, name, fn, arg, &task) == 0);
        f->tasks[f->tasks_n++] = task;
        fixture_settle(f);
        return task;
}

static bool threads_wait(const fixture *f)
{
        for (unsigned i = 0; i < f->actors_n; i++) {
                fixture_actor *a = f->actors[i];
                cel_ctx *ctx = atomic_load(&a->ctx);

                if (a->kind == FIXTURE_THREAD && !atomic_load(&a->done) && !(ctx && cel__thread_waits(ctx)))
                        return false;
        }
        return true;
}

void fixture_settle(fixture *f)
{
        for (;;) {
                bool quiet =
                        threads_wait(f); /* looked at before the loop's turn: what they sent is seen by it */

                if (!cel__loop_turn(cel__runtime_loop(f->runtime), false) && quiet)
                        return;
                if (!quiet)
                        sched_yield();
        }
}

void fixture_advance_ms(fixture *f, int64_t ms)
{
        cel_clock_advance_ms(f->clock, ms);
        fixture_settle(f);
}

void fixture_wait(fixture *f, cel_task *task)
{
        while (!cel_future_done(cel_task_future(task)))
                cel__loop_turn(cel__runtime_loop(f->runtime), true);
}

fixture_random fixture_random_new(void)
{
        const char *given = getenv("CEL_TEST_SEED");
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30;
        printf("# CEL_TEST_SEED=%llu\n", (unsigned long long)seed);
        fflush(stdout);
        return (fixture_random){.state = seed};
}

/* splitmix64 */
unsigned fixture_random_below(fixture_random *random, unsigned n)
{
        uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return (unsigned)((z ^ (z >> 31)) % n);
}

/* --- Both kinds of ctx ------------------------------------------------------------------------ */

static int actor_run(cel_ctx *ctx, void *arg)
{
        fixture_actor *a = arg;
        int r = a->fn(ctx, a->arg);

        if (r < 0)
                snprintf(a->text, sizeof(a->text), "%s", cel_ctx_error_text(ctx, r));
        a->result = r;
        atomic_store(&a->done, true);
        return r;
}

static void *actor_thread(void *arg)
{
        fixture_actor *a = arg;
        cel_ctx *ctx;

        cel_assert(cel_thread_ctx_new(a->f->runtime, a->name, &ctx) == 0);
        atomic_store(&a->ctx, ctx);
        actor_run(ctx, a);
        while (sem_wait(&a->may_end) < 0)
                ;
        cel_thread_ctx_free(ctx);
        return NULL;
}

fixture_actor *fixture_act(fixture *f, fixture_kind kind, const char *name, cel_task_fn fn, void *arg)
{
        fixture_actor *a = calloc(1, sizeof(*a));

        cel_assert(a && f->actors_n < FIXTURE_ACTORS_MAX);
        *a = (fixture_actor){.f = f, .kind = kind, .name = name, .fn = fn, .arg = arg};
        f->actors[f->actors_n++] = a;
        if (kind == FIXTURE_TASK) {
                a->task = fixture_spawn(f, name, actor_run, a);
                return a;
        }
        sem_init(&a->may_end, 0, 0);
        cel_assert(pthread_create(&a->thread, NULL, actor_thread, a) == 0);
        fixture_settle(f);
        return a;
}

void fixture_cancel(fixture_actor *actor)
{
        if (actor->kind == FIXTURE_TASK)
                cel_task_cancel(actor->task);
        else
                cel_ctx_cancel(atomic_load(&actor->ctx));
        fixture_settle(actor->f);
}

bool fixture_actor_done(const fixture_actor *actor)
{
        return atomic_load(&actor->done);
}

int fixture_actor_result(const fixture_actor *actor)
{
        cel_assert(fixture_actor_done(actor));
        return actor->result;
}

const char *fixture_actor_text(const fixture_actor *actor)
{
        return actor->text;
}

int fixture_actor_wait(fixture *f, fixture_actor *actor)
{
        while (!fixture_actor_done(actor))
                if (!cel__loop_turn(cel__runtime_loop(f->runtime), false))
                        sched_yield();
        return actor->result;
}

static void free_actors(fixture *f)
{
        for (unsigned i = 0; i < f->actors_n; i++)
                if (!fixture_actor_done(f->actors[i]))
                        fixture_cancel(f->actors[i]);
        for (unsigned i = 0; i < f->actors_n; i++) {
                fixture_actor *a = f->actors[i];

                fixture_actor_wait(f, a);
                if (a->kind == FIXTURE_THREAD) {
                        sem_post(&a->may_end);
                        pthread_join(a->thread, NULL);
                        sem_destroy(&a->may_end);
                }
                free(a);
        }
        f->actors_n = 0;
}
