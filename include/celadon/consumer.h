/* SPDX-License-Identifier: Apache-2.0
 *
 * A consumer: the messages of one queue as they are, whatever they hold, each settled by whoever took it. For
 * notifications and RPC there is more: <celadon/notification.h>, <celadon/rpc_server.h>.
 *
 *     cel_consumer_open(ctx, transport, &(cel_consumer_options){.queue = &queue, .prefetch = 100}, &consumer);
 *     while ((r = cel_consumer_receive(ctx, consumer, &delivery)) >= 0) {
 *             handle(cel_delivery_message(delivery));
 *             cel_delivery_settle(delivery, CEL_SETTLE_ACK);
 *     }
 *     cel_consumer_close(ctx, consumer);
 *
 * When the connection is lost, the bus gives all that is not settled to somebody else, or once more to this consumer, which
 * goes on by itself. */
#ifndef CELADON_CONSUMER_H
#define CELADON_CONSUMER_H

#include <celadon/transport.h>

typedef struct cel_consumer cel_consumer;
typedef struct cel_delivery cel_delivery;

/* What becomes of a message. */
typedef enum cel_settlement {
        CEL_SETTLE_ACK,     /* done with it: the bus forgets it */
        CEL_SETTLE_REQUEUE, /* back to the queue, for somebody else or this consumer again */
        CEL_SETTLE_REJECT,  /* to where the queue sends what nobody can handle, or to nowhere */
} cel_settlement;

typedef struct cel_consumer_options {
        const cel_queue *queue; /* declared as cel_transport_declare_queue() does; borrowed during the call */
        unsigned
                prefetch; /* deliveries that may be unsettled, 1 to 65,535; the URL's rabbit_qos_prefetch_count comes first */
} cel_consumer_options;

CEL_BEGIN

/* Consume a queue, now and after each reconnect. A consumer is for tasks of its transport's loop.
 * Owns:   *ret_consumer is yours; close it before the transport, which must outlive it.
 * Waits:  until the bus has agreed, the deadline or cancellation.
 * Errors: as cel_transport_declare_queue(); CEL_EINVAL (prefetch). */
CEL_API int cel_consumer_open(cel_ctx *ctx, cel_transport *transport, const cel_consumer_options *options,
                              cel_consumer **ret_consumer);

/* How many deliveries may be unsettled: when so many are, no more come. Never waits. */
CEL_API unsigned cel_consumer_prefetch(const cel_consumer *consumer);

/* Take the next message.
 * Owns:   *ret_delivery is yours until it is settled; it may be so after the consumer was closed.
 * Waits:  for a message, the deadline or cancellation; if one is there, it does not wait.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOSUPPORT (the ctx of another loop, or of a thread). */
CEL_API int cel_consumer_receive(cel_ctx *ctx, cel_consumer *consumer, cel_delivery **ret_delivery);

/* The same without waiting. On the consumer's loop.
 * Errors: CEL_EAGAIN: none is there. */
CEL_API int cel_consumer_try_receive(cel_consumer *consumer, cel_delivery **ret_delivery);

/* Consume no more. What nobody has received goes back to the queue, and so does what was received and is not settled: that
 * is too late then, but still to be done.
 * Owns:   takes `consumer`, whatever it returns.
 * Waits:  until the bus has agreed, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ECLOSED: the bus may not have taken the last settlements. */
CEL_API int cel_consumer_close(cel_ctx *ctx, cel_consumer *consumer);

/* The message, borrowed from the delivery; NULL: its header or properties cannot be read, or it is too large, or
 * cel_delivery_drop_message() has dropped it. */
CEL_API const cel_message *cel_delivery_message(const cel_delivery *delivery);

/* Free the message and keep the rest: for what is to be held for long. Never waits. */
CEL_API void cel_delivery_drop_message(cel_delivery *delivery);

/* Is it too late to settle it, because the connection that it came on is gone? Never waits; from any thread. */
CEL_API bool cel_delivery_is_stale(const cel_delivery *delivery);

/* Settle it.
 * Owns:   takes `delivery`, whatever it returns.
 * Waits:  never; from any thread.
 * Errors: CEL_ECLOSED: too late, the message goes to somebody else. */
CEL_API int cel_delivery_settle(cel_delivery *delivery, cel_settlement how);

CEL_END

#endif
