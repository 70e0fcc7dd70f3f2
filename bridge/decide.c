/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/decide.h"

#include "bridge/backoff.h"

enum { FREE_IN_A_ROW_MAX = 3, DOUBTED_MAX = 5 };

static bridge_reason rejection(const bridge_outcome *outcome)
{
        if (outcome->status == 0)
                return BRIDGE_UNPROCESSABLE;
        if (outcome->status >= 300 && outcome->status <= 399)
                return BRIDGE_REDIRECT;
        return outcome->status == 410 ? BRIDGE_GONE : BRIDGE_HTTP_STATUS;
}

static bridge_decision give_up(bridge_reason reason)
{
        return (bridge_decision){.step = BRIDGE_STEP_GIVE_UP, .reason = reason};
}

/* The class that counts: one free attempt too many is one like any other. */
static bridge_class effective_class(bridge_attempts *attempts, bridge_class class)
{
        if (class != BRIDGE_FREE) {
                attempts->free_in_a_row = 0;
                return class;
        }
        if (attempts->free_in_a_row == FREE_IN_A_ROW_MAX)
                return BRIDGE_RETRY;
        attempts->free_in_a_row++;
        return BRIDGE_FREE;
}

/* How long the API wants to be left alone, as far as the route goes along with that; 0: it does not say. */
static int64_t asked_ms(const bridge_route_config *config, const bridge_outcome *outcome)
{
        int64_t ms = outcome->retry_after.given ? outcome->retry_after.ms : 0;

        return ms < config->retry_after_ms_max ? ms : config->retry_after_ms_max;
}

/* Up to a tenth of `ms`, so that a crowd that was told the same does not come back as a crowd. */
static int64_t tenth_by_chance(int64_t ms, uint32_t random)
{
        return (int64_t)((uint64_t)(ms / 10 + 1) * random >> 32);
}

static int64_t own_wait_ms(const bridge_route_config *config, unsigned n, uint32_t random)
{
        const bridge_durations *schedule = &config->schedule;

        if (schedule->n == 0)
                return bridge_wait_ms(config->backoff_ms_base, config->backoff_ms_cap, n, random);
        return bridge_wait_about_ms(schedule->ms[n < schedule->n ? n - 1 : schedule->n - 1], random);
}

static bridge_decision again(const bridge_route_config *config, const bridge_attempts *attempts,
                             const bridge_outcome *outcome, bridge_class class, uint32_t random)
{
        bridge_decision decision = {.step = BRIDGE_STEP_AGAIN};
        int64_t asked = asked_ms(config, outcome);

        if (class != BRIDGE_FREE || attempts->free_in_a_row > 1)
                decision.wait_ms = own_wait_ms(config, attempts->n, random);
        if (asked > decision.wait_ms)
                decision.wait_ms = asked + tenth_by_chance(asked, random);
        if (class == BRIDGE_THROTTLE)
                decision.route_wait_ms = asked;
        return decision;
}

/* Count a RETRY. Is it the last one, and why? */
static bool is_last(const bridge_route_config *config, bridge_attempts *attempts,
                    const bridge_verdict *verdict, bridge_reason *ret_reason)
{
        *ret_reason = BRIDGE_HTTP_STATUS;
        if (verdict->doubted)
                return ++attempts->doubted >= DOUBTED_MAX;
        attempts->counted++;
        if (attempts->counted >= config->attempts_max) {
                *ret_reason = BRIDGE_MAX_ATTEMPTS;
                return true;
        }
        return verdict->attempts_max > 0 && attempts->counted >= verdict->attempts_max;
}

bridge_decision bridge_decide(const bridge_route_config *config, bridge_attempts *attempts,
                              const bridge_outcome *outcome, int64_t now_ms, uint32_t random)
{
        bridge_class class = effective_class(attempts, outcome->verdict.class);
        bridge_reason reason;

        attempts->n++;
        switch (class) {
        case BRIDGE_OK:
                return (bridge_decision){.step = BRIDGE_STEP_DONE};
        case BRIDGE_REJECT:
                return give_up(rejection(outcome));
        case BRIDGE_AUTH:
        case BRIDGE_ROUTE:
                return (bridge_decision){.step = BRIDGE_STEP_AGAIN}; /* when the breaker lets it go */
        case BRIDGE_RETRY:
                if (is_last(config, attempts, &outcome->verdict, &reason))
                        return give_up(outcome->status > 0 ? reason : BRIDGE_MAX_ATTEMPTS);
                break;
        case BRIDGE_THROTTLE:
        case BRIDGE_FREE:
        case BRIDGE_CLASSES_N:
                break;
        }
        if (outcome->retry_after.never)
                return give_up(BRIDGE_HTTP_STATUS);

        bridge_decision decision = again(config, attempts, outcome, class, random);
        if (now_ms + decision.wait_ms - attempts->first_ms > config->age_ms_max)
                return give_up(BRIDGE_MAX_AGE);
        return decision;
}
