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
        char settled[MESSAGES_MAX +
                     1]; /* each one's settlement: "-": not yet, "a"ck, re"q"ueue, "r"eject, "/": too
                                           late */
        unsigned messages_n;
        unsigned incarnation; /* of the connection: what came in an earlier one is stale */
        bool hold;            /* deliver() leaves the loop alone */
        int result;           /* of handlers */
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
        return delivery->ticket.incarnation != ((world *)delivery->ticket.channel)->incarnation;
}

static void bus_drop_message(cel__delivery *delivery)
{
        delivery->message = NULL;
}

static int bus_settle(cel__delivery *delivery, cel__settlement how)
{
        world *w = delivery->ticket.channel;

        CHECK(w->settled[delivery->ticket.tag] == '-');
        w->settled[delivery->ticket.tag] = bus_is_stale(delivery) ? '/' : "aqr"[how];
        return 0;
}

static const cel__driver bus_driver = {.scheme = "test",
                                       .free = bus_nothing,
                                       .subscribe = bus_subscribe,
                                       .stop = bus_stop,
                                       .unsubscribe = bus_nothing,
                                       .is_stale = bus_is_stale,
                                       .drop_message = bus_drop_message,
                                       .settle = bus_settle};

/* --- Around it -------------------------------------------------------------------------------- */

