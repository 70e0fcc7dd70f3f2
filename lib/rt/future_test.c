/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <sched.h>

/* One call of cel_await() or cel_await_any(), as a task or on a thread. */
typedef struct waiting {
        cel_runtime *runtime;
        cel_future *futures[CEL_AWAIT_MAX + 1];
        unsigned n;
        int64_t within_ms; /* 0: no deadline */
        void *value;
        int result;
        _Atomic unsigned *turn; /* unless NULL, counts who came back … */
        unsigned place;         /* … and says as the how manyth this one did */
} waiting;

static int await_one(cel_ctx *ctx, void *arg)
{
        waiting *w = arg;
        CEL_WITHIN_MS(ctx, w->within_ms ? w->within_ms : INT64_MAX);

        w->result = cel_await(ctx, w->futures[0], &w->value);
        if (w->turn)
                w->place = atomic_fetch_add(w->turn, 1) + 1;
        return w->result;
}

static int await_any(cel_ctx *ctx, void *arg)
{
        waiting *w = arg;
        CEL_WITHIN_MS(ctx, w->within_ms ? w->within_ms : INT64_MAX);

        return w->result = cel_await_any(ctx, w->futures, w->n);
}

TEST_BOTH(awaiting_a_complete_future_returns_its_status_and_value_at_once)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;
        int seven = 7;

        CHECK_INT(cel_future_new(&future), 0);
        CHECK(!cel_future_done(future));
        CHECK(cel_future_complete(future, 3, &seven));
        CHECK(cel_future_done(future));
        waiting w = {.futures = {future}};
        CHECK_DONE(fixture_act(&f, kind, "waiter", await_one, &w), 3);
        CHECK(w.value == &seven);
        fixture_free(&f);
}

TEST_BOTH(completing_a_future_wakes_all_who_await_it_in_the_order_they_came)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;
        waiting w[3];
        _Atomic unsigned turn = 0;

        CHECK_INT(cel_future_new(&future), 0);
        for (int i = 0; i < 3; i++) {
                w[i] = (waiting){.futures = {future}, .turn = &turn};
                CHECK_WAITS(fixture_act(&f, kind, "waiter", await_one, &w[i]));
        }
        CHECK(cel_future_complete(future, CEL_EIO, &turn));
        fixture_settle(&f);
        for (unsigned i = 0; i < 3; i++) {
                CHECK_DONE(f.actors[i], CEL_EIO);
                CHECK(w[i].value == &turn);
                if (kind == FIXTURE_TASK) /* threads are woken in order, too, but then race */
                        CHECK_INT(w[i].place, i + 1);
        }
        fixture_free(&f);
}

TEST_BOTH(the_first_completion_wins)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;
        int one = 1, two = 2;

        CHECK_INT(cel_future_new(&future), 0);
        CHECK(cel_future_complete(future, 1, &one));
        CHECK(!cel_future_complete(future, 2, &two));
        waiting w = {.futures = {future}};
        CHECK_DONE(fixture_act(&f, kind, "waiter", await_one, &w), 1);
        CHECK(w.value == &one);
        fixture_free(&f);
}

TEST_BOTH(a_deadline_ends_the_wait_and_leaves_the_future_and_the_value_alone)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;
        int untouched;

        CHECK_INT(cel_future_new(&future), 0);
        waiting w = {.futures = {future}, .within_ms = 50, .value = &untouched};
        fixture_actor *task = fixture_act(&f, kind, "waiter", await_one, &w);
        fixture_advance_ms(&f, 49);
        CHECK_WAITS(task);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(task, CEL_ETIMEDOUT);
        CHECK(w.value == &untouched);
        CHECK(!cel_future_done(future));
        CHECK(cel_future_complete(future, 0, NULL));
        fixture_free(&f);
}

TEST_BOTH(cancelling_a_waiter_ends_its_wait_and_nobody_elses)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;

        CHECK_INT(cel_future_new(&future), 0);
        waiting w = {.futures = {future}}, other = w;
        fixture_actor *task = fixture_act(&f, kind, "waiter", await_one, &w);
        fixture_actor *stays = fixture_act(&f, kind, "stays", await_one, &other);
        fixture_cancel(task);
        CHECK_DONE(task, CEL_ECANCELED);
        CHECK_WAITS(stays);
        CHECK(cel_future_complete(future, 5, NULL));
        fixture_settle(&f);
        CHECK_DONE(stays, 5);
        fixture_free(&f);
}

