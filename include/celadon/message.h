/* SPDX-License-Identifier: Apache-2.0
 *
 * A message: an address, properties (AMQP 0-9-1, class basic) and a body. All pointers are borrowed: whoever
 * fills the struct keeps what they point to alive; in a message that was received, they live as long as the
 * delivery. */
#ifndef CELADON_MESSAGE_H
#define CELADON_MESSAGE_H

#include <celadon/headers.h>

typedef struct cel_message {
        const char *exchange;    /* "" or NULL: the default exchange, which routes to the queue named by the
                                    routing key */
        const char *routing_key; /* at most 255 bytes, as every string here; NULL counts as "" */

        /* Properties; NULL or, for numbers, a false has_x: not present. */
        const char *content_type;
        const char *content_encoding;
        const cel_headers *headers;
        const char *correlation_id;
        const char *reply_to;
        const char *expiration; /* milliseconds in decimal */
        const char *message_id;
        const char *type;
        const char *user_id;
        const char *app_id;
        uint64_t timestamp;    /* seconds since 1970 */
        uint8_t delivery_mode; /* 0: not present, 1: transient, 2: persistent */
        uint8_t priority;
        bool has_timestamp;
        bool has_priority;

        const void *body;
        size_t body_bytes;

        /* Received messages only. */
        const char *queue; /* where it was consumed from; NULL if the driver cannot tell */
        bool redelivered;  /* it was delivered before and not settled */
} cel_message;

#endif
