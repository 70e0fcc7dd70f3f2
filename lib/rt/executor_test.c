/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <celadon/channel.h>
#include <celadon/executor.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* --- One executor, opened and closed by an actor ---------------------------------------------- */

typedef struct rig {
        fixture f;
        fixture_kind kind;
        cel_executor_options options;
        cel_executor *executor;
} rig;

static int open_executor(cel_ctx *ctx, void *arg)
{
        rig *r = arg;

        return cel_executor_open(ctx, &r->options, &r->executor);
}

static int close_executor(cel_ctx *ctx, void *arg)
{
        rig *r = arg;

        cel_executor_close(ctx, r->executor);
        return 0;
}

static void rig_open(rig *r)
{
        r->f = fixture_new();
        CHECK_INT(fixture_actor_wait(&r->f, fixture_act(&r->f, r->kind, "open", open_executor, r)), 0);
}

static void rig_free(rig *r)
{
        fixture_actor_wait(&r->f, fixture_act(&r->f, r->kind, "close", close_executor, r));
        fixture_free(&r->f);
}

/* A job that waits at a gate, if it has a ctx to wait with. */
typedef struct work {
        cel_future *gate; /* owned */
        _Atomic int begun, ended, dropped;
        _Atomic int result;
        _Atomic bool had_ctx, had_loop;
        int returns;
} work;

static int run_work(cel_ctx *ctx, void *arg)
{
        work *w = arg;

        w->had_ctx = ctx != NULL;
        w->had_loop = ctx && ctx->loop;
        w->begun++;
        int r = ctx && w->gate ? cel_await(ctx, w->gate, NULL) : w->returns;
        w->result = r;
        w->ended++;
        return r;
}

static void drop_work(void *arg)
{
        ((work *)arg)->dropped++;
}

static work work_new(void)
{
        work w = {0};

        CHECK_INT(cel_future_new(&w.gate), 0);
        return w;
}

static void open_gate(rig *r, work *w)
{
        cel_future_complete(w->gate, 0, NULL);
        fixture_settle(&r->f);
}

static int try_submit(rig *r, work *w)
{
        int result = cel_executor_try_submit(r->executor,
                                             &(cel_job){.run = run_work, .on_dropped = drop_work, .arg = w});

        fixture_settle(&r->f);
        return result;
}

/* Threads of an executor are nobody's actors: the test waits for what they do. */
static void until(rig *r, const _Atomic int *count, int n)
{
        while (atomic_load(count) < n) {
                fixture_settle(&r->f);
                sched_yield();
        }
        fixture_settle(&r->f);
}

typedef struct submission {
        rig *r;
        work *w;
        int64_t within_ms; /* 0: no deadline */
} submission;

static int submit(cel_ctx *ctx, void *arg)
{
        submission *s = arg;
        CEL_WITHIN_MS(ctx, s->within_ms ? s->within_ms : INT64_MAX);

        return cel_executor_submit(ctx, s->r->executor,
                                   &(cel_job){.run = run_work, .on_dropped = drop_work, .arg = s->w});
}

static int drain(cel_ctx *ctx, void *arg)
{
        rig *r = arg;

        return cel_executor_drain(ctx, r->executor);
}

static int drain_50(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 50);
        return drain(ctx, arg);
}

static int run_executor(cel_ctx *ctx, void *arg)
{
        rig *r = arg;

        return cel_executor_run(ctx, r->executor);
}

/* --- What each kind is ------------------------------------------------------------------------ */

TEST_BOTH(green_runs_jobs_in_tasks_and_no_more_than_its_concurrency_at_once)
{
        rig r = {.kind = kind, .options = {.kind = CEL_EXECUTOR_GREEN, .concurrency = 2, .waiting_max = 2}};
        work w[5] = {work_new(), work_new(), work_new(), work_new(), work_new()};

        rig_open(&r);
        for (int i = 0; i < 4; i++)
                CHECK_INT(try_submit(&r, &w[i]), 0);
        CHECK_INT(try_submit(&r, &w[4]), CEL_EAGAIN);
        CHECK(w[0].begun && w[1].begun && !w[2].begun && !w[3].begun);
        CHECK(w[0].had_loop);
        open_gate(&r, &w[1]);
        CHECK(w[2].begun && !w[3].begun);
        cel_executor_stats stats = cel_executor_get_stats(r.executor);
        CHECK_INT(stats.running, 2);
        CHECK_INT(stats.waiting, 1);
        CHECK_INT(stats.done, 1);
        CHECK_INT(stats.rejected, 1);
        rig_free(&r);
        CHECK_INT(w[0].result, CEL_ECANCELED);
        CHECK_INT(w[3].dropped, 1);
        for (int i = 0; i < 5; i++)
                cel_future_unref(w[i].gate);
}

