/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "fixture.h"
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int sleep_100(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_sleep_ms(ctx, 100);
}

TEST_BOTH(a_sleeping_task_wakes_when_its_time_has_come_and_not_before)
{
        fixture f = fixture_new();
        fixture_actor *sleeper = fixture_act(&f, kind, "sleeper", sleep_100, NULL);

        fixture_advance_ms(&f, 99);
        CHECK_WAITS(sleeper);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(sleeper, 0);
        fixture_free(&f);
}

static int sleep_within_50(cel_ctx *ctx, void *arg)
{
        (void)arg;
        CEL_WITHIN_MS(ctx, 50);
        return cel_sleep_ms(ctx, 100);
}

TEST_BOTH(a_deadline_ends_a_wait)
{
        fixture f = fixture_new();
        fixture_actor *sleeper = fixture_act(&f, kind, "sleeper", sleep_within_50, NULL);

        fixture_advance_ms(&f, 49);
        CHECK_WAITS(sleeper);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(sleeper, CEL_ETIMEDOUT);
        fixture_free(&f);
}

static int nest_deadlines(cel_ctx *ctx, void *arg)
{
        cel_time *seen = arg;
        CEL_WITHIN_MS(ctx, 100);

        seen[0] = cel_ctx_deadline(ctx);
        {
                CEL_WITHIN_MS(ctx, 200);
                seen[1] = cel_ctx_deadline(ctx); /* a wider one inside changes nothing */
        }
        {
                CEL_WITHIN_MS(ctx, 10);
                seen[2] = cel_ctx_deadline(ctx);
        }
        seen[3] = cel_ctx_deadline(ctx);
        return 0;
}

TEST_BOTH(deadlines_nest_and_only_ever_tighten)
{
        fixture f = fixture_new();
        cel_time seen[4];
        int64_t now = cel_clock_now(f.clock).ns;

        CHECK_DONE(fixture_act(&f, kind, "nester", nest_deadlines, seen), 0);
        CHECK_INT(seen[0].ns, now + 100 * CEL_NS_PER_MS);
        CHECK_INT(seen[1].ns, now + 100 * CEL_NS_PER_MS);
        CHECK_INT(seen[2].ns, now + 10 * CEL_NS_PER_MS);
        CHECK_INT(seen[3].ns, now + 100 * CEL_NS_PER_MS);
        fixture_free(&f);
}

TEST_BOTH(cancelling_a_task_ends_its_wait)
{
        fixture f = fixture_new();
        fixture_actor *sleeper = fixture_act(&f, kind, "sleeper", sleep_100, NULL);

        fixture_cancel(sleeper);
        CHECK_DONE(sleeper, CEL_ECANCELED);
        fixture_free(&f);
}

static int await_task(cel_ctx *ctx, void *arg)
{
        return cel_task_await(ctx, arg);
}

TEST_BOTH(awaiting_a_task_returns_its_result_once_it_has_ended)
{
        fixture f = fixture_new();
        cel_task *task = fixture_spawn(&f, "task", sleep_within_50, NULL);
        fixture_actor *waiter = fixture_act(&f, kind, "waiter", await_task, task);

        fixture_advance_ms(&f, 49);
        CHECK_WAITS(waiter);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(waiter, CEL_ETIMEDOUT);
        fixture_free(&f);
}

typedef struct order {
        char text[64];
        size_t n;
} order;

typedef struct speaker {
        order *order;
        char letter;
} speaker;

