/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP request of an event: made once, completed anew for each attempt. */
#ifndef CELADON_BRIDGE_REQUEST_H
#define CELADON_BRIDGE_REQUEST_H

#include "bridge/config.h"

#include <celadon/notification.h>

enum {
        BRIDGE_KEY_BYTES_MAX = 255,
        BRIDGE_WHY_BYTES = 256, /* room for a sentence that says why no request can be made */
};

typedef struct bridge_request bridge_request;

/* One attempt, as far as its request tells of it. */
typedef struct bridge_attempt {
        unsigned n;           /* from 1 on */
        int64_t first_ms;     /* when the first one was made, since 1970; 0: this is it, or nobody knows */
        bool redelivered;     /* the event had been delivered before */
        bool maybe_delivered; /* an earlier attempt may have reached the server */
} bridge_attempt;

/* The key by which the API server recognises a second copy: the same for every attempt and every redelivery;
 * "" if the event has none.
 * Errors: CEL_EINVAL when it cannot be a header's value. */
int bridge_request_key(const cel_notification *event, char ret_key[BRIDGE_KEY_BYTES_MAX + 1]);

/* Make all of an event's request that is the same for each attempt.
 * Owns:   *ret_request is yours; free it with bridge_request_free(). It borrows `route`, `event` and `key`.
 * Errors: CEL_EINVAL: no request can be made of this event, and `why` is the reason, a sentence without any secret; CEL_ENOMEM. */
int bridge_request_new(const bridge_route_config *route, const cel_notification *event, const char *key,
                       char why[BRIDGE_WHY_BYTES], bridge_request **ret_request);

/* Complete it for one attempt: *ret_http is ready to be sent, and good until the next call.
 * Errors: CEL_ENOMEM. */
int bridge_request_complete(bridge_request *request, const bridge_attempt *attempt,
                            cel_http_request *ret_http);

bridge_request *bridge_request_free(bridge_request *request);

CEL_AUTO_WITH(bridge_request, bridge_request_free)

#endif