/* Of a task only: a thread notices at once. */
TEST(a_completion_that_comes_before_a_passed_deadline_was_noticed_counts)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;

        CHECK_INT(cel_future_new(&future), 0);
        waiting w = {.futures = {future}, .within_ms = 50};
        cel_task *task = fixture_spawn(&f, "waiter", await_one, &w);
        cel_clock_advance_ms(f.clock, 50); /* nobody has run since */
        CHECK(cel_future_complete(future, 4, NULL));
        fixture_settle(&f);
        CHECK_RESULT(task, 4);
        fixture_free(&f);
}

static int return_after_10(cel_ctx *ctx, void *arg)
{
        int r = cel_sleep_ms(ctx, 10);

        return r < 0 ? r : *(int *)arg;
}

TEST_BOTH(a_task_is_a_future_of_its_result)
{
        fixture f = fixture_new();
        cel_task *task = fixture_spawn(&f, "task", return_after_10, &(int){42});
        cel_future *future = cel_future_ref(cel_task_future(task));
        waiting w = {.futures = {future}};
        fixture_actor *waiter = fixture_act(&f, kind, "waiter", await_one, &w);

        CHECK_WAITS(waiter);
        fixture_advance_ms(&f, 10);
        CHECK_DONE(waiter, 42);
        CHECK(w.value == NULL);
        cel_future_unref(future);
        fixture_free(&f);
}

/* --- One of many ------------------------------------------------------------------------------ */

static waiting many_futures(unsigned n)
{
        waiting w = {.n = n};

        for (unsigned i = 0; i < n; i++)
                CHECK_INT(cel_future_new(&w.futures[i]), 0);
        return w;
}

static void unref_futures(waiting *w)
{
        for (unsigned i = 0; i < w->n; i++)
                cel_future_unref(w->futures[i]);
}

TEST_BOTH(await_any_returns_the_lowest_complete_one)
{
        fixture f = fixture_new();
        waiting w = many_futures(CEL_AWAIT_MAX);

        CHECK(cel_future_complete(w.futures[40], 0, NULL));
        CHECK(cel_future_complete(w.futures[20], 0, NULL));
        CHECK_DONE(fixture_act(&f, kind, "waiter", await_any, &w), 20);
        unref_futures(&w);
        fixture_free(&f);
}

/* Of a task only: a thread may run as soon as there is one. */
TEST(await_any_returns_the_lowest_of_those_that_are_complete_when_its_task_runs_again)
{
        fixture f = fixture_new();
        waiting w = many_futures(CEL_AWAIT_MAX);
        cel_task *task = fixture_spawn(&f, "waiter", await_any, &w);

        CHECK_PENDING(task);
        CHECK(cel_future_complete(w.futures[40], 0, NULL));
        CHECK(cel_future_complete(w.futures[20], 0, NULL));
        fixture_settle(&f);
        CHECK_RESULT(task, 20);
        unref_futures(&w);
        fixture_free(&f);
}

TEST_BOTH(await_any_leaves_nothing_behind_in_the_futures_that_lost)
{
        fixture f = fixture_new();
        waiting w = many_futures(3);
        fixture_actor *task = fixture_act(&f, kind, "waiter", await_any, &w);
        CHECK(cel_future_complete(w.futures[1], 0, NULL));
        fixture_settle(&f);
        CHECK_DONE(task, 1);
        CHECK(cel__list_empty(&w.futures[0]->waiters));
        CHECK(cel_future_complete(w.futures[2], 0, NULL));
        unref_futures(&w);
        fixture_free(&f);
}

TEST_BOTH(await_any_takes_the_same_future_twice)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;

        CHECK_INT(cel_future_new(&future), 0);
        waiting w = {.futures = {future, future}, .n = 2};
        fixture_actor *task = fixture_act(&f, kind, "waiter", await_any, &w);
        CHECK(cel_future_complete(future, 0, NULL));
        fixture_settle(&f);
        CHECK_DONE(task, 0);
        fixture_free(&f);
}

