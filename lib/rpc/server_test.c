/* SPDX-License-Identifier: Apache-2.0
 *
 * From a delivery to a reply, and a server's life. */
#include "rpc_world.h"
#include "test.h"

#include <celadon/executor.h>
#include <celadon/log.h>
#include <celadon/sync.h>
#include <stdio.h>
#include <string.h>

static int stop(cel_ctx *ctx, void *arg)
{
        return cel_rpc_server_stop(ctx, ((world *)arg)->server);
}

static int wait_end(cel_ctx *ctx, void *arg)
{
        return cel_rpc_server_wait(ctx, ((world *)arg)->server);
}

static int drain(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 1000);

        return cel_rpc_server_drain(ctx, ((world *)arg)->server);
}

/* --- Intake and replies ----------------------------------------------------------------------- */

TEST(a_server_consumes_from_the_queues_of_its_topic_its_own_and_a_fanout)
{
        world w;

        world_init(&w);
        world_start(&w);
        CHECK_INT(w.bus.subscriptions[0].options.queues_n, 3);
        CHECK_STR(w.bus.subscriptions[0].queues[0], "t");
        CHECK_STR(w.bus.subscriptions[0].queues[1], "t.h");
        CHECK(strncmp(w.bus.subscriptions[0].queues[2], "t_fanout_", 9) == 0);
        CHECK_INT(strlen(w.bus.subscriptions[0].queues[2]), 9 + 32);
        CHECK_RESULT(fixture_spawn(&w.f, "again", world_start_server, &w), CEL_EBUSY);
        world_fini(&w);
}

TEST(a_call_is_acknowledged_handled_and_replied_to)
{
        world w;

        world_init(&w);
        world_start(&w);
        unsigned n = world_ask(&w, "add", CALL ", \"version\": \"1.2\", \"_context_user\": \"alice\"");
        CHECK_STR(w.seen, "add - 1.2 call user=alice");
        CHECK_INT(w.bus.settled[n], 'a');
        CHECK_STR(bus_last(&w.bus)->exchange, "");
        CHECK_STR(bus_last(&w.bus)->routing_key, "reply_q");
        CHECK(bus_last(&w.bus)->mandatory);
        CHECK(strstr(bus_last(&w.bus)->body,
                     "{\\\"result\\\": 5, \\\"failure\\\": null, \\\"ending\\\": true, "
                     "\\\"_msg_id\\\": \\\"m1\\\", "));
        world_fini(&w);
}

TEST(a_cast_is_not_replied_to)
{
        world w;

        world_init(&w);
        world_start(&w);
        unsigned n = world_ask(&w, "add", "");
        CHECK_STR(w.seen, "add - 1.0 cast user=(null)");
        CHECK_INT(w.bus.settled[n], 'a');
        CHECK_INT(w.bus.published_n, 0);
        world_fini(&w);
}

TEST(a_handler_that_says_nothing_replies_null)
{
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "nothing", CALL);
        CHECK(strstr(bus_last(&w.bus)->body, "{\\\"result\\\": null, \\\"failure\\\": null, "));
        world_fini(&w);
}

TEST(failures_are_replied_as_exceptions)
{
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "raise_error", CALL);
        world_check_failure(&w, "NotFound", "nova.exception", "there is no x");
        world_ask(&w, "break_down", CALL);
        world_check_failure(&w, "RuntimeError", "builtins", "the disk is full");
        CHECK_INT(cel_rpc_server_get_stats(w.server).failed, 2);
        world_fini(&w);
}

TEST(a_message_that_is_no_request_is_rejected)
{
        world w;

        world_init(&w);
        world_start(&w);
        CHECK_INT(w.bus.settled[bus_deliver(&w.bus, 0, "boo", NULL)], 'r');
        CHECK_INT(w.bus.settled[bus_deliver(&w.bus, 0, "{\"args\": {}}", NULL)], 'r');
        CHECK_INT(w.bus.settled[bus_deliver(&w.bus, 0,
                                            "{\"oslo.version\": \"3.0\", \"oslo.message\": \"{}\"}", NULL)],
                  'r');
        CHECK_INT(cel_rpc_server_get_stats(w.server).invalid, 3);
        world_fini(&w);
}

