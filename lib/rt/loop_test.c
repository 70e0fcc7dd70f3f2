/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include "rt/poller.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* --- Posts ------------------------------------------------------------------------------------ */

static void count(void *arg)
{
        ++*(unsigned *)arg;
}

static int note_count(cel_ctx *ctx, void *arg)
{
        unsigned **counts = arg;

        (void)ctx;
        *counts[1] = *counts[0];
        return 0;
}

TEST(a_flood_of_posts_leaves_tasks_their_turn)
{
        enum { FLOOD = 5000 };
        fixture f = fixture_new();
        unsigned delivered = 0, delivered_before_task = FLOOD;
        cel_task *task;

        for (unsigned i = 0; i < FLOOD; i++)
                CHECK_INT(cel_post(f.runtime, count, &delivered), 0);
        CHECK_INT(cel__task_spawn(f.scope, NULL, "task", note_count,
                                  (unsigned *[]){&delivered, &delivered_before_task}, &task),
                  0);
        cel__loop_turn(cel__runtime_loop(f.runtime), false);
        CHECK_RESULT(task, 0);
        CHECK(delivered_before_task < FLOOD);
        fixture_settle(&f);
        CHECK_INT(delivered, FLOOD);
        cel_task_unref(task);
        fixture_free(&f);
}

TEST(more_than_a_million_posts_under_way_are_refused_until_some_have_run)
{
        fixture f = fixture_new();
        unsigned ran = 0;

        for (unsigned i = 0; i < 1000000; i++)
                if (cel_post(f.runtime, count, &ran) != 0)
                        fail();
        CHECK_INT(cel_post(f.runtime, count, &ran), CEL_EFULL);
        CHECK_INT(ran, 0);
        fixture_settle(&f);
        CHECK_INT(ran, 1000000);
        CHECK_INT(cel_post(f.runtime, count, &ran), 0);
        fixture_settle(&f);
        CHECK_INT(ran, 1000001);
        fixture_free(&f);
}

static int do_nothing(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        (void)arg;
        return 0;
}

TEST(a_post_that_comes_after_the_last_turn_runs_when_the_runtime_is_freed)
{
        cel_runtime *runtime;
        unsigned ran = 0;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "nothing", do_nothing, NULL), 0);
        CHECK_INT(cel_post(runtime, count, &ran), 0);
        cel_runtime_free(runtime);
        CHECK_INT(ran, 1);
}

/* --- Waiting and waking ----------------------------------------------------------------------- */

enum { WAKE_UPS = 200 };

typedef struct wakes {
        cel_runtime *runtime;
        _Atomic(cel_future *) awaited;
        _Atomic unsigned sent_to_sleepers;
} wakes;

static void complete(void *arg)
{
        cel_future_complete(arg, 0, NULL);
}

/* Posts only when the loop says that it waits. */
static void *thread_wakes(void *arg)
{
        wakes *w = arg;
        cel__loop *loop = cel__runtime_loop(w->runtime);

        for (int i = 0; i < WAKE_UPS; i++) {
                cel_future *future;

                while (!(future = atomic_exchange(&w->awaited, NULL)))
                        sched_yield();
                while (atomic_load(&loop->busy_since_ns) != 0)
                        sched_yield();
                atomic_fetch_add(&w->sent_to_sleepers, 1);
                if (cel_post(w->runtime, complete, future) < 0)
                        abort();
        }
        return NULL;
}

