/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening for oslo.messaging notifications. */
#ifndef CELADON_NOTIFICATION_H
#define CELADON_NOTIFICATION_H

#include <celadon/serializer.h>
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
        const char *text;      /* its JSON text, byte for byte as it was sent, without oslo's envelope */
        size_t text_bytes;
        const cel_message
                *raw; /* what came off the queue: its body has the envelope, and may be compressed */
} cel_notification;

/* What a handler returns, if not a negative error. */
enum {
        CEL_HANDLED = 0, /* settle the message: it is acknowledged */
        CEL_REQUEUE = 1, /* give it back to the queue, if the listener allows it */
        /* Acknowledge it, but do not remember it as handled: a copy went elsewhere and may come back, even redelivered. */
        CEL_PASSED_ON = 2,
};

/* Handles one notification in a task of its own. Returns one of the above; a negative error counts as
 * CEL_REQUEUE, and is logged. If the listener does not allow requeueing, CEL_REQUEUE counts as CEL_HANDLED: the message is
 * gone (oslo's rule; a warning says so). CEL_ECANCELED gives the message back in any case. */
typedef int (*cel_notification_fn)(cel_ctx *ctx, const cel_notification *notification, void *arg);

/* The same for several of one priority, `n` of them, at least one. What it returns goes for all of that priority in the
 * batch: for what other endpoints want of it, too. */
typedef int (*cel_notification_batch_fn)(cel_ctx *ctx, const cel_notification *const *notifications,
                                         unsigned n, void *arg);

/* Handles a message that is no notification; `why` is a sentence. Returns as above. */
typedef int (*cel_invalid_message_fn)(cel_ctx *ctx, const cel_message *message, const char *why, void *arg);

/* A member of an object, and the regular expression for its value. */
typedef struct cel_member_pattern {
        const char *name; /* NULL ends a list */
        const char *pattern;
} cel_member_pattern;

/* oslo.messaging's NotificationFilter: a notification passes if each expression that is given matches. An expression
 * matches from the beginning of a string on, as Python's re.match() does, "$" being the end; what is missing or no string,
 * such as a number, does not match. The language is PCRE2's with Unicode, which reads what Python reads; only \Z is \z there,
 * and \u0041 is \x{41}. What takes more than 100,000 steps does not match, and is logged. */
typedef struct cel_notification_filter {
        const char *publisher_id, *event_type; /* NULL: any */
        const cel_member_pattern *context;  /* such as "project_id", sent as _context_project_id; NULL: any */
        const cel_member_pattern *metadata; /* "message_id", "timestamp" */
        const cel_member_pattern *payload;  /* at its top level */
} cel_notification_filter;

/* Who handles what; a notification goes to each endpoint that wants it, in their order, until one gives it back. What none
 * wants is settled at once. */
typedef struct cel_notification_endpoint {
        const char *const *priorities;         /* NULL-terminated; NULL: all */
        const cel_notification_filter *filter; /* NULL: everything */
        cel_notification_fn on_notification;   /* one of the two, as the listener has batches or not */
        cel_notification_batch_fn on_batch;
        void *arg; /* borrowed */
} cel_notification_endpoint;

typedef struct cel_notification_target {
        const char *exchange; /* the sender's control exchange; NULL: "openstack" */
        const char *topic;    /* NULL: "notifications" */
} cel_notification_target;

typedef struct cel_notification_listener_options {
        const char *exchange;                   /* the sender's control exchange; NULL: "openstack" */
        const char *const *topics;              /* NULL-terminated; NULL: {"notifications"} */
        const cel_notification_target *targets; /* instead of the two, when exchanges differ */
        unsigned targets_n;
        /* Which to listen to: NULL-terminated, lower case; NULL: those of the endpoints, or all seven of oslo.messaging. */
        const char *const *priorities;
        const char *pool; /* a queue of one's own, which gets a copy of everything; NULL: the shared queues */
        /* amqp_durable_queues of the senders: the two must agree; or as the URL says. A queue that exists and is not durable
         * is listened to all the same, with a warning; false for one that is durable is CEL_ECONFLICT. */
        bool durable;
        bool auto_delete;   /* amqp_auto_delete of the senders: likewise */
        bool allow_requeue; /* oslo.messaging's allow_requeue */
        /* Handlers at once, 1 to 65,535; 0: 64, or 1 of batches. The bus sends at most twice as many messages ahead as these
         * can have, from each queue; one that has waited for a handler for 5 minutes is given back. */
        unsigned concurrency;
        /* oslo.messaging's batch listener: a handler gets as many messages at once, 1 to 10,000, or fewer when
         * batch_timeout_ms have passed since the first came (0, or more than 5 minutes: those), or when there is no room for
         * another one. A batch is handled priority by priority; what no endpoint wants is not in it. 0: no batches. */
        unsigned batch_size;
        int64_t batch_timeout_ms;
        /* Bytes of the messages that are here and not settled; 0: 256 MiB. What comes beyond is not kept, but given back
         * once there is room; one message is always taken. */
        size_t bytes_max;
        /* Who handles them: endpoints, or for all alike on_notification, or on_batch. */
        const cel_notification_endpoint *endpoints; /* at most 64; copied */
        unsigned endpoints_n;
        cel_notification_fn on_notification;
        cel_notification_batch_fn on_batch;
        /* NULL: a message that is no notification is rejected without requeue (oslo's rule), and logged. */
        cel_invalid_message_fn on_invalid;
        void *arg; /* borrowed, passed to these three */
        /* What is made of the context and then of the payload before filters and handlers see them; copied; NULL: nothing. It
         * works in the handler's task: what it fails with, that handler has failed with. With it, what no filter lets pass
         * has a place in its batch. */
        const cel_serializer *serializer;
} cel_notification_listener_options;

CEL_BEGIN

/* Start listening: declare exchange, queues and bindings as oslo.messaging does, and consume.
 * Owns:   *ret_listener is yours; close it. `options` and its strings are copied; `transport` is borrowed.
 * Waits:  until the bus has accepted the consumers, the deadline or cancellation.
 * Errors: as cel_transport_declare_queue(); CEL_EINVAL (an expression of a filter, too: the text says where). */
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

/* Begin no handler any more, until cel_notification_listener_resume(); those that run go on. The bus sends no more than it
 * may send ahead, see `concurrency`. What has waited for 5 minutes is handed to a handler all the same, if fewer than
 * `concurrency` run, and is not given back: it would come again at once, and after some times brokers drop what is given
 * back (RabbitMQ's delivery limit). The handler can put it elsewhere. For a task of the listener's loop. Never waits. */
CEL_API void cel_notification_listener_pause(cel_notification_listener *listener);
CEL_API void cel_notification_listener_resume(cel_notification_listener *listener);

/* Handlers that run now. */
CEL_API unsigned cel_notification_listener_running(const cel_notification_listener *listener);

CEL_END

#endif