/* --- Copies and late ones --------------------------------------------------------------------- */

TEST(a_copy_of_a_request_is_dropped_for_a_minute)
{
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "add", ", \"_unique_id\": \"u1\"");
        CHECK_INT(w.bus.settled[world_ask(&w, "add", ", \"_unique_id\": \"u1\"")], 'a');
        world_ask(&w, "add", ", \"_unique_id\": \"u2\"");
        world_ask(&w, "add", ""); /* without an id, nothing is a copy */
        world_ask(&w, "add", "");
        CHECK_INT(w.called, 4);
        CHECK_INT(cel_rpc_server_get_stats(w.server).duplicates_dropped, 1);
        fixture_advance_ms(&w.f, 60001);
        world_ask(&w, "add", ", \"_unique_id\": \"u1\"");
        CHECK_INT(w.called, 5);
        world_fini(&w);
}

TEST(a_request_whose_connection_went_away_is_handled_when_it_comes_again)
{
        world w;

        world_init(&w);
        w.options.concurrency = 1;
        world_start(&w);
        world_ask(&w, "slow", "");
        world_ask(&w, "add", ", \"_unique_id\": \"u1\"");
        w.bus.incarnation++;
        world_open_gate(&w);
        CHECK_INT(w.called, 1); /* the one that waited cannot be acknowledged any more */
        world_ask(&w, "add", ", \"_unique_id\": \"u1\"");
        CHECK_INT(w.called, 2);
        world_fini(&w);
}

TEST(what_waited_for_a_connection_that_went_away_is_let_go)
{
        world w;

        world_init(&w);
        w.options.concurrency = 1;
        world_start(&w);
        world_ask(&w, "slow", "");
        world_ask(&w, "add", "");
        w.bus.incarnation++;
        world_ask(&w, "add", "");
        CHECK_STR(w.bus.settled, "a/-");
        CHECK_INT(cel_rpc_server_get_stats(w.server).waiting, 1);
        world_fini(&w);
}

TEST(a_request_whose_caller_has_given_up_is_dropped)
{
        world w;

        world_init(&w);
        w.options.concurrency = 1;
        world_start(&w);
        world_ask(&w, "slow", "");
        unsigned n = bus_deliver(&w.bus, 0, "{\"method\": \"add\"" CALL "}", "500");
        fixture_advance_ms(&w.f, 500);
        CHECK_INT(w.bus.settled[n], '-');
        world_open_gate(&w);
        CHECK_INT(w.called, 1);
        CHECK_INT(w.bus.settled[n], 'a');
        CHECK_INT(w.bus.published_n, 0);
        CHECK_INT(cel_rpc_server_get_stats(w.server).expired_dropped, 1);
        world_fini(&w);
}

/* --- Places ----------------------------------------------------------------------------------- */

TEST(a_method_that_is_full_does_not_hold_up_the_others)
{
        world w;

        world_init(&w);
        world_start(&w);
        for (int i = 0; i < 5; i++)
                world_ask(&w, "few", "");
        CHECK_INT(w.called, 2);
        CHECK_STR(w.bus.settled, "aa---");
        world_ask(&w, "add", "");
        CHECK_INT(w.called, 3);
        CHECK_INT(cel_rpc_server_get_stats(w.server).running, 2);
        CHECK_INT(cel_rpc_server_get_stats(w.server).waiting, 3);
        world_open_gate(&w);
        CHECK_INT(w.called, 6);
        CHECK_STR(w.bus.settled, "aaaaaa");
        CHECK_INT(cel_rpc_server_get_stats(w.server).running, 0);
        world_fini(&w);
}

