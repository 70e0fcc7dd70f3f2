/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "test.h"

#include <celadon/sync.h>
#include <string.h>

/* One acquire. */
typedef struct guest {
        cel_semaphore *semaphore;
        int64_t within_ms; /* 0: no deadline */
        unsigned *turn;    /* counts who got in … */
        unsigned place;    /* … and says as the how manyth this one did */
} guest;

static int enter(cel_ctx *ctx, void *arg)
{
        guest *g = arg;
        CEL_WITHIN_MS(ctx, g->within_ms ? g->within_ms : INT64_MAX);
        int r = cel_semaphore_acquire(ctx, g->semaphore);

        if (r >= 0 && g->turn)
                g->place = ++*g->turn;
        return r;
}

static cel_semaphore *semaphore_of(unsigned permits, unsigned permits_max)
{
        cel_semaphore *semaphore;

        CHECK_INT(cel_semaphore_new(permits, permits_max, &semaphore), 0);
        return semaphore;
}

TEST_BOTH(as_many_get_in_as_there_are_permits_and_the_rest_in_the_order_they_came)
{
        fixture f = fixture_new();
        cel_auto(cel_semaphore) *semaphore = semaphore_of(2, 2);
        guest guests[5];
        fixture_actor *actors[5];
        unsigned turn = 0;

        for (unsigned i = 0; i < 5; i++) {
                guests[i] = (guest){.semaphore = semaphore, .turn = &turn};
                actors[i] = fixture_act(&f, i % 2 ? kind : fixture_other(kind), "guest", enter, &guests[i]);
                CHECK_INT(fixture_actor_done(actors[i]), i < 2);
        }
        CHECK_INT(cel_semaphore_permits(semaphore), 0);
        for (unsigned i = 2; i < 5; i++) {
                CHECK_INT(cel_semaphore_release(semaphore), 0);
                fixture_settle(&f);
                CHECK_DONE(actors[i], 0);
                CHECK_INT(guests[i].place, i + 1);
        }
        CHECK_INT(cel_semaphore_permits(semaphore), 0);
        fixture_free(&f);
}

TEST_BOTH(a_permit_that_comes_back_cannot_be_snatched_from_one_who_waits)
{
        fixture f = fixture_new();
        cel_auto(cel_semaphore) *semaphore = semaphore_of(0, 1);
        guest g = {.semaphore = semaphore};
        fixture_actor *waits = fixture_act(&f, kind, "waits", enter, &g);

        CHECK_INT(cel_semaphore_release(semaphore), 0);
        CHECK_INT(cel_semaphore_try_acquire(semaphore), CEL_EAGAIN);
        fixture_settle(&f);
        CHECK_DONE(waits, 0);
        CHECK_INT(cel_semaphore_release(semaphore), 0);
        CHECK_INT(cel_semaphore_try_acquire(semaphore), 0);
        fixture_free(&f);
}

TEST_BOTH(whoever_gives_up_by_deadline_or_cancelled_takes_no_permit_along)
{
        fixture f = fixture_new();
        cel_auto(cel_semaphore) *semaphore = semaphore_of(0, 4);
        guest within = {.semaphore = semaphore, .within_ms = 50}, without = {.semaphore = semaphore};
        guest third = without;
        fixture_actor *hasty = fixture_act(&f, kind, "hasty", enter, &within);
        fixture_actor *canceled = fixture_act(&f, kind, "canceled", enter, &without);
        fixture_actor *patient = fixture_act(&f, kind, "patient", enter, &third);

        fixture_advance_ms(&f, 49);
        CHECK_WAITS(hasty);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(hasty, CEL_ETIMEDOUT);
        fixture_cancel(canceled);
        CHECK_DONE(canceled, CEL_ECANCELED);
        CHECK_INT(cel_semaphore_release(semaphore), 0);
        fixture_settle(&f);
        CHECK_DONE(patient, 0);
        CHECK_INT(cel_semaphore_permits(semaphore), 0);
        fixture_free(&f);
}

TEST_BOTH(a_permit_and_a_cancellation_at_one_moment_lose_no_permit)
{
        fixture f = fixture_new();
        cel_auto(cel_semaphore) *semaphore = semaphore_of(0, 4);
        guest g = {.semaphore = semaphore}, h = g;
        fixture_actor *first = fixture_act(&f, kind, "first", enter, &g);
        fixture_actor *second = fixture_act(&f, kind, "second", enter, &h);

        CHECK_INT(cel_semaphore_release(semaphore), 0);
        fixture_cancel(first); /* it has the permit by now, or the next one gets it */
        CHECK_DONE(first, 0);
        CHECK_WAITS(second);
        fixture_cancel(second);
        CHECK_INT(cel_semaphore_release(semaphore), 0);
        CHECK_DONE(second, CEL_ECANCELED);
        CHECK_INT(cel_semaphore_permits(semaphore), 1);
        fixture_free(&f);
}

TEST(a_permit_that_comes_before_a_passed_deadline_was_noticed_counts)
{
        fixture f = fixture_new();
        cel_auto(cel_semaphore) *semaphore = semaphore_of(0, 1);
        guest g = {.semaphore = semaphore, .within_ms = 50};
        fixture_actor *hasty = fixture_act(&f, FIXTURE_TASK, "hasty", enter, &g);

        cel_clock_advance_ms(f.clock, 50); /* nobody has run since */
        CHECK_INT(cel_semaphore_release(semaphore), 0);
        fixture_settle(&f);
        CHECK_DONE(hasty, 0);
        fixture_free(&f);
}

static int cancel_then_enter(cel_ctx *ctx, void *arg)
{
        cel_ctx_cancel(ctx);
        return enter(ctx, arg);
}

TEST_BOTH(a_cancelled_ctx_takes_no_permit_though_one_is_free)
{
        fixture f = fixture_new();
        cel_auto(cel_semaphore) *semaphore = semaphore_of(1, 1);
        guest g = {.semaphore = semaphore};

        CHECK_DONE(fixture_act(&f, kind, "canceled", cancel_then_enter, &g), CEL_ECANCELED);
        CHECK_INT(cel_semaphore_permits(semaphore), 1);
        fixture_free(&f);
}

TEST(there_are_never_more_permits_than_the_limit)
{
        cel_auto(cel_semaphore) *semaphore = semaphore_of(1, 2);
        cel_semaphore *untouched = semaphore;

        CHECK_INT(cel_semaphore_release(semaphore), 0);
        CHECK_INT(cel_semaphore_release(semaphore), CEL_EFULL);
        CHECK_INT(cel_semaphore_permits(semaphore), 2);
        CHECK_INT(cel_semaphore_new(0, 0, &untouched), CEL_EINVAL);
        CHECK_INT(cel_semaphore_new(3, 2, &untouched), CEL_EINVAL);
        CHECK_INT(cel_semaphore_new(0, 1000001, &untouched), CEL_EINVAL);
        CHECK(untouched == semaphore);
        CHECK(cel_semaphore_free(NULL) == NULL);
}

static void free_waited_for(fixture *f, fixture_kind kind)
{
        static guest g;

        g.semaphore = semaphore_of(0, 1);
        fixture_act(f, kind, "waits", enter, &g);
        cel_semaphore_free(g.semaphore);
}

TEST_BOTH(freeing_a_semaphore_on_which_somebody_waits_aborts)
{
        char text[8192];

        death_with_fixture(free_waited_for, kind, text, sizeof(text));
        CHECK(strstr(text, "a semaphore was freed while somebody waited for a permit") != NULL);
}
