/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "test.h"

#include <celadon/sync.h>
#include <string.h>

/* Lock, hold until `let_go` is complete, unlock. */
typedef struct holder {
        cel_mutex *mutex;
        cel_future *let_go;
        int64_t within_ms; /* 0: no deadline; of the lock only */
        unsigned *turn;    /* counts who got it … */
        unsigned place;    /* … and says as the how manyth this one did */
} holder;

static int lock_within(cel_ctx *ctx, holder *h)
{
        CEL_WITHIN_MS(ctx, h->within_ms ? h->within_ms : INT64_MAX);

        return cel_mutex_lock(ctx, h->mutex);
}

static int hold(cel_ctx *ctx, void *arg)
{
        holder *h = arg;
        int r = lock_within(ctx, h);

        if (r < 0)
                return r;
        if (h->turn)
                h->place = ++*h->turn;
        if (h->let_go)
                r = cel_await(ctx, h->let_go, NULL);
        cel_mutex_unlock(ctx, h->mutex);
        return r;
}

static cel_future *future_new(void)
{
        cel_future *future;

        CHECK_INT(cel_future_new(&future), 0);
        return future;
}

static cel_mutex *mutex_new(void)
{
        cel_mutex *mutex;

        CHECK_INT(cel_mutex_new(&mutex), 0);
        return mutex;
}

TEST_BOTH(a_mutex_goes_to_those_who_wait_in_the_order_they_came)
{
        fixture f = fixture_new();
        cel_auto(cel_mutex) *mutex = mutex_new();
        cel_auto(cel_future) *let_go = future_new();
        holder holders[5];
        fixture_actor *actors[5];
        unsigned turn = 0;

        for (unsigned i = 0; i < 5; i++) {
                holders[i] = (holder){.mutex = mutex, .let_go = i == 0 ? let_go : NULL, .turn = &turn};
                actors[i] = fixture_act(&f, i % 2 ? kind : fixture_other(kind), "holder", hold, &holders[i]);
                CHECK_WAITS(actors[i]);
        }
        CHECK(cel_future_complete(let_go, 0, NULL));
        fixture_settle(&f);
        for (unsigned i = 0; i < 5; i++) {
                CHECK_DONE(actors[i], 0);
                CHECK_INT(holders[i].place, i + 1);
        }
        fixture_free(&f);
}

static int let_go_then_try_again(cel_ctx *ctx, void *arg)
{
        holder *h = arg;
        int r = hold(ctx, h);

        return r < 0 ? r : cel_mutex_try_lock(ctx, h->mutex);
}

TEST_BOTH(whoever_unlocks_cannot_snatch_the_mutex_from_one_who_waits)
{
        fixture f = fixture_new();
        cel_auto(cel_mutex) *mutex = mutex_new();
        cel_auto(cel_future) *let_go = future_new(), *later = future_new();
        holder greedy = {.mutex = mutex, .let_go = let_go}, next = {.mutex = mutex, .let_go = later};
        fixture_actor *first = fixture_act(&f, kind, "greedy", let_go_then_try_again, &greedy);
        fixture_actor *second = fixture_act(&f, fixture_other(kind), "next", hold, &next);

        CHECK(cel_future_complete(let_go, 0, NULL));
        fixture_settle(&f);
        CHECK_DONE(first, CEL_EAGAIN);
        CHECK(cel_future_complete(later, 0, NULL));
        fixture_settle(&f);
        CHECK_DONE(second, 0);
        fixture_free(&f);
}

TEST_BOTH(a_wait_for_a_mutex_ends_by_its_deadline_or_cancelled_and_the_next_gets_it)
{
        fixture f = fixture_new();
        cel_auto(cel_mutex) *mutex = mutex_new();
        cel_auto(cel_future) *let_go = future_new();
        holder first = {.mutex = mutex, .let_go = let_go}, plain = {.mutex = mutex};
        holder within = {.mutex = mutex, .within_ms = 50}, last = plain;
        fixture_actor *holds = fixture_act(&f, kind, "holds", hold, &first);
        fixture_actor *hasty = fixture_act(&f, kind, "hasty", hold, &within);
        fixture_actor *canceled = fixture_act(&f, kind, "canceled", hold, &plain);
        fixture_actor *patient = fixture_act(&f, kind, "patient", hold, &last);

        fixture_advance_ms(&f, 49);
        CHECK_WAITS(hasty);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(hasty, CEL_ETIMEDOUT);
        fixture_cancel(canceled);
        CHECK_DONE(canceled, CEL_ECANCELED);
        CHECK_WAITS(patient);
        CHECK(cel_future_complete(let_go, 0, NULL));
        fixture_settle(&f);
        CHECK_DONE(holds, 0);
        CHECK_DONE(patient, 0);
        fixture_free(&f);
}

TEST(a_mutex_is_never_handed_to_one_whose_time_is_up_but_who_has_not_run)
{
        fixture f = fixture_new();
        cel_auto(cel_mutex) *mutex = mutex_new();
        cel_auto(cel_future) *let_go = future_new();
        holder first = {.mutex = mutex, .let_go = let_go}, last = {.mutex = mutex};
        holder within = {.mutex = mutex, .within_ms = 50};

        fixture_act(&f, FIXTURE_TASK, "holds", hold, &first);
        fixture_actor *hasty = fixture_act(&f, FIXTURE_TASK, "hasty", hold, &within);
        fixture_actor *patient = fixture_act(&f, FIXTURE_TASK, "patient", hold, &last);
        CHECK(cel_future_complete(let_go, 0, NULL)); /* the holder runs first, but after the timers fired */
        fixture_advance_ms(&f, 50);
        CHECK_DONE(hasty, CEL_ETIMEDOUT);
        CHECK_DONE(patient, 0);
        fixture_free(&f);
}