static int speak_thrice(cel_ctx *ctx, void *arg)
{
        speaker *s = arg;

        for (int i = 0; i < 3; i++) {
                s->order->text[s->order->n++] = s->letter;
                int r = cel_yield(ctx);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int three_speakers(cel_ctx *ctx, void *arg)
{
        speaker speakers[] = {{arg, 'a'}, {arg, 'b'}, {arg, 'c'}};
        cel_scope *scope;

        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        for (int i = 0; i < 3 && r >= 0; i++)
                r = cel_spawn(ctx, scope, "speaker", speak_thrice, &speakers[i], NULL);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

TEST(tasks_that_yield_take_turns)
{
        fixture f = fixture_new();
        order o = {0};

        CHECK_RESULT(fixture_spawn(&f, "speakers", three_speakers, &o), 0);
        CHECK_STR(o.text, "abcabcabc");
        fixture_free(&f);
}

/* --- Scopes ----------------------------------------------------------------------------------- */

typedef struct family {
        cel_scope_mode mode;
        int results[2];
} family;

static int fail_after_10(cel_ctx *ctx, void *arg)
{
        (void)arg;
        int r = cel_sleep_ms(ctx, 10);

        return r < 0 ? r : cel_fail(ctx, CEL_EPROTO, "the child's own words");
}

static int remember_sleep_100(cel_ctx *ctx, void *arg)
{
        int *result = arg;

        return *result = cel_sleep_ms(ctx, 100);
}

static int parent(cel_ctx *ctx, void *arg)
{
        family *fam = arg;
        cel_scope *scope;
        int r = cel_scope_open(ctx, fam->mode, &scope);

        if (r < 0)
                return r;
        CHECK_INT(cel_spawn(ctx, scope, "failing", fail_after_10, NULL, NULL), 0);
        CHECK_INT(cel_spawn(ctx, scope, "sleeping", remember_sleep_100, &fam->results[0], NULL), 0);
        r = cel_scope_close(ctx, scope);
        if (r < 0)
                CHECK_STR(cel_ctx_error_text(ctx, r), "the child's own words");
        return r;
}

TEST_BOTH(the_first_failure_cancels_the_siblings_and_is_what_close_returns)
{
        fixture f = fixture_new();
        family fam = {.mode = CEL_SCOPE_FAIL_FAST, .results = {1, 1}};
        fixture_actor *task = fixture_act(&f, kind, "parent", parent, &fam);

        fixture_advance_ms(&f, 10);
        CHECK_DONE(task, CEL_EPROTO);
        CHECK_INT(fam.results[0], CEL_ECANCELED);
        fixture_free(&f);
}

TEST_BOTH(a_collecting_scope_lets_the_siblings_end_on_their_own)
{
        fixture f = fixture_new();
        family fam = {.mode = CEL_SCOPE_COLLECT_ALL, .results = {1, 1}};
        fixture_actor *task = fixture_act(&f, kind, "parent", parent, &fam);

        fixture_advance_ms(&f, 10);
        CHECK_WAITS(task);
        fixture_advance_ms(&f, 90);
        CHECK_DONE(task, CEL_EPROTO);
        CHECK_INT(fam.results[0], 0);
        fixture_free(&f);
}

static int stubborn(cel_ctx *ctx, void *arg)
{
        int *steps = arg;

        if (cel_sleep_ms(ctx, 1000) == CEL_ECANCELED)
                ++*steps;
        if (cel_yield(ctx) == CEL_ECANCELED)
                ++*steps;
        return 0;
}

static int close_under_deadline(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        CEL_WITHIN_MS(ctx, 20);

        CHECK_INT(cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope), 0);
        CHECK_INT(cel_spawn(ctx, scope, "stubborn", stubborn, arg, NULL), 0);
        int r = cel_scope_close(ctx, scope);
        CHECK_INT(*(int *)arg, 2); /* close returned after the task had ended */
        return r;
}

static int cancel_one_of_two(cel_ctx *ctx, void *arg)
{
        cel_scope_mode *mode = arg;
        cel_auto(cel_task) *one = NULL;
        cel_scope *scope;

        CHECK_INT(cel_scope_open(ctx, *mode, &scope), 0);
        CHECK_INT(cel_spawn(ctx, scope, "one", sleep_100, &(int){0}, &one), 0);
        CHECK_INT(cel_spawn(ctx, scope, "other", sleep_100, &(int){0}, NULL), 0);
        cel_yield(ctx);
        cel_task_cancel(one);
        CHECK_INT(cel_task_await(ctx, one), CEL_ECANCELED);
        return cel_scope_close(ctx, scope);
}

TEST_BOTH(that_one_task_was_cancelled_is_no_failure_of_its_scope)
{
        for (cel_scope_mode mode = CEL_SCOPE_FAIL_FAST; mode <= CEL_SCOPE_COLLECT_ALL; mode++) {
                fixture f = fixture_new();
                fixture_actor *parent = fixture_act(&f, kind, "parent", cancel_one_of_two, &mode);

                CHECK_WAITS(parent); /* the other one sleeps on */
                fixture_advance_ms(&f, 1000000);
                CHECK_DONE(parent, 0);
                fixture_free(&f);
        }
}

TEST_BOTH(a_scope_whose_deadline_passes_cancels_its_tasks_and_still_waits_for_them)
{
        fixture f = fixture_new();
        int steps = 0;
        fixture_actor *task = fixture_act(&f, kind, "closer", close_under_deadline, &steps);

        fixture_advance_ms(&f, 20);
        CHECK_DONE(task, CEL_ETIMEDOUT);
        fixture_free(&f);
}

/* --- Limits and mistakes ---------------------------------------------------------------------- */

TEST(more_tasks_than_allowed_is_an_error_code)
{
        cel_runtime *runtime;
        cel_scope *scope;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.tasks_max = 2}, &runtime), 0);
        cel__loop_adopt(cel__runtime_loop(runtime));
        CHECK_INT(cel__scope_new(runtime, cel__runtime_loop(runtime), CEL_SCOPE_COLLECT_ALL, &scope), 0);
        CHECK_INT(cel__task_spawn(scope, NULL, "one", sleep_100, NULL, NULL), 0);
        CHECK_INT(cel__task_spawn(scope, NULL, "two", sleep_100, NULL, NULL), 0);
        CHECK_INT(cel__task_spawn(scope, NULL, "three", sleep_100, NULL, NULL), CEL_EFULL);
        cel_scope_cancel(scope);
        while (cel__loop_turn(cel__runtime_loop(runtime), false))
                ;
        cel__scope_free(scope);
        cel_runtime_free(runtime);
}

