/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a route's events wait: each for its own time, and all of them while the breaker is open. While it is open the
 * listener is paused, so that the route takes no more. */
#ifndef CELADON_BRIDGE_GATE_H
#define CELADON_BRIDGE_GATE_H

#include "bridge/decide.h"
#include "bridge/route.h"

typedef enum bridge_turn {
        BRIDGE_TURN_GO,    /* send it, and report the outcome with `era` */
        BRIDGE_TURN_STOP,  /* the bridge stops: give it back */
        BRIDGE_TURN_LATER, /* its turn comes too late to hold it here: wait elsewhere, for `later_ms` */
} bridge_turn;

typedef struct bridge_wait {
        cel_time not_before; /* its own time */
        cel_time held_until; /* do not hold it past this */
        bool nowhere_else;   /* it cannot be parked */
        unsigned era;
        int64_t later_ms;
} bridge_wait;

/* The listener is open: events may have come before, and opened the breaker. */
void bridge_gate_listens(bridge_route *route);

/* Wait for an event's turn. */
bridge_turn bridge_gate_wait(cel_ctx *ctx, bridge_route *route, bridge_wait *wait);

/* What the route makes of an attempt's outcome: may change its verdict. */
void bridge_gate_judge(cel_ctx *ctx, bridge_route *route, const char *event, bridge_outcome *outcome);

/* The attempt is over and decided about: the breaker may open or close. `random` is evenly one of all values. */
void bridge_gate_report(cel_ctx *ctx, bridge_route *route, unsigned era, const bridge_outcome *outcome,
                        const bridge_decision *decision, uint32_t random);

/* A route's task: resumes the listener when the breaker's time has come. Ends when the bridge stops. */
int bridge_gate_keep(cel_ctx *ctx, void *route);

/* The bridge stops: wake all who wait. */
void bridge_gate_wake(bridge_route *route);

#endif