TEST(requests_beyond_the_servers_places_wait_and_methods_take_turns)
{
        world w;

        world_init(&w);
        w.options.concurrency = 1;
        world_start(&w);
        CHECK_INT(w.bus.subscriptions[0].options.prefetch, 1 + 64);
        world_ask(&w, "slow", "");
        world_ask(&w, "slow", "");
        world_ask(&w, "slow", "");
        world_ask(&w, "add", "");
        CHECK_INT(w.called, 1);
        CHECK_STR(w.bus.settled, "a---");
        world_open_gate(&w);
        CHECK_INT(w.called, 4);
        world_fini(&w);
}

TEST(the_place_is_free_while_the_reply_is_on_its_way)
{
        world w;

        world_init(&w);
        w.options.concurrency = 1;
        world_start(&w);
        CHECK_INT(cel_future_new(&w.bus.confirms), 0);
        world_ask(&w, "add", CALL);
        world_ask(&w, "add", CALL);
        CHECK_INT(w.called, 2);
        CHECK_INT(cel_rpc_server_get_stats(w.server).replying, 2);
        CHECK_INT(cel_rpc_server_get_stats(w.server).running, 0);
        cel_future_complete(w.bus.confirms, 0, NULL);
        fixture_settle(&w.f);
        CHECK_INT(cel_rpc_server_get_stats(w.server).replying, 0);
        world_fini(&w);
}

TEST(what_waits_for_five_minutes_is_given_back)
{
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "few", "");
        world_ask(&w, "few", "");
        unsigned n = world_ask(&w, "few", ", \"_unique_id\": \"u1\"");
        fixture_advance_ms(&w.f, 5 * 60 * 1000 - 1);
        CHECK_INT(w.bus.settled[n], '-');
        fixture_advance_ms(&w.f, 1);
        CHECK_INT(w.bus.settled[n], 'q');
        world_open_gate(&w);
        world_ask(&w, "few", ", \"_unique_id\": \"u1\"");
        CHECK_INT(w.called, 3); /* it is no copy of one that was handled */
        world_fini(&w);
}

/* --- Acknowledging late ----------------------------------------------------------------------- */

TEST(a_late_acknowledgement_waits_for_the_reply)
{
        world w;

        world_init(&w);
        w.endpoints[0].ack_late = true;
        world_start(&w);
        CHECK_INT(cel_future_new(&w.bus.confirms), 0);
        unsigned n = world_ask(&w, "add", CALL);
        CHECK_INT(w.called, 1);
        CHECK_INT(w.bus.settled[n], '-');
        cel_future_complete(w.bus.confirms, 0, NULL);
        fixture_settle(&w.f);
        CHECK_INT(w.bus.settled[n], 'a');
        CHECK_INT(w.bus.settled[world_ask(&w, "add", "")], 'a');
        CHECK_INT(w.bus.settled[world_ask(&w, "break_down", "")], 'r');
        CHECK_INT(w.bus.settled[world_ask(&w, "break_down", CALL)], 'a'); /* its caller knows */
        world_fini(&w);
}

TEST(a_handler_that_is_cancelled_gives_its_request_back_if_it_was_not_acknowledged)
{
        world w;

        world_init(&w);
        w.endpoints[0].ack_late = true;
        world_start(&w);
        unsigned n = world_ask(&w, "slow", ""), call = world_ask(&w, "slow", CALL);
        cel_task *drainer = fixture_spawn(&w.f, "drainer", drain, &w);
        fixture_advance_ms(&w.f, 1000);
        CHECK_RESULT(drainer, CEL_ETIMEDOUT);
        CHECK_INT(w.canceled, 2);
        CHECK_INT(w.bus.settled[n], 'q');
        CHECK_INT(w.bus.settled[call], 'q');
        world_fini(&w);
}

TEST(a_copy_that_comes_while_the_first_is_handled_is_settled_with_it)
{
        world w;

        world_init(&w);
        w.endpoints[0].ack_late = true;
        world_start(&w);
        unsigned first = world_ask(&w, "slow", CALL ", \"_unique_id\": \"u1\"");
        w.bus.incarnation++;
        w.bus.redelivers = true;
        unsigned copy = world_ask(&w, "slow", CALL ", \"_unique_id\": \"u1\"");
        CHECK_INT(w.called, 1);
        CHECK_INT(w.bus.settled[first], '/');
        CHECK_INT(w.bus.settled[copy], '-');
        world_open_gate(&w);
        CHECK_INT(w.bus.settled[copy], 'a');
        CHECK_INT(cel_rpc_server_get_stats(w.server).duplicates_dropped, 1);
        world_fini(&w);
}