static int sleep_until_mail(cel_ctx *ctx, void *arg)
{
        wakes *w = arg;

        for (int i = 0; i < WAKE_UPS; i++) {
                cel_auto(cel_future) *future = NULL;
                int r = cel_future_new(&future);

                if (r < 0)
                        return r;
                atomic_store(&w->awaited, future);
                r = cel_await(ctx, future, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

TEST(mail_wakes_a_loop_that_waits)
{
        wakes w = {0};
        pthread_t thread;

        CHECK_INT(cel_runtime_new(NULL, &w.runtime), 0);
        CHECK_INT(pthread_create(&thread, NULL, thread_wakes, &w), 0);
        CHECK_INT(cel_runtime_run(w.runtime, "sleeper", sleep_until_mail, &w), 0);
        pthread_join(thread, NULL);
        CHECK_INT(atomic_load(&w.sent_to_sleepers), WAKE_UPS);
        cel_runtime_free(w.runtime);
}

TEST(a_turn_that_ran_something_does_not_go_on_to_wait)
{
        fixture f = fixture_new();
        cel_task *task;

        CHECK_INT(cel__task_spawn(f.scope, NULL, "short", do_nothing, NULL, &task), 0);
        CHECK(cel__loop_turn(cel__runtime_loop(f.runtime), true)); /* would hang */
        CHECK_RESULT(task, 0);
        cel_task_unref(task);
        fixture_free(&f);
}

typedef struct noted_timer {
        cel__timer timer;
        unsigned fired;
} noted_timer;

static void note_firing(cel__timer *timer)
{
        cel__container(timer, noted_timer, timer)->fired++;
}

TEST(a_timer_that_is_due_already_fires_without_waiting_for_a_manual_clock_to_move)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);
        noted_timer t = {0};

        cel__timer_init(&t.timer, note_firing);
        CHECK_INT(cel__timer_set(&loop->timers, &t.timer, cel_clock_now(f.clock)), 0);
        cel__loop_turn(loop, true); /* would hang */
        CHECK_INT(t.fired, 1);
        fixture_free(&f);
}

static void *thread_advances(void *arg)
{
        fixture *f = arg;

        while (atomic_load(&cel__runtime_loop(f->runtime)->busy_since_ns) != 0)
                sched_yield();
        cel_clock_advance_ms(f->clock, 10);
        return NULL;
}

static int sleep_10(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_sleep_ms(ctx, 10);
}

TEST(moving_a_manual_clock_wakes_a_loop_that_waits)
{
        fixture f = fixture_new();
        cel_task *task = fixture_spawn(&f, "sleeper", sleep_10, NULL);
        pthread_t thread;

        cel__loop_awake(cel__runtime_loop(f.runtime));
        CHECK_INT(pthread_create(&thread, NULL, thread_advances, &f), 0);
        fixture_wait(&f, task);
        CHECK_RESULT(task, 0);
        pthread_join(thread, NULL);
        fixture_free(&f);
}

static int measure_sleep(cel_ctx *ctx, void *arg)
{
        int64_t *shortest_ns = arg;

        for (int64_t ms = 0; ms < 5; ms++) {
                int64_t before = cel_ctx_now(ctx).ns;
                int r = cel_sleep_ms(ctx, ms);
                int64_t excess = cel_ctx_now(ctx).ns - before - ms * CEL_NS_PER_MS;

                if (r < 0)
                        return r;
                if (excess < *shortest_ns)
                        *shortest_ns = excess;
        }
        return 0;
}

TEST(on_the_real_clock_a_sleep_ends_and_never_early)
{
        cel_runtime *runtime;
        int64_t shortest_ns = INT64_MAX;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "sleeper", measure_sleep, &shortest_ns), 0);
        CHECK(shortest_ns >= 0);
        cel_runtime_free(runtime);
}

/* --- Deferred work ---------------------------------------------------------------------------- */

typedef struct noted_work {
        cel__deferred deferred;
        unsigned ran;
        cel__loop *again_on; /* unless NULL, it defers itself */
        cel_future *completes;
} noted_work;

static void note_run(cel__deferred *deferred)
{
        noted_work *w = cel__container(deferred, noted_work, deferred);

        w->ran++;
        if (w->again_on)
                cel__loop_defer(w->again_on, deferred);
        if (w->completes)
                cel_future_complete(w->completes, 0, NULL);
}

static void work_init(noted_work *w)
{
        *w = (noted_work){.deferred.run = note_run};
        cel__list_init(&w->deferred.node);
}

TEST(deferred_work_runs_once_however_often_it_was_asked_for)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);
        noted_work w;

        work_init(&w);
        for (int i = 0; i < 10; i++)
                cel__loop_defer(loop, &w.deferred);
        CHECK_INT(w.ran, 0);
        fixture_settle(&f);
        CHECK_INT(w.ran, 1);
        cel__loop_defer(loop, &w.deferred);
        fixture_settle(&f);
        CHECK_INT(w.ran, 2);
        fixture_free(&f);
}

