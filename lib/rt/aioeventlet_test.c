/* SPDX-License-Identifier: Apache-2.0
 *
 * The tests of aioeventlet, which glued green threads to asyncio's futures, as rules of this runtime. A green
 * thread is a task, a coroutine is a task, an asyncio future is a future, call_soon() is cel_post(), and what
 * runs the loop is cel_runtime_run(). Every test says which of upstream's it comes from. The second half is
 * what upstream never tested: failures, cancellation, shutdown under load.
 *
 * No counterpart:
 *   test_set_debug, debug_exceptions      there is no switch: a failure is never printed and never lost, it is
 *                                         the task's result and its scope's
 *   test_yield_future_invalid_type,       what is awaited is a cel_future: the compiler insists
 *   test_wrap_invalid_type
 *   test_wrap_greenlet_no_run_attr        a task cannot be made before it is given its function
 *   test_wrap_greenlet, _exc, _running,   there is one kind of task, not green threads and bare greenlets:
 *   _dead (of both files)                 the tests of green threads cover it
 *   test_executor_dispatch,               not of aioeventlet but of oslo.messaging's executor: they belong to
 *   test_dispatcher_executor_callback     the RPC server and its executors */
#include "base/assert.h"
#include "death.h"
#include "test.h"

#include <celadon/channel.h>
#include <celadon/log.h>
#include <celadon/sync.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* What happened, in order. */
typedef struct diary {
        int entries[16];
        unsigned n;
} diary;

static void note(diary *d, int entry)
{
        cel_assert(d->n < 16);
        d->entries[d->n++] = entry;
}

static void check_diary(const diary *d, const int *expected, unsigned n)
{
        CHECK_INT(d->n, n);
        CHECK_BYTES(d->entries, expected, n * sizeof(*expected));
}

#define CHECK_DIARY(d, ...) \
        check_diary(d, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* Note `value` after `ms`; its result is ten times that. A negative one fails at once. */
typedef struct slow {
        diary *diary;
        int value;
        int64_t ms;
} slow;

static int slow_append(cel_ctx *ctx, void *arg)
{
        const slow *s = arg;
        int r = cel_sleep_ms(ctx, s->ms);

        if (r < 0)
                return r;
        if (s->value < 0)
                return cel_fail(ctx, CEL_EPROTO, "error");
        note(s->diary, s->value);
        return s->value * 10;
}

/* Await one future. */
typedef struct waiter {
        cel_future *future;
        int64_t within_ms; /* 0: no deadline */
        bool was_canceled;
} waiter;

static int await_it(cel_ctx *ctx, void *arg)
{
        waiter *w = arg;
        CEL_WITHIN_MS(ctx, w->within_ms ? w->within_ms : INT64_MAX);
        int r = cel_await(ctx, w->future, NULL);

        w->was_canceled = cel_ctx_canceled(ctx);
        return r;
}

static cel_future *future_new(void)
{
        cel_future *future;

        CHECK_INT(cel_future_new(&future), 0);
        return future;
}

static void complete_with_21(void *future)
{
        cel_future_complete(future, 21, NULL);
}

/* --- EventletTests ---------------------------------------------------------------------------- */

static int stop_it(cel_ctx *ctx, void *arg)
{
        (void)arg;
        cel_stop(cel_ctx_runtime(ctx));
        return 0;
}

static void *stop_on_thread(void *runtime)
{
        cel_stop(runtime);
        return NULL;
}

static int run_until_stopped(cel_ctx *ctx, void *arg)
{
        const fixture_kind *stopper = arg;
        cel_future *stop = cel_stop_future(ctx);
        cel_scope *scope;
        pthread_t thread;

        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        if (*stopper == FIXTURE_TASK)
                r = cel_spawn(ctx, scope, "stopper", stop_it, NULL, NULL);
        else
                r = pthread_create(&thread, NULL, stop_on_thread, cel_ctx_runtime(ctx)) ? CEL_ESYSTEM : 0;
        if (r >= 0)
                r = cel_await(ctx, stop, NULL);
        int closed = cel_scope_close(ctx, scope);
        if (*stopper == FIXTURE_THREAD)
                pthread_join(thread, NULL);
        return r < 0 ? r : closed;
}

/* test_stop: stop() from a green thread ends run_forever(). */
TEST_BOTH(a_program_ends_when_a_task_or_a_thread_stops_it)
{
        cel_auto(cel_runtime) *runtime = NULL;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "main", run_until_stopped, &kind), 0);
}

