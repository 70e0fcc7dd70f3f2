/* SPDX-License-Identifier: Apache-2.0
 *
 * A driver: what a transport is made of, as one table of functions. Each takes the bus that open() made, or a
 * subscription that subscribe() made. The table can be written for another bus from this header alone.
 *
 * "As cel_x()" means: the same contract as that public call. */
#ifndef CEL_DRIVER_DRIVER_H
#define CEL_DRIVER_DRIVER_H

#include "wire/settlement.h"
#include "wire/url.h"

#include <celadon/transport.h>

typedef struct cel__driver cel__driver;

/* What the bus knows a delivery by. Two deliveries of the same message may swap theirs. */
typedef struct cel__ticket {
        void *channel;
        uint64_t tag;
        unsigned incarnation;
} cel__ticket;

/* A message off a queue, until it is settled. */
typedef struct cel__delivery {
        const cel_message *message; /* NULL: it cannot be read at all, and `refused` says why; reject it */
        const char *refused;        /* static */
        const char *queue;          /* where it comes from, "" if unknown; valid during on_delivery */

        /* The driver's. */
        void *content;
        cel__ticket ticket;
} cel__delivery;

typedef struct cel__subscription_options {
        const cel_queue *queues; /* declared, with what the URL says about queues; then consumed; copied */
        unsigned queues_n;
        unsigned
                prefetch; /* deliveries that may be unsettled, for each queue, at most 65,535; 0: any number */
        /* They are one service's, and there may be thousands of such: spend no more of what the bus has few of (channels)
         * than on one queue. When the bus refuses one of them after a reconnect, the others are interrupted each time it
         * is tried again. */
        bool sparing;
        /* Called on the loop outside any task: must not wait. Takes what `delivery` holds, by copying the
         * struct. */
        void (*on_delivery)(void *arg, const cel__delivery *delivery);
        void *arg; /* borrowed until unsubscribe */
} cel__subscription_options;

/* What the URL says about how queues and messages are to be, for those who declare and send some. "Transient" are queues of
 * one process: those for replies and, unless they are streams, those for fanout casts. */
typedef struct cel__driver_settings {
        bool durable, auto_delete; /* shared queues and their exchanges */
        cel_headers *arguments;    /* of shared queues; lives as long as the bus; NULL: none */
        bool transient_durable;    /* transient queues, and fanout exchanges */
        bool transient_kept;       /* their names come back at the next start: they are not to be deleted */
        cel_headers *transient_arguments; /* likewise */
        unsigned transient_expires_ms;    /* 0: never */
        bool fanout_stream;            /* a topic's servers share one fanout queue, named as its exchange */
        cel_headers *fanout_arguments; /* likewise */
        unsigned fanout_expires_ms;
        unsigned prefetch;              /* what subscribe() takes instead of its options'; 0: nothing */
        int64_t missing_reply_queue_ms; /* for how long to try to reply to a queue that is not there */
        bool reply_mandatory;           /* find out whether a reply has reached its queue */
        const struct cel__compression *compression; /* of what is sent; NULL: none */
} cel__driver_settings;

struct cel__driver {
        const char *scheme;

        /* Could this URL be opened, as far as its text tells?
         * Errors: CEL_EINVAL: `why` is a sentence. */
        int (*check)(const cel__url *url, char *why, size_t why_bytes);

        /* Open a bus on the ctx's loop; connecting goes on in the background. Waits: never. Owns: `url` is
         * borrowed: cel__url_ref() to keep it.
         * Errors: CEL_EINVAL (an option or a file: the ctx has the text), CEL_ENOMEM. */
        int (*open)(cel_ctx *ctx, cel__url *url, void **ret_bus);

        const cel__driver_settings *(*settings)(void *bus); /* borrowed; NULL: it has none, defaults hold */

        int (*ready)(cel_ctx *ctx, void *bus); /* as cel_transport_ready() */

        /* Wait until the bus is connected, or so many attempts to connect have failed: `*attempts` is counted down; NULL:
         * any number. From any ctx. NULL: it is always connected.
         * Errors: what the last attempt failed with (CEL_ECONNECT and others); what cel_transport_ready() says of a bus that
         *         refuses, if it has never been connected; CEL_ECLOSED, CEL_ETIMEDOUT, CEL_ECANCELED. */
        int (*await_up)(cel_ctx *ctx, void *bus, unsigned *attempts);

