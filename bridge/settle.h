/* SPDX-License-Identifier: Apache-2.0
 *
 * How an event leaves the bridge. All of it goes through here, so that what is promised can be read, and is checked, at
 * one place:
 *
 *     I1  An event is acknowledged if, and only if, its answer's verdict is OK, or a copy of it is safe in another queue
 *         (parked or a dead letter), or the route does not match it. bridge_settle() wants the proof.
 *     I2  Nothing is acknowledged because the bridge stops, fails or cannot read it: bridge_give_back().
 *     I3  A copy is safe when RabbitMQ has confirmed it and has not returned it: persistent, mandatory, with a publisher
 *         confirm. bridge_publish_copy() is the only one that publishes.
 *     I4  A copy that is not safe is published again and again, and the event stays unacknowledged; those in hand fill up,
 *         so intake comes to rest.
 *     I5  An event is settled on the channel that brought it, or not at all: the listener's driver sees to it.
 *     I6  An event is not held unacknowledged beyond hold_max: who would have to wait for longer is parked.
 *     I7  An event is given back only because the bridge stops or cannot hold it, never as a way to try again.
 *     I8  What was answered well is not sent again, whatever fails here: the listener remembers it, and acknowledges the
 *         copy that RabbitMQ delivers after an acknowledgement was lost. */
#ifndef CELADON_BRIDGE_SETTLE_H
#define CELADON_BRIDGE_SETTLE_H

#include "bridge/route.h"

/* Publish a copy of an event to `exchange` with `routing_key` and these headers, persistent and mandatory.
 * Waits:  until the broker has confirmed it, the deadline or cancellation. On success `attempts` has `proof`.
 * Errors: as cel_publish(). */
int bridge_publish_copy(cel_ctx *ctx, const bridge_route *route, cel_message copy, bridge_proof proof,
                        bridge_attempts *attempts);

/* Acknowledge. Returns what the listener's handler returns for that. */
int bridge_settle(bridge_route *route, const bridge_attempts *attempts);

/* Give back, without proof of anything. Returns likewise. */
int bridge_give_back(const bridge_attempts *attempts);

#endif