TEST(requests_for_whose_bytes_there_is_no_room_wait_at_the_bus)
{
        world w;

        world_init(&w);
        w.options.bytes_max = 100;
        world_start(&w);
        world_ask(&w, "slow", CALL);
        unsigned second = world_ask(&w, "slow", CALL), third = world_ask(&w, "add", CALL);
        CHECK_INT(w.called, 1);
        CHECK_INT(w.bus.settled[second], '-');
        world_open_gate(&w);
        CHECK_INT(w.bus.settled[second], 'q');
        CHECK_INT(w.bus.settled[third], '-'); /* room for one at a time, which is on its way again */
        world_ask(&w, "slow", CALL);
        CHECK_INT(w.called, 2);
        CHECK_INT(w.bus.settled[third], 'q');
        world_fini(&w);
}

/* --- Replies that are not taken --------------------------------------------------------------- */

TEST(a_reply_waits_for_its_queue_for_a_minute_and_then_the_queue_is_gone)
{
        world w;

        world_init(&w);
        world_start(&w);
        for (int i = 0; i < BUS_MESSAGES_MAX; i++)
                w.bus.outcomes[i] = CEL_EUNROUTABLE;
        world_ask(&w, "add", CALL);
        fixture_advance_ms(&w.f, 250);
        CHECK_INT(w.bus.published_n, 2);
        fixture_advance_ms(&w.f, 250);
        CHECK_INT(w.bus.published_n, 3);
        for (int i = 0; i < 8; i++) /* in great leaps, or there would be too many tries to keep */
                fixture_advance_ms(&w.f, 7500);
        CHECK_INT(cel_rpc_server_get_stats(w.server).replies_lost, 1);
        CHECK_INT(cel_rpc_server_get_stats(w.server).replying, 0);
        unsigned published = w.bus.published_n;
        world_ask(&w, "add", CALL);
        CHECK_INT(w.bus.published_n, published);
        CHECK_INT(cel_rpc_server_get_stats(w.server).replies_lost, 2);
        w.bus.outcomes[published] = 0;
        fixture_advance_ms(&w.f, 60001);
        world_ask(&w, "add", CALL);
        CHECK_INT(w.bus.published_n, published + 1);
        world_fini(&w);
}

TEST(a_reply_that_may_be_lost_is_sent_again)
{
        world w;

        world_init(&w);
        world_start(&w);
        w.bus.outcomes[0] = CEL_EUNKNOWN;
        world_ask(&w, "add", CALL);
        CHECK_INT(w.bus.published_n, 2);
        CHECK_STR(w.bus.published[0].body, w.bus.published[1].body);
        world_fini(&w);
}

TEST(a_monitored_call_shows_signs_of_life_until_its_handler_returns)
{
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "slow", CALL ", \"_timeout\": 10");
        world_ask(&w, "slow", CALL ", \"_timeout\": 1"); /* too short for signs of life */
        CHECK_INT(w.bus.published_n, 0);
        fixture_advance_ms(&w.f, 4999);
        CHECK_INT(w.bus.published_n, 0);
        fixture_advance_ms(&w.f, 1);
        CHECK_INT(w.bus.published_n, 1);
        CHECK(strstr(bus_last(&w.bus)->body,
                     "{\\\"result\\\": null, \\\"failure\\\": null, \\\"ending\\\": false, "));
        fixture_advance_ms(&w.f, 5000);
        CHECK_INT(w.bus.published_n, 2);
        world_open_gate(&w);
        CHECK_INT(w.bus.published_n, 4);
        fixture_advance_ms(&w.f, 20000);
        CHECK_INT(w.bus.published_n, 4);
        world_fini(&w);
}