TEST_BOTH(threads_run_jobs_with_a_ctx_of_their_own_that_blocks)
{
        rig r = {.kind = kind, .options = {.kind = CEL_EXECUTOR_THREADS, .concurrency = 2, .waiting_max = 1}};
        work w[4] = {work_new(), work_new(), work_new(), work_new()};

        rig_open(&r);
        for (int i = 0; i < 3; i++)
                CHECK_INT(try_submit(&r, &w[i]), 0);
        CHECK_INT(try_submit(&r, &w[3]), CEL_EAGAIN);
        until(&r, &w[0].begun, 1);
        until(&r, &w[1].begun, 1);
        CHECK(w[0].had_ctx && !w[0].had_loop);
        CHECK(!w[2].begun);
        open_gate(&r, &w[1]);
        until(&r, &w[2].begun, 1);
        open_gate(&r, &w[0]);
        open_gate(&r, &w[2]);
        CHECK_INT(fixture_actor_wait(&r.f, fixture_act(&r.f, kind, "drain", drain, &r)), 0);
        CHECK(w[0].ended && w[1].ended && w[2].ended);
        rig_free(&r);
        for (int i = 0; i < 4; i++)
                cel_future_unref(w[i].gate);
}

TEST_BOTH(blocking_runs_jobs_in_whoever_calls_run_until_it_is_drained)
{
        rig r = {.kind = kind, .options = {.kind = CEL_EXECUTOR_BLOCKING, .waiting_max = 3}};
        work w[3] = {{.returns = CEL_EIO}, {.returns = 7}, {0}};

        rig_open(&r);
        CHECK_INT(try_submit(&r, &w[0]), 0);
        CHECK(!w[0].begun); /* nobody runs it */
        fixture_actor *runner = fixture_act(&r.f, kind, "runner", run_executor, &r);
        CHECK(w[0].ended);
        CHECK(w[0].had_loop == (kind == FIXTURE_TASK));
        CHECK_WAITS(runner);
        CHECK_INT(try_submit(&r, &w[1]), 0);
        CHECK(w[1].ended);
        fixture_actor *second = fixture_act(&r.f, kind, "second", run_executor, &r);
        CHECK_DONE(second, CEL_EINVAL);
        CHECK_DONE(fixture_act(&r.f, kind, "drain", drain, &r), 0);
        CHECK_DONE(runner, 0);
        CHECK_INT(try_submit(&r, &w[2]), CEL_ECLOSED);
        CHECK_INT(cel_executor_get_stats(r.executor).failed, 1);
        rig_free(&r);
}

TEST_BOTH(inline_runs_jobs_on_the_loop_without_a_ctx)
{
        rig r = {.kind = kind, .options = {.kind = CEL_EXECUTOR_INLINE, .waiting_max = 1}};
        work here = {0}, there = {0};

        rig_open(&r);
        CHECK_INT(cel_executor_try_submit(r.executor, &(cel_job){.run = run_work, .arg = &here}), 0);
        CHECK(here.ended); /* before the call returned */
        CHECK(!here.had_ctx);
        CHECK_DONE(fixture_act(&r.f, kind, "submit", submit, &(submission){.r = &r, .w = &there}), 0);
        CHECK(there.ended && !there.had_ctx);
        rig_free(&r);
}

typedef struct chain {
        cel_executor *executor;
        int depth, deepest, left;
} chain;

static int run_chain(cel_ctx *ctx, void *arg)
{
        chain *c = arg;

        (void)ctx;
        c->depth++;
        c->deepest = c->depth > c->deepest ? c->depth : c->deepest;
        if (c->left-- > 0)
                CHECK_INT(cel_executor_try_submit(c->executor, &(cel_job){.run = run_chain, .arg = c}), 0);
        c->depth--;
        return 0;
}