static int on_notification(cel_ctx *ctx, const cel_notification *notification, void *arg)
{
        world *w = arg;

        (void)notification;
        w->handled++;
        int r = cel_await(ctx, w->gate, NULL);
        return r < 0 ? r : w->result;
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

static void world_init_with(world *w, unsigned concurrency, size_t bytes_max, bool allow_requeue)
{
        *w = (world){.f = fixture_new()};
        w->options = (cel_notification_listener_options){.concurrency = concurrency,
                                                         .on_notification = on_notification,
                                                         .bytes_max = bytes_max,
                                                         .allow_requeue = allow_requeue,
                                                         .arg = w};
        CHECK_INT(cel_future_new(&w->gate), 0);
        CHECK_INT(cel__transport_new(&bus_driver, w, cel__runtime_loop(w->f.runtime), &w->transport), 0);
        CHECK_RESULT(fixture_spawn(&w->f, "opener", open_listener, w), 0);
}

static void world_init(world *w, unsigned concurrency)
{
        world_init_with(w, concurrency, 0, true);
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
                &(cel__delivery){.message = &w->messages[n],
                                 .queue = "q",
                                 .ticket = {.channel = w, .tag = n, .incarnation = w->incarnation}});
        if (!w->hold)
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

/* --- Copies of what is handled just now -------------------------------------------------------- */

TEST(a_copy_that_comes_after_a_reconnect_is_not_begun_while_the_first_is_handled)
{
        world w;

        world_init(&w, 4);
        deliver(&w, "one", false);
        deliver(&w, "two", false);
        w.incarnation++;
        deliver(&w, "one", true);
        CHECK_STR(w.settled, "/--"); /* the copy's ticket is the handler's now */
        w.incarnation++;
        deliver(&w, "one", true);
        CHECK_STR(w.settled, "/-/-");
        CHECK_INT(w.handled, 2);
        open_gate(&w);
        CHECK_STR(w.settled, "///a");
        CHECK_INT(w.handled, 2);
        deliver(&w, "two", true);
        CHECK_STR(w.settled, "///aa");
        CHECK_INT(w.handled, 2);
        world_fini(&w);
}

TEST(a_handler_that_gives_back_after_a_reconnect_gives_back_the_copy)
{
        world w;

        world_init(&w, 4);
        w.result = CEL_REQUEUE;
        deliver(&w, "one", false);
        w.incarnation++;
        deliver(&w, "one", true);
        open_gate(&w);
        CHECK_STR(w.settled, "/q");
        deliver(&w, "one", true);
        CHECK_INT(w.handled, 2);
        world_fini(&w);
}

TEST(a_redelivered_message_with_the_id_of_one_that_is_still_ours_is_another_message)
{
        world w;

        world_init(&w, 4);
        deliver(&w, "one", false);
        deliver(&w, "one", true);
        CHECK_INT(w.handled, 2);
        deliver(&w, "", true);
        deliver(&w, "", true);
        CHECK_INT(w.handled, 4);
        open_gate(&w);
        CHECK_STR(w.settled, "aaaa");
        world_fini(&w);
}

/* --- Verdicts --------------------------------------------------------------------------------- */

TEST(a_handler_may_give_back_only_where_that_is_allowed)
{
        for (int allowed = 0; allowed < 2; allowed++) {
                world w;

                world_init_with(&w, 1, 0, allowed);
                w.result = CEL_REQUEUE;
                open_gate(&w);
                deliver(&w, "one", false);
                w.result = CEL_EIO;
                deliver(&w, "two", false);
                CHECK_STR(w.settled, allowed ? "qq" : "aa");
                world_fini(&w);
        }
}

/* --- The loop --------------------------------------------------------------------------------- */

TEST(the_loop_looks_at_its_descriptors_between_two_messages)
{
        world w;

        world_init(&w, 1);
        open_gate(&w);
        w.hold = true;
        for (int i = 0; i < 3; i++)
                deliver(&w, "", false);
        for (unsigned i = 0; i < 3; i++) {
                CHECK_INT(w.handled, i);
                cel__loop_turn(cel__runtime_loop(w.f.runtime), false);
        }
        CHECK_INT(w.handled, 3);
        world_fini(&w);
}

/* --- Room ------------------------------------------------------------------------------------- */

TEST(what_there_is_no_room_for_is_given_back_when_it_is_its_turn)
{
        static const char text[] = "{\"event_type\": \"x\", \"_unique_id\": \"\"}";
        world w;

        world_init_with(&w, 1, 2 * strlen(text), true);
        deliver(&w, "", false); /* handled */
        deliver(&w, "", false);
        deliver(&w, "", false); /* no room */
        deliver(&w, "", false); /* no room */
        CHECK_STR(w.settled, "----");
        open_gate(&w);
        CHECK_STR(w.settled, "aaqq");
        CHECK_INT(w.handled, 2);
        world_fini(&w);
}

TEST(there_is_room_for_one_message_however_large)
{
        world w;

        world_init_with(&w, 2, 1, true);
        deliver(&w, "", false);
        deliver(&w, "", false); /* waits although a handler is free */
        CHECK_STR(w.settled, "--");
        CHECK_INT(w.handled, 1);
        open_gate(&w);
        CHECK_STR(w.settled, "aq");
        deliver(&w, "", true);
        CHECK_STR(w.settled, "aqa");
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

/* --- Pausing ---------------------------------------------------------------------------------- */

TEST(a_paused_listener_begins_nothing_until_it_is_resumed)
{
        world w;

        world_init(&w, 4);
        deliver(&w, "before", false);
        cel_notification_listener_pause(w.listener);
        deliver(&w, "one", false);
        deliver(&w, "two", false);
        CHECK_INT(w.handled, 1);
        open_gate(&w); /* who runs goes on */
        CHECK_STR(w.settled, "a--");
        CHECK_INT(w.handled, 1);
        cel_notification_listener_resume(w.listener);
        fixture_settle(&w.f);
        CHECK_STR(w.settled, "aaa");
        world_fini(&w);
}

TEST(what_a_paused_listener_has_kept_for_five_minutes_is_handled_and_not_given_back)
{
        world w;

        world_init(&w, 2);
        cel_notification_listener_pause(w.listener);
        deliver(&w, "one", false);
        deliver(&w, "two", false);
        deliver(&w, "three", false);
        fixture_advance_ms(&w.f, 5 * MINUTE_MS - 1);
        CHECK_INT(w.handled, 0);
        fixture_advance_ms(&w.f, 1);
        CHECK_INT(w.handled, 2);
        CHECK_STR(w.settled, "--q"); /* no more at once than may be */
        deliver(&w, "four", false);
        open_gate(&w);
        CHECK_STR(w.settled, "aaq-");
        fixture_advance_ms(&w.f, 5 * MINUTE_MS);
        CHECK_STR(w.settled, "aaqa");
        world_fini(&w);
}

TEST(a_paused_listener_gives_back_what_waits_when_it_is_closed)
{
        world w;

        world_init(&w, 2);
        cel_notification_listener_pause(w.listener);
        deliver(&w, "one", false);
        world_fini(&w);
        CHECK_STR(w.settled, "q");
        CHECK_INT(w.handled, 0);
}

TEST(what_was_passed_on_is_not_remembered_as_handled)
{
        world w;

        world_init(&w, 1);
        open_gate(&w);
        deliver(&w, "one", false);
        w.result = CEL_PASSED_ON;
        deliver(&w, "one", false); /* somebody sends it again */
        deliver(&w, "one", true);  /* the copy comes back, after a reconnect */
        CHECK_STR(w.settled, "aaa");
        CHECK_INT(w.handled, 3);
        world_fini(&w);
}