/* test_soon: what was spawned before the loop runs, runs with it. */
TEST(a_task_that_is_spawned_before_the_loop_turns_runs_when_it_does)
{
        fixture f = fixture_new();
        diary d = {0};
        cel_task *task;

        CHECK_INT(cel__task_spawn(f.scope, NULL, "early", slow_append, &(slow){&d, 1, 0}, &task), 0);
        CHECK_INT(d.n, 0);
        fixture_settle(&f);
        CHECK_DIARY(&d, 1);
        CHECK_RESULT(task, 10);
        cel_task_unref(task);
        fixture_free(&f);
}

typedef struct soon {
        diary *diary;
        cel_future *called;
} soon;

static int spawn_when_called(cel_ctx *ctx, void *arg)
{
        soon *s = arg;
        slow now = {s->diary, 1, 0}, later = {s->diary, 2, 10};
        cel_scope *scope;
        int r = cel_await(ctx, s->called, NULL);

        if (r >= 0)
                r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "later", slow_append, &later, NULL);
        if (r >= 0)
                r = cel_spawn(ctx, scope, "now", slow_append, &now, NULL);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

/* test_soon_spawn: a callback of call_soon() starts green threads, one now and one later. */
TEST_BOTH(a_posted_callback_has_tasks_started_now_and_later)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *called = future_new();
        diary d = {0};
        soon s = {&d, called};
        fixture_actor *actor = fixture_act(&f, kind, "spawner", spawn_when_called, &s);

        CHECK_INT(cel_post(f.runtime, complete_with_21, called), 0);
        fixture_settle(&f);
        CHECK_DIARY(&d, 1);
        fixture_advance_ms(&f, 10);
        CHECK_DIARY(&d, 1, 2);
        CHECK_DONE(actor, 0);
        fixture_free(&f);
}

static int hold_the_loop(cel_ctx *ctx, void *arg)
{
        fixture *f = arg;

        cel_clock_advance_ms(f->clock, 60);
        return (int)cel__loop_busy_ms(ctx->loop, cel_ctx_now(ctx));
}

/* test_set_debug, debug_blocking: a green thread that blocks the hub is reported. Here it always is. */
TEST(for_how_long_a_task_holds_its_loop_can_be_seen_without_a_debug_switch)
{
        fixture f = fixture_new();

        CHECK_RESULT(fixture_spawn(&f, "blocker", hold_the_loop, &f), 60);
        fixture_free(&f);
}

/* --- LinkFutureTests -------------------------------------------------------------------------- */

typedef struct caller {
        diary *diary;
        int error;
        char text[64];
} caller;

/* Spawn a task, await it, note its result. */
static int call(cel_ctx *ctx, cel_scope *scope, caller *c, slow what)
{
        cel_auto(cel_task) *task = NULL;
        int r = cel_spawn(ctx, scope, "callee", slow_append, &what, &task);

        if (r < 0)
                return r;
        r = cel_task_await(ctx, task);
        if (r >= 0)
                note(c->diary, r);
        return r;
}

static int call_three(cel_ctx *ctx, void *arg)
{
        caller *c = arg;
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);

        if (r < 0)
                return r;
        call(ctx, scope, c, (slow){c->diary, 1, 20});
        call(ctx, scope, c, (slow){c->diary, 2, 10});
        c->error = call(ctx, scope, c, (slow){c->diary, -1, 1});
        snprintf(c->text, sizeof(c->text), "%s", cel_ctx_error_text(ctx, c->error));
        note(c->diary, 4);
        return cel_scope_close(ctx, scope);
}

/* test_greenthread_yield_future and test_coro_wrap_greenthread: one side calls the other, result or exception,
 * as if they were its own functions. */
TEST_BOTH(awaited_tasks_return_their_results_and_their_failures_with_the_text)
{
        fixture f = fixture_new();
        diary d = {0};
        caller c = {.diary = &d};
        fixture_actor *actor = fixture_act(&f, kind, "caller", call_three, &c);

        fixture_advance_ms(&f, 20);
        CHECK_DIARY(&d, 1, 10);
        fixture_advance_ms(&f, 10);
        CHECK_DIARY(&d, 1, 10, 2, 20);
        fixture_advance_ms(&f, 1);
        CHECK_DIARY(&d, 1, 10, 2, 20, 4);
        CHECK_INT(c.error, CEL_EPROTO);
        CHECK_STR(c.text, "error");
        CHECK_DONE(actor, CEL_EPROTO); /* and the scope has not forgotten it */
        fixture_free(&f);
}

