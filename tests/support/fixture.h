/* SPDX-License-Identifier: Apache-2.0
 *
 * A runtime whose clock the test holds in its hand. Nothing happens but what the test asks for: spawn tasks,
 * let them run until all of them wait, move the clock, look.
 *
 *     fixture f = fixture_new();
 *     cel_task *reader = fixture_spawn(&f, "reader", read_one, &arg);
 *     fixture_advance_ms(&f, 49);
 *     CHECK_PENDING(reader);
 *     fixture_advance_ms(&f, 1);
 *     CHECK_RESULT(reader, CEL_ETIMEDOUT);
 *     fixture_free(&f);
 */
#ifndef CEL_TESTS_SUPPORT_FIXTURE_H
#define CEL_TESTS_SUPPORT_FIXTURE_H

#include "rt/runtime.h"
#include "rt/task.h"

#include <stdint.h>

enum { FIXTURE_TASKS_MAX = 64, FIXTURE_ACTORS_MAX = 64 };

typedef struct fixture_actor fixture_actor;

typedef struct fixture {
        cel_clock *clock;
        cel_runtime *runtime;
        cel_scope *scope;
        cel_task *tasks[FIXTURE_TASKS_MAX]; /* references that fixture_free() drops */
        unsigned tasks_n;
        fixture_actor *actors[FIXTURE_ACTORS_MAX]; /* owned */
        unsigned actors_n;
} fixture;

fixture fixture_new(void);

/* Cancel what still runs, wait for it, free everything. */
void fixture_free(fixture *f);

/* Start a task and let everything run until all tasks wait. The reference is the fixture's. */
cel_task *fixture_spawn(fixture *f, const char *name, cel_task_fn fn, void *arg);

/* Run tasks until nobody is ready, no descriptor has news and every actor's thread waits or has ended. */
void fixture_settle(fixture *f);

/* Move the clock, then settle. */
void fixture_advance_ms(fixture *f, int64_t ms);

/* Randomness of a test's own: `fixture_random_new()` prints its seed, so that a failure can be repeated with
 * CEL_TEST_SEED. */
typedef struct fixture_random {
        uint64_t state;
} fixture_random;

fixture_random fixture_random_new(void);

/* Evenly 0 to n - 1. */
unsigned fixture_random_below(fixture_random *random, unsigned n);

/* Turn the loop, waiting for descriptors and mail, until `task` has ended: for what other threads or the
 * kernel do. */
void fixture_wait(fixture *f, cel_task *task);

/* --- Both kinds of ctx ------------------------------------------------------------------------
 *
 * An actor runs a cel_task_fn with a ctx, as a task of the fixture's loop or on a thread of its own, and the test
 * need not know which:
 *
 *     TEST_BOTH(a_reader_times_out_when_nobody_writes)
 *     {
 *             fixture f = fixture_new();
 *             fixture_actor *reader = fixture_act(&f, kind, "reader", read_one, &arg);
 *             fixture_advance_ms(&f, 50);
 *             CHECK_DONE(reader, CEL_ETIMEDOUT);
 *             fixture_free(&f);
 *     }
 */
typedef enum fixture_kind { FIXTURE_TASK, FIXTURE_THREAD } fixture_kind;

/* One test for each kind of ctx: the body has a `fixture_kind kind`. */
#define TEST_BOTH(name)                        \
        static void both_##name(fixture_kind); \
        TEST(name##__in_a_task)                \
        {                                      \
                both_##name(FIXTURE_TASK);     \
        }                                      \
        TEST(name##__on_a_thread)              \
        {                                      \
                both_##name(FIXTURE_THREAD);   \
        }                                      \
        static void both_##name(fixture_kind kind)

/* Start an actor and let everything run until all wait. Freed with the fixture. */
fixture_actor *fixture_act(fixture *f, fixture_kind kind, const char *name, cel_task_fn fn, void *arg);

/* The other kind: for tests in which both meet. */
static inline fixture_kind fixture_other(fixture_kind kind)
{
        return kind == FIXTURE_TASK ? FIXTURE_THREAD : FIXTURE_TASK;
}

void fixture_cancel(fixture_actor *actor);
bool fixture_actor_done(const fixture_actor *actor);
/* Its result; it must be done. */
int fixture_actor_result(const fixture_actor *actor);
/* The text of the error it ended with. */
const char *fixture_actor_text(const fixture_actor *actor);
/* Turn the loop until the actor has ended: for what other threads or the kernel do. Returns its result. */
int fixture_actor_wait(fixture *f, fixture_actor *actor);

#define CHECK_WAITS(actor) assert_false(fixture_actor_done(actor))
#define CHECK_DONE(actor, expected)                                              \
        do {                                                                     \
                const fixture_actor *check_actor = (actor); /* acts only once */ \
                assert_true(fixture_actor_done(check_actor));                    \
                assert_int_equal(fixture_actor_result(check_actor), expected);   \
        } while (0)

#define CHECK_PENDING(task) assert_false(cel_future_done(cel_task_future(task)))
#define CHECK_RESULT(task, expected)                                             \
        do {                                                                     \
                cel_task *check_task = (task);                                   \
                assert_true(cel_future_done(cel_task_future(check_task)));       \
                assert_int_equal(cel_task_future(check_task)->status, expected); \
        } while (0)

#endif