TEST(inline_jobs_that_submit_jobs_do_not_pile_up_on_the_stack)
{
        rig r = {.options = {.kind = CEL_EXECUTOR_INLINE, .waiting_max = 1}};

        rig_open(&r);
        chain c = {.executor = r.executor, .left = 100000};
        CHECK_INT(cel_executor_try_submit(r.executor, &(cel_job){.run = run_chain, .arg = &c}), 0);
        CHECK_INT(c.left, -1);
        CHECK_INT(c.deepest, 1);
        rig_free(&r);
}

TEST(an_executor_that_makes_no_sense_is_refused)
{
        rig r = {.options = {.kind = CEL_EXECUTOR_GREEN}};

        rig_open(&r);
        rig many = {.options = {.kind = CEL_EXECUTOR_THREADS, .concurrency = 1025}};
        rig two = {.options = {.kind = CEL_EXECUTOR_INLINE, .concurrency = 2}};
        CHECK_DONE(fixture_act(&r.f, FIXTURE_TASK, "open", open_executor, &many), CEL_EINVAL);
        CHECK_DONE(fixture_act(&r.f, FIXTURE_TASK, "open", open_executor, &two), CEL_EINVAL);
        CHECK_DONE(fixture_act(&r.f, FIXTURE_TASK, "run", run_executor, &r), CEL_EINVAL);
        rig_free(&r);
}

TEST(green_says_so_when_no_task_can_be_started)
{
        rig r = {.options = {.kind = CEL_EXECUTOR_GREEN}};
        unsigned taken = 0;
        work w = {0};

        rig_open(&r);
        while (cel__runtime_task_enter(r.f.runtime, cel__runtime_loop(r.f.runtime)) == 0)
                taken++;
        CHECK_INT(try_submit(&r, &w), CEL_ENOMEM);
        while (taken-- > 0)
                cel__runtime_task_leave(r.f.runtime, cel__runtime_loop(r.f.runtime));
        CHECK_INT(try_submit(&r, &w), 0);
        CHECK_INT(w.ended, 1);
        rig_free(&r);
}

/* --- A full executor -------------------------------------------------------------------------- */

TEST_BOTH(a_full_executor_makes_those_who_submit_wait_in_their_order)
{
        rig r = {.kind = kind, .options = {.kind = CEL_EXECUTOR_GREEN, .concurrency = 1}};
        work w[4] = {work_new(), work_new(), work_new(), work_new()};
        submission s[4];
        fixture_actor *a[4];

        rig_open(&r);
        for (int i = 0; i < 4; i++) {
                s[i] = (submission){.r = &r, .w = &w[i], .within_ms = i == 1 ? 50 : 0};
                a[i] = fixture_act(&r.f, i % 2 ? kind : fixture_other(kind), "submit", submit, &s[i]);
        }
        CHECK_DONE(a[0], 0);
        CHECK_WAITS(a[1]);
        CHECK_INT(cel_executor_get_stats(r.executor).submitters, 3);
        fixture_advance_ms(&r.f, 50);
        CHECK_DONE(a[1], CEL_ETIMEDOUT);
        open_gate(&r, &w[0]);
        CHECK_DONE(a[2], 0);
        CHECK(w[2].begun && !w[1].begun);
        CHECK_WAITS(a[3]);
        fixture_cancel(a[3]);
        CHECK_DONE(a[3], CEL_ECANCELED);
        open_gate(&r, &w[2]);
        CHECK(!w[3].begun && !w[3].dropped); /* it stayed with its submitter */
        cel_executor_stats stats = cel_executor_get_stats(r.executor);
        CHECK_INT(stats.done, 2);
        CHECK_INT(stats.rejected, 2);
        CHECK_INT(stats.submitters, 0);
        rig_free(&r);
        for (int i = 0; i < 4; i++)
                cel_future_unref(w[i].gate);
}