TEST_BOTH(await_any_times_out_and_can_be_cancelled)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;

        CHECK_INT(cel_future_new(&future), 0);
        waiting w = {.futures = {future}, .n = 1, .within_ms = 5}, patient = {.futures = {future}, .n = 1};
        fixture_actor *task = fixture_act(&f, kind, "waiter", await_any, &w);
        fixture_actor *canceled = fixture_act(&f, kind, "patient", await_any, &patient);
        fixture_advance_ms(&f, 5);
        CHECK_DONE(task, CEL_ETIMEDOUT);
        fixture_cancel(canceled);
        CHECK_DONE(canceled, CEL_ECANCELED);
        fixture_free(&f);
}

TEST_BOTH(await_any_refuses_none_and_too_many)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;
        waiting w = {.n = 0};

        CHECK_INT(cel_future_new(&future), 0);
        CHECK_DONE(fixture_act(&f, kind, "none", await_any, &w), CEL_EINVAL);
        w.n = CEL_AWAIT_MAX + 1;
        for (unsigned i = 0; i < w.n; i++)
                w.futures[i] = future;
        CHECK_DONE(fixture_act(&f, kind, "too many", await_any, &w), CEL_EINVAL);
        fixture_free(&f);
}

/* --- All of many ------------------------------------------------------------------------------ */

static int await_all(cel_ctx *ctx, void *arg)
{
        waiting *w = arg;
        CEL_WITHIN_MS(ctx, w->within_ms ? w->within_ms : INT64_MAX);

        return cel_await_all(ctx, w->futures, w->n);
}

TEST_BOTH(await_all_waits_for_all_in_whichever_order_they_complete)
{
        fixture f = fixture_new();
        waiting w = many_futures(3);
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_all, &w);

        for (unsigned i = 3; i-- > 0;) {
                CHECK_WAITS(actor);
                CHECK(cel_future_complete(w.futures[i], (int)i, NULL));
                fixture_settle(&f);
        }
        CHECK_DONE(actor, 0);
        CHECK_DONE(fixture_act(&f, kind, "later", await_all, &w), 0);
        unref_futures(&w);
        fixture_free(&f);
}

TEST_BOTH(await_all_waits_for_the_rest_after_a_failure_and_returns_the_first_in_order)
{
        fixture f = fixture_new();
        waiting w = many_futures(3);
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_all, &w);

        CHECK(cel_future_complete(w.futures[2], CEL_EIO, NULL));
        CHECK(cel_future_complete(w.futures[1], CEL_EPROTO, NULL));
        fixture_settle(&f);
        CHECK_WAITS(actor);
        CHECK(cel_future_complete(w.futures[0], 7, NULL));
        fixture_settle(&f);
        CHECK_DONE(actor, CEL_EPROTO);
        CHECK_STR(fixture_actor_text(actor), "future 2 of 3: protocol violated by the peer");
        unref_futures(&w);
        fixture_free(&f);
}

TEST_BOTH(await_all_ends_by_its_deadline_or_cancelled_and_leaves_nothing_behind)
{
        fixture f = fixture_new();
        waiting hasty = many_futures(3), patient = hasty;

        hasty.within_ms = 50;
        fixture_actor *first = fixture_act(&f, kind, "hasty", await_all, &hasty);
        fixture_actor *second = fixture_act(&f, kind, "patient", await_all, &patient);
        CHECK(cel_future_complete(hasty.futures[0], CEL_EIO, NULL)); /* does not matter before all are */
        fixture_advance_ms(&f, 49);
        CHECK_WAITS(first);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(first, CEL_ETIMEDOUT);
        fixture_cancel(second);
        CHECK_DONE(second, CEL_ECANCELED);
        unref_futures(&hasty);
        fixture_free(&f);
}

TEST_BOTH(await_all_of_none_returns_at_once_and_takes_one_future_twice_and_a_task)
{
        fixture f = fixture_new();
        cel_task *task = fixture_spawn(&f, "task", return_after_10, &(int){42});
        waiting none = {.n = 0}, twice = {.n = 2, .futures = {cel_task_future(task), cel_task_future(task)}};

        CHECK_DONE(fixture_act(&f, kind, "none", await_all, &none), 0);
        fixture_actor *actor = fixture_act(&f, kind, "twice", await_all, &twice);
        CHECK_WAITS(actor);
        fixture_advance_ms(&f, 10);
        CHECK_DONE(actor, 0);
        fixture_free(&f);
}

/* --- Across threads --------------------------------------------------------------------------- */

static void *thread_completes(void *arg)
{
        cel_future_complete(arg, 11, arg);
        return NULL;
}