static int call_one(cel_ctx *ctx, void *arg)
{
        caller *c = arg;
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        if (r < 0)
                return r;
        call(ctx, scope, c, (slow){c->diary, 3, 1});
        return cel_scope_close(ctx, scope);
}

/* test_link_coro */
TEST_BOTH(whoever_awaits_a_task_goes_on_after_it_has_ended)
{
        fixture f = fixture_new();
        diary d = {0};
        caller c = {.diary = &d};
        fixture_actor *actor = fixture_act(&f, kind, "caller", call_one, &c);

        CHECK_WAITS(actor);
        fixture_advance_ms(&f, 1);
        CHECK_DIARY(&d, 3, 30);
        CHECK_DONE(actor, 0);
        fixture_free(&f);
}

/* test_yield_future_not_running: the future is awaited first, then the loop runs and completes it. */
TEST_BOTH(a_future_that_is_awaited_is_completed_by_a_callback_of_the_loop)
{
        fixture f = fixture_new();
        cel_auto(cel_future) *future = future_new();
        waiter w = {.future = future};
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_it, &w);

        CHECK_INT(cel_post(f.runtime, complete_with_21, future), 0);
        CHECK(!cel_future_done(future));
        fixture_settle(&f);
        CHECK_DONE(actor, 21);
        fixture_free(&f);
}

/* Somebody has a ctx; somebody else uses it. */
typedef struct lent {
        cel_future *never;
        _Atomic(cel_ctx *) ctx;
} lent;

static int lend_ctx(cel_ctx *ctx, void *arg)
{
        lent *l = arg;

        atomic_store(&l->ctx, ctx);
        return cel_await(ctx, l->never, NULL);
}

static void await_with_lent_ctx(void *arg)
{
        lent *l = arg;

        cel_await(atomic_load(&l->ctx), l->never, NULL);
}

static void *await_on_wrong_thread(void *arg)
{
        await_with_lent_ctx(arg);
        return NULL;
}

static lent *lend(fixture *f, fixture_kind kind)
{
        static lent l;

        l.never = future_new();
        fixture_act(f, kind, "lender", lend_ctx, &l);
        return &l;
}

static void await_in_loop_code(fixture *f, fixture_kind kind)
{
        cel_post(f->runtime, await_with_lent_ctx, lend(f, kind));
        fixture_settle(f);
}

static void await_on_another_thread(fixture *f, fixture_kind kind)
{
        pthread_t thread;

        pthread_create(&thread, NULL, await_on_wrong_thread, lend(f, kind));
        pthread_join(thread, NULL);
}

/* test_yield_future_from_loop */
TEST_BOTH(awaiting_in_loop_code_aborts_and_names_whose_ctx_was_used)
{
        char text[8192];

        death_with_fixture(await_in_loop_code, kind, text, sizeof(text));
        CHECK(strstr(text, kind == FIXTURE_TASK
                                   ? "the ctx of task \"lender\" was used to wait for \"future\" in loop "
                                     "code, which cannot wait"
                                   : "the ctx of thread \"lender\" was used to wait for \"future\" on "
                                     "another thread") != NULL);
}

/* test_yield_future_wrong_loop: a future belongs to no loop, so none is wrong; but a ctx belongs to one. */
TEST_BOTH(awaiting_on_another_thread_aborts_and_names_whose_ctx_was_used)
{
        char text[8192];

        death_with_fixture(await_on_another_thread, kind, text, sizeof(text));
        CHECK(strstr(text, kind == FIXTURE_TASK
                                   ? "the ctx of task \"lender\" was used to wait for \"future\" on "
                                     "another thread"
                                   : "the ctx of thread \"lender\" was used to wait for \"future\" on "
                                     "another thread") != NULL);
}

/* --- WrapGreenthreadTests --------------------------------------------------------------------- */

/* test_wrap_greenthread */
TEST_BOTH(a_task_is_a_future_without_being_wrapped)
{
        fixture f = fixture_new();
        diary d = {0};
        cel_task *task = fixture_spawn(&f, "task", slow_append, &(slow){&d, 5, 10});
        waiter w = {.future = cel_task_future(task)};
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_it, &w);

        CHECK_WAITS(actor);
        fixture_advance_ms(&f, 10);
        CHECK_DONE(actor, 50);
        fixture_free(&f);
}

