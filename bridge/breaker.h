/* SPDX-License-Identifier: Apache-2.0
 *
 * A route's breaker: it opens when the fault is not the events', and while it is open nothing is sent. Times come as
 * arguments and nothing waits here; gate.h does.
 *
 *     CLOSED     everything goes
 *     OPEN       nothing goes until a certain time
 *     HALF-OPEN  one request goes; when that is well, two, four, … at once, until as many as ever may: then it is closed.
 *                One that is not well opens it again, for longer.
 *
 * It opens
 *     - by a verdict ROUTE;
 *     - when the API cannot be reached five times in a row;
 *     - when, within 30 s, 20 requests or more were made and half of them failed, of five events or more;
 *     - by a storm: see bridge_breaker_judge();
 *     - when the API says how long it wants to be left alone.
 * A failure here is one of the API's: a THROTTLE, or a RETRY without an answer, with 408 or 5xx. Where no five events can be
 * under way at once, as many as can are enough. */
#ifndef CELADON_BRIDGE_BREAKER_H
#define CELADON_BRIDGE_BREAKER_H

#include "bridge/outcome.h"

#include <celadon/clock.h>

enum { BRIDGE_BREAKER_WINDOW_S = 30, BRIDGE_BREAKER_TROUBLES = 64, BRIDGE_BREAKER_WHY_BYTES = 160 };

typedef enum bridge_breaker_state {
        BRIDGE_BREAKER_CLOSED,
        BRIDGE_BREAKER_OPEN,
        BRIDGE_BREAKER_HALF_OPEN,
        BRIDGE_BREAKER_STATES,
} bridge_breaker_state;

typedef struct bridge_breaker_second {
        int64_t second;
        unsigned requests, successes, failures;
} bridge_breaker_second;

/* An outcome that was no success. */
typedef struct bridge_breaker_trouble {
        int64_t second;
        uint64_t event; /* a hash */
        int status;
        bool failure;
} bridge_breaker_trouble;

typedef struct bridge_breaker {
        int64_t ms_base, ms_cap; /* how long it is open: the first time, and at most */
        unsigned requests_max;   /* that can be under way at once */
        bridge_breaker_state state;
        unsigned era;       /* counts changes of state: a request reports to the era that let it go */
        unsigned openings;  /* in a row, without having been closed */
        cel_time until;     /* OPEN */
        cel_time opened_at; /* for the first time of those */
        unsigned allowed, under_way, well; /* HALF-OPEN: at once; of those; ended well since `allowed` grew */
        unsigned unreachable;              /* in a row */
        int storm_status;                  /* it opened by a storm of these; 0: by something else */
        bridge_breaker_second seconds[BRIDGE_BREAKER_WINDOW_S];
        bridge_breaker_trouble troubles[BRIDGE_BREAKER_TROUBLES]; /* a ring */
        unsigned troubles_n;                                      /* ever */
        char why[BRIDGE_BREAKER_WHY_BYTES];                       /* it opened last */
} bridge_breaker;

void bridge_breaker_init(bridge_breaker *breaker, int64_t ms_base, int64_t ms_cap, unsigned requests_max);

/* Is it time to let a first request go again? Turns OPEN into HALF-OPEN if so. */
void bridge_breaker_tick(bridge_breaker *breaker, cel_time now);

/* May a request go now? If so it counts as under way, until it is reported with *ret_era. */
bool bridge_breaker_admit(bridge_breaker *breaker, unsigned *ret_era);

/* What is the verdict on `outcome`, seen beside the route's other events?
 *
 * Some statuses (those marked "storm" in verdicts.def) may mean one event or the whole route. If in 30 s 20 requests or more
 * were made, nine of ten got the same one of these, five events or more did and none succeeded, it is a storm: the verdict
 * is ROUTE, and stays so until something else is answered. Until another event has succeeded within 30 s, such a status is
 * doubted: it is tried again, see bridge_decide(). So a bad deployment does not turn a queue into dead letters, not even the
 * first 20 of them.
 *
 * A request that is to find out whether the API is back, and does not even reach it, is none of the event's attempts. */
void bridge_breaker_judge(bridge_breaker *breaker, cel_time now, const char *event, bridge_outcome *outcome);

/* A request of this era has ended. May open it, or close it; `route_wait_ms` as in bridge_decision. */
void bridge_breaker_report(bridge_breaker *breaker, cel_time now, unsigned era, const bridge_outcome *outcome,
                           int64_t route_wait_ms, uint32_t random);

#endif
