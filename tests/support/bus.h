/* SPDX-License-Identifier: Apache-2.0
 *
 * A bus for tests, in memory: it keeps what is published and declared, delivers what a test hands it, and writes down
 * how each message was settled. */
#ifndef CEL_TESTS_SUPPORT_BUS_H
#define CEL_TESTS_SUPPORT_BUS_H

#include "driver/driver.h"
#include "fixture.h"

enum { BUS_MESSAGES_MAX = 64, BUS_SUBSCRIPTIONS_MAX = 8, BUS_QUEUES_MAX = 8 };

typedef struct bus_published {
        char exchange[256], routing_key[256], expiration[32];
        char body[2048];
        bool mandatory;
} bus_published;

typedef struct bus_subscription {
        struct bus *bus;
        cel__subscription_options options;
        char queues[BUS_QUEUES_MAX][256];
        unsigned stops; /* how often that was asked for */
        bool stopped, gone;
} bus_subscription;

typedef struct bus {
        fixture *f;
        cel_transport *transport;
        cel_future *up; /* declaring and consuming wait for it; NULL: they need not */
        bool settling;
        unsigned connects_failing;            /* attempts to connect, at once */
        char declared[BUS_MESSAGES_MAX][300]; /* "exchange", "exchange (fanout)" or "exchange queue" */
        unsigned declared_n;
        cel_future *agrees; /* stopping waits for it; NULL: it need not */
        char deleted[256];  /* the last queue that was */
        bus_subscription subscriptions[BUS_SUBSCRIPTIONS_MAX];
        unsigned subscriptions_n;

        bus_published published[BUS_MESSAGES_MAX];
        unsigned published_n;
        int outcomes[BUS_MESSAGES_MAX]; /* of the publishes, in their order: 0, or an error */
        cel_future *confirms;           /* publishing waits for it; NULL: it need not */

        cel_message messages[BUS_MESSAGES_MAX];
        char bodies[BUS_MESSAGES_MAX][2048];
        char settled[BUS_MESSAGES_MAX +
                     1]; /* each one's settlement: "-": not yet, "a"ck, re"q"ueue, "r"eject,
                                                "/": in vain */
        unsigned messages_n;
        unsigned incarnation; /* counted up, nothing that came before can be settled any more */
        bool redelivers;      /* what is delivered was delivered before */
        bool closed;
} bus;

void bus_init(bus *b, fixture *f);
void bus_fini(bus *b);

/* Deliver a message to a subscription; `expiration` may be NULL. Its number is the place of its settlement. */
unsigned bus_deliver(bus *b, unsigned subscription, const char *body, const char *expiration);

/* The last message published. */
const bus_published *bus_last(const bus *b);

/* A string in the inner message of a published body, copied to `text`. */
void bus_get(const bus_published *p, const char *key, char *text, size_t text_bytes);

#endif