static void count_line(cel_log_level level, const char *line, void *arg)
{
        (void)level;
        (void)line;
        ++*(_Atomic unsigned *)arg;
}

/* test_wrap_greenthread_exc: the exception goes to whoever awaits, and is not printed. */
TEST_BOTH(a_failure_goes_to_whoever_awaits_and_nothing_is_logged)
{
        _Atomic unsigned lines = 0;

        cel_log_set_sink(count_line, &lines);
        fixture f = fixture_new();
        diary d = {0};
        cel_task *task = fixture_spawn(&f, "task", slow_append, &(slow){&d, -1, 10});
        waiter w = {.future = cel_task_future(task)};
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_it, &w);

        fixture_advance_ms(&f, 10);
        CHECK_DONE(actor, CEL_EPROTO);
        CHECK_STR(fixture_actor_text(actor), "error");
        fixture_free(&f);
        cel_log_set_sink(NULL, NULL);
        CHECK_INT(lines, 0);
}

/* test_wrap_greenthread_running: a running one could not be wrapped. Here it may be awaited at any time. */
TEST_BOTH(a_task_that_runs_already_may_be_awaited)
{
        fixture f = fixture_new();
        diary d = {0};
        cel_task *task = fixture_spawn(&f, "task", slow_append, &(slow){&d, 5, 10});
        waiter w = {.future = cel_task_future(task)};

        fixture_advance_ms(&f, 9); /* it has run and waits */
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_it, &w);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(actor, 50);
        fixture_free(&f);
}

static int await_oneself(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_task_await(ctx, cel__ctx_task(ctx));
}

static void have_one_await_itself(fixture *f, fixture_kind kind)
{
        fixture_act(f, kind, "narcissus", await_oneself, NULL);
}

/* test_wrap_greenthread_running, as upstream does it: a green thread wraps itself. */
TEST(a_task_that_awaits_itself_aborts_and_is_named)
{
        char text[8192];

        death_with_fixture(have_one_await_itself, FIXTURE_TASK, text, sizeof(text));
        CHECK(strstr(text, "task \"narcissus\" awaited its own end") != NULL);
}

/* test_wrap_greenthread_dead: a finished one could not be wrapped. Here the result is kept. */
TEST_BOTH(a_task_that_has_ended_may_be_awaited_as_often_as_one_likes)
{
        fixture f = fixture_new();
        diary d = {0};
        cel_task *task = fixture_spawn(&f, "task", slow_append, &(slow){&d, 5, 0});
        waiter w = {.future = cel_task_future(task)};

        for (int i = 0; i < 3; i++)
                CHECK_DONE(fixture_act(&f, kind, "waiter", await_it, &w), 50);
        fixture_free(&f);
}

/* --- What upstream never tested: failures ----------------------------------------------------- */

typedef struct orphan {
        slow what;
        cel_task *task;
} orphan;

static int spawn_and_close(cel_ctx *ctx, void *arg)
{
        orphan *o = arg;
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "orphan", slow_append, &o->what, &o->task);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

TEST_BOTH(a_tasks_failure_and_its_text_are_kept_after_its_scope_is_gone)
{
        fixture f = fixture_new();
        diary d = {0};
        orphan o = {.what = {&d, -1, 0}};

        CHECK_DONE(fixture_act(&f, kind, "parent", spawn_and_close, &o), CEL_EPROTO);
        waiter w = {.future = cel_task_future(o.task)};
        for (int i = 0; i < 2; i++) {
                fixture_actor *actor = fixture_act(&f, kind, "waiter", await_it, &w);

                CHECK_DONE(actor, CEL_EPROTO);
                CHECK_STR(fixture_actor_text(actor), "error");
        }
        cel_task_unref(o.task);
        fixture_free(&f);
}

/* Each way to wait, one for each sibling. */
typedef struct ways {
        cel_channel *empty, *full;
        cel_semaphore *semaphore;
        cel_mutex *mutex;
        cel_condition *condition;
        cel_event *event;
        cel_rate *rate;
        cel_future *future;
        _Atomic unsigned waits_n; /* which way the next one takes */
        cel_future *fail;         /* complete: one of them fails */
} ways;

enum { WAYS = 9 };

