/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/runtime.h"
#include "base/assert.h"
#include "rt/guardian.h"
#include "rt/overflow.h"
#include "rt/task.h"

#include <celadon/offload.h>
#include <stdlib.h>
#include <unistd.h>

enum {
        TASKS_MAX_DEFAULT = 1000000,
        POSTS_MAX = 1000000, /* under way at once */
        DNS_THREADS_MAX = 4,
        DNS_QUEUE_MAX = 1000,
#if defined(CEL__ASAN) || defined(CEL__TSAN)
        STACK_BYTES_DEFAULT = 256 * 1024,
#else
        STACK_BYTES_DEFAULT = 64 * 1024,
#endif
        STACK_BYTES_MIN = 16 * 1024,
        STACK_BYTES_MAX = 256 * 1024 * 1024,
};

struct cel_runtime {
        cel_clock *clock; /* borrowed */
        cel__loop loop;
        unsigned tasks_max;
        int64_t wedge_ms_max;
        _Atomic unsigned tasks;
        _Atomic unsigned posts;
        cel__guardian *guardian;      /* owned */
        cel_scope *system;            /* owned */
        _Atomic(cel_pool *) dns_pool; /* owned; NULL until needed */
        cel_future *stop;             /* owned; what cel_stop_future() gives out */
        _Atomic bool stop_taken;      /* somebody asked for it, and so will end */
        _Atomic(cel_task *) first;    /* borrowed; the program's first task while it lives */
};

int cel_runtime_new(const cel_runtime_options *options, cel_runtime **ret_runtime)
{
        static const cel_runtime_options defaults;
        const cel_runtime_options *o = options ? options : &defaults;
        size_t stack_bytes = o->stack_bytes ? o->stack_bytes : STACK_BYTES_DEFAULT;
        cel_runtime *runtime = calloc(1, sizeof(*runtime));

        if (!runtime)
                return CEL_ENOMEM;
        if (stack_bytes < STACK_BYTES_MIN || stack_bytes > STACK_BYTES_MAX || o->wedge_ms_max < 0) {
                free(runtime);
                return CEL_EINVAL;
        }
        runtime->clock = o->clock ? o->clock : cel_clock_system();
        runtime->tasks_max = o->tasks_max ? o->tasks_max : TASKS_MAX_DEFAULT;
        runtime->wedge_ms_max = o->wedge_ms_max ? o->wedge_ms_max : 120000;
        int r = cel__loop_init(&runtime->loop, runtime, stack_bytes);
        if (r < 0) {
                free(runtime);
                return r;
        }
        r = cel__guardian_new(runtime, &runtime->guardian);
        if (r >= 0)
                r = cel__scope_new(runtime, &runtime->loop, CEL_SCOPE_COLLECT_ALL, &runtime->system);
        if (r >= 0)
                r = cel_future_new(&runtime->stop);
        if (r < 0) {
                cel_runtime_free(runtime);
                return r;
        }
        *ret_runtime = runtime;
        return 0;
}

cel_runtime *cel_runtime_free(cel_runtime *runtime)
{
        if (!runtime)
                return NULL;
        if (atomic_load(&runtime->tasks) > 0)
                cel__misuse("a runtime was freed while %u tasks were alive", atomic_load(&runtime->tasks));
        if (runtime->system)
                cel__scope_free(runtime->system);
        cel_pool_free(atomic_load(&runtime->dns_pool));
        cel__guardian_free(runtime->guardian);
        cel__loop_fini(&runtime->loop);
        cel_future_unref(runtime->stop);
        free(runtime);
        return NULL;
}

cel_clock *cel__runtime_clock(const cel_runtime *runtime)
{
        return runtime->clock;
}

cel__loop *cel__runtime_loop(cel_runtime *runtime)
{
        return &runtime->loop;
}

cel_scope *cel__runtime_system_scope(cel_runtime *runtime)
{
        return runtime->system;
}

cel__guardian *cel__runtime_guardian(cel_runtime *runtime)
{
        return runtime->guardian;
}

int64_t cel__runtime_wedge_ms_max(const cel_runtime *runtime)
{
        return runtime->wedge_ms_max;
}

int cel__runtime_task_enter(cel_runtime *runtime)
{
        if (atomic_fetch_add(&runtime->tasks, 1) < runtime->tasks_max)
                return 0;
        atomic_fetch_sub(&runtime->tasks, 1);
        return CEL_EFULL;
}

