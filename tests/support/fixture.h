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

enum { FIXTURE_TASKS_MAX = 64 };

typedef struct fixture {
        cel_clock *clock;
        cel_runtime *runtime;
        cel_scope *scope;
        cel_task *tasks[FIXTURE_TASKS_MAX]; /* references that fixture_free() drops */
        unsigned tasks_n;
} fixture;

fixture fixture_new(void);

/* Cancel what still runs, wait for it, free everything. */
void fixture_free(fixture *f);

/* Start a task and let everything run until all tasks wait. The reference is the fixture's. */
cel_task *fixture_spawn(fixture *f, const char *name, cel_task_fn fn, void *arg);

/* Run tasks until nobody is ready and no descriptor has news. */
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

#define CHECK_PENDING(task) assert_false(cel_future_done(cel_task_future(task)))
#define CHECK_RESULT(task, expected)                                             \
        do {                                                                     \
                cel_task *check_task = (task);                                   \
                assert_true(cel_future_done(cel_task_future(check_task)));       \
                assert_int_equal(cel_task_future(check_task)->status, expected); \
        } while (0)

#endif