static int wait_with_mutex(cel_ctx *ctx, ways *w)
{
        int r = cel_mutex_lock(ctx, w->mutex);

        if (r < 0)
                return r;
        r = cel_condition_wait(ctx, w->condition, w->mutex);
        cel_mutex_unlock(ctx, w->mutex);
        return r;
}

static int wait_in_one_way(cel_ctx *ctx, void *arg)
{
        ways *w = arg;
        int item = 0;
        cel_select_case cases[] = {{.channel = w->empty, .ret_item = &item},
                                   {.channel = w->full, .send_item = &item}};

        switch (atomic_fetch_add(&w->waits_n, 1) % WAYS) {
        case 0:
                return cel_channel_receive(ctx, w->empty, &item);
        case 1:
                return cel_channel_send(ctx, w->full, &item);
        case 2:
                return cel_select(ctx, cases, 2);
        case 3:
                return cel_semaphore_acquire(ctx, w->semaphore);
        case 4:
                return wait_with_mutex(ctx, w);
        case 5:
                return cel_event_wait(ctx, w->event);
        case 6:
                return cel_rate_wait(ctx, w->rate);
        case 7:
                return cel_await(ctx, w->future, NULL);
        default:
                return cel_sleep_ms(ctx, 1000000);
        }
}

static ways ways_new(cel_runtime *runtime)
{
        ways w = {.future = future_new(), .fail = future_new()};

        CHECK_INT(cel_channel_new(sizeof(int), 0, &w.empty), 0);
        CHECK_INT(cel_channel_new(sizeof(int), 1, &w.full), 0);
        CHECK_INT(cel_channel_try_send(w.full, &(int){1}), 0);
        CHECK_INT(cel_semaphore_new(0, 1, &w.semaphore), 0);
        CHECK_INT(cel_mutex_new(&w.mutex), 0);
        CHECK_INT(cel_condition_new(&w.condition), 0);
        CHECK_INT(cel_event_new(&w.event), 0);
        CHECK_INT(cel_rate_new(runtime, 1, 3600000, 1, &w.rate), 0);
        CHECK_INT(cel_rate_try(w.rate), 0);
        return w;
}

/* Nobody waits any more, and nothing was used up by those who did. */
static void ways_free(ways *w)
{
        CHECK_INT(cel_channel_items(w->full), 1);
        CHECK_INT(cel_semaphore_release(w->semaphore), 0);
        CHECK_INT(cel_semaphore_permits(w->semaphore), 1);
        cel_channel_unref(w->empty);
        cel_channel_unref(w->full);
        cel_semaphore_free(w->semaphore);
        cel_mutex_free(w->mutex);
        cel_condition_free(w->condition);
        cel_event_free(w->event);
        cel_rate_free(w->rate);
        cel_future_unref(w->future);
        cel_future_unref(w->fail);
}

static int fail_when_told(cel_ctx *ctx, void *arg)
{
        int r = cel_await(ctx, ((ways *)arg)->fail, NULL);

        return r < 0 ? r : cel_fail(ctx, CEL_EPROTO, "one of ten");
}

static int wait_in_all_ways(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        for (unsigned i = 0; i < WAYS && r >= 0; i++)
                r = cel_spawn(ctx, scope, "sibling", wait_in_one_way, arg, NULL);
        if (r >= 0)
                r = cel_spawn(ctx, scope, "failing", fail_when_told, arg, NULL);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

TEST_BOTH(one_failure_ends_its_siblings_whatever_they_wait_for)
{
        fixture f = fixture_new();
        ways w = ways_new(f.runtime);
        fixture_actor *parent = fixture_act(&f, kind, "parent", wait_in_all_ways, &w);

        CHECK_WAITS(parent);
        CHECK_INT(w.waits_n, WAYS);
        CHECK(cel_future_complete(w.fail, 0, NULL));
        fixture_settle(&f);
        CHECK_DONE(parent, CEL_EPROTO);
        CHECK_STR(fixture_actor_text(parent), "one of ten");
        ways_free(&w);
        fixture_free(&f);
}

/* --- What upstream never tested: cancellation ------------------------------------------------- */

TEST_BOTH(cancelling_whoever_awaits_leaves_the_task_alone)
{
        fixture f = fixture_new();
        diary d = {0};
        cel_task *task = fixture_spawn(&f, "task", slow_append, &(slow){&d, 5, 10});
        waiter w = {.future = cel_task_future(task)};
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_it, &w);

        fixture_cancel(actor);
        CHECK_DONE(actor, CEL_ECANCELED);
        CHECK(w.was_canceled);
        CHECK_PENDING(task);
        fixture_advance_ms(&f, 10);
        CHECK_RESULT(task, 50);
        fixture_free(&f);
}

