/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "test.h"

#include <celadon/sync.h>
#include <string.h>

/* One turn. */
typedef struct guest {
        cel_rate *rate;
        int64_t within_ms; /* 0: no deadline */
} guest;

static int take_turn(cel_ctx *ctx, void *arg)
{
        guest *g = arg;
        CEL_WITHIN_MS(ctx, g->within_ms ? g->within_ms : INT64_MAX);

        return cel_rate_wait(ctx, g->rate);
}

static cel_rate *rate_of(fixture *f, unsigned turns, int64_t per_ms, unsigned burst)
{
        cel_rate *rate;

        CHECK_INT(cel_rate_new(f->runtime, turns, per_ms, burst, &rate), 0);
        return rate;
}

TEST_BOTH(a_burst_passes_at_once_and_the_rest_one_by_one_in_the_order_they_came)
{
        fixture f = fixture_new();
        cel_rate *rate = rate_of(&f, 10, 1000, 2);
        guest g = {.rate = rate};
        fixture_actor *actors[6];

        for (unsigned i = 0; i < 6; i++) {
                actors[i] = fixture_act(&f, i % 2 ? kind : fixture_other(kind), "guest", take_turn, &g);
                CHECK_INT(fixture_actor_done(actors[i]), i < 2);
        }
        for (unsigned i = 2; i < 6; i++) {
                fixture_advance_ms(&f, 99);
                CHECK_WAITS(actors[i]);
                fixture_advance_ms(&f, 1);
                CHECK_DONE(actors[i], 0);
        }
        cel_rate_free(rate);
        fixture_free(&f);
}

TEST_BOTH(turns_that_nobody_took_are_kept_up_to_the_burst)
{
        fixture f = fixture_new();
        cel_rate *rate = rate_of(&f, 10, 1000, 3);
        guest g = {.rate = rate};

        for (int round = 0; round < 2; round++) {
                for (int i = 0; i < 3; i++)
                        CHECK_DONE(fixture_act(&f, kind, "guest", take_turn, &g), 0);
                CHECK_INT(cel_rate_try(rate), CEL_EAGAIN);
                fixture_advance_ms(&f, 1000000);
        }
        fixture_free(&f);
        cel_rate_free(rate);
}

TEST_BOTH(a_turn_that_the_first_gives_up_goes_to_the_next)
{
        fixture f = fixture_new();
        cel_rate *rate = rate_of(&f, 10, 1000, 1);
        guest g = {.rate = rate}, hasty = {.rate = rate, .within_ms = 30};

        CHECK_INT(cel_rate_try(rate), 0);
        fixture_actor *first = fixture_act(&f, kind, "first", take_turn, &hasty);
        fixture_actor *second = fixture_act(&f, fixture_other(kind), "second", take_turn, &g);
        fixture_actor *third = fixture_act(&f, kind, "third", take_turn, &g);
        fixture_actor *fourth = fixture_act(&f, fixture_other(kind), "fourth", take_turn, &g);
        fixture_advance_ms(&f, 30);
        CHECK_DONE(first, CEL_ETIMEDOUT);
        fixture_cancel(third); /* from the middle */
        CHECK_DONE(third, CEL_ECANCELED);
        fixture_advance_ms(&f, 69);
        CHECK_WAITS(second);
        fixture_advance_ms(&f, 1); /* 100 ms: what was to be the first's turn */
        CHECK_DONE(second, 0);
        fixture_advance_ms(&f, 99);
        CHECK_WAITS(fourth);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(fourth, 0);
        fixture_free(&f);
        cel_rate_free(rate);
}

TEST_BOTH(the_first_is_cancelled_and_the_next_watches_the_clock)
{
        fixture f = fixture_new();
        cel_rate *rate = rate_of(&f, 10, 1000, 1);
        guest g = {.rate = rate};

        CHECK_INT(cel_rate_try(rate), 0);
        fixture_actor *first = fixture_act(&f, kind, "first", take_turn, &g);
        fixture_actor *second = fixture_act(&f, kind, "second", take_turn, &g);
        fixture_cancel(first);
        CHECK_DONE(first, CEL_ECANCELED);
        fixture_advance_ms(&f, 100);
        CHECK_DONE(second, 0);
        fixture_free(&f);
        cel_rate_free(rate);
}

TEST(a_turn_at_the_very_deadline_is_taken)
{
        fixture f = fixture_new();
        cel_rate *rate = rate_of(&f, 10, 1000, 1);
        guest g = {.rate = rate, .within_ms = 100}, later = {.rate = rate, .within_ms = 199};

        CHECK_INT(cel_rate_try(rate), 0);
        fixture_actor *first = fixture_act(&f, FIXTURE_TASK, "first", take_turn, &g);
        fixture_actor *second = fixture_act(&f, FIXTURE_TASK, "second", take_turn, &later);
        fixture_advance_ms(&f, 100);
        CHECK_DONE(first, 0);
        fixture_advance_ms(&f, 98);
        CHECK_WAITS(second);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(second, CEL_ETIMEDOUT);
        fixture_free(&f);
        cel_rate_free(rate);
}