TEST(a_monitored_call_of_a_method_that_is_refused_shows_no_sign_of_life)
{
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "nope", CALL ", \"_timeout\": 10");
        world_check_failure(&w, "NoSuchMethod", "oslo_messaging.rpc.dispatcher",
                            "Endpoint does not support RPC method nope");
        world_ask(&w, "slow", CALL ", \"_timeout\": 10, \"version\": \"9.0\"");
        CHECK_INT(w.bus.published_n, 2);
        fixture_advance_ms(&w.f, 20000);
        CHECK_INT(w.bus.published_n, 2);
        world_fini(&w);
}

/* --- Stopping --------------------------------------------------------------------------------- */

TEST(a_server_that_stops_gives_back_what_waits_and_lets_handlers_end)
{
        world w;

        world_init(&w);
        w.options.concurrency = 1;
        world_start(&w);
        unsigned runs = world_ask(&w, "slow", CALL), waits = world_ask(&w, "slow", CALL);
        CHECK_RESULT(fixture_spawn(&w.f, "stopper", stop, &w), 0);
        CHECK(w.bus.subscriptions[0].stopped);
        CHECK_INT(w.bus.settled[runs], 'a');
        CHECK_INT(w.bus.settled[waits], 'q');
        CHECK_INT(w.bus.settled[world_ask(&w, "slow", CALL)], 'q'); /* was under way */
        cel_task *waiter = fixture_spawn(&w.f, "waiter", wait_end, &w);
        CHECK_PENDING(waiter);
        world_open_gate(&w);
        CHECK_RESULT(waiter, 0);
        CHECK_INT(w.bus.published_n, 1);
        CHECK(w.bus.subscriptions[0].gone);
        CHECK_STR(w.bus.deleted, w.bus.subscriptions[0].queues[2]);
        world_fini(&w);
}

TEST(whoever_stops_and_waits_before_the_start_waits_for_it)
{
        world w;

        world_init(&w);
        CHECK_RESULT(fixture_spawn(&w.f, "maker", world_make_server, &w), 0);
        cel_task *waiter = fixture_spawn(&w.f, "waiter", wait_end, &w);
        cel_task *stopper = fixture_spawn(&w.f, "stopper", stop, &w);
        CHECK_PENDING(waiter);
        CHECK_PENDING(stopper);
        CHECK_INT(cel_future_new(&w.bus.up), 0);
        cel_task *starter = fixture_spawn(&w.f, "starter", world_start_server, &w);
        CHECK_PENDING(stopper); /* it came before, and does not end what it waits for */
        cel_future_complete(w.bus.up, 0, NULL);
        fixture_settle(&w.f);
        CHECK_RESULT(starter, 0);
        CHECK_RESULT(stopper, 0);
        CHECK_RESULT(waiter, 0);
        CHECK(w.bus.subscriptions[0].stopped && w.bus.subscriptions[0].gone);
        world_fini(&w);
}

TEST(a_wait_ends_when_somebody_has_stopped_the_server_and_its_handlers_have_ended)
{
        world w;

        world_init(&w);
        world_start(&w);
        cel_task *waiter = fixture_spawn(&w.f, "waiter", wait_end, &w);
        world_ask(&w, "slow", CALL);
        CHECK_PENDING(waiter);
        CHECK_RESULT(fixture_spawn(&w.f, "stopper", stop, &w), 0);
        CHECK_PENDING(waiter);
        world_open_gate(&w);
        CHECK_RESULT(waiter, 0);
        /* Once more, there is nothing to do. */
        CHECK_RESULT(fixture_spawn(&w.f, "stopper", stop, &w), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "waiter", wait_end, &w), 0);
        CHECK_INT(w.bus.subscriptions[0].stops, 1);
        world_fini(&w);
}