TEST_BOTH(cancelling_a_task_is_an_outcome_for_whoever_awaits_it)
{
        fixture f = fixture_new();
        diary d = {0};
        cel_task *task = fixture_spawn(&f, "task", slow_append, &(slow){&d, 5, 10});
        waiter w = {.future = cel_task_future(task)};
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_it, &w);

        cel_task_cancel(task);
        fixture_settle(&f);
        CHECK_DONE(actor, CEL_ECANCELED);
        CHECK(!w.was_canceled); /* the task was, not the waiter */
        CHECK_INT(d.n, 0);
        fixture_free(&f);
}

TEST_BOTH(a_deadline_of_whoever_awaits_leaves_the_task_alone)
{
        fixture f = fixture_new();
        diary d = {0};
        cel_task *task = fixture_spawn(&f, "task", slow_append, &(slow){&d, 5, 10});
        waiter w = {.future = cel_task_future(task), .within_ms = 9};
        fixture_actor *actor = fixture_act(&f, kind, "waiter", await_it, &w);

        fixture_advance_ms(&f, 9);
        CHECK_DONE(actor, CEL_ETIMEDOUT);
        CHECK_PENDING(task);
        fixture_advance_ms(&f, 1);
        CHECK_RESULT(task, 50);
        fixture_free(&f);
}

TEST_BOTH(every_way_to_wait_ends_when_it_is_cancelled)
{
        fixture f = fixture_new();
        ways w = ways_new(f.runtime);

        for (unsigned i = 0; i < WAYS; i++) {
                fixture_actor *actor = fixture_act(&f, kind, "waiter", wait_in_one_way, &w);

                CHECK_WAITS(actor);
                fixture_cancel(actor);
                CHECK_DONE(actor, CEL_ECANCELED);
        }
        ways_free(&w);
        fixture_free(&f);
}

/* --- What upstream never tested: shutdown under load ------------------------------------------ */

enum { LOAD_TASKS = 60, LOAD_THREADS = 3, LOAD_ITEMS_MIN = 500 };

/* Producers and consumers, in tasks and on threads, behind every limit there is, until they are told to stop.
 */
typedef struct load {
        cel_runtime *runtime;
        cel_channel *channel, *other;
        cel_semaphore *slots;
        cel_mutex *mutex;
        cel_rate *rate;
        unsigned under_mutex; /* counted by whoever holds it */
        _Atomic unsigned locked, sent, received, roles, ended;
        _Atomic unsigned wrong; /* ended by anything but cancellation */
        _Atomic bool started, stopped, all_canceled;
        _Atomic(cel_ctx *) thread_ctxs[LOAD_THREADS];
        ways stuck;
} load;

/* One item in or out, through a select, behind the semaphore. */
static int move_item(cel_ctx *ctx, load *l, bool send)
{
        int item = 1;
        cel_select_case cases[] = {{.channel = l->channel}, {.channel = l->other}};
        int r = cel_semaphore_acquire(ctx, l->slots);

        if (r < 0)
                return r;
        for (int i = 0; i < 2; i++) {
                cases[i].send_item = send ? &item : NULL;
                cases[i].ret_item = send ? NULL : &item;
        }
        {
                CEL_WITHIN_MS(ctx, 1); /* so that the slots are not all held by one side */

                r = cel_select(ctx, cases, 2);
        }
        cel_semaphore_release(l->slots);
        if (r >= 0 && atomic_fetch_add(send ? &l->sent : &l->received, 1) == LOAD_ITEMS_MIN && send)
                cel_stop(l->runtime); /* there is load now */
        return r == CEL_ETIMEDOUT ? 0 : r;
}

static int count_under_mutex(cel_ctx *ctx, load *l)
{
        int r = cel_mutex_lock(ctx, l->mutex);

        if (r < 0)
                return r;
        unsigned n = l->under_mutex;
        r = cel_yield(ctx);
        l->under_mutex = n + 1;
        atomic_fetch_add(&l->locked, 1);
        cel_mutex_unlock(ctx, l->mutex);
        return r;
}