TEST_BOTH(a_submitter_that_leaves_as_room_comes_takes_none_with_it)
{
        rig r = {.kind = kind, .options = {.kind = CEL_EXECUTOR_GREEN, .concurrency = 1}};
        work first = work_new(), late = {0}, next = {0};
        submission s = {.r = &r, .w = &late, .within_ms = 50}, n = {.r = &r, .w = &next};

        rig_open(&r);
        CHECK_INT(try_submit(&r, &first), 0);
        fixture_actor *leaving = fixture_act(&r.f, kind, "late", submit, &s);
        fixture_actor *stays = fixture_act(&r.f, kind, "next", submit, &n);
        cel_future_complete(first.gate, 0, NULL);
        cel_clock_advance_ms(r.f.clock, 50); /* both at once; nobody has run since */
        int result = fixture_actor_wait(&r.f, leaving);
        CHECK_INT(fixture_actor_wait(&r.f, stays), 0);
        fixture_settle(&r.f);
        CHECK(next.ended);
        CHECK_INT(late.begun, result == 0 ? 1 : 0);
        CHECK(result == 0 || result == CEL_ETIMEDOUT);
        rig_free(&r);
        cel_future_unref(first.gate);
}

typedef struct source {
        rig *r;
        work *w;
        int told, left;
        bool retry;
} source;

static void on_room(void *arg)
{
        source *s = arg;

        CHECK(!cel__runtime_loop(s->r->f.runtime)->running); /* on the hub */
        s->told++;
        while (s->retry && s->left > 0 &&
               cel_executor_try_submit(s->r->executor, &(cel_job){.run = run_work, .arg = s->w}) == 0)
                s->left--;
}

TEST(loop_code_is_told_once_when_room_has_come)
{
        work gate[4] = {work_new(), work_new(), work_new(), work_new()}, more = {0};
        source s = {0};
        rig r = {.options = {.kind = CEL_EXECUTOR_GREEN,
                             .concurrency = 2,
                             .waiting_max = 2,
                             .on_room = on_room,
                             .arg = &s}};

        s.r = &r;
        rig_open(&r);
        for (int i = 0; i < 4; i++)
                CHECK_INT(try_submit(&r, &gate[i]), 0);
        CHECK_INT(try_submit(&r, &more), CEL_EAGAIN);
        CHECK_INT(try_submit(&r, &more), CEL_EAGAIN);
        CHECK_INT(s.told, 0);
        open_gate(&r, &gate[0]);
        CHECK_INT(s.told, 1); /* one of two places to wait in is free */
        open_gate(&r, &gate[1]);
        CHECK_INT(s.told, 1);
        open_gate(&r, &gate[2]);
        open_gate(&r, &gate[3]);
        rig_free(&r);
        for (int i = 0; i < 4; i++)
                cel_future_unref(gate[i].gate);
}

TEST(a_source_that_stops_when_told_and_goes_on_when_told_loses_nothing)
{
        static const cel_executor_kind kinds[] = {CEL_EXECUTOR_GREEN, CEL_EXECUTOR_THREADS};

        for (int i = 0; i < 2; i++) {
                work w = {0};
                source s = {.w = &w, .left = 20000, .retry = true};
                rig r = {.options = {.kind = kinds[i],
                                     .concurrency = 3,
                                     .waiting_max = 7,
                                     .on_room = on_room,
                                     .arg = &s}};

                s.r = &r;
                rig_open(&r);
                on_room(&s);
                while (s.left > 0 || cel_executor_get_stats(r.executor).done < 20000)
                        cel__loop_turn(cel__runtime_loop(r.f.runtime), false);
                CHECK_INT(w.ended, 20000);
                CHECK(s.told > 1);
                rig_free(&r);
        }
}

/* --- Its end ---------------------------------------------------------------------------------- */

