/* SPDX-License-Identifier: Apache-2.0
 *
 * The headers of an event's copy in another queue: parked, or a dead letter. */
#ifndef CELADON_BRIDGE_COPY_H
#define CELADON_BRIDGE_COPY_H

#include <celadon/message.h>

/* Was this message parked? Then it has gone through RabbitMQ twice, and its headers say where it came from at first. */
bool bridge_is_parked(const cel_message *message);

/* A message as it was before it was parked: `message` borrows from the one that came back, and from the rest. */
typedef struct bridge_origin {
        cel_message message;
        char *exchange, *routing_key; /* owned */
} bridge_origin;

/* Owns:   bridge_origin_fini() it.
 * Errors: CEL_ENOMEM. */
int bridge_origin_init(bridge_origin *origin, const cel_message *parked);
void bridge_origin_fini(bridge_origin *origin);

/* The event's own headers (unless `with_original` is false: there is no room for them), without those that would act again,
 * and x-celadon-origin-…: where it came from, and what no copy can keep.
 * Owns:   *ret_headers is yours.
 * Errors: CEL_ETOOBIG, CEL_ENOMEM. */
int bridge_copy_headers(const cel_message *message, bool with_original, cel_headers **ret_headers);

/* Remove what RabbitMQ has written down of dead-lettering. It would drop a parked event on its way back, as one that goes
 * in circles, if its queue had dead-lettered it before. */
void bridge_forget_deaths(cel_headers *headers);

#endif