TEST_BOTH(one_who_is_cancelled_while_it_is_handed_the_mutex_does_not_keep_it)
{
        fixture f = fixture_new();
        cel_auto(cel_mutex) *mutex = mutex_new();
        cel_auto(cel_future) *let_go = future_new();
        holder first = {.mutex = mutex, .let_go = let_go}, second = {.mutex = mutex},
               third = {.mutex = mutex};
        fixture_actor *holds = fixture_act(&f, kind, "holds", hold, &first);
        fixture_actor *waits = fixture_act(&f, fixture_other(kind), "waits", hold, &second);

        CHECK(cel_future_complete(let_go, 0, NULL));
        fixture_cancel(waits); /* before or after it was handed over */
        CHECK_DONE(holds, 0);
        CHECK(fixture_actor_done(waits));
        CHECK_DONE(fixture_act(&f, kind, "third", hold, &third), 0);
        fixture_free(&f);
}

static int cancel_then_lock(cel_ctx *ctx, void *arg)
{
        holder *h = arg;

        cel_ctx_cancel(ctx);
        if (cel_mutex_try_lock(ctx, h->mutex) != CEL_ECANCELED)
                return CEL_EPROTO;
        return cel_mutex_lock(ctx, h->mutex);
}

static int lock_then_cancel(cel_ctx *ctx, void *arg)
{
        holder *h = arg;
        int r = cel_mutex_lock(ctx, h->mutex);

        cel_ctx_cancel(ctx);
        cel_mutex_unlock(ctx, h->mutex);
        return r;
}

TEST_BOTH(a_cancelled_ctx_locks_nothing_and_unlocks_what_it_holds)
{
        fixture f = fixture_new();
        cel_auto(cel_mutex) *mutex = mutex_new();
        holder h = {.mutex = mutex};

        CHECK_DONE(fixture_act(&f, kind, "canceled", cancel_then_lock, &h), CEL_ECANCELED);
        CHECK_DONE(fixture_act(&f, kind, "unlocks", lock_then_cancel, &h), 0);
        CHECK_DONE(fixture_act(&f, kind, "finds it free", hold, &h), 0);
        fixture_free(&f);
}

/* --- Mistakes --------------------------------------------------------------------------------- */

static int lock_and_end(cel_ctx *ctx, void *arg)
{
        return cel_mutex_lock(ctx, arg);
}

static int unlock(cel_ctx *ctx, void *arg)
{
        cel_mutex_unlock(ctx, arg);
        return 0;
}

static int lock_twice(cel_ctx *ctx, void *arg)
{
        int r = cel_mutex_lock(ctx, arg);

        return r < 0 ? r : cel_mutex_lock(ctx, arg);
}

static void unlock_anothers(fixture *f, fixture_kind kind)
{
        cel_mutex *mutex = mutex_new();

        fixture_act(f, kind, "owner", lock_and_end, mutex);
        fixture_act(f, kind, "thief", unlock, mutex);
}

static void unlock_nobodys(fixture *f, fixture_kind kind)
{
        fixture_act(f, kind, "confused", unlock, mutex_new());
}

static void lock_again(fixture *f, fixture_kind kind)
{
        fixture_act(f, kind, "forgetful", lock_twice, mutex_new());
}

static void free_held(fixture *f, fixture_kind kind)
{
        cel_mutex *mutex = mutex_new();

        fixture_act(f, kind, "owner", lock_and_end, mutex);
        cel_mutex_free(mutex);
}

static void check_death(void (*act)(fixture *f, fixture_kind kind), fixture_kind kind, const char *of_tasks,
                        const char *of_threads)
{
        char text[8192];

        death_with_fixture(act, kind, text, sizeof(text));
        CHECK(strstr(text, kind == FIXTURE_TASK ? of_tasks : of_threads) != NULL);
}

TEST_BOTH(unlocking_what_somebody_else_holds_aborts_and_names_both)
{
        check_death(unlock_anothers, kind, "task \"thief\" unlocked a mutex that task \"owner\" holds",
                    "thread \"thief\" unlocked a mutex that thread \"owner\" holds");
        check_death(unlock_nobodys, kind, "task \"confused\" unlocked a mutex that nobody holds",
                    "thread \"confused\" unlocked a mutex that nobody holds");
}

TEST_BOTH(locking_twice_aborts_and_says_who)
{
        check_death(lock_again, kind, "task \"forgetful\" locked a mutex that it holds already",
                    "thread \"forgetful\" locked a mutex that it holds already");
}

TEST_BOTH(freeing_a_mutex_that_is_held_aborts_and_says_by_whom)
{
        check_death(free_held, kind, "a mutex was freed while task \"owner\" held it",
                    "a mutex was freed while thread \"owner\" held it");
        CHECK(cel_mutex_free(NULL) == NULL);
}
