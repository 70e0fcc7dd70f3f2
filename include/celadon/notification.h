/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening for oslo.messaging notifications. */
#ifndef CELADON_NOTIFICATION_H
#define CELADON_NOTIFICATION_H

#include <celadon/transport.h>
#include <jansson.h>

typedef struct cel_notification_listener cel_notification_listener;

/* One notification. Everything is borrowed and lives until the handler returns. A string that the sender left
 * out is "". */
typedef struct cel_notification {
        const char *publisher_id;
        const char *event_type;
        const char *priority; /* as sent: oslo sends upper case */
        const char *message_id;
        const char *timestamp; /* as sent: UTC without a zone, "2026-05-13 12:53:00.123456" */
        const json_t *payload; /* NULL if there was none */
        const json_t *message; /* the whole notification: an object, the keys above and _context_* included */
        const char *text; /* the same as JSON text, byte for byte as it was sent, without oslo's envelope */
        size_t text_bytes;
        const cel_message
                *raw; /* what came off the queue: its body has the envelope, and may be compressed */
} cel_notification;

/* What a handler returns, if not a negative error. */
enum {
        CEL_HANDLED = 0, /* settle the message: it is acknowledged */
        CEL_REQUEUE = 1, /* give it back to the queue, if the listener allows it */
};

/* Handles one notification in a task of its own. Returns CEL_HANDLED or CEL_REQUEUE; a negative error counts as
 * CEL_REQUEUE, and is logged. If the listener does not allow requeueing, CEL_REQUEUE counts as CEL_HANDLED: the message is
 * gone (oslo's rule; a warning says so). CEL_ECANCELED gives the message back in any case. */
typedef int (*cel_notification_fn)(cel_ctx *ctx, const cel_notification *notification, void *arg);

/* Handles a message that is no notification; `why` is a sentence. Returns as above. */
typedef int (*cel_invalid_message_fn)(cel_ctx *ctx, const cel_message *message, const char *why, void *arg);

typedef struct cel_notification_listener_options {
        const char *exchange;          /* the sender's control exchange; NULL: "openstack" */
        const char *const *topics;     /* NULL-terminated; NULL: {"notifications"} */
        const char *const *priorities; /* NULL-terminated, lower case; NULL: all seven of oslo.messaging */
        const char *pool; /* a queue of one's own, which gets a copy of everything; NULL: the shared queues */
        /* amqp_durable_queues of the senders: the two must agree; or as the URL says. A queue that exists and is not durable
         * is listened to all the same, with a warning; false for one that is durable is CEL_ECONFLICT. */
        bool durable;
        bool auto_delete;   /* amqp_auto_delete of the senders: likewise */
        bool allow_requeue; /* oslo.messaging's allow_requeue */
        /* Handlers at once, 1 to 65,535; 0: 64. The bus sends at most twice as many messages ahead, from each
         * queue; one that has waited for a handler for 5 minutes is given back. */
        unsigned concurrency;
        /* Bytes of the messages that are here and not settled; 0: 256 MiB. What comes beyond is not kept, but given back
         * once there is room; one message is always taken. */
        size_t bytes_max;
        cel_notification_fn on_notification;
        /* NULL: a message that is no notification is rejected without requeue (oslo's rule), and logged. */
        cel_invalid_message_fn on_invalid;
        void *arg; /* borrowed, passed to both */
} cel_notification_listener_options;

CEL_BEGIN

/* Start listening: declare exchange, queues and bindings as oslo.messaging does, and consume.
 * Owns:   *ret_listener is yours; close it. `options` and its strings are copied; `transport` is borrowed.
 * Waits:  until the bus has accepted the consumers, the deadline or cancellation.
 * Errors: as cel_transport_declare_queue(); CEL_EINVAL. */
CEL_API int cel_notification_listener_open(cel_ctx *ctx, cel_transport *transport,
                                           const cel_notification_listener_options *options,
                                           cel_notification_listener **ret_listener);

/* Stop intake, give back what no handler has begun, and wait for the handlers that run. When the ctx's
 * deadline passes or it is cancelled, they are cancelled and their messages given back unless they return
 * CEL_HANDLED. Then free the listener.
 * Waits:  for the handlers.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED when handlers had to be cancelled; CEL_ENOSUPPORT (the ctx of another loop, or of a
 *         thread): the listener is as it was. */
CEL_API int cel_notification_listener_close(cel_ctx *ctx, cel_notification_listener *listener);

/* Handlers that run now. */
CEL_API unsigned cel_notification_listener_running(const cel_notification_listener *listener);

CEL_END

#endif