TEST(a_server_is_stopped_once_however_many_want_it_and_started_again_only_then)
{
        world w;

        world_init(&w);
        world_start(&w);
        CHECK_INT(cel_future_new(&w.bus.agrees), 0);
        cel_task *first = fixture_spawn(&w.f, "first", stop, &w),
                 *second = fixture_spawn(&w.f, "second", stop, &w),
                 *starter = fixture_spawn(&w.f, "starter", world_start_server, &w);
        CHECK_PENDING(first);
        CHECK_PENDING(second);
        CHECK_PENDING(starter);
        cel_future_complete(w.bus.agrees, 0, NULL);
        fixture_settle(&w.f);
        CHECK_RESULT(first, 0);
        CHECK_RESULT(second, 0);
        CHECK_RESULT(starter, 0);
        CHECK_INT(w.bus.subscriptions[0].stops, 1);
        CHECK(!w.bus.subscriptions[1].stopped);
        bus_deliver(&w.bus, 1, "{\"method\": \"add\"}", NULL);
        CHECK_INT(w.called, 1);
        world_fini(&w);
}

TEST(a_stop_ends_a_start_that_is_under_way)
{
        world w;

        world_init(&w);
        CHECK_INT(cel_future_new(&w.bus.up), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "maker", world_make_server, &w), 0);
        cel_task *starter = fixture_spawn(&w.f, "starter", world_start_server, &w);
        CHECK_RESULT(fixture_spawn(&w.f, "again", world_start_server, &w), CEL_EBUSY);
        CHECK_RESULT(fixture_spawn(&w.f, "stopper", stop, &w), 0);
        CHECK_RESULT(starter, CEL_ECLOSED);
        CHECK_RESULT(fixture_spawn(&w.f, "waiter", wait_end, &w), 0);
        w.bus.up = cel_future_unref(w.bus.up);
        CHECK_RESULT(fixture_spawn(&w.f, "starter", world_start_server, &w), 0);
        bus_deliver(&w.bus, 1, "{\"method\": \"add\"}", NULL);
        CHECK_INT(w.called, 1);
        world_fini(&w);
}

static void count_hangs(cel_log_level level, const char *line, void *arg)
{
        (void)level;
        *(unsigned *)arg += strstr(line, "RPC-SERVER-HANGS") != NULL;
}

static int wait_40_s(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 40000);

        return cel_rpc_server_wait(ctx, ((world *)arg)->server);
}

TEST(whoever_waits_long_for_a_stop_is_warned_and_leaves_at_its_deadline)
{
        unsigned hangs = 0;
        world w;

        world_init(&w);
        world_start(&w);
        cel_log_set_sink(count_hangs, &hangs);
        cel_task *waiter = fixture_spawn(&w.f, "waiter", wait_40_s, &w);
        fixture_advance_ms(&w.f, 29999);
        CHECK_INT(hangs, 0);
        fixture_advance_ms(&w.f, 1);
        CHECK_INT(hangs, 1);
        CHECK_PENDING(waiter);
        fixture_advance_ms(&w.f, 10000);
        CHECK_INT(hangs, 1); /* only once */
        cel_log_set_sink(NULL, NULL);
        CHECK_RESULT(waiter, CEL_ETIMEDOUT);
        world_fini(&w);
}

TEST(a_server_that_was_never_started_has_nothing_to_drain)
{
        world w;

        world_init(&w);
        CHECK_RESULT(fixture_spawn(&w.f, "maker", world_make_server, &w), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "drainer", drain, &w), 0);
        world_fini(&w);
}

TEST(a_reset_has_the_server_try_queues_again_that_were_gone)
{
        world w;

        world_init(&w);
        world_start(&w);
        for (int i = 0; i < BUS_MESSAGES_MAX; i++)
                w.bus.outcomes[i] = CEL_EUNROUTABLE;
        world_ask(&w, "add", CALL);
        for (int i = 0; i < 10; i++)
                fixture_advance_ms(&w.f, 7500);
        CHECK_INT(cel_rpc_server_get_stats(w.server).replies_lost, 1);
        unsigned published = w.bus.published_n;
        world_ask(&w, "add", CALL);
        CHECK_INT(w.bus.published_n, published);
        cel_rpc_server_reset(w.server);
        w.bus.outcomes[published] = 0;
        world_ask(&w, "add", CALL);
        CHECK_INT(w.bus.published_n, published + 1);
        CHECK_INT(cel_rpc_server_get_stats(w.server).replies_lost, 2);
        world_fini(&w);
}

