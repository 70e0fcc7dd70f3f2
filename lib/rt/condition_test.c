/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "test.h"

#include <celadon/sync.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Lock, wait for the condition once, check that the mutex is held, unlock. */
typedef struct waiter {
        cel_mutex *mutex;
        cel_condition *condition;
        int64_t within_ms; /* 0: no deadline; of the wait only */
        unsigned *turn;    /* counts who came back … */
        unsigned place;    /* … and says as the how manyth this one did */
        unsigned *inside;  /* who hold the mutex now */
        cel_future *stay;  /* unless NULL, hold the mutex until it is complete */
} waiter;

static int wait_within(cel_ctx *ctx, waiter *w)
{
        CEL_WITHIN_MS(ctx, w->within_ms ? w->within_ms : INT64_MAX);

        return cel_condition_wait(ctx, w->condition, w->mutex);
}

static int wait_once(cel_ctx *ctx, void *arg)
{
        waiter *w = arg;
        int locked = cel_mutex_lock(ctx, w->mutex);

        if (locked < 0)
                return locked;
        int r = wait_within(ctx, w);
        bool alone = ++*w->inside == 1;
        w->place = ++*w->turn;
        cel_yield(ctx); /* let others in, if the mutex lets them */
        alone = alone && *w->inside == 1;
        --*w->inside;
        cel_mutex_unlock(ctx, w->mutex); /* aborts if it is not held */
        return alone ? r : CEL_EPROTO;
}

static int hold(cel_ctx *ctx, void *arg)
{
        waiter *w = arg;
        int r = cel_mutex_lock(ctx, w->mutex);

        if (r < 0)
                return r;
        r = cel_await(ctx, w->stay, NULL);
        cel_mutex_unlock(ctx, w->mutex);
        return r;
}

enum { WAITERS = 3 };

/* A fixture with a mutex, a condition and some who wait for it. */
typedef struct room {
        fixture f;
        cel_mutex *mutex;
        cel_condition *condition;
        cel_future *stay;
        waiter waiters[WAITERS];
        fixture_actor *actors[WAITERS];
        unsigned turn, inside;
} room;

static void room_init(room *r, fixture_kind kind)
{
        memset(r, 0, sizeof(*r));
        r->f = fixture_new();
        CHECK_INT(cel_mutex_new(&r->mutex), 0);
        CHECK_INT(cel_condition_new(&r->condition), 0);
        CHECK_INT(cel_future_new(&r->stay), 0);
        for (unsigned i = 0; i < WAITERS; i++) {
                r->waiters[i] = (waiter){.mutex = r->mutex,
                                         .condition = r->condition,
                                         .within_ms = i == 0 ? 50 : 0,
                                         .turn = &r->turn,
                                         .inside = &r->inside};
                r->actors[i] = fixture_act(&r->f, kind, "waiter", wait_once, &r->waiters[i]);
                CHECK_WAITS(r->actors[i]);
        }
}

static void room_fini(room *r)
{
        fixture_free(&r->f);
        cel_condition_free(r->condition);
        cel_mutex_free(r->mutex);
        cel_future_unref(r->stay);
}

TEST_BOTH(a_signal_wakes_the_one_who_waits_longest_and_no_other)
{
        room r;

        room_init(&r, kind);
        for (unsigned i = 0; i < WAITERS; i++) {
                for (unsigned k = i; k < WAITERS; k++)
                        CHECK_WAITS(r.actors[k]);
                cel_condition_signal(r.condition);
                fixture_settle(&r.f);
                CHECK_DONE(r.actors[i], 0);
                CHECK_INT(r.waiters[i].place, i + 1);
        }
        cel_condition_signal(r.condition); /* nobody waits: it is not kept */
        room_fini(&r);
}

TEST_BOTH(a_broadcast_wakes_all_and_each_holds_the_mutex_alone)
{
        room r;

        room_init(&r, kind);
        cel_condition_broadcast(r.condition);
        fixture_settle(&r.f);
        for (unsigned i = 0; i < WAITERS; i++)
                CHECK_DONE(r.actors[i], 0);
        CHECK_INT(r.turn, WAITERS);
        room_fini(&r);
}

TEST(those_whom_a_broadcast_woke_get_the_mutex_in_the_order_they_came)
{
        room r;

        room_init(&r, FIXTURE_TASK);
        cel_condition_broadcast(r.condition);
        fixture_settle(&r.f);
        for (unsigned i = 0; i < WAITERS; i++)
                CHECK_INT(r.waiters[i].place, i + 1);
        room_fini(&r);
}

TEST_BOTH(a_signal_is_not_kept_for_later)
{
        room r;

        room_init(&r, kind);
        cel_condition_broadcast(r.condition);
        cel_condition_signal(r.condition);
        fixture_settle(&r.f);
        waiter late = r.waiters[1];
        fixture_actor *actor = fixture_act(&r.f, kind, "late", wait_once, &late);
        CHECK_WAITS(actor);
        fixture_cancel(actor);
        CHECK_DONE(actor, CEL_ECANCELED);
        room_fini(&r);
}

