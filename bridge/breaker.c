/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Successes are many and cost an addition; what is worked out is worked out when something went wrong. */
#include "bridge/breaker.h"

#include "bridge/backoff.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
        REQUESTS_MIN = 20,
        EVENTS_MIN = 5,
        UNREACHABLE_MAX = 5,
        ALLOWED_MAX = 64, /* more than these at once is no longer a cautious beginning */
};

static const bool may_enter[BRIDGE_BREAKER_STATES][BRIDGE_BREAKER_STATES] = {
        [BRIDGE_BREAKER_CLOSED] = {[BRIDGE_BREAKER_OPEN] = true},
        [BRIDGE_BREAKER_OPEN] = {[BRIDGE_BREAKER_HALF_OPEN] = true},
        [BRIDGE_BREAKER_HALF_OPEN] = {[BRIDGE_BREAKER_OPEN] = true, [BRIDGE_BREAKER_CLOSED] = true},
};

static void enter(bridge_breaker *breaker, bridge_breaker_state next)
{
        assert(may_enter[breaker->state][next]);
        breaker->state = next;
        breaker->era++;
}

void bridge_breaker_init(bridge_breaker *breaker, int64_t ms_base, int64_t ms_cap, unsigned requests_max)
{
        *breaker = (bridge_breaker){.ms_base = ms_base, .ms_cap = ms_cap, .requests_max = requests_max};
}

/* --- What happened lately --------------------------------------------------------------------- */

static int64_t second_of(cel_time now)
{
        return now.ns / CEL_NS_PER_S;
}

static bool is_recent(int64_t second, cel_time now)
{
        return second > second_of(now) - BRIDGE_BREAKER_WINDOW_S;
}

static bridge_breaker_second *this_second(bridge_breaker *breaker, cel_time now)
{
        int64_t second = second_of(now);
        bridge_breaker_second *s = &breaker->seconds[second % BRIDGE_BREAKER_WINDOW_S];

        if (s->second != second)
                *s = (bridge_breaker_second){.second = second};
        return s;
}

static bridge_breaker_second sum_up(const bridge_breaker *breaker, cel_time now)
{
        bridge_breaker_second sum = {0};

        for (size_t i = 0; i < BRIDGE_BREAKER_WINDOW_S; i++) {
                const bridge_breaker_second *s = &breaker->seconds[i];

                if (!is_recent(s->second, now))
                        continue;
                sum.requests += s->requests;
                sum.successes += s->successes;
                sum.failures += s->failures;
        }
        return sum;
}

/* A new window begins: what led to a change is not to lead to the next one. */
static void forget(bridge_breaker *breaker)
{
        memset(breaker->seconds, 0, sizeof(breaker->seconds));
        breaker->troubles_n = 0;
        breaker->unreachable = 0;
}

static uint64_t hash(const char *text)
{
        uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

        for (; *text; text++)
                h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
        return h;
}

static bool is_failure(const bridge_outcome *outcome)
{
        if (outcome->verdict.class == BRIDGE_THROTTLE)
                return true;
        return outcome->verdict.class == BRIDGE_RETRY &&
               (outcome->status == 0 || outcome->status == 408 || outcome->status >= 500);
}

static void note(bridge_breaker *breaker, cel_time now, const char *event, const bridge_outcome *outcome)
{
        bridge_breaker_second *s = this_second(breaker, now);
        bool failure = is_failure(outcome);

        s->requests++;
        s->failures += failure;
        if (outcome->verdict.class == BRIDGE_OK) {
                s->successes++;
                return;
        }
        breaker->troubles[breaker->troubles_n++ % BRIDGE_BREAKER_TROUBLES] = (bridge_breaker_trouble){
                .second = s->second, .event = hash(event), .status = outcome->status, .failure = failure};
}

/* What is counted of the ring: failures, or all with one status. */
typedef struct tally {
        unsigned all, matching, events; /* events of the matching ones, EVENTS_MIN at most */
} tally;

static tally count(const bridge_breaker *breaker, cel_time now, int status)
{
        unsigned n = breaker->troubles_n < BRIDGE_BREAKER_TROUBLES ? breaker->troubles_n
                                                                   : BRIDGE_BREAKER_TROUBLES;
        uint64_t events[EVENTS_MIN];
        tally t = {0};

        for (unsigned i = 0; i < n; i++) {
                const bridge_breaker_trouble *trouble = &breaker->troubles[i];
                unsigned known = 0;

                if (!is_recent(trouble->second, now))
                        continue;
                t.all++;
                if (status > 0 ? trouble->status != status : !trouble->failure)
                        continue;
                t.matching++;
                while (known < t.events && events[known] != trouble->event)
                        known++;
                if (known == t.events && t.events < EVENTS_MIN)
                        events[t.events++] = trouble->event;
        }
        return t;
}

static bool are_many(const bridge_breaker *breaker, unsigned events)
{
        return events >= (breaker->requests_max < EVENTS_MIN ? breaker->requests_max : EVENTS_MIN);
}

static bool is_failing(const bridge_breaker *breaker, cel_time now)
{
        bridge_breaker_second sum = sum_up(breaker, now);

        return sum.requests >= REQUESTS_MIN && 2 * sum.failures >= sum.requests &&
               are_many(breaker, count(breaker, now, 0).events);
}

static bool is_storm(const bridge_breaker *breaker, cel_time now, int status)
{
        tally t = count(breaker, now, status);

        return t.all >= REQUESTS_MIN && 10 * t.matching >= 9 * t.all && are_many(breaker, t.events) &&
               sum_up(breaker, now).successes == 0;
}

/* --- Opening and closing ---------------------------------------------------------------------- */