static int work(cel_ctx *ctx, void *arg)
{
        load *l = arg;
        unsigned role = atomic_fetch_add(&l->roles, 1) % 4;
        int r = 0;

        while (r >= 0) {
                if (role == 3)
                        r = wait_in_one_way(ctx, &l->stuck);
                else if (role == 2)
                        r = count_under_mutex(ctx, l);
                else
                        r = move_item(ctx, l, role == 0);
                if (r >= 0)
                        r = cel_rate_wait(ctx, l->rate);
        }
        if (r != CEL_ECANCELED || !atomic_load(&l->stopped))
                atomic_fetch_add(&l->wrong, 1);
        atomic_fetch_add(&l->ended, 1);
        return r;
}

typedef struct load_thread {
        load *load;
        _Atomic(cel_ctx *) *ret_ctx;
        pthread_t thread;
} load_thread;

static void *work_on_thread(void *arg)
{
        load_thread *t = arg;
        cel_ctx *ctx;

        cel_assert(cel_thread_ctx_new(t->load->runtime, "worker", &ctx) == 0);
        atomic_store(t->ret_ctx, ctx);
        while (!atomic_load(&t->load->started)) /* a stop that comes sooner cancels the program */
                sched_yield();
        work(ctx, t->load);
        while (!atomic_load(&t->load->all_canceled)) /* by somebody who may still have our ctx in hand */
                sched_yield();
        cel_thread_ctx_free(ctx);
        return NULL;
}

static int work_until_stopped(cel_ctx *ctx, void *arg)
{
        load *l = arg;
        cel_future *stop = cel_stop_future(ctx);
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        atomic_store(&l->started, true);
        for (int i = 0; i < LOAD_TASKS && r >= 0; i++)
                r = cel_spawn(ctx, scope, "worker", work, l, NULL);
        if (r >= 0)
                r = cel_await(ctx, stop, NULL);
        atomic_store(&l->stopped, true);
        for (int i = 0; i < LOAD_THREADS; i++)
                cel_ctx_cancel(atomic_load(&l->thread_ctxs[i]));
        atomic_store(&l->all_canceled, true);
        cel_scope_cancel(scope);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

static void load_free(load *l)
{
        int item;
        unsigned left = 0;

        while (cel_channel_try_receive(l->channel, &item) == 0)
                left++;
        while (cel_channel_try_receive(l->other, &item) == 0)
                left++;
        CHECK_INT(l->sent, l->received + left);
        CHECK_INT(cel_semaphore_permits(l->slots), 8);
        CHECK_INT(l->under_mutex, l->locked);
        cel_channel_unref(l->channel);
        cel_channel_unref(l->other);
        cel_semaphore_free(l->slots);
        cel_mutex_free(l->mutex);
        cel_rate_free(l->rate);
        ways_free(&l->stuck);
        cel_runtime_free(l->runtime);
}

TEST(a_program_under_load_stops_when_it_is_told_to_and_loses_nothing)
{
        load l = {0};
        load_thread threads[LOAD_THREADS];

        CHECK_INT(cel_runtime_new(NULL, &l.runtime), 0);
        CHECK_INT(cel_channel_new(sizeof(int), 2, &l.channel), 0);
        CHECK_INT(cel_channel_new(sizeof(int), 0, &l.other), 0);
        CHECK_INT(cel_semaphore_new(8, 8, &l.slots), 0);
        CHECK_INT(cel_mutex_new(&l.mutex), 0);
        CHECK_INT(cel_rate_new(l.runtime, 1000000, 100, 10000, &l.rate), 0);
        l.stuck = ways_new(l.runtime);
        for (int i = 0; i < LOAD_THREADS; i++) {
                threads[i] = (load_thread){.load = &l, .ret_ctx = &l.thread_ctxs[i]};
                CHECK_INT(pthread_create(&threads[i].thread, NULL, work_on_thread, &threads[i]), 0);
                while (!atomic_load(&l.thread_ctxs[i]))
                        sched_yield();
        }
        CHECK_INT(cel_runtime_run(l.runtime, "main", work_until_stopped, &l), 0);
        for (int i = 0; i < LOAD_THREADS; i++)
                pthread_join(threads[i].thread, NULL);
        CHECK_INT(l.ended, LOAD_TASKS + LOAD_THREADS);
        CHECK_INT(l.wrong, 0);
        CHECK(l.sent >= LOAD_ITEMS_MIN);
        load_free(&l);
}