        /* Has it been connected again a moment ago, so that its peers may be about to be, and their queues to be there? From
         * any thread; NULL: never. */
        bool (*is_settling)(void *bus);

        void (*close)(cel_ctx *ctx, void *bus); /* as cel_transport_close() */
        void (*free)(void *bus);                /* as cel_transport_free() */

        int (*declare)(cel_ctx *ctx, void *bus,
                       const cel_queue *queue);            /* as cel_transport_declare_queue() */
        void (*forget)(void *bus, const cel_queue *queue); /* as cel_transport_forget_queue() */
        int (*publish)(cel_ctx *ctx, void *bus, const cel_message *message,
                       unsigned flags); /* as cel_publish() */

        /* Name a transient queue: `prefix` and what nobody else has, now or, if such queues are kept, at the next start.
         * NULL: a random name will do. Waits: for other processes that name one.
         * Errors: CEL_ESYSTEM (the ctx has the text), CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM. */
        int (*name_queue)(cel_ctx *ctx, void *bus, const char *prefix, char *name, size_t name_bytes);

        /* Consume some queues. Waits: until the bus has agreed.
         * Errors: as declare, await_up; CEL_ENOSUPPORT (the ctx of another loop, or of a thread); nothing is left behind then. */
        int (*subscribe)(cel_ctx *ctx, void *bus, const cel__subscription_options *options,
                         void **ret_subscription);

        /* No delivery comes after this returned; what is unsettled can still be settled. Waits: until the bus
         * has agreed. */
        int (*stop)(cel_ctx *ctx, void *subscription);

        /* Delete one of the subscription's queues, which is this process's own. Never waits. */
        void (*delete_queue)(void *subscription, const char *queue);

        /* Forget the subscription: whatever is unsettled goes back, and is still to be settled. Never waits. */
        void (*unsubscribe)(void *subscription);

        /* Is it too late to settle it? The bus has given it to somebody else then, or will. */
        bool (*is_stale)(const cel__delivery *delivery);

        /* Free the message; what is left can be settled. Never waits. */
        void (*drop_message)(cel__delivery *delivery);

        /* Settle a delivery and free what it holds. Never waits.
         * Errors: CEL_ECLOSED: too late, the bus has given it to somebody else. */
        int (*settle)(cel__delivery *delivery, cel__settlement how);
};

extern const cel__driver cel__rabbit_driver;

/* Name a transient queue: driver->name_queue(), or `prefix` and a random id. */
int cel__driver_name_queue(cel_ctx *ctx, const cel__driver *driver, void *bus, const char *prefix, char *name,
                           size_t name_bytes);

/* As driver->publish(), compressed if the URL says so: for what others of the library made. */
int cel__driver_publish(cel_ctx *ctx, const cel__driver *driver, void *bus, const cel_message *message,
                        unsigned flags);

typedef struct cel__loop cel__loop;

/* A transport on a bus that is open already, on this loop.
 * Owns:   *ret_transport is yours, and takes `bus`.
 * Errors: CEL_ENOMEM: `bus` is still yours. */
int cel__transport_new(const cel__driver *driver, void *bus, cel__loop *loop, cel_transport **ret_transport);

/* The driver and the bus behind a transport, for the parts of the library that use them. */
const cel__driver *cel__transport_driver(const cel_transport *transport);
void *cel__transport_bus(const cel_transport *transport);
cel__loop *cel__transport_loop(const cel_transport *transport);
struct cel__errands *cel__transport_errands(const cel_transport *transport); /* borrowed */
const cel__driver_settings *cel__transport_settings(const cel_transport *transport);

/* Keep the bus until it is released, also when the transport is closed or freed meanwhile: for tasks that use it,
 * and are told to end by then. On the loop. */
void cel__transport_hold(cel_transport *transport);
void cel__transport_release(cel_transport *transport);

/* What a layer above keeps with a transport. `on_close` is called once, on the loop, before the bus is gone: it
 * must not wait. */
typedef struct cel__transport_part {
        void (*on_close)(struct cel__transport_part *part);
} cel__transport_part;

/* The part, or NULL; put one there, unless there is one: returns which one is there then. From any thread. */
cel__transport_part *cel__transport_get_part(cel_transport *transport);
cel__transport_part *cel__transport_set_part(cel_transport *transport, cel__transport_part *part);

#endif
