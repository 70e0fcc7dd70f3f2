/* SPDX-License-Identifier: Apache-2.0
 *
 * One AMQP 0-9-1 connection that keeps itself up.
 *
 * It connects, reconnects and restores by itself: what was declared and consumed is declared and consumed
 * again. It belongs to one loop; publishing and settling may come from any thread.
 *
 *     cel__amqp_open(ctx, &options, &amqp);
 *     cel__amqp_channel_open(ctx, amqp, &(cel__amqp_channel_options){.confirms = true}, &channel);
 *     cel__amqp_publish(ctx, channel, &message, CEL_PUBLISH_MANDATORY);
 */
#ifndef CEL_AMQP_AMQP_H
#define CEL_AMQP_AMQP_H

#include "wire/content.h"
#include "wire/settlement.h"
#include "wire/url.h"

#include <celadon/transport.h>

typedef struct cel__amqp cel__amqp;
typedef struct cel__amqp_channel cel__amqp_channel;

typedef enum cel__amqp_login { CEL__AMQP_AMQPLAIN, CEL__AMQP_PLAIN, CEL__AMQP_EXTERNAL } cel__amqp_login;

/* When to connect again, and to which host. */
typedef struct cel__amqp_retry {
        /* Wait as oslo.messaging does: `delay_ms` before each attempt, and after each round over all hosts `interval_ms`, each
         * time by `interval_step_ms` more, at most `interval_ms_max`. Else as Celadon does: soon. */
        bool scheduled;
        int64_t delay_ms, interval_ms, interval_step_ms, interval_ms_max;
        int64_t splay_ms; /* up to so much longer, by chance: not everybody at once */
        bool shuffle;     /* the next host is any other; else they have their turns */
} cel__amqp_retry;

typedef struct cel__amqp_options {
        cel__url *url;    /* taken, also on failure: hosts, credentials, virtual host */
        const char *name; /* copied; the connection's name, as the broker and the logs show it */
        cel__amqp_login login;
        bool tls;
        const char *ca_file, *cert_file, *key_file; /* borrowed during the call */
        unsigned heartbeat_s;                       /* 0: none */
        cel__amqp_retry retry;
        size_t body_bytes_max; /* a message with a larger body is given back to its queue's dead letters */
} cel__amqp_options;

/* A message off a queue. `content` is the receiver's, who settles the delivery in the end. */
typedef struct cel__amqp_delivery {
        cel__content *content; /* owned; NULL for a message that cannot be read: then `refused` says why */
        const char *refused;
        const char *queue;          /* where it comes from; valid during the callback */
        cel__amqp_channel *channel; /* borrowed */
        unsigned incarnation;       /* of the channel: a tag means nothing to a later one */
        uint64_t tag;
} cel__amqp_delivery;

typedef struct cel__amqp_channel_options {
        bool confirms;     /* for publishing */
        uint16_t prefetch; /* for consuming: deliveries that may be unsettled, for each consumer; 0: no limit
                            */
        bool durable_optional; /* what exists and is not durable is declared so, with a warning, as oslo.messaging does */
        /* Called on the loop, outside any task: must not wait. */
        void (*on_delivery)(void *arg, cel__amqp_delivery *delivery);
        void *arg; /* borrowed */
} cel__amqp_channel_options;

/* Open a connection on the ctx's loop. Connecting goes on in the background.
 * Errors: CEL_EINVAL (a TLS file; the ctx has the text), CEL_ENOMEM. */
int cel__amqp_open(cel_ctx *ctx, const cel__amqp_options *options, cel__amqp **ret_amqp);

/* As cel_transport_ready(). */
int cel__amqp_ready(cel_ctx *ctx, cel__amqp *amqp);

/* As driver->await_up(). From any thread. */
int cel__amqp_await_up(cel_ctx *ctx, cel__amqp *amqp, unsigned *attempts);

/* As driver->is_settling(). From any thread. */
bool cel__amqp_is_settling(cel__amqp *amqp);

/* Take leave, at most 2 s, and free it with all its channels. */
void cel__amqp_close(cel_ctx *ctx, cel__amqp *amqp);

/* Free at once: waiting calls return CEL_ECLOSED, as later ones do for whoever holds a reference. Never waits. */
cel__amqp *cel__amqp_free(cel__amqp *amqp);

/* Whoever uses a connection or a channel of it holds a reference: the owner, who closes or frees it; the supervisor; each
 * subscription; each delivery until it is settled; a letter on its way; each call that waits. From any thread. */
cel__amqp *cel__amqp_ref(cel__amqp *amqp);
cel__amqp *cel__amqp_unref(cel__amqp *amqp);

/* A channel. It is opened, and opened again, by the connection.
 * Errors: CEL_ENOMEM, CEL_EFULL, CEL_ENOSUPPORT (the ctx of another loop, or of a thread). */
int cel__amqp_channel_open(cel_ctx *ctx, cel__amqp *amqp, const cel__amqp_channel_options *options,
                           cel__amqp_channel **ret_channel);

/* Close it, which has no confirms; its consumers end, what was not settled goes back to the queues. Then its number, and its
 * memory, are another's. Never waits. */
void cel__amqp_channel_close(cel__amqp_channel *channel);

/* Declare a queue, its exchange and its binding, now and after each reconnect. As
 * cel_transport_declare_queue(). */
int cel__amqp_declare(cel_ctx *ctx, cel__amqp_channel *channel, const cel_queue *queue);

/* Declare it no more after reconnects; whoever waits for it gets CEL_ECLOSED. The queue stays. Never waits. */
void cel__amqp_forget(cel__amqp_channel *channel, const cel_queue *queue);

/* Consume `queue`, now and after each reconnect, once all declarations of it on this channel are done. `arguments` are the
 * consumer's; NULL: none. With "x-stream-offset" it reads a stream from there, and after a reconnect from the first message
 * that was not settled, unless the broker itself ended the consumer; a channel has one such consumer.
 * Errors: as cel__amqp_declare(), CEL_ENOTFOUND. */
int cel__amqp_consume(cel_ctx *ctx, cel__amqp_channel *channel, const char *queue,
                      const cel_headers *arguments);

/* Delete a queue that is this process's own, if the channel is open. Never waits. */
void cel__amqp_delete_queue(cel__amqp_channel *channel, const char *queue);

/* Stop consuming, all queues of the channel; deliveries under way can still be settled.
 * Waits: until the broker has agreed: no delivery comes after that. */
int cel__amqp_cancel_consumers(cel_ctx *ctx, cel__amqp_channel *channel);

/* As cel_publish(). `channel` has confirms. */
int cel__amqp_publish(cel_ctx *ctx, cel__amqp_channel *channel, const cel_message *message, unsigned flags);

/* Has the channel that a delivery came on gone? Then it cannot be settled any more. From any thread. */
bool cel__amqp_is_stale(const cel__amqp_delivery *delivery);

/* Settle a delivery, once, whether it is stale or not: the connection is kept for that. From any thread; never waits.
 * Errors: CEL_ECLOSED when the channel it came on is gone: the broker has given the message to somebody else
 *         by then. */
int cel__amqp_settle(const cel__amqp_delivery *delivery, cel__settlement how);

#endif
