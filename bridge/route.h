/* SPDX-License-Identifier: Apache-2.0
 *
 * A route at work: events of one source, to one API server.
 *
 *     delivery.c     one event: attempts, waits, the verdict
 *     request.c      the HTTP request of an event
 *     backoff.c      how long the waits are
 *     dead_letter.c  an event that nobody could take, put aside with the reason
 *     bridge.c       all routes: start, drain, stop */
#ifndef CELADON_BRIDGE_ROUTE_H
#define CELADON_BRIDGE_ROUTE_H

#include "bridge/config.h"

#include <celadon/celadon.h>

typedef struct bridge_route {
        const bridge_route_config *config;   /* borrowed */
        cel_transport *transport;            /* borrowed */
        cel_http_client *http;               /* owned */
        cel_notification_listener *listener; /* owned; NULL unless it listens */
        cel_future *stop;                    /* borrowed; complete: begin no attempt any more */
        int64_t drain_ms;
        bool failing;                        /* the last attempt failed: said once, until one succeeds */
        uint64_t failures;                   /* attempts that failed since then */
        uint64_t delivered, unmatched, dead; /* events, since the start */
} bridge_route;

/* Why an event is given up. The names are written into dead letters. */
typedef enum bridge_reason {
        BRIDGE_MAX_ATTEMPTS,
        BRIDGE_UNPROCESSABLE, /* it is no notification, or no request can be made of it */
        BRIDGE_TOO_LARGE,
        BRIDGE_UNMATCHED, /* the route does not take it, and wants that told */
} bridge_reason;

/* What became of the attempts at one event, as far as they went. */
typedef struct bridge_attempts {
        unsigned n;
        bool maybe_delivered; /* one of them may have reached the API, and its answer did not reach us */
        int status;           /* of the last response; 0: there was none */
        char error[256];      /* what went wrong last, a sentence */
        char key[256];        /* Idempotency-Key; "": none */
} bridge_attempts;

/* Handle one event: returns CEL_HANDLED once it is settled for good (delivered, not ours, or a confirmed dead
 * letter), or CEL_REQUEUE when the bridge stops before that. `route` is a bridge_route. */
int bridge_deliver(cel_ctx *ctx, const cel_notification *notification, void *route);

/* Handle a message that is no notification: it becomes a dead letter. Returns as above. */
int bridge_deliver_invalid(cel_ctx *ctx, const cel_message *message, const char *why, void *route);

/* Put a message into the route's dead-letter queue.
 * Waits:  until the broker has confirmed it, however long that takes, or the bridge stops. Returns
 *         CEL_HANDLED once it is confirmed, CEL_REQUEUE when the bridge stops before that. */
int bridge_dead_letter(cel_ctx *ctx, bridge_route *route, const cel_message *message, bridge_reason reason,
                       const bridge_attempts *attempts);

/* The route's dead-letter queue: durable, on the default exchange.
 * Errors: as cel_transport_declare_queue(). */
int bridge_dead_letter_declare(cel_ctx *ctx, const bridge_route *route);

/* Wait after try number `n`, from 1 on, as long as bridge_wait_ms() says. Returns true to go on, false when the bridge stops. */
bool bridge_back_off(cel_ctx *ctx, const bridge_route *route, unsigned n);

#endif