TEST(work_that_defers_itself_runs_once_a_turn_and_keeps_the_loop_from_waiting)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);
        noted_work w;

        work_init(&w);
        w.again_on = loop;
        cel__loop_defer(loop, &w.deferred);
        CHECK(cel__loop_turn(loop, true));
        CHECK_INT(w.ran, 1);
        CHECK(cel__loop_turn(loop, true));
        CHECK_INT(w.ran, 2);
        w.again_on = NULL;
        CHECK(cel__loop_turn(loop, true));
        CHECK(!cel__loop_turn(loop, false));
        CHECK_INT(w.ran, 3);
        fixture_free(&f);
}

static int await_it(cel_ctx *ctx, void *arg)
{
        return cel_await(ctx, arg, NULL);
}

TEST(deferred_work_that_wakes_a_task_is_followed_by_the_task)
{
        fixture f = fixture_new();
        noted_work w;
        cel_task *task;

        work_init(&w);
        CHECK_INT(cel_future_new(&w.completes), 0);
        task = fixture_spawn(&f, "waiter", await_it, w.completes);
        CHECK_PENDING(task);
        cel__loop_defer(cel__runtime_loop(f.runtime), &w.deferred);
        fixture_settle(&f);
        CHECK_RESULT(task, 0);
        cel_future_unref(w.completes);
        fixture_free(&f);
}

/* --- Fairness, and who is busy ---------------------------------------------------------------- */

typedef struct greed {
        bool stop;
        int ends[2];
        unsigned yields;
} greed;

static int yield_until_told(cel_ctx *ctx, void *arg)
{
        greed *g = arg;

        while (!g->stop) {
                int r = cel_yield(ctx);
                if (r < 0)
                        return r;
                g->yields++;
        }
        return 0;
}

static void tell_to_stop(void *arg, int events)
{
        (void)events;
        ((greed *)arg)->stop = true;
}

TEST(tasks_that_are_always_ready_do_not_keep_the_loop_from_its_descriptors)
{
        fixture f = fixture_new();
        cel__poller *poller;
        greed g = {0};
        cel_task *task;

        CHECK_INT(pipe(g.ends), 0);
        CHECK_INT(cel__poller_new(cel__runtime_loop(f.runtime), g.ends[0], tell_to_stop, &g, &poller), 0);
        cel__poller_want(poller, CEL__READABLE);
        CHECK_INT(cel__task_spawn(f.scope, NULL, "greedy", yield_until_told, &g, &task), 0);
        cel__loop_turn(cel__runtime_loop(f.runtime), true);
        CHECK(g.yields > 0);
        CHECK_INT(write(g.ends[1], "x", 1), 1);
        while (!cel_future_done(cel_task_future(task)))
                cel__loop_turn(cel__runtime_loop(f.runtime), true);
        cel_task_unref(task);
        cel__poller_free(poller);
        close(g.ends[0]);
        close(g.ends[1]);
        fixture_free(&f);
}

static int hold_for_200(cel_ctx *ctx, void *arg)
{
        fixture *f = arg;
        cel__loop *loop = cel__runtime_loop(f->runtime);

        cel_clock_advance_ms(f->clock, 200);
        return (int)cel__loop_busy_ms(loop, cel_ctx_now(ctx));
}

TEST(a_loop_is_busy_while_a_task_holds_it_and_not_while_nobody_turns_it)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);

        CHECK_RESULT(fixture_spawn(&f, "busy", hold_for_200, &f), 200);
        cel_clock_advance_ms(f.clock, 100000);
        CHECK_INT(cel__loop_busy_ms(loop, cel_clock_now(f.clock)), 0);
        fixture_free(&f);
}

static void *thread_asks(void *arg)
{
        return cel__loop_is_here(arg) ? arg : NULL;
}

TEST(a_loop_is_here_on_the_thread_that_adopted_it_only)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);
        pthread_t thread;
        void *here;

        CHECK(cel__loop_is_here(loop));
        CHECK_INT(pthread_create(&thread, NULL, thread_asks, loop), 0);
        pthread_join(thread, &here);
        CHECK(here == NULL);
        cel__loop_leave(loop);
        CHECK(!cel__loop_is_here(loop));
        cel__loop_adopt(loop);
        fixture_free(&f);
}
