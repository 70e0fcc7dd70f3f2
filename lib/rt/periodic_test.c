/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <celadon/log.h>
#include <celadon/periodic.h>
#include <string.h>

enum { RUNS_MAX = 64 };

typedef struct rig {
        fixture f;
        fixture_kind kind;
        cel_periodic_options options;
        cel_scope *scope;
        cel_periodic *periodic;
        cel_time born;
        int64_t at_ms[RUNS_MAX]; /* when each run began */
        int64_t take_ms;         /* how long each takes */
        int result;
        unsigned runs;
} rig;

static int note(cel_ctx *ctx, void *arg)
{
        rig *r = arg;

        CHECK(r->runs < RUNS_MAX);
        r->at_ms[r->runs++] = (cel_ctx_now(ctx).ns - r->born.ns) / CEL_NS_PER_MS;
        if (r->take_ms > 0) {
                int s = cel_sleep_ms(ctx, r->take_ms);

                if (s < 0)
                        return s;
        }
        return r->result;
}

static int start(cel_ctx *ctx, void *arg)
{
        rig *r = arg;

        if (!r->options.run)
                r->options.run = note;
        r->options.arg = r;
        return cel_periodic_start(ctx, r->f.scope, &r->options, &r->periodic);
}

/* Started with a ctx of this kind; the runs are a task of the loop in any case. */
static void rig_start(rig *r)
{
        r->f = fixture_new();
        r->born = cel_clock_now(r->f.clock);
        CHECK_DONE(fixture_act(&r->f, r->kind, "start", start, r), 0);
}

static void rig_free(rig *r)
{
        cel_periodic_unref(r->periodic);
        fixture_free(&r->f);
}

/* Time goes by in small steps, so that everything happens when it is due. */
static void pass_ms(rig *r, int64_t ms)
{
        for (; ms > 0; ms--)
                fixture_advance_ms(&r->f, 1);
}

TEST_BOTH(runs_are_one_period_apart_from_the_first_on)
{
        rig r = {.kind = kind, .options = {.period_ms = 10, .first_ms = 3}, .take_ms = 4};

        rig_start(&r);
        pass_ms(&r, 2);
        CHECK_INT(r.runs, 0);
        pass_ms(&r, 32);
        CHECK_INT(r.runs, 4);
        for (int i = 0; i < 4; i++)
                CHECK_INT(r.at_ms[i], 3 + 10 * i);
        CHECK_INT(cel_periodic_get_stats(r.periodic).runs, 3);
        CHECK(cel_periodic_get_stats(r.periodic).running);
        rig_free(&r);
}

TEST(without_a_first_delay_the_first_run_is_at_once)
{
        rig r = {.options = {.period_ms = 10}};

        rig_start(&r);
        CHECK_INT(r.runs, 1);
        rig_free(&r);
}

TEST(a_run_that_takes_too_long_delays_the_next_and_what_it_missed_is_counted)
{
        rig r = {.options = {.period_ms = 10}, .take_ms = 25};

        rig_start(&r);
        pass_ms(&r, 24);
        CHECK_INT(r.runs, 1); /* no overlap */
        r.take_ms = 1;
        pass_ms(&r, 10);
        CHECK_INT(r.runs, 3);
        CHECK_INT(r.at_ms[1], 25); /* late, for the one of 20 */
        CHECK_INT(r.at_ms[2], 30); /* in time again */
        CHECK_INT(cel_periodic_get_stats(r.periodic).missed, 1);
        rig_free(&r);
}

TEST(after_a_long_sleep_runs_are_not_bunched)
{
        rig r = {.options = {.period_ms = 10, .first_ms = 10}};

        rig_start(&r);
        fixture_advance_ms(&r.f, 1005); /* the machine was suspended */
        CHECK_INT(r.runs, 2);           /* the one of 10, and one for the latest of all missed since */
        CHECK_INT(cel_periodic_get_stats(r.periodic).missed, 98);
        pass_ms(&r, 5);
        CHECK_INT(r.runs, 3);
        rig_free(&r);
}

TEST(jitter_moves_each_run_and_never_the_next_ones)
{
        rig r = {.options = {.period_ms = 20, .jitter_ms = 10}};
        int64_t least = 20, most = 0;

        rig_start(&r);
        pass_ms(&r, 20 * 50 - 1);
        CHECK_INT(r.runs, 50);
        for (int i = 0; i < 50; i++) {
                int64_t late = r.at_ms[i] - 20 * i;

                CHECK(late >= 0 && late <= 10);
                least = late < least ? late : least;
                most = late > most ? late : most;
        }
        CHECK(most > least);
        CHECK_INT(cel_periodic_get_stats(r.periodic).missed, 0);
        rig_free(&r);
}

static void count_line(cel_log_level level, const char *line, void *arg)
{
        if (level == CEL_LOG_WARN && strstr(line, "PERIODIC-FAILED [ticker] deadline passed"))
                ++*(int *)arg;
}

TEST(a_run_past_its_deadline_fails_is_logged_and_the_next_one_comes)
{
        rig r = {.options = {.name = "ticker", .period_ms = 10, .run_ms_max = 5}, .take_ms = 8};
        int lines = 0;

        cel_log_set_sink(count_line, &lines);
        rig_start(&r);
        pass_ms(&r, 17);
        cel_log_set_sink(NULL, NULL);
        CHECK_INT(r.runs, 2);
        CHECK_INT(lines, 2);
        cel_periodic_stats stats = cel_periodic_get_stats(r.periodic);
        CHECK_INT(stats.failed, 2);
        CHECK_INT(stats.last_result, CEL_ETIMEDOUT);
        rig_free(&r);
}

TEST(a_run_can_be_the_last_and_so_can_a_failure)
{
        rig done = {.options = {.period_ms = 10}, .result = CEL_PERIODIC_DONE};
        rig failed = {.options = {.period_ms = 10, .stop_when_failed = true}, .result = CEL_EIO};

        rig_start(&done);
        CHECK_INT(cel_scope_tasks(done.f.scope), 0);
        pass_ms(&done, 30);
        CHECK_INT(done.runs, 1);
        rig_free(&done);
        rig_start(&failed);
        pass_ms(&failed, 30);
        CHECK_INT(failed.runs, 1);
        CHECK_INT(failed.f.scope->failure, CEL_EIO);
        rig_free(&failed);
}

TEST(cancelling_the_scope_ends_it_between_runs_and_within_one)
{
        rig between = {.options = {.period_ms = 10}}, within = {.options = {.period_ms = 10}, .take_ms = 5};

        rig_start(&between);
        cel_scope_cancel(between.f.scope);
        fixture_settle(&between.f);
        CHECK_INT(cel_scope_tasks(between.f.scope), 0);
        pass_ms(&between, 30);
        CHECK_INT(between.runs, 1);
        rig_free(&between);
        rig_start(&within);
        CHECK(cel_periodic_get_stats(within.periodic).running);
        cel_periodic_cancel(within.periodic);
        fixture_settle(&within.f);
        CHECK_INT(cel_scope_tasks(within.f.scope), 0);
        rig_free(&within);
}

TEST_BOTH(options_that_make_no_sense_are_refused)
{
        static const cel_periodic_options wrong[] = {{.period_ms = 0},
                                                     {.period_ms = 10, .jitter_ms = 11},
                                                     {.period_ms = 10, .first_ms = -1},
                                                     {.period_ms = INT64_MAX}};
        fixture f = fixture_new();

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                rig r = {.f = f, .options = wrong[i]};

                CHECK_DONE(fixture_act(&f, kind, "start", start, &r), CEL_EINVAL);
        }
        fixture_free(&f);
}
