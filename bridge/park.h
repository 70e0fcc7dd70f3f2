/* SPDX-License-Identifier: Apache-2.0
 *
 * Events that have to wait for long wait in RabbitMQ: in a ladder of queues, one for each time, from which they come back to
 * the queue that they were taken from. What is known of their attempts travels in their headers, so that no restart of the
 * bridge, and no other bridge that takes them, loses it.
 *
 * For each rung there is a queue <prefix>.park.<time> and a topic exchange of the same name, bound with "#". An event is
 * published there with its source queue's name as routing key; when the queue's x-message-ttl has passed, RabbitMQ
 * dead-letters it to the default exchange, which routes it to the source queue. All events of a queue wait equally long, so
 * none is stuck behind another. */
#ifndef CELADON_BRIDGE_PARK_H
#define CELADON_BRIDGE_PARK_H

#include "bridge/route.h"

/* Headers of parked events. */
#define BRIDGE_NOT_BEFORE "x-celadon-not-before" /* ms since 1970 */
#define BRIDGE_FIRST_MS   "x-celadon-first-ms"   /* likewise: the first attempt */
#define BRIDGE_COUNTED    "x-celadon-counted"
#define BRIDGE_DOUBTED    "x-celadon-doubted"
#define BRIDGE_ATTEMPTS   "x-celadon-attempts"
#define BRIDGE_MAYBE      "x-celadon-maybe-delivered"

/* Declare all rungs.
 * Errors: as cel_transport_declare_queue(). */
int bridge_park_declare(cel_ctx *ctx, cel_transport *transport, const bridge_park_config *config);

/* The rung for a wait: the longest that is no longer than that, or the shortest there is. */
int64_t bridge_park_rung_ms(const bridge_park_config *config, int64_t wait_ms);

/* Park an event that is to wait for `wait_ms`.
 * Waits:  until the broker has confirmed it, however long that takes, or the bridge stops. On success `attempts` has the
 *         proof.
 * Errors: CEL_ETOOBIG: it cannot be parked, because its headers leave no room or its queue is not known; CEL_ECANCELED: the
 *         bridge stops. */
int bridge_park(cel_ctx *ctx, bridge_route *route, const cel_message *message, int64_t wait_ms,
                bridge_attempts *attempts);

/* What a parked event's headers say about its attempts, and how long it still has to wait; for any other event nothing and
 * 0. `now_ms` is the time of day, `wait_ms_max` the longest wait that there is: a clock that was set back makes none longer. */
int64_t bridge_park_restore(const cel_message *message, int64_t now_ms, int64_t wait_ms_max,
                            bridge_attempts *attempts);

/* Take those headers out of a copy that is not to be parked. */
void bridge_park_erase(cel_headers *headers);

#endif
