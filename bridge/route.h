/* SPDX-License-Identifier: Apache-2.0
 *
 * A route at work: events of one source, to one API server.
 *
 *     delivery.c     one event: attempts and waits
 *     request.c      the HTTP request of an event
 *     verdict.c      what an answer means, by verdicts.def
 *     decide.c       what follows from that, with what went before
 *     breaker.c      when the route sends nothing, and how it begins again
 *     gate.c         where events wait: for their own time and for the breaker
 *     park.c         where events wait that have to wait for long
 *     settle.c       how an event leaves: read its header first
 *     backoff.c      how long the waits are
 *     dead_letter.c  an event that nobody could take, put aside with the reason
 *     letter.c       what a dead letter says, and the event that it was
 *     replay.c       dead letters back to where they came from
 *     bridge.c       all routes: start, drain, stop */
#ifndef CELADON_BRIDGE_ROUTE_H
#define CELADON_BRIDGE_ROUTE_H

#include "bridge/breaker.h"
#include "bridge/config.h"

#include <celadon/celadon.h>

typedef struct bridge_route {
        const bridge_route_config *config;   /* borrowed */
        cel_transport *transport;            /* borrowed */
        const bridge_park_config *park;      /* borrowed */
        cel_http_client *http;               /* owned */
        cel_notification_listener *listener; /* owned; NULL unless it listens */
        cel_future *stop;                    /* borrowed; complete: begin no attempt any more */
        int64_t drain_ms;
        bridge_breaker breaker;
        cel_event *changed; /* owned; pulsed when the breaker has changed, or the bridge stops */
        bool failing;       /* the last attempt failed: said once, until one succeeds */
        uint64_t failures;  /* attempts that failed since then */
        unsigned waiting;   /* events in hand that wait for a time of their own */
        uint64_t delivered, unmatched, parked, dead; /* events, since the start */
} bridge_route;

/* Why an event is given up. The names are written into dead letters. */
typedef enum bridge_reason {
        BRIDGE_MAX_ATTEMPTS,
        BRIDGE_MAX_AGE,
        BRIDGE_HTTP_STATUS, /* the API refuses it */
        BRIDGE_REDIRECT,
        BRIDGE_GONE,
        BRIDGE_UNPROCESSABLE, /* it is no notification, or no request can be made of it */
        BRIDGE_TOO_LARGE,
        BRIDGE_UNMATCHED, /* the route does not take it, and wants that told */
} bridge_reason;

/* As dead letters name it; NULL beyond the last one. */
const char *bridge_reason_name(unsigned reason);

/* Why an event may be acknowledged, see settle.h. */
typedef enum bridge_proof {
        BRIDGE_PROOF_NONE,
        BRIDGE_PROOF_ANSWER,      /* an answer was read whose verdict is OK */
        BRIDGE_PROOF_UNMATCHED,   /* it is none of the route's */
        BRIDGE_PROOF_PARKED,      /* a parked copy is confirmed, and was not returned */
        BRIDGE_PROOF_DEAD_LETTER, /* a dead letter is confirmed, and was not returned */
} bridge_proof;

/* What became of the attempts at one event, as far as they went. */
typedef struct bridge_attempts {
        unsigned n;             /* requests */
        unsigned counted;       /* those that count for max_attempts */
        unsigned doubted;       /* those that do not, see bridge_breaker_judge() */
        unsigned free_in_a_row; /* the last ones, which did not, see BRIDGE_FREE */
        bool maybe_delivered;   /* one of them may have reached the API, and its answer did not reach us */
        int64_t first_ms;       /* the time of day before the first one; 0: none was made */
        bridge_proof proof;
        int status;      /* of the last response; 0: there was none */
        char error[256]; /* what went wrong last, a sentence */
        char key[256];   /* Idempotency-Key; "": none */
} bridge_attempts;

/* Handle one event: returns CEL_HANDLED or CEL_PASSED_ON once it is settled, or CEL_REQUEUE when the bridge stops before that.
 * `route` is a bridge_route. */
int bridge_deliver(cel_ctx *ctx, const cel_notification *notification, void *route);

/* Handle a message that is no notification: it becomes a dead letter. Returns as above. */
int bridge_deliver_invalid(cel_ctx *ctx, const cel_message *message, const char *why, void *route);

/* Put a message into the route's dead-letter queue.
 * Waits:  until the broker has confirmed it, however long that takes, or the bridge stops. Returns
 *         CEL_PASSED_ON once it is confirmed, CEL_REQUEUE when the bridge stops before that. */
int bridge_dead_letter(cel_ctx *ctx, bridge_route *route, const cel_message *message, bridge_reason reason,
                       bridge_attempts *attempts);

/* The route's dead-letter queue: durable, on the default exchange.
 * Errors: as cel_transport_declare_queue(). */
int bridge_dead_letter_declare(cel_ctx *ctx, const bridge_route *route);

/* Wait after try number `n` to publish a copy, from 1 on: as the route waits between attempts, but for 30 s at most. Returns
 * true to go on, false when the bridge stops. */
bool bridge_back_off(cel_ctx *ctx, const bridge_route *route, unsigned n);

/* Evenly one of all values. */
uint32_t bridge_random(void);

/* The time of day in ms since 1970: for what outlives this process, or comes from another one. */
int64_t bridge_time_of_day_ms(void);

#endif
