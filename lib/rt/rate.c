/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A bucket of turns that fills with time, and a queue. Only the first in the queue watches the
 * clock; when it leaves, with its turn or without, it serves those behind it and bids the next one watch. So
 * a turn that is given up moves everybody behind it forward, and no timer has to be moved from outside.
 *
 * What the bucket holds is counted in parts so small that a nanosecond adds whole ones: each nanosecond adds
 * `turns` parts, and a turn is as many parts as `per_ms` has nanoseconds. Nothing is ever rounded. */
#include "base/assert.h"
#include "rt/runtime.h"
#include "rt/waiters.h"

#include <celadon/sync.h>
#include <stdlib.h>

enum { TURNS_MAX = 1000000, PER_MS_MAX = 3600000, BURST_MAX = 1000000 };

/* Outcomes of a wait in the queue. */
enum {
        GRANTED, /* the turn is the waiter's, the bucket has paid for it */
        LOOK     /* the waiter is the first, or its time has come: look again */
};

struct cel_rate {
        pthread_mutex_t mutex; /* of all below */
        cel_clock *clock;      /* borrowed */
        int64_t parts_per_ns;  /* how fast the bucket fills */
        int64_t parts_of_turn;
        int64_t parts, parts_max; /* what is in the bucket */
        cel_time filled;          /* and when it was */
        cel__list waiters;
};

int cel_rate_new(cel_runtime *runtime, unsigned turns, int64_t per_ms, unsigned burst, cel_rate **ret_rate)
{
        if (turns == 0 || turns > TURNS_MAX || per_ms < 1 || per_ms > PER_MS_MAX || burst == 0 ||
            burst > BURST_MAX)
                return CEL_EINVAL;
        cel_rate *rate = calloc(1, sizeof(*rate));
        if (!rate)
                return CEL_ENOMEM;
        rate->clock = cel__runtime_clock(runtime);
        rate->parts_per_ns = turns;
        rate->parts_of_turn = per_ms * CEL_NS_PER_MS; /* times BURST_MAX, it still fits */
        rate->parts = rate->parts_max = rate->parts_of_turn * burst;
        rate->filled = cel_clock_now(rate->clock);
        pthread_mutex_init(&rate->mutex, NULL);
        cel__list_init(&rate->waiters);
        *ret_rate = rate;
        return 0;
}

cel_rate *cel_rate_free(cel_rate *rate)
{
        if (!rate)
                return NULL;
        if (!cel__list_empty(&rate->waiters))
                cel__misuse("a rate limiter was freed while somebody waited for a turn");
        pthread_mutex_destroy(&rate->mutex);
        free(rate);
        return NULL;
}

/* How long until the bucket holds `parts`, in ns, rounded up; 0 if it does. */
static int64_t ns_until(const cel_rate *rate, int64_t parts)
{
        int64_t missing = parts - rate->parts;

        return missing <= 0 ? 0 : (missing - 1) / rate->parts_per_ns + 1;
}

static void fill_locked(cel_rate *rate)
{
        cel_time now = cel_clock_now(rate->clock);
        int64_t elapsed_ns = now.ns - rate->filled.ns;

        if (elapsed_ns <= 0) /* another thread read the clock later and was here earlier */
                return;
        if (elapsed_ns >= ns_until(rate, rate->parts_max))
                rate->parts = rate->parts_max;
        else
                rate->parts += elapsed_ns * rate->parts_per_ns;
        rate->filled = now;
}

static bool take_locked(cel_rate *rate)
{
        if (rate->parts < rate->parts_of_turn)
                return false;
        rate->parts -= rate->parts_of_turn;
        return true;
}

/* Give the first in the queue their turns, as far as the bucket goes, and bid the next one watch the clock. One
 * whose wait is decided, but who has not run yet, is awake: it will look for itself, or leave and serve the
 * others. */
static void serve_locked(cel_rate *rate)
{
        fill_locked(rate);
        while (!cel__list_empty(&rate->waiters)) {
                cel__waiter *first = cel__container(rate->waiters.next, cel__waiter, node);

                if (rate->parts < rate->parts_of_turn) {
                        cel__wait_finish(first->wait, LOOK);
                        return;
                }
                if (!cel__wait_finish(first->wait, GRANTED))
                        return;
                take_locked(rate);
                cel__list_remove(&first->node);
        }
}

/* One wait in the queue, with the mutex held, which is released meanwhile. */
static int wait_locked(cel_ctx *ctx, cel_rate *rate, cel__waiter *waiter)
{
        cel__wait wait;

        cel__wait_begin(&wait, ctx, "rate");
        waiter->wait = &wait;
        if (rate->waiters.next == &waiter->node) {
                cel_time due = {rate->filled.ns + ns_until(rate, rate->parts_of_turn)};

                if (due.ns <= wait.until.ns) {
                        wait.until = due;
                        wait.until_outcome = LOOK;
                }
        }
        pthread_mutex_unlock(&rate->mutex);
        int r = cel__wait_block(&wait);
        pthread_mutex_lock(&rate->mutex);
        waiter->wait = NULL;
        return r;
}

static int queue_locked(cel_ctx *ctx, cel_rate *rate)
{
        cel__waiter waiter = {0};
        int r;

        cel__list_append(&rate->waiters, &waiter.node);
        do {
                r = wait_locked(ctx, rate, &waiter);
                if (r == LOOK) {
                        fill_locked(rate);
                        if (take_locked(rate)) /* only the first is ever told to look */
                                r = GRANTED;
                }
        } while (r == LOOK);
        bool first = rate->waiters.next == &waiter.node;
        cel__list_remove(&waiter.node);
        if (first)
                serve_locked(rate);
        return r;
}

static bool try_locked(cel_rate *rate)
{
        if (!cel__list_empty(&rate->waiters))
                return false;
        fill_locked(rate);
        return take_locked(rate);
}

int cel_rate_wait(cel_ctx *ctx, cel_rate *rate)
{
        int begun = cel__ctx_begin(ctx, "rate");
        if (begun < 0)
                return begun;
        pthread_mutex_lock(&rate->mutex);
        int r = try_locked(rate) ? 0 : queue_locked(ctx, rate);
        pthread_mutex_unlock(&rate->mutex);
        return r;
}

int cel_rate_try(cel_rate *rate)
{
        pthread_mutex_lock(&rate->mutex);
        bool taken = try_locked(rate);
        pthread_mutex_unlock(&rate->mutex);
        return taken ? 0 : CEL_EAGAIN;
}