static volatile bool forever = true; /* the compiler must not see through the recursion */

static int recurse(cel_ctx *ctx, void *arg)
{
        volatile char block[512];

        block[0] = (char)(uintptr_t)arg;
        return forever ? recurse(ctx, (void *)(uintptr_t)(block[0] + 1)) + block[0] : 0;
}

TEST(a_stack_overflow_names_the_task)
{
        char text[8192];

        death_of_task(recurse, text, sizeof(text));
        CHECK(strstr(text, "task \"victim\" overflowed its stack") != NULL);
}

/* What a large frame does in code that is built without -fstack-clash-protection: it steps over the first pages. */
static int step_far_below(cel_ctx *ctx, void *arg)
{
        volatile char here = 0;
        volatile char *below = &here - cel__runtime_loop(cel_ctx_runtime(ctx))->stacks.stack_bytes -
                               40 * 1024;

        (void)arg;
        *below = 1;
        return here;
}

TEST(a_large_step_below_the_stack_is_an_overflow_too_and_not_a_write_to_the_neighbour)
{
        char text[8192];

        death_of_task(step_far_below, text, sizeof(text));
        CHECK(strstr(text, "task \"victim\" overflowed its stack") != NULL);
}

/* --- Inheritance ------------------------------------------------------------------------------ */

static int copy_request_id(cel_ctx *ctx, void *arg)
{
        snprintf(arg, 64, "%s/%s", cel_ctx_name(ctx), cel_ctx_request_id(ctx));
        return 0;
}

static int spawn_with_request_id(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;

        cel_ctx_set_request_id(ctx, "req-7");
        CHECK_INT(cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope), 0);
        CHECK_INT(cel_spawn(ctx, scope, "child", copy_request_id, arg, NULL), 0);
        return cel_scope_close(ctx, scope);
}

TEST_BOTH(a_spawned_task_inherits_the_request_id)
{
        fixture f = fixture_new();
        char text[64];

        CHECK_DONE(fixture_act(&f, kind, "parent", spawn_with_request_id, text), 0);
        CHECK_STR(text, "child/req-7");
        fixture_free(&f);
}

static int leave_traces(cel_ctx *ctx, void *arg)
{
        (void)arg;
        cel_ctx_set_request_id(ctx, "req-1");
        cel_ctx_cancel(ctx);
        return cel_fail(ctx, CEL_EPROTO, "of the first");
}

static int look_for_traces(cel_ctx *ctx, void *arg)
{
        (void)arg;
        CHECK_STR(cel_ctx_request_id(ctx), "");
        CHECK_STR(cel_ctx_error_text(ctx, CEL_EPROTO), cel_error_text(CEL_EPROTO));
        CHECK_STR(cel_ctx_name(ctx), "b");
        CHECK(!cel_ctx_canceled(ctx));
        CHECK_INT(cel_ctx_deadline(ctx).ns, CEL_TIME_NEVER.ns);
        return cel_yield(ctx);
}

static void run_to_its_end(cel_ctx *ctx, cel_scope *scope, const char *name, cel_task_fn fn,
                           cel_task **ret_task)
{
        CHECK_INT(cel_spawn(ctx, scope, name, fn, NULL, ret_task), 0);
        while (cel_scope_tasks(scope) > 0)
                CHECK_INT(cel_yield(ctx), 0);
}

/* One after the other, so that each may get the memory of the one before, unless somebody still holds that. */
static int run_one_by_one(cel_ctx *ctx, void *arg)
{
        cel_task **ret_kept = arg;
        cel_scope *scope;

        CHECK_INT(cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope), 0);
        run_to_its_end(ctx, scope, "a long name", leave_traces, NULL);
        run_to_its_end(ctx, scope, "b", look_for_traces, NULL);
        run_to_its_end(ctx, scope, "kept", leave_traces, ret_kept);
        for (int i = 0; i < 1000; i++)
                run_to_its_end(ctx, scope, "b", look_for_traces, NULL);
        CHECK_INT(cel_scope_close(ctx, scope), CEL_EPROTO);
        return 0;
}

TEST(a_task_knows_nothing_of_those_before_it_and_one_that_is_held_keeps_its_result)
{
        fixture f = fixture_new();
        cel_task *kept = NULL;

        CHECK_RESULT(fixture_spawn(&f, "parent", run_one_by_one, &kept), 0);
        CHECK_RESULT(kept, CEL_EPROTO);
        cel_task_unref(kept);
        fixture_free(&f);
}