TEST(a_server_can_be_started_again)
{
        world w;

        world_init(&w);
        world_start(&w);
        CHECK_RESULT(fixture_spawn(&w.f, "stopper", stop, &w), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "starter", world_start_server, &w), 0);
        CHECK_INT(w.bus.subscriptions_n, 2);
        bus_deliver(&w.bus, 1, "{\"method\": \"add\"}", NULL);
        CHECK_INT(w.called, 1);
        world_fini(&w);
}

TEST(a_server_starts_again_after_its_handlers_were_cancelled)
{
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "slow", CALL ", \"_timeout\": 10");
        cel_task *drainer = fixture_spawn(&w.f, "drainer", drain, &w);
        fixture_advance_ms(&w.f, 999);
        CHECK_PENDING(drainer);
        fixture_advance_ms(&w.f, 1);
        CHECK_RESULT(drainer, CEL_ETIMEDOUT);
        CHECK_INT(w.canceled, 1);
        CHECK_RESULT(fixture_spawn(&w.f, "starter", world_start_server, &w), 0);
        bus_deliver(&w.bus, 1, "{\"method\": \"slow\"}", NULL);
        CHECK_INT(w.called, 2);
        CHECK_INT(w.canceled, 1);
        world_open_gate(&w);
        CHECK_INT(w.canceled, 1);
        world_fini(&w);
}

TEST(a_server_that_is_freed_ends_its_handlers_before_the_bus_goes)
{
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "slow", CALL);
        w.server = cel_rpc_server_free(w.server);
        w.bus.transport = cel_transport_free(w.bus.transport);
        CHECK(!w.bus.closed);
        fixture_settle(&w.f);
        CHECK_INT(w.canceled, 1);
        CHECK(w.bus.closed);
        world_fini(&w);
}

TEST(a_server_that_cannot_start_says_why_and_may_try_again)
{
        world w;

        world_init(&w);
        CHECK_INT(cel_future_new(&w.bus.up), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "maker", world_make_server, &w), 0);
        cel_task *starter = fixture_spawn(&w.f, "starter", world_start_server, &w);
        CHECK_PENDING(starter);
        cel_future_complete(w.bus.up, CEL_EACCESS, NULL);
        fixture_settle(&w.f);
        CHECK_RESULT(starter, CEL_EACCESS);
        w.bus.up = cel_future_unref(w.bus.up);
        CHECK_RESULT(fixture_spawn(&w.f, "starter", world_start_server, &w), 0);
        world_fini(&w);
}

static int open_without_server(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        return cel_rpc_server_open(ctx, w->bus.transport, &(cel_target){.topic = "t"}, world_methods,
                                   &w->server);
}

static int open_simply(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        return cel_rpc_server_open(
                ctx, w->bus.transport,
                &(cel_target){.topic = "t", .server = "h", .name_space = "ns", .version = "3.1"},
                world_methods, &w->server);
}

TEST(a_server_is_opened_with_a_table_of_methods)
{
        world w;

        world_init(&w);
        CHECK_RESULT(fixture_spawn(&w.f, "opener", open_without_server, &w), CEL_EINVAL);
        CHECK_RESULT(fixture_spawn(&w.f, "opener", open_simply, &w), 0);
        world_ask(&w, "nothing", CALL ", \"namespace\": \"ns\", \"version\": \"3.0\"");
        world_check_last(&w, "failure", "");
        world_ask(&w, "nothing", CALL ", \"version\": \"3.0\"");
        world_check_failure(&w, "UnsupportedVersion", "oslo_messaging.rpc.dispatcher",
                            "Endpoint does not support RPC version 3.0. Attempted method: nothing");
        world_fini(&w);
}

/* --- Executors -------------------------------------------------------------------------------- */

