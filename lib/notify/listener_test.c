/* SPDX-License-Identifier: Apache-2.0
 *
 * The listener on a bus that is made of this file: it delivers what a test hands it, and writes down how each
 * message was settled. */
#include "driver/driver.h"
#include "fixture.h"
#include "test.h"

#include <celadon/notification.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGES_MAX = 16, MINUTE_MS = 60 * 1000 };

typedef struct world {
        fixture f;
        cel_transport *transport;
        cel_notification_listener *listener;
        cel_notification_listener_options options;
        cel__subscription_options subscription; /* of the listener */
        cel_future *gate;                       /* handlers wait for it */
        unsigned handled;                       /* handlers that were called */

        cel_message messages[MESSAGES_MAX];
        char bodies[MESSAGES_MAX][128];
        char settled[MESSAGES_MAX + 1]; /* each one's settlement: "-": not yet, "a"ck, re"q"ueue, "r"eject */
        unsigned messages_n;
} world;

/* --- A bus ------------------------------------------------------------------------------------ */

static int bus_subscribe(cel_ctx *ctx, void *bus, const cel__subscription_options *options,
                         void **ret_subscription)
{
        world *w = bus;

        (void)ctx;
        w->subscription = *options;
        *ret_subscription = w;
        return 0;
}

static int bus_stop(cel_ctx *ctx, void *subscription)
{
        (void)ctx, (void)subscription;
        return 0;
}

static void bus_nothing(void *arg)
{
        (void)arg;
}

static bool bus_is_stale(const cel__delivery *delivery)
{
        (void)delivery;
        return false;
}

static int bus_settle(cel__delivery *delivery, cel__settlement how)
{
        world *w = delivery->channel;

        CHECK(w->settled[delivery->tag] == '-');
        w->settled[delivery->tag] = "aqr"[how];
        return 0;
}

static const cel__driver bus_driver = {.scheme = "test",
                                       .free = bus_nothing,
                                       .subscribe = bus_subscribe,
                                       .stop = bus_stop,
                                       .unsubscribe = bus_nothing,
                                       .is_stale = bus_is_stale,
                                       .settle = bus_settle};

/* --- Around it -------------------------------------------------------------------------------- */

static int on_notification(cel_ctx *ctx, const cel_notification *notification, void *arg)
{
        world *w = arg;

        (void)notification;
        w->handled++;
        int r = cel_await(ctx, w->gate, NULL);
        return r < 0 ? r : CEL_HANDLED;
}

static int open_listener(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        return cel_notification_listener_open(ctx, w->transport, &w->options, &w->listener);
}

static int close_listener(cel_ctx *ctx, void *arg)
{
        return cel_notification_listener_close(ctx, ((world *)arg)->listener);
}

static void open_gate(world *w)
{
        cel_future_complete(w->gate, 0, NULL);
        fixture_settle(&w->f);
}

static void world_init(world *w, unsigned concurrency)
{
        *w = (world){.f = fixture_new()};
        w->options = (cel_notification_listener_options){.concurrency = concurrency,
                                                         .on_notification = on_notification,
                                                         .allow_requeue = true,
                                                         .arg = w};
        CHECK_INT(cel_future_new(&w->gate), 0);
        CHECK_INT(cel__transport_new(&bus_driver, w, &w->transport), 0);
        CHECK_RESULT(fixture_spawn(&w->f, "opener", open_listener, w), 0);
}

static void world_fini(world *w)
{
        cel_task *closer = fixture_spawn(&w->f, "closer", close_listener, w);

        CHECK_RESULT(closer, 0);
        cel_transport_free(w->transport);
        cel_future_unref(w->gate);
        fixture_free(&w->f);
}

/* Deliver a notification with this unique id. */
static void deliver(world *w, const char *id, bool redelivered)
{
        unsigned n = w->messages_n++;

        CHECK(n < MESSAGES_MAX);
        snprintf(w->bodies[n], sizeof(w->bodies[n]), "{\"event_type\": \"x\", \"_unique_id\": \"%s\"}", id);
        w->messages[n] = (cel_message){.body = w->bodies[n],
                                       .body_bytes = strlen(w->bodies[n]),
                                       .queue = "q",
                                       .redelivered = redelivered};
        w->settled[n] = '-';
        w->subscription.on_delivery(
                w->subscription.arg,
                &(cel__delivery){.message = &w->messages[n], .queue = "q", .channel = w, .tag = n});
        fixture_settle(&w->f);
}

/* --- Copies ----------------------------------------------------------------------------------- */

TEST(a_copy_that_the_bus_brings_of_a_handled_message_is_acknowledged_unseen)
{
        world w;

        world_init(&w, 4);
        open_gate(&w);
        deliver(&w, "one", false);
        deliver(&w, "one", true);
        CHECK_STR(w.settled, "aa");
        CHECK_INT(w.handled, 1);
        world_fini(&w);
}

TEST(a_copy_that_came_while_the_first_was_handled_is_acknowledged_unseen)
{
        world w;

        world_init(&w, 1);
        deliver(&w, "one", false);
        deliver(&w, "one", true);
        CHECK_STR(w.settled, "--");
        open_gate(&w);
        CHECK_STR(w.settled, "aa");
        CHECK_INT(w.handled, 1);
        world_fini(&w);
}

TEST(a_message_that_somebody_sent_again_is_handled_again)
{
        world w;

        world_init(&w, 1);
        deliver(&w, "one", false);
        deliver(&w, "one", false); /* waits for a handler */
        open_gate(&w);
        deliver(&w, "one", false);
        CHECK_STR(w.settled, "aaa");
        CHECK_INT(w.handled, 3);
        world_fini(&w);
}

/* --- Waiting for a handler -------------------------------------------------------------------- */

TEST(a_message_that_waits_five_minutes_for_a_handler_is_given_back)
{
        world w;

        world_init(&w, 1);
        deliver(&w, "handled", false);
        deliver(&w, "first", false);
        fixture_advance_ms(&w.f, MINUTE_MS);
        deliver(&w, "second", false);
        fixture_advance_ms(&w.f, 4 * MINUTE_MS - 1);
        CHECK_STR(w.settled, "---");
        fixture_advance_ms(&w.f, 1);
        CHECK_STR(w.settled, "-q-");
        fixture_advance_ms(&w.f, MINUTE_MS);
        CHECK_STR(w.settled, "-qq");

        deliver(&w, "first", true); /* the bus gives it to whom it likes */
        fixture_advance_ms(&w.f, 5 * MINUTE_MS);
        CHECK_STR(w.settled, "-qqq");
        deliver(&w, "second", true);
        open_gate(&w);
        CHECK_STR(w.settled, "aqqqa");
        CHECK_INT(w.handled, 2);
        world_fini(&w);
}

TEST(each_message_has_five_minutes_of_its_own)
{
        world w;

        world_init(&w, 1);
        deliver(&w, "one", false);
        deliver(&w, "two", false);
        fixture_advance_ms(&w.f, 3 * MINUTE_MS);
        open_gate(&w);
        CHECK_STR(w.settled, "aa");
        w.gate = (cel_future_unref(w.gate), NULL);
        CHECK_INT(cel_future_new(&w.gate), 0);

        deliver(&w, "three", false);
        deliver(&w, "four", false);
        fixture_advance_ms(&w.f, 5 * MINUTE_MS - 1); /* past the time of "two" */
        CHECK_STR(w.settled, "aa--");
        fixture_advance_ms(&w.f, 1);
        CHECK_STR(w.settled, "aa-q");
        open_gate(&w);
        world_fini(&w);
}