TEST_BOTH(draining_finishes_what_was_accepted_and_turns_others_away)
{
        rig r = {.kind = kind, .options = {.kind = CEL_EXECUTOR_GREEN, .concurrency = 1, .waiting_max = 1}};
        work w[3] = {work_new(), work_new(), work_new()};
        submission s = {.r = &r, .w = &w[2]};

        rig_open(&r);
        CHECK_INT(try_submit(&r, &w[0]), 0);
        CHECK_INT(try_submit(&r, &w[1]), 0);
        fixture_actor *submitter = fixture_act(&r.f, kind, "submit", submit, &s);
        CHECK_WAITS(submitter);
        fixture_actor *hasty = fixture_act(&r.f, kind, "hasty", drain_50, &r);
        fixture_actor *drainer = fixture_act(&r.f, kind, "drain", drain, &r);
        fixture_actor *fickle = fixture_act(&r.f, kind, "fickle", drain, &r);
        CHECK_DONE(submitter, CEL_ECLOSED);
        CHECK_INT(try_submit(&r, &w[2]), CEL_ECLOSED);
        fixture_advance_ms(&r.f, 50);
        CHECK_DONE(hasty, CEL_ETIMEDOUT);
        fixture_cancel(fickle);
        CHECK_DONE(fickle, CEL_ECANCELED);
        CHECK_WAITS(drainer);
        open_gate(&r, &w[0]);
        CHECK_WAITS(drainer);
        open_gate(&r, &w[1]);
        CHECK_DONE(drainer, 0);
        CHECK_INT(w[1].result, 0);
        CHECK(!w[2].begun && !w[2].dropped);
        rig_free(&r);
        for (int i = 0; i < 3; i++)
                cel_future_unref(w[i].gate);
}

TEST_BOTH(cancelling_drops_what_waits_and_cancels_what_runs)
{
        static const cel_executor_kind kinds[] = {CEL_EXECUTOR_GREEN, CEL_EXECUTOR_THREADS,
                                                  CEL_EXECUTOR_BLOCKING};

        for (int i = 0; i < 3; i++) {
                rig r = {.kind = kind, .options = {.kind = kinds[i], .concurrency = 1, .waiting_max = 2}};
                work w[3] = {work_new(), work_new(), work_new()};
                fixture_actor *runner = NULL;

                rig_open(&r);
                if (kinds[i] == CEL_EXECUTOR_BLOCKING)
                        runner = fixture_act(&r.f, kind, "runner", run_executor, &r);
                for (int k = 0; k < 3; k++)
                        CHECK_INT(try_submit(&r, &w[k]), 0);
                until(&r, &w[0].begun, 1);
                cel_executor_cancel(r.executor);
                cel_executor_cancel(r.executor);
                until(&r, &w[0].ended, 1);
                CHECK_INT(w[0].result, CEL_ECANCELED);
                for (int k = 1; k < 3; k++) {
                        CHECK_INT(w[k].begun, 0);
                        CHECK_INT(w[k].dropped, 1);
                }
                CHECK_INT(cel_executor_get_stats(r.executor).dropped, 2);
                if (runner)
                        CHECK_DONE(runner, CEL_ECANCELED);
                rig_free(&r);
                for (int k = 0; k < 3; k++)
                        cel_future_unref(w[k].gate);
        }
}

TEST_BOTH(a_runner_that_leaves_hands_its_work_to_another)
{
        rig r = {.kind = kind, .options = {.kind = CEL_EXECUTOR_BLOCKING, .concurrency = 2}};
        work w = {0};

        rig_open(&r);
        fixture_actor *leaving = fixture_act(&r.f, kind, "leaving", run_executor, &r);
        fixture_actor *stays = fixture_act(&r.f, kind, "stays", run_executor, &r);
        CHECK_INT(cel_executor_try_submit(r.executor, &(cel_job){.run = run_work, .arg = &w}), 0);
        fixture_cancel(leaving); /* it was woken for the job, and has perhaps not run since */
        CHECK_INT(w.ended, 1);
        CHECK_DONE(leaving, CEL_ECANCELED);
        CHECK_WAITS(stays);
        rig_free(&r);
}

/* --- Jobs are strangers to each other --------------------------------------------------------- */

static int leave_traces(cel_ctx *ctx, void *arg)
{
        (void)arg;
        cel_ctx_set_request_id(ctx, "req-1");
        return cel_fail(ctx, CEL_EIO, "secret of req-1");
}

static int look_for_traces(cel_ctx *ctx, void *arg)
{
        char *found = arg;

        snprintf(found, 64, "%s/%s", cel_ctx_request_id(ctx), cel_ctx_error_text(ctx, CEL_EIO));
        return 0;
}