void cel__runtime_task_leave(cel_runtime *runtime)
{
        atomic_fetch_sub(&runtime->tasks, 1);
}

int cel__runtime_dns_pool(cel_runtime *runtime, cel_pool **ret_pool)
{
        cel_pool *pool = atomic_load(&runtime->dns_pool);

        if (!pool) {
                cel_pool *first = NULL;
                int r = cel_pool_new(runtime, "cel-dns", DNS_THREADS_MAX, DNS_QUEUE_MAX, &pool);

                if (r < 0)
                        return r;
                if (!atomic_compare_exchange_strong(&runtime->dns_pool, &first, pool)) {
                        cel_pool_free(pool); /* another thread was quicker */
                        pool = first;
                }
        }
        *ret_pool = pool;
        return 0;
}

/* --- Running ---------------------------------------------------------------------------------- */

static void turn_until_ended(cel_runtime *runtime, cel_task *task)
{
        while (!cel_future_done(cel_task_future(task)))
                cel__loop_turn(&runtime->loop, true);
}

int cel_runtime_run(cel_runtime *runtime, const char *name, cel_task_fn fn, void *arg)
{
        cel_auto(cel_task) *first = NULL;
        cel_scope *scope;

        int r = cel__scope_new(runtime, &runtime->loop, CEL_SCOPE_COLLECT_ALL, &scope);
        if (r < 0)
                return r;
        cel__loop_adopt(&runtime->loop);
        cel__overflow_watch(&runtime->loop);
        r = cel__task_spawn(scope, NULL, name, fn, arg, &first);
        if (r >= 0) {
                atomic_store(&runtime->first, first);
                turn_until_ended(runtime, first);
                atomic_store(&runtime->first, NULL);
                r = cel_await(&first->ctx, cel_task_future(first),
                              NULL); /* done: this only reads the result */
        }
        /* What the library runs for itself ends with the program. */
        cel_scope_cancel(runtime->system);
        while (atomic_load(&runtime->tasks) > 0)
                cel__loop_turn(&runtime->loop, true);
        while (cel__loop_turn(&runtime->loop, false))
                ; /* deliver what is still in the mail */
        pthread_mutex_lock(&runtime->system->mutex);
        runtime->system->canceled = false; /* a runtime may run again */
        pthread_mutex_unlock(&runtime->system->mutex);
        cel__overflow_unwatch();
        cel__scope_free(scope);
        cel__loop_leave(&runtime->loop);
        return r;
}

/* --- Stopping --------------------------------------------------------------------------------- */

cel_future *cel_stop_future(cel_ctx *ctx)
{
        cel_runtime *runtime = cel_ctx_runtime(ctx);

        atomic_store(&runtime->stop_taken, true);
        return runtime->stop;
}

static void stop_here(void *arg)
{
        cel_runtime *runtime = arg;
        cel_task *first = atomic_load(&runtime->first);
        bool again = !cel_future_complete(runtime->stop, 0, NULL);

        if (first && (again || !atomic_load(&runtime->stop_taken)))
                cel_task_cancel(first);
}

void cel_stop(cel_runtime *runtime)
{
        if (cel__loop_is_here(&runtime->loop))
                stop_here(runtime);
        else if (cel_post(runtime, stop_here, runtime) < 0) /* no memory: at least say so to who listens */
                cel_future_complete(runtime->stop, 0, NULL);
}

/* --- Posting ---------------------------------------------------------------------------------- */

typedef struct post {
        cel__mail mail;
        cel_runtime *runtime;
        void (*fn)(void *arg);
        void *arg;
} post;

static void deliver_post(cel__mail *mail)
{
        post *p = cel__container(mail, post, mail);
        post copy = *p;

        free(p);
        atomic_fetch_sub(&copy.runtime->posts, 1);
        copy.fn(copy.arg);
}

int cel_post(cel_runtime *runtime, void (*fn)(void *arg), void *arg)
{
        if (atomic_fetch_add(&runtime->posts, 1) >= POSTS_MAX) {
                atomic_fetch_sub(&runtime->posts, 1);
                return CEL_EFULL;
        }
        post *p = malloc(sizeof(*p));
        if (!p) {
                atomic_fetch_sub(&runtime->posts, 1);
                return CEL_ENOMEM;
        }
        *p = (post){.mail.deliver = deliver_post, .runtime = runtime, .fn = fn, .arg = arg};
        cel__loop_send(&runtime->loop, &p->mail);
        return 0;
}