static void open_until(bridge_breaker *breaker, cel_time now, cel_time until)
{
        if (breaker->state == BRIDGE_BREAKER_CLOSED)
                breaker->opened_at = now;
        if (breaker->state != BRIDGE_BREAKER_OPEN)
                enter(breaker, BRIDGE_BREAKER_OPEN);
        breaker->until = until;
        forget(breaker);
}

static void open_for_longer(bridge_breaker *breaker, cel_time now, uint32_t random)
{
        int64_t ms = bridge_wait_ms(breaker->ms_base, breaker->ms_cap, ++breaker->openings, random);

        open_until(breaker, now, cel_time_add_ms(now, ms));
}

static void let_more_go(bridge_breaker *breaker)
{
        if (++breaker->well < breaker->allowed)
                return;
        breaker->well = 0;
        breaker->allowed *= 2;
        if (breaker->allowed <= ALLOWED_MAX && breaker->allowed < breaker->requests_max)
                return;
        breaker->openings = 0;
        breaker->storm_status = 0;
        enter(breaker, BRIDGE_BREAKER_CLOSED);
}

void bridge_breaker_tick(bridge_breaker *breaker, cel_time now)
{
        if (breaker->state != BRIDGE_BREAKER_OPEN || now.ns < breaker->until.ns)
                return;
        breaker->allowed = 1;
        breaker->under_way = breaker->well = 0;
        enter(breaker, BRIDGE_BREAKER_HALF_OPEN);
}

bool bridge_breaker_admit(bridge_breaker *breaker, unsigned *ret_era)
{
        switch (breaker->state) {
        case BRIDGE_BREAKER_CLOSED:
                break;
        case BRIDGE_BREAKER_OPEN:
                return false;
        case BRIDGE_BREAKER_HALF_OPEN:
                if (breaker->under_way == breaker->allowed)
                        return false;
                breaker->under_way++;
                break;
        case BRIDGE_BREAKER_STATES:
                return false;
        }
        *ret_era = breaker->era;
        return true;
}

/* --- Outcomes --------------------------------------------------------------------------------- */

void bridge_breaker_judge(bridge_breaker *breaker, cel_time now, const char *event, bridge_outcome *outcome)
{
        bridge_verdict *verdict = &outcome->verdict;

        note(breaker, now, event, outcome);
        if (outcome->status != breaker->storm_status && outcome->status > 0)
                breaker->storm_status = 0;
        if (verdict->no_connection && breaker->state == BRIDGE_BREAKER_HALF_OPEN)
                verdict->class = BRIDGE_THROTTLE;
        if (!verdict->storm || (verdict->class != BRIDGE_REJECT && verdict->class != BRIDGE_RETRY))
                return;
        if (breaker->storm_status == 0 && is_storm(breaker, now, outcome->status))
                breaker->storm_status = outcome->status;
        if (breaker->storm_status > 0) {
                verdict->class = BRIDGE_ROUTE;
        } else if (sum_up(breaker, now).successes == 0) {
                verdict->class = BRIDGE_RETRY;
                verdict->doubted = true;
        }
}

/* Why a request that ended like this opens the breaker; false: it does not. */
static bool explain(bridge_breaker *breaker, cel_time now, const bridge_outcome *outcome)
{
        bridge_class class = outcome->verdict.class;

        if (class == BRIDGE_ROUTE || class == BRIDGE_AUTH) {
                if (breaker->storm_status > 0)
                        snprintf(breaker->why, sizeof(breaker->why), "a storm of %d", breaker->storm_status);
                else if (outcome->status > 0)
                        snprintf(breaker->why, sizeof(breaker->why), "answered %d: %s", outcome->status,
                                 outcome->verdict.why);
                else
                        snprintf(breaker->why, sizeof(breaker->why), "%s", outcome->verdict.why);
                return true;
        }
        if (breaker->unreachable >= UNREACHABLE_MAX) {
                snprintf(breaker->why, sizeof(breaker->why), "not reached %u times in a row: %s",
                         breaker->unreachable, outcome->verdict.why);
                return true;
        }
        if (!is_failure(outcome))
                return false;
        if (breaker->state == BRIDGE_BREAKER_HALF_OPEN) {
                snprintf(breaker->why, sizeof(breaker->why), "still failing: %s", outcome->verdict.why);
                return true;
        }
        snprintf(breaker->why, sizeof(breaker->why), "half of the requests fail, the last one: %s",
                 outcome->verdict.why);
        return is_failing(breaker, now);
}

void bridge_breaker_report(bridge_breaker *breaker, cel_time now, unsigned era, const bridge_outcome *outcome,
                           int64_t route_wait_ms, uint32_t random)
{
        if (outcome->verdict.class == BRIDGE_OK && breaker->state == BRIDGE_BREAKER_CLOSED) {
                breaker->unreachable = 0;
                return;
        }
        breaker->unreachable = outcome->verdict.no_connection ? breaker->unreachable + 1 : 0;
        /* One that went before the last change says nothing about the time after it. */
        if (era != breaker->era)
                return;
        if (route_wait_ms > 0) {
                snprintf(breaker->why, sizeof(breaker->why), "answered %d with Retry-After", outcome->status);
                open_until(breaker, now, cel_time_add_ms(now, route_wait_ms));
        } else if (explain(breaker, now, outcome)) {
                open_for_longer(breaker, now, random);
        } else if (breaker->state == BRIDGE_BREAKER_HALF_OPEN) {
                breaker->under_way--;
                if (outcome->verdict.class != BRIDGE_FREE) /* which says nothing about the API */
                        let_more_go(breaker);
        }
}
