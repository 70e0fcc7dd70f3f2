/* SPDX-License-Identifier: Apache-2.0
 *
 * What follows an attempt at an event: a function of the outcome, what went before and the time, without I/O. */
#ifndef CELADON_BRIDGE_DECIDE_H
#define CELADON_BRIDGE_DECIDE_H

#include "bridge/outcome.h"
#include "bridge/route.h"

typedef enum bridge_step {
        BRIDGE_STEP_DONE,
        BRIDGE_STEP_AGAIN,
        BRIDGE_STEP_GIVE_UP,
} bridge_step;

typedef struct bridge_decision {
        bridge_step step;
        bridge_reason reason;  /* GIVE_UP: why */
        int64_t wait_ms;       /* AGAIN: at least so long from now */
        int64_t route_wait_ms; /* AGAIN: so long no event of the route is to be sent; 0: no such thing */
} bridge_decision;

/* Decide, and count the attempt. `now_ms` is the time of day; `random` is evenly one of all values.
 *
 *     RETRY     counts; after the last one the event is given up. The wait grows with the requests made. One that is
 *               doubted does not count with the others: there are 5 of them at most.
 *     THROTTLE  does not count, only age does.
 *     FREE      does not count either, up to 3 in a row: then it is a RETRY. The first one goes at once.
 *     AUTH      as ROUTE.
 *     ROUTE     does not count; how long the route stops is not decided here.
 *     REJECT    gives up.
 *
 * A RETRY, THROTTLE or FREE whose next attempt would begin past `max_age` gives up now. Retry-After makes a wait longer,
 * never shorter; a negative one gives up. */
bridge_decision bridge_decide(const bridge_route_config *config, bridge_attempts *attempts,
                              const bridge_outcome *outcome, int64_t now_ms, uint32_t random);

#endif