TEST_BOTH(a_thread_completes_what_a_task_awaits)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;
        pthread_t thread;

        CHECK_INT(cel_future_new(&future), 0);
        waiting w = {.futures = {future}};
        fixture_actor *task = fixture_act(&f, kind, "waiter", await_one, &w);
        CHECK_WAITS(task);
        CHECK_INT(pthread_create(&thread, NULL, thread_completes, future), 0);
        fixture_actor_wait(&f, task);
        CHECK_DONE(task, 11);
        CHECK(w.value == future);
        pthread_join(thread, NULL);
        fixture_free(&f);
}

static void *thread_awaits(void *arg)
{
        waiting *w = arg;
        cel_auto(cel_ctx) *ctx = NULL;

        if (cel_thread_ctx_new(w->runtime, "thread", &ctx) < 0)
                return NULL;
        if (w->n)
                await_any(ctx, w);
        else
                await_one(ctx, w);
        return NULL;
}

static int complete_it(cel_ctx *ctx, void *arg)
{
        return cel_future_complete(arg, 12, ctx) ? 0 : CEL_ECLOSED;
}

TEST(a_task_completes_what_a_thread_awaits)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = NULL;
        pthread_t thread;

        CHECK_INT(cel_future_new(&future), 0);
        waiting w = {.runtime = f.runtime, .futures = {future}};
        CHECK_INT(pthread_create(&thread, NULL, thread_awaits, &w), 0);
        CHECK_RESULT(fixture_spawn(&f, "completer", complete_it, future), 0);
        pthread_join(thread, NULL);
        CHECK_INT(w.result, 12);
        fixture_free(&f);
}

/* Waiter and completer race for a new future again and again. The waiter frees it the moment it is awake: the
 * completer may not touch it after. */
enum { RACES = 3000 };

typedef struct race {
        cel_runtime *runtime;
        _Atomic(cel_future *) current; /* what the thread is to complete next; NULL: it has */
        _Atomic bool over;
        bool any;
} race;

static void *thread_races(void *arg)
{
        race *r = arg;

        while (!atomic_load(&r->over)) {
                cel_future *future = atomic_exchange(&r->current, NULL);

                if (future)
                        cel_future_complete(future, 1, NULL);
                else
                        sched_yield();
        }
        return NULL;
}

static int race_for_futures(cel_ctx *ctx, void *arg)
{
        race *r = arg;

        for (int i = 0; i < RACES; i++) {
                cel_future *futures[2];
                cel_auto(cel_future) *never = NULL;
                int got;

                if (cel_future_new(&futures[1]) < 0 || cel_future_new(&never) < 0)
                        return CEL_ENOMEM;
                futures[0] = never;
                atomic_store(&r->current, futures[1]);
                if (i % 3 == 0)
                        sched_yield();
                got = r->any ? cel_await_any(ctx, futures, 2) : cel_await(ctx, futures[1], NULL);
                cel_future_unref(futures[1]);
                if (got != 1)
                        return CEL_EPROTO;
        }
        return 0;
}

static void race_with(fixture *f, bool any, bool on_thread)
{
        race r = {.runtime = f->runtime, .any = any};
        pthread_t thread;

        CHECK_INT(pthread_create(&thread, NULL, thread_races, &r), 0);
        if (on_thread) {
                cel_auto(cel_ctx) *ctx = NULL;

                cel__loop_leave(cel__runtime_loop(f->runtime)); /* a loop's thread must not block */
                CHECK_INT(cel_thread_ctx_new(f->runtime, "racer", &ctx), 0);
                CHECK_INT(race_for_futures(ctx, &r), 0);
        } else {
                cel_task *task = fixture_spawn(f, "racer", race_for_futures, &r);
                fixture_wait(f, task);
                CHECK_RESULT(task, 0);
        }
        atomic_store(&r.over, true);
        pthread_join(thread, NULL);
        cel__loop_adopt(cel__runtime_loop(f->runtime));
}

TEST(whoever_awaited_a_future_may_free_it_at_once_although_another_thread_completes_it)
{
        fixture f = fixture_new();

        race_with(&f, false, false);
        race_with(&f, false, true);
        fixture_free(&f);
}

TEST(await_any_notices_a_future_that_another_thread_completes_at_any_moment)
{
        fixture f = fixture_new();

        race_with(&f, true, false);
        race_with(&f, true, true);
        fixture_free(&f);
}