TEST_BOTH(whoever_gives_up_by_deadline_or_cancelled_comes_back_with_the_mutex)
{
        room r;

        room_init(&r, kind);
        fixture_advance_ms(&r.f, 49);
        CHECK_WAITS(r.actors[0]);
        fixture_advance_ms(&r.f, 1);
        CHECK_DONE(r.actors[0], CEL_ETIMEDOUT);
        fixture_cancel(r.actors[1]);
        CHECK_DONE(r.actors[1], CEL_ECANCELED);
        CHECK_WAITS(r.actors[2]);
        cel_condition_signal(r.condition);
        fixture_settle(&r.f);
        CHECK_DONE(r.actors[2], 0);
        room_fini(&r);
}

TEST_BOTH(neither_time_nor_cancellation_cuts_short_the_way_back_to_the_mutex)
{
        room r;

        room_init(&r, kind);
        waiter holds = {.mutex = r.mutex, .stay = r.stay};
        fixture_actor *holder = fixture_act(&r.f, fixture_other(kind), "holder", hold, &holds);
        fixture_advance_ms(&r.f, 50);
        fixture_cancel(r.actors[1]);
        cel_condition_signal(r.condition);
        fixture_settle(&r.f);
        fixture_cancel(r.actors[2]); /* it was signalled before */
        for (unsigned i = 0; i < WAITERS; i++)
                CHECK_WAITS(r.actors[i]);
        CHECK(cel_future_complete(r.stay, 0, NULL));
        fixture_settle(&r.f);
        CHECK_DONE(holder, 0);
        CHECK_DONE(r.actors[0], CEL_ETIMEDOUT);
        CHECK_DONE(r.actors[1], CEL_ECANCELED);
        CHECK_DONE(r.actors[2], 0);
        room_fini(&r);
}

TEST_BOTH(a_signal_never_goes_to_one_who_reports_that_none_came)
{
        room r;

        room_init(&r, kind);
        cel_condition_signal(r.condition); /* for the first, whatever happens to it now */
        fixture_cancel(r.actors[0]);
        CHECK_DONE(r.actors[0], 0);
        CHECK_WAITS(r.actors[1]);
        fixture_cancel(r.actors[1]);
        cel_condition_signal(r.condition);
        fixture_settle(&r.f);
        CHECK_DONE(r.actors[1], CEL_ECANCELED);
        CHECK_DONE(r.actors[2], 0);
        room_fini(&r);
}

TEST(of_a_deadline_and_a_signal_the_first_decides)
{
        room r;

        room_init(&r, FIXTURE_TASK);
        cel_clock_advance_ms(r.f.clock, 50); /* nobody has run since */
        cel_condition_signal(r.condition);
        fixture_settle(&r.f);
        CHECK_DONE(r.actors[0], 0);
        CHECK_WAITS(r.actors[1]);
        room_fini(&r);
}

static int cancel_then_wait(cel_ctx *ctx, void *arg)
{
        waiter *w = arg;
        int r = cel_mutex_lock(ctx, w->mutex);

        if (r < 0)
                return r;
        cel_ctx_cancel(ctx);
        r = cel_condition_wait(ctx, w->condition, w->mutex);
        cel_mutex_unlock(ctx, w->mutex);
        return r;
}

TEST_BOTH(a_cancelled_ctx_comes_back_at_once_with_the_mutex)
{
        room r;

        room_init(&r, kind);
        CHECK_DONE(fixture_act(&r.f, kind, "canceled", cancel_then_wait, &r.waiters[1]), CEL_ECANCELED);
        room_fini(&r);
}

static int wait_in_child(cel_ctx *ctx, void *arg)
{
        waiter *w = arg;
        int status = 0;
        int r = cel_mutex_lock(ctx, w->mutex);

        if (r < 0)
                return r;
        pid_t child = fork();
        if (child == 0)
                _exit(cel_condition_wait(ctx, w->condition, w->mutex) == CEL_EFORKED ? 7 : 1);
        waitpid(child, &status, 0);
        cel_mutex_unlock(ctx, w->mutex);
        return WIFEXITED(status) ? WEXITSTATUS(status) : CEL_ESYSTEM;
}

TEST_BOTH(in_a_forks_child_a_wait_for_a_condition_fails_with_the_mutex_held)
{
        room r;

        room_init(&r, kind);
        CHECK_DONE(fixture_act(&r.f, kind, "parent", wait_in_child, &r.waiters[1]), 7);
        room_fini(&r);
}

static int wait_without_mutex(cel_ctx *ctx, void *arg)
{
        waiter *w = arg;

        return cel_condition_wait(ctx, w->condition, w->mutex);
}

static void wait_for_what_another_protects(fixture *f, fixture_kind kind)
{
        static waiter w;

        cel_future_new(&w.stay);
        cel_mutex_new(&w.mutex);
        cel_condition_new(&w.condition);
        fixture_act(f, kind, "owner", hold, &w);
        fixture_act(f, kind, "careless", wait_without_mutex, &w);
}

TEST_BOTH(waiting_without_the_mutex_aborts_and_names_who_holds_it)
{
        char text[8192];

        death_with_fixture(wait_for_what_another_protects, kind, text, sizeof(text));
        CHECK(strstr(text, "\"careless\" unlocked a mutex that ") != NULL);
        CHECK(strstr(text, "\"owner\" holds") != NULL);
        CHECK(cel_condition_free(NULL) == NULL);
}
