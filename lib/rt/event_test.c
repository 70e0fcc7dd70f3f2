/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "test.h"

#include <celadon/sync.h>
#include <string.h>

typedef struct waiter {
        cel_event *event;
        int64_t within_ms; /* 0: no deadline */
} waiter;

static int wait_for_event(cel_ctx *ctx, void *arg)
{
        waiter *w = arg;
        CEL_WITHIN_MS(ctx, w->within_ms ? w->within_ms : INT64_MAX);

        return cel_event_wait(ctx, w->event);
}

static cel_event *event_new(void)
{
        cel_event *event;

        CHECK_INT(cel_event_new(&event), 0);
        return event;
}

TEST_BOTH(setting_an_event_wakes_all_who_wait_and_lets_later_ones_pass)
{
        fixture f = fixture_new();
        cel_auto(cel_event) *event = event_new();
        waiter w = {.event = event};
        fixture_actor *actors[3];

        CHECK(!cel_event_is_set(event));
        for (unsigned i = 0; i < 3; i++) {
                actors[i] = fixture_act(&f, i % 2 ? kind : fixture_other(kind), "waiter", wait_for_event, &w);
                CHECK_WAITS(actors[i]);
        }
        cel_event_set(event);
        cel_event_set(event);
        CHECK(cel_event_is_set(event));
        fixture_settle(&f);
        for (unsigned i = 0; i < 3; i++)
                CHECK_DONE(actors[i], 0);
        CHECK_DONE(fixture_act(&f, kind, "later", wait_for_event, &w), 0);
        cel_event_clear(event);
        fixture_actor *last = fixture_act(&f, kind, "last", wait_for_event, &w);
        CHECK_WAITS(last);
        cel_event_set(event);
        fixture_settle(&f);
        CHECK_DONE(last, 0);
        fixture_free(&f);
}

TEST_BOTH(an_event_that_is_cleared_before_the_waiters_run_has_woken_them)
{
        fixture f = fixture_new();
        cel_auto(cel_event) *event = event_new();
        waiter w = {.event = event};
        fixture_actor *actor = fixture_act(&f, kind, "waiter", wait_for_event, &w);

        cel_event_set(event);
        cel_event_clear(event);
        fixture_settle(&f);
        CHECK_DONE(actor, 0);
        fixture_free(&f);
}

TEST_BOTH(a_wait_for_an_event_ends_by_its_deadline_or_cancelled)
{
        fixture f = fixture_new();
        cel_auto(cel_event) *event = event_new();
        waiter within = {.event = event, .within_ms = 50}, without = {.event = event};
        fixture_actor *hasty = fixture_act(&f, kind, "hasty", wait_for_event, &within);
        fixture_actor *canceled = fixture_act(&f, kind, "canceled", wait_for_event, &without);

        fixture_advance_ms(&f, 49);
        CHECK_WAITS(hasty);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(hasty, CEL_ETIMEDOUT);
        CHECK_WAITS(canceled);
        fixture_cancel(canceled);
        CHECK_DONE(canceled, CEL_ECANCELED);
        cel_event_set(event);
        fixture_free(&f);
}

static int cancel_then_wait(cel_ctx *ctx, void *arg)
{
        cel_ctx_cancel(ctx);
        return wait_for_event(ctx, arg);
}

TEST_BOTH(a_cancelled_ctx_does_not_pass_though_the_event_is_set)
{
        fixture f = fixture_new();
        cel_auto(cel_event) *event = event_new();
        waiter w = {.event = event};

        cel_event_set(event);
        CHECK_DONE(fixture_act(&f, kind, "canceled", cancel_then_wait, &w), CEL_ECANCELED);
        fixture_free(&f);
}

static void free_waited_for(fixture *f, fixture_kind kind)
{
        static waiter w;

        w.event = event_new();
        fixture_act(f, kind, "waits", wait_for_event, &w);
        cel_event_free(w.event);
}

TEST_BOTH(freeing_an_event_on_which_somebody_waits_aborts)
{
        char text[8192];

        death_with_fixture(free_waited_for, kind, text, sizeof(text));
        CHECK(strstr(text, "an event was freed while somebody waited for it") != NULL);
        CHECK(cel_event_free(NULL) == NULL);
}