TEST(a_job_finds_no_traces_of_the_one_before)
{
        static const cel_executor_kind kinds[] = {CEL_EXECUTOR_GREEN, CEL_EXECUTOR_THREADS,
                                                  CEL_EXECUTOR_BLOCKING};

        for (int i = 0; i < 3; i++) {
                rig r = {.options = {.kind = kinds[i], .concurrency = 1, .waiting_max = 1}};
                char found[64] = "";

                rig_open(&r);
                CHECK_INT(cel_executor_try_submit(r.executor, &(cel_job){.run = leave_traces}), 0);
                CHECK_INT(
                        cel_executor_try_submit(r.executor, &(cel_job){.run = look_for_traces, .arg = found}),
                        0);
                if (kinds[i] == CEL_EXECUTOR_BLOCKING)
                        fixture_act(&r.f, FIXTURE_TASK, "run", run_executor, &r);
                CHECK_INT(fixture_actor_wait(&r.f, fixture_act(&r.f, FIXTURE_TASK, "drain", drain, &r)), 0);
                CHECK_STR(found, "/input or output failed");
                rig_free(&r);
        }
}

/* --- Chance ----------------------------------------------------------------------------------- */

enum { SUBMITTERS = 6, EACH = 300 };

typedef struct storm {
        cel_executor *executor;
        _Atomic int ran, dropped, accepted;
} storm;

static int storm_job(cel_ctx *ctx, void *arg)
{
        storm *s = arg;

        if (ctx)
                cel_yield(ctx);
        s->ran++;
        return 0;
}

static void storm_drop(void *arg)
{
        ((storm *)arg)->dropped++;
}

static int storm_submit(cel_ctx *ctx, void *arg)
{
        storm *s = arg;
        const cel_job job = {.run = storm_job, .on_dropped = storm_drop, .arg = s};

        for (int i = 0; i < EACH; i++) {
                int r = i % 3 ? cel_executor_submit(ctx, s->executor, &job)
                              : cel_executor_try_submit(s->executor, &job);

                if (r >= 0)
                        s->accepted++;
                else if (r == CEL_ECLOSED)
                        return 0;
        }
        return 0;
}

TEST(every_job_that_was_accepted_is_run_or_dropped_once_whatever_happens)
{
        fixture_random random = fixture_random_new();

        for (int round = 0; round < 40; round++) {
                rig r = {.kind = (fixture_kind)(round % 2),
                         .options = {.kind = (cel_executor_kind)fixture_random_below(&random, 4),
                                     .waiting_max = fixture_random_below(&random, 4)}};
                storm s = {0};
                fixture_actor *actors[SUBMITTERS], *runner = NULL;
                unsigned turns = fixture_random_below(&random, 300);

                if (r.options.kind != CEL_EXECUTOR_INLINE)
                        r.options.concurrency = 1 + fixture_random_below(&random, 4);
                rig_open(&r);
                s.executor = r.executor;
                if (r.options.kind == CEL_EXECUTOR_BLOCKING)
                        runner = fixture_act(&r.f, r.kind, "runner", run_executor, &r);
                for (int i = 0; i < SUBMITTERS; i++)
                        actors[i] = fixture_act(&r.f, (fixture_kind)fixture_random_below(&random, 2),
                                                "submit", storm_submit, &s);
                while (turns-- > 0)
                        cel__loop_turn(cel__runtime_loop(r.f.runtime), false);
                if (fixture_random_below(&random, 2))
                        cel_executor_cancel(r.executor);
                for (int i = 0; i < SUBMITTERS; i++)
                        CHECK_INT(fixture_actor_wait(&r.f, actors[i]), 0);
                CHECK_INT(fixture_actor_wait(&r.f, fixture_act(&r.f, r.kind, "drain", drain, &r)), 0);
                if (runner)
                        fixture_actor_wait(&r.f, runner);
                CHECK_INT(s.ran + s.dropped, s.accepted);
                cel_executor_stats stats = cel_executor_get_stats(r.executor);
                CHECK_INT(stats.done, s.ran);
                CHECK_INT(stats.dropped, s.dropped);
                CHECK_INT(stats.running + stats.waiting + stats.submitters, 0);
                rig_free(&r);
        }
}