TEST_BOTH(nobody_overtakes_those_who_wait_though_their_time_has_come)
{
        fixture f = fixture_new();
        cel_rate *rate = rate_of(&f, 10, 1000, 1);
        guest g = {.rate = rate};

        CHECK_INT(cel_rate_try(rate), 0);
        fixture_actor *actor = fixture_act(&f, kind, "guest", take_turn, &g);
        cel_clock_advance_ms(f.clock, 100);
        if (kind == FIXTURE_TASK) /* a thread may have run meanwhile, and then there is no turn either */
                CHECK_WAITS(actor);
        CHECK_INT(cel_rate_try(rate), CEL_EAGAIN);
        fixture_settle(&f);
        CHECK_DONE(actor, 0);
        fixture_free(&f);
        cel_rate_free(rate);
}

TEST_BOTH(a_leap_of_the_clock_lets_no_more_than_a_burst_through)
{
        fixture f = fixture_new();
        cel_rate *rate = rate_of(&f, 10, 1000, 3);
        guest g = {.rate = rate};
        fixture_actor *actors[10];
        unsigned through = 0;

        for (int i = 0; i < 3; i++)
                CHECK_INT(cel_rate_try(rate), 0);
        for (unsigned i = 0; i < 10; i++)
                actors[i] = fixture_act(&f, kind, "guest", take_turn, &g);
        fixture_advance_ms(&f, 5000);
        while (through < 10 && fixture_actor_done(actors[through]))
                through++;
        CHECK_INT(through, 3);
        fixture_advance_ms(&f, 200);
        CHECK_DONE(actors[4], 0);
        CHECK_WAITS(actors[5]);
        fixture_free(&f);
        cel_rate_free(rate);
}

TEST(a_rate_that_does_not_divide_evenly_is_kept_exactly)
{
        fixture f = fixture_new();
        static const struct {
                unsigned turns;
                int64_t per_ms;
        } cases[] = {{3, 1000}, {7, 1000}, {1, 3}, {999, 1000}, {1000000, 3600000}, {13, 60000}};

        for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
                cel_rate *rate = rate_of(&f, cases[k].turns, cases[k].per_ms, 5);
                int64_t taken = -5; /* the burst */

                for (int64_t ms = 0; ms <= 10000; ms++) {
                        while (cel_rate_try(rate) == 0)
                                taken++;
                        CHECK_INT(taken, ms * cases[k].turns / cases[k].per_ms);
                        cel_clock_advance_ms(f.clock, 1);
                }
                cel_rate_free(rate);
        }
        fixture_free(&f);
}

static int cancel_then_take_turn(cel_ctx *ctx, void *arg)
{
        cel_ctx_cancel(ctx);
        return take_turn(ctx, arg);
}

TEST_BOTH(a_cancelled_ctx_takes_no_turn_though_one_is_free)
{
        fixture f = fixture_new();
        cel_rate *rate = rate_of(&f, 1, 1000, 1);
        guest g = {.rate = rate};

        CHECK_DONE(fixture_act(&f, kind, "canceled", cancel_then_take_turn, &g), CEL_ECANCELED);
        CHECK_INT(cel_rate_try(rate), 0);
        fixture_free(&f);
        cel_rate_free(rate);
}

TEST(a_rate_limiter_refuses_what_is_out_of_bounds)
{
        fixture f = fixture_new();
        cel_rate *rate = NULL;

        CHECK_INT(cel_rate_new(f.runtime, 0, 1000, 1, &rate), CEL_EINVAL);
        CHECK_INT(cel_rate_new(f.runtime, 1000001, 1000, 1, &rate), CEL_EINVAL);
        CHECK_INT(cel_rate_new(f.runtime, 1, 0, 1, &rate), CEL_EINVAL);
        CHECK_INT(cel_rate_new(f.runtime, 1, 3600001, 1, &rate), CEL_EINVAL);
        CHECK_INT(cel_rate_new(f.runtime, 1, 1000, 0, &rate), CEL_EINVAL);
        CHECK_INT(cel_rate_new(f.runtime, 1, 1000, 1000001, &rate), CEL_EINVAL);
        CHECK(rate == NULL);
        CHECK_INT(cel_rate_new(f.runtime, 1, 3600000, 1000000, &rate), 0);
        CHECK_INT(cel_rate_try(rate), 0);
        fixture_advance_ms(&f, INT64_C(86400000) * 365 * 100);
        CHECK_INT(cel_rate_try(rate), 0);
        CHECK(cel_rate_free(rate) == NULL);
        CHECK(cel_rate_free(NULL) == NULL);
        fixture_free(&f);
}

static void free_waited_for(fixture *f, fixture_kind kind)
{
        static guest g;

        g.rate = rate_of(f, 1, 1000, 1);
        cel_rate_try(g.rate);
        fixture_act(f, kind, "waits", take_turn, &g);
        cel_rate_free(g.rate);
}

TEST_BOTH(freeing_a_rate_limiter_on_which_somebody_waits_aborts)
{
        char text[8192];

        death_with_fixture(free_waited_for, kind, text, sizeof(text));
        CHECK(strstr(text, "a rate limiter was freed while somebody waited for a turn") != NULL);
}