static int tell_where(cel_ctx *ctx, cel_request *q)
{
        if (!ctx)
                return cel_request_reply(q, json_string("nowhere"));
        if (cel_request_bool(q, "fail", false))
                return cel_fail(ctx, CEL_EIO, "loop %d is out of order", cel_ctx_loop(ctx));
        return cel_request_reply(q, json_string(cel_ctx_loop(ctx) < 0 ? "on a thread" : "on a loop"));
}

static const cel_method where_methods[] = {{.name = "where", .fn = tell_where}, {0}};

typedef struct executor_world {
        world w;
        cel_executor_options options;
        cel_executor *executor;
} executor_world;

static int open_executor(cel_ctx *ctx, void *arg)
{
        executor_world *e = arg;

        return cel_executor_open(ctx, &e->options, &e->executor);
}

static int close_executor(cel_ctx *ctx, void *arg)
{
        cel_executor_close(ctx, ((executor_world *)arg)->executor);
        return 0;
}

static int stop_and_wait(cel_ctx *ctx, void *arg)
{
        int r = stop(ctx, arg);

        return r < 0 ? r : wait_end(ctx, arg);
}

/* Ask one method on an executor of this kind, and wait for the reply. */
static void ask_where(cel_executor_kind kind, const char *args)
{
        executor_world e = {.options = {.kind = kind, .concurrency = 1, .waiting_max = 1}};
        char body[256];

        world_init(&e.w);
        CHECK_RESULT(fixture_spawn(&e.w.f, "opener", open_executor, &e), 0);
        e.w.endpoints[0] = (cel_endpoint){.methods = where_methods, .executor = e.executor};
        world_start(&e.w);
        snprintf(body, sizeof(body), "{\"method\": \"where\", \"args\": %s" CALL "}", args);
        bus_deliver(&e.w.bus, 0, body, NULL);
        fixture_wait(&e.w.f, fixture_spawn(&e.w.f, "waiter", stop_and_wait, &e.w));
        if (strcmp(args, "{}") == 0)
                world_check_last(&e.w, "result",
                                 kind == CEL_EXECUTOR_INLINE  ? "nowhere"
                                 : kind == CEL_EXECUTOR_GREEN ? "on a loop"
                                                              : "on a thread");
        else
                world_check_failure(&e.w, "RuntimeError", "builtins", "loop -1 is out of order");
        fixture_wait(&e.w.f, fixture_spawn(&e.w.f, "closer", close_executor, &e));
        world_fini(&e.w);
}

TEST(handlers_run_where_their_executor_has_them)
{
        ask_where(CEL_EXECUTOR_GREEN, "{}");
        ask_where(CEL_EXECUTOR_INLINE, "{}");
        ask_where(CEL_EXECUTOR_THREADS, "{}");
}

TEST(a_failure_on_a_thread_comes_with_its_text)
{
        ask_where(CEL_EXECUTOR_THREADS, "{\"fail\": true}");
}

TEST(a_request_that_its_executor_drops_is_answered)
{
        executor_world e = {.options = {.kind = CEL_EXECUTOR_BLOCKING, .waiting_max = 1}};

        world_init(&e.w);
        CHECK_RESULT(fixture_spawn(&e.w.f, "opener", open_executor, &e), 0);
        e.w.endpoints[0] = (cel_endpoint){.methods = where_methods, .executor = e.executor};
        world_start(&e.w);
        bus_deliver(&e.w.bus, 0, "{\"method\": \"where\"" CALL "}", NULL);
        CHECK_INT(e.w.bus.published_n, 0); /* nobody runs the executor */
        cel_executor_cancel(e.executor);
        fixture_settle(&e.w.f);
        world_check_failure(&e.w, "RuntimeError", "builtins", "cancelled");
        bus_deliver(&e.w.bus, 0, "{\"method\": \"where\"" CALL "}", NULL);
        world_check_failure(&e.w, "RuntimeError", "builtins", "closed");
        fixture_wait(&e.w.f, fixture_spawn(&e.w.f, "closer", close_executor, &e));
        world_fini(&e.w);
}
