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
        const cel_queue *queues; /* declared (if `declare`), then consumed, in this order; copied */
        unsigned queues_n;
        unsigned prefetch; /* deliveries that may be unsettled, for each queue, 1 to 65,535 */
        /* Called on the loop outside any task: must not wait. Takes what `delivery` holds, by copying the
         * struct. */
        void (*on_delivery)(void *arg, const cel__delivery *delivery);
        void *arg; /* borrowed until unsubscribe */
} cel__subscription_options;

struct cel__driver {
        const char *scheme;

        /* Could this URL be opened, as far as its text tells?
         * Errors: CEL_EINVAL: `why` is a sentence. */
        int (*check)(const cel__url *url, char *why, size_t why_bytes);

        /* Open a bus on the ctx's loop; connecting goes on in the background. Waits: never. Owns: `url` is
         * borrowed: cel__url_ref() to keep it.
         * Errors: CEL_EINVAL (an option or a file: the ctx has the text), CEL_ENOMEM. */
        int (*open)(cel_ctx *ctx, cel__url *url, void **ret_bus);

        int (*ready)(cel_ctx *ctx, void *bus);  /* as cel_transport_ready() */
        void (*close)(cel_ctx *ctx, void *bus); /* as cel_transport_close() */
        void (*free)(void *bus);                /* as cel_transport_free() */

        int (*declare)(cel_ctx *ctx, void *bus,
                       const cel_queue *queue);            /* as cel_transport_declare_queue() */
        void (*forget)(void *bus, const cel_queue *queue); /* as cel_transport_forget_queue() */
        int (*publish)(cel_ctx *ctx, void *bus, const cel_message *message,
                       unsigned flags); /* as cel_publish() */

        /* Consume some queues. Waits: until the bus has agreed.
         * Errors: as declare; CEL_ENOSUPPORT (the ctx of another loop, or of a thread); nothing is left behind then. */
        int (*subscribe)(cel_ctx *ctx, void *bus, const cel__subscription_options *options,
                         void **ret_subscription);

        /* No delivery comes after this returned; what is unsettled can still be settled. Waits: until the bus
         * has agreed. */
        int (*stop)(cel_ctx *ctx, void *subscription);

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

/* A transport on a bus that is open already.
 * Owns:   *ret_transport is yours, and takes `bus`.
 * Errors: CEL_ENOMEM: `bus` is still yours. */
int cel__transport_new(const cel__driver *driver, void *bus, cel_transport **ret_transport);

/* The driver and the bus behind a transport, for the parts of the library that use them. */
const cel__driver *cel__transport_driver(const cel_transport *transport);
void *cel__transport_bus(const cel_transport *transport);

#endif
