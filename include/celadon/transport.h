/* SPDX-License-Identifier: Apache-2.0
 *
 * A transport: the way to one message bus, chosen by a URL.
 *     rabbit://user:password@host1:5672,host2:5672/vhost?option=value
 * It connects by itself, reconnects by itself, and restores what was declared and consumed.
 *
 * Options are those of oslo.messaging's [oslo_messaging_rabbit] group, all of them, under their own names; an unknown name is
 * an error, and what changes nothing here is told in the log (TRANSPORT-OPTION-UNUSED). Those about queues must be those of the
 * peers. They are for what listeners, notifiers and RPC declare and send; what cel_transport_declare_queue() and
 * cel_publish() are given is declared and sent as it is. */
#ifndef CELADON_TRANSPORT_H
#define CELADON_TRANSPORT_H

#include <celadon/ctx.h>
#include <celadon/message.h>

typedef struct cel_transport cel_transport;

typedef enum cel_publish_flags {
        CEL_PUBLISH_MANDATORY = 1, /* fail with CEL_EUNROUTABLE when no queue takes the message */
} cel_publish_flags;

/* For options that say how often to send again. */
enum {
        CEL_RETRY_FOREVER = -1,
        CEL_RETRY_NEVER = -2,
};

/* A queue and, unless `exchange` is NULL, its binding to a topic exchange, declared too. */
typedef struct cel_queue {
        const char *name; /* NULL: no queue, only the exchange */
        const char *exchange;
        const char *binding_key;
        bool durable;
        bool auto_delete;
        bool fanout; /* the exchange is a fanout exchange, and is gone with its last queue; `auto_delete` is the
                        queue's alone */
        unsigned expires_ms;          /* delete the queue when nobody has used it for so long; 0: never */
        const cel_headers *arguments; /* of the queue, such as "x-queue-type"; NULL: none */
} cel_queue;

CEL_BEGIN

/* Could this URL be opened? Looks at its text only: at no file that it names, at no bus.
 * Waits:  never.
 * Errors: CEL_EINVAL (the URL or one of its options), CEL_ENOSUPPORT (the scheme), CEL_ENOMEM; `why` is then a
 *         sentence, in which the password never appears. */
CEL_API int cel_transport_check_url(const char *url, char *why, size_t why_bytes);

/* Open a transport on the ctx's loop. Any ctx may publish; all else is for tasks of that loop: consuming and declaring from
 * elsewhere is CEL_ENOSUPPORT, closing and freeing aborts. Connecting goes on in the background; a bus that is down is no
 * error here.
 * Owns:   *ret_transport is yours. `url` is copied; its password never appears in a log or an error.
 * Waits:  never.
 * Errors: as cel_transport_check_url(); CEL_EINVAL (a file that the URL names), CEL_ENOSUPPORT (a thread's
 *         ctx). */
CEL_API int cel_transport_open(cel_ctx *ctx, const char *url, cel_transport **ret_transport);

/* Wait until the transport is connected.
 * Waits:  until it is, until the bus refuses the credentials or the virtual host, the deadline or
 *         cancellation.
 * Errors: CEL_EAUTH, CEL_EACCESS, CEL_ETLS (certificate), CEL_ETIMEDOUT (the text has the last failure),
 *         CEL_ECANCELED. */
CEL_API int cel_transport_ready(cel_ctx *ctx, cel_transport *transport);

/* Take leave of the bus: flush, close, free. Listeners are closed before: a transport that ends under an open listener
 * aborts.
 * Waits:  until the bus has answered, at most 2 seconds.
 * Errors: none that matter: when it returns, the transport is gone. */
CEL_API void cel_transport_close(cel_ctx *ctx, cel_transport *transport);

/* Free at once, without a goodbye. Never waits; waiting calls of other tasks, one that opens a listener among them, return
 * CEL_ECLOSED. */
CEL_API cel_transport *cel_transport_free(cel_transport *transport);

/* Declare `queue` (and its exchange and binding), now and again after each reconnect.
 * Waits:  for the bus, the deadline or cancellation.
 * Errors: CEL_ECONFLICT (exists with other settings: the text has the bus's own words), CEL_EACCESS,
 *         CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ECLOSED, CEL_EFULL (1,024 are remembered: see cel_transport_forget_queue()),
 *         CEL_ENOSUPPORT (the ctx of another loop, or of a thread), CEL_ENOMEM. */
CEL_API int cel_transport_declare_queue(cel_ctx *ctx, cel_transport *transport, const cel_queue *queue);

/* Declare `queue` no more after reconnects: what is said here is what was said when it was declared. A transport remembers
 * at most 1,024 of them. The queue itself stays; whoever waits for its declaration gets CEL_ECLOSED. Never waits. */
CEL_API void cel_transport_forget_queue(cel_transport *transport, const cel_queue *queue);

/* Are the queues durable that listeners, notifiers and RPC servers declare, unless they are told otherwise: does the URL say
 * amqp_durable_queues or rabbit_quorum_queue? Never waits. */
CEL_API bool cel_transport_is_durable(const cel_transport *transport);

/* Publish one message and wait until the bus has confirmed it.
 * Owns:   all of `message` is borrowed until this returns.
 * Waits:  for a connection, for the confirmation, the deadline or cancellation.
 * Errors: CEL_EUNROUTABLE (with CEL_PUBLISH_MANDATORY), CEL_ENACK; what the bus refuses, with its own words: CEL_ENOTFOUND
 *         (no such exchange), CEL_EACCESS, CEL_ECONFLICT (a property that it does not take), CEL_ETOOBIG; CEL_EUNKNOWN when
 *         the connection broke before the confirmation, or the bus refused one of several messages without saying which,
 *         and CEL_ETIMEDOUT or CEL_ECANCELED when the wait ended first: the message may then have arrived or not;
 *         CEL_EINVAL (a string over 255 bytes), CEL_ECLOSED, CEL_ENOMEM: it did not. */
CEL_API int cel_publish(cel_ctx *ctx, cel_transport *transport, const cel_message *message, unsigned flags);

CEL_END

CEL_AUTO_WITH(cel_transport, cel_transport_free)

#endif
