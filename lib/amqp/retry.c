/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/retry.h"
#include "base/random.h"

enum {
        WAIT_MS_MIN = 200,
        WAIT_MS_MAX = 1000, /* recovery is to take less than three seconds */
        WAIT_MS_MAX_REFUSED = 15000,
};

void retry_init(retry_plan *r, const cel__amqp_retry *options, size_t hosts_n)
{
        *r = (retry_plan){.options = *options, .hosts_n = hosts_n > 0 ? hosts_n : 1, .wait_ms = WAIT_MS_MIN};
        for (size_t i = 0; i < r->hosts_n; i++)
                r->order[i] = i;
        for (size_t i = r->hosts_n; i > 1; i--) {
                size_t j = (size_t)cel__random_below(i), swap = r->order[i - 1];

                r->order[i - 1] = r->order[j];
                r->order[j] = swap;
        }
}

/* In turn, or by chance: any but the last one, which has just failed. */
size_t retry_host(retry_plan *r)
{
        if (r->options.shuffle && r->at > 0 && r->hosts_n > 1)
                r->at += (size_t)cel__random_below(r->hosts_n - 1);
        return r->order[r->at++ % r->hosts_n];
}

bool retry_all_tried(const retry_plan *r)
{
        return r->failures % (int64_t)r->hosts_n == 0;
}

/* Before each attempt a pause, and after each round over all hosts another one that grows. */
static int64_t scheduled_ms(const retry_plan *r)
{
        const cel__amqp_retry *o = &r->options;
        int64_t wait_ms = o->delay_ms;

        if (r->failures > 0 && retry_all_tried(r)) {
                int64_t rounds = r->failures / (int64_t)r->hosts_n;
                int64_t interval_ms = o->interval_ms + (rounds - 1) * o->interval_step_ms;

                wait_ms += interval_ms < o->interval_ms_max ? interval_ms : o->interval_ms_max;
        }
        return wait_ms;
}

/* None before another host has been tried, which may be up. Decorrelated jitter: each wait is drawn between the shortest and
 * three times the last one. */
static int64_t jittered_ms(retry_plan *r, retry_reason reason)
{
        if (!retry_all_tried(r))
                return 0;

        int64_t max = reason == RETRY_REFUSED ? WAIT_MS_MAX_REFUSED : WAIT_MS_MAX;

        if (reason == RETRY_LOST_LATE)
                r->wait_ms = WAIT_MS_MIN;
        r->wait_ms = WAIT_MS_MIN + (int64_t)cel__random_below((uint64_t)(r->wait_ms * 3 - WAIT_MS_MIN + 1));
        if (r->wait_ms > max)
                r->wait_ms = max;
        return r->wait_ms;
}

int64_t retry_wait_ms(retry_plan *r, retry_reason reason)
{
        bool lost = reason == RETRY_LOST || reason == RETRY_LOST_LATE;

        r->failures = lost ? 0 : r->failures + 1;
        int64_t wait_ms = r->options.scheduled ? scheduled_ms(r) : jittered_ms(r, reason);
        return wait_ms + (int64_t)cel__random_below((uint64_t)r->options.splay_ms + 1);
}
