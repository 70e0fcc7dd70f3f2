/* SPDX-License-Identifier: Apache-2.0
 *
 * The notifier, on a bus that the test plays. */
#include "bus.h"
#include "fixture.h"
#include "test.h"

#include <celadon/log.h>
#include <celadon/notifier.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct world {
        fixture f;
        bus bus;
        cel_notifier_options options;
        cel_notifier *notifier;
        const char *priority, *event_type;
        json_t *context, *payload;
        json_t *sent;  /* what was taken of the driver "test" */
        char log[512]; /* the last line */
        unsigned lines;
        bool refuses;    /* the serializer does */
        char error[128]; /* of notify() */
} world;

static int make(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        return cel_notifier_new(ctx, w->bus.transport, &w->options, &w->notifier);
}

static int notify(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        int r = cel_notify(ctx, w->notifier, w->priority, w->event_type,
                           w->payload ? json_incref(w->payload) : json_pack("{s:i}", "a", 1), w->context);
        snprintf(w->error, sizeof(w->error), "%s", r < 0 ? cel_ctx_error_text(ctx, r) : "");
        return r;
}

static int take_sent(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        json_decref(w->sent);
        return cel_notifier_take_sent(ctx, w->notifier, &w->sent);
}

static void on_line(cel_log_level level, const char *line, void *arg)
{
        world *w = arg;

        (void)level;
        snprintf(w->log, sizeof(w->log), "%s", strchr(line, ' ') + 1); /* without the time */
        w->lines++;
}

static void world_init(world *w)
{
        memset(w, 0, sizeof(*w));
        w->f = fixture_new();
        w->priority = "info";
        w->event_type = "event";
        bus_init(&w->bus, &w->f);
}

static void world_fini(world *w)
{
        cel_notifier_free(w->notifier);
        json_decref(w->context);
        json_decref(w->payload);
        json_decref(w->sent);
        cel_log_set_sink(NULL, NULL);
        bus_fini(&w->bus);
        fixture_free(&w->f);
}

static void check_sent(const bus_published *p, const char *key, const char *expected)
{
        char text[300];

        bus_get(p, key, text, sizeof(text));
        CHECK_STR(text, expected);
}

TEST_BOTH(a_notification_goes_to_the_queue_of_its_topic_and_priority)
{
        world w;
        char id[64], time[64];

        world_init(&w);
        w.options = (cel_notifier_options){.exchange = "nova", .publisher_id = "p"};
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_INT(w.bus.declared_n, 1); /* once for all */
        CHECK_STR(w.bus.declared[0], "nova notifications.info");
        const bus_published *p = bus_last(&w.bus);
        CHECK_STR(p->exchange, "nova");
        CHECK_STR(p->routing_key, "notifications.info");
        CHECK(p->mandatory && strncmp(p->body, "{\"oslo.version\"", 15) == 0);
        check_sent(p, "publisher_id", "p");
        check_sent(p, "event_type", "event");
        check_sent(p, "priority", "INFO");
        bus_get(p, "message_id", id, sizeof(id));
        CHECK(strlen(id) == 36 && id[8] == '-' && id[14] == '4' && id[23] == '-');
        bus_get(p, "timestamp", time, sizeof(time));
        CHECK((strlen(time) == 26 || strlen(time) == 19) && time[4] == '-' && time[10] == ' ');
        world_fini(&w);
}

TEST_BOTH(every_driver_sends_to_every_topic)
{
        static const char *const topics[] = {"a", "b", NULL};
        static const char *const drivers[] = {"messaging", "noop", "messagingv2", NULL};
        world w;
        char first[64], last[64];

        world_init(&w);
        w.options = (cel_notifier_options){.topics = topics, .drivers = drivers};
        w.priority = "error";
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        w.bus.outcomes[1] = CEL_ENACK;
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), CEL_ENACK);
        CHECK_INT(w.bus.published_n, 4); /* the others are sent nevertheless */
        CHECK_STR(w.bus.published[0].routing_key, "a.error");
        CHECK_STR(w.bus.published[3].routing_key, "b.error");
        CHECK(strncmp(w.bus.published[0].body, "{\"message_id\"", 13) == 0);
        CHECK(strncmp(w.bus.published[3].body, "{\"oslo.version\"", 15) == 0);
        bus_get(&w.bus.published[0], "message_id", first, sizeof(first));
        bus_get(&w.bus.published[3], "message_id", last, sizeof(last));
        CHECK_STR(first, last);
        bus_get(&w.bus.published[0], "_unique_id", first, sizeof(first));
        bus_get(&w.bus.published[3], "_unique_id", last, sizeof(last));
        CHECK(strcmp(first, last) != 0);
        world_fini(&w);
}

TEST_BOTH(a_context_is_sent_without_its_secrets)
{
        world w;

        world_init(&w);
        w.context = json_pack("{s:s, s:s, s:s}", "user_id", "u", "auth_token", "secret", "request_id", "r");
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        check_sent(bus_last(&w.bus), "_context_user_id", "u");
        check_sent(bus_last(&w.bus), "_context_request_id", "r");
        CHECK(!strstr(bus_last(&w.bus)->body, "secret"));
        world_fini(&w);
}

/* Yields, to show that it may wait. */
static int wrap_payload(cel_ctx *ctx, void *arg, const json_t *context, json_t *payload, json_t **ret_payload)
{
        int r = cel_sleep_ms(ctx, 0);

        if (r >= 0 && ((world *)arg)->refuses)
                r = cel_fail(ctx, CEL_EINVAL, "not this one");
        if (r >= 0)
                *ret_payload = json_pack("{s:O, s:s}", "wrapped", payload, "for",
                                         json_string_value(json_object_get(context, "auth_token")));
        return r;
}

static int mark_context(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context)
{
        (void)ctx, (void)arg;
        *ret_context = json_copy(context);
        return json_object_set_new(*ret_context, "members",
                                   json_integer((json_int_t)json_object_size(context)));
}

TEST_BOTH(a_serializer_sees_the_whole_context_and_makes_another_of_what_is_left_of_it)
{
        static const char *const drivers[] = {"messagingv2", "messaging", NULL};
        world w;

        world_init(&w);
        w.options = (cel_notifier_options){.drivers = drivers,
                                           .serializer = &(cel_serializer){.serialize_entity = wrap_payload,
                                                                           .serialize_context = mark_context,
                                                                           .arg = &w}};
        w.context = json_pack("{s:s, s:s}", "user_id", "u", "auth_token", "secret");
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_INT(w.bus.published_n, 2);
        CHECK(strstr(w.bus.published[0].body, "\"payload\": {\"wrapped\": {\"a\": 1}, \"for\": \"secret\"}"));
        CHECK(strstr(w.bus.published[0].body, "\"_context_user_id\": \"u\", \"_context_members\": 1}"));
        check_sent(bus_last(&w.bus), "_context_user_id", "u");
        w.refuses = true;
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), CEL_EINVAL);
        CHECK_STR(w.error, "the payload cannot be serialized: not this one");
        CHECK_INT(w.bus.published_n, 2);
        world_fini(&w);
}

TEST_BOTH(a_notification_waits_for_a_bus_that_is_away)
{
        world w;

        world_init(&w);
        CHECK_INT(cel_future_new(&w.bus.up), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        fixture_actor *notifier = fixture_act(&w.f, kind, "notifier", notify, &w);
        fixture_advance_ms(&w.f, 3600 * 1000);
        CHECK_WAITS(notifier);
        cel_future_complete(w.bus.up, 0, NULL);
        fixture_settle(&w.f);
        CHECK_DONE(notifier, 0);
        world_fini(&w);
}

TEST_BOTH(without_retries_what_may_be_lost_is_unknown)
{
        world w;

        world_init(&w);
        w.options.retry = CEL_RETRY_NEVER;
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        w.bus.outcomes[0] = CEL_EUNKNOWN;
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), CEL_EUNKNOWN);
        world_fini(&w);
}

TEST_BOTH(a_queue_that_has_gone_is_declared_again)
{
        world w;

        world_init(&w);
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        w.bus.outcomes[0] = CEL_EUNROUTABLE;
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_INT(w.bus.declared_n, 2);
        CHECK_INT(w.bus.published_n, 2);
        for (unsigned i = 2; i < 7; i++)
                w.bus.outcomes[i] = CEL_EUNROUTABLE;
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w),
                   CEL_EUNROUTABLE); /* somebody deletes it */
        CHECK_INT(w.bus.published_n, 6);
        world_fini(&w);
}

TEST_BOTH(retries_count_attempts_to_connect_and_to_send)
{
        world w;

        world_init(&w);
        w.options.retry = 2;
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        w.bus.connects_failing = 3;
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), CEL_ECONNECT);
        w.bus.connects_failing = 2;
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        w.bus.connects_failing = 2;
        w.bus.outcomes[1] = CEL_EUNKNOWN;
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), CEL_EUNKNOWN);
        CHECK_INT(w.bus.published_n, 2);
        world_fini(&w);
}

TEST_BOTH(the_driver_test_keeps_what_was_sent_until_it_is_taken)
{
        static const char *const drivers[] = {"test", NULL};
        world w;

        world_init(&w);
        w.options = (cel_notifier_options){.drivers = drivers, .publisher_id = "p", .retry = CEL_RETRY_NEVER};
        w.context = json_pack("{s:s, s:s}", "user_id", "u", "auth_token", "secret");
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        w.priority = "warning";
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "reader", take_sent, &w), 0);
        CHECK_INT(json_array_size(w.sent), 2);
        const json_t *entry = json_array_get(w.sent, 0), *message = json_object_get(entry, "message");
        CHECK_INT(json_integer_value(json_object_get(entry, "retry")), 0);
        CHECK_STR(json_string_value(json_object_get(entry, "priority")), "INFO");
        CHECK_INT(json_object_size(json_object_get(entry, "context")), 1);
        CHECK_STR(json_string_value(json_object_get(message, "publisher_id")), "p");
        CHECK_STR(json_string_value(json_object_get(message, "event_type")), "event");
        CHECK_INT(json_integer_value(json_object_get(json_object_get(message, "payload"), "a")), 1);
        CHECK_INT(json_object_size(message), 6);
        CHECK_STR(json_string_value(json_object_get(json_array_get(w.sent, 1), "priority")), "WARN");
        CHECK_DONE(fixture_act(&w.f, kind, "reader", take_sent, &w), 0);
        CHECK_INT(json_array_size(w.sent), 0);
        world_fini(&w);
}

static int notify_often(cel_ctx *ctx, void *arg)
{
        world *w = arg;
        int r = 0;

        for (int i = 0; i < 1001 && r >= 0; i++)
                r = cel_notify(ctx, w->notifier, "info", "event", json_integer(i), NULL);
        return r;
}

TEST(the_driver_test_keeps_the_last_thousand)
{
        static const char *const drivers[] = {"test", NULL};
        world w;

        world_init(&w);
        w.options.drivers = drivers;
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "notifier", notify_often, &w), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "reader", take_sent, &w), 0);
        CHECK_INT(json_array_size(w.sent), 1000);
        const json_t *first = json_object_get(json_array_get(w.sent, 0), "message");
        CHECK_INT(json_integer_value(json_object_get(first, "payload")), 1);
        world_fini(&w);
}

TEST_BOTH(the_driver_log_writes_json_without_secrets_at_the_level_of_the_priority)
{
        static const char *const drivers[] = {"log", NULL};
        world w;

        world_init(&w);
        cel_log_set_sink(on_line, &w);
        w.options.drivers = drivers;
        w.payload = json_pack("{s:s, s:i}", "password", "x", "b", 2);
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        w.priority = "critical";
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_INT(w.lines, 1);
        const char head[] = "ERROR oslo.messaging.notification.event [notifier] {\"message_id\": \"";
        CHECK(strncmp(w.log, head, sizeof(head) - 1) == 0);
        CHECK(strstr(w.log, "\"priority\": \"CRITICAL\", \"payload\": {\"password\": \"***\", \"b\": 2}, "));
        CHECK(!strstr(w.log, "_unique_id") && !strstr(w.log, "_context"));
        static const char *const unlogged[] = {"audit", "sample", "debug"};
        for (int i = 0; i < 3; i++) { /* the last for the log's level */
                w.priority = unlogged[i];
                CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        }
        CHECK_INT(w.lines, 1);
        world_fini(&w);
}

TEST_BOTH(the_driver_log_masks_all_of_a_message)
{
        static const char *const drivers[] = {"log", NULL};
        world w;

        world_init(&w);
        cel_log_set_sink(on_line, &w);
        w.options = (cel_notifier_options){.drivers = drivers, .publisher_id = "host?password=hunter2"};
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        w.event_type = "identity.token.revoked"; /* tells none */
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK(strstr(w.log, "\"publisher_id\": \"***\", \"event_type\": \"identity.token.revoked\", "));
        w.event_type = "auth_token: hunter2";
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_INT(w.lines, 2);
        CHECK(strstr(w.log, "\"event_type\": \"***\", ") && !strstr(w.log, "hunter2"));
        world_fini(&w);
}

TEST_BOTH(the_driver_routing_asks_its_file)
{
        static const char *const drivers[] = {"routing", NULL};
        static const char routes[] =
                "g: {messagingv2: {accepted_priorities: [ERROR]}, test: {accepted_events: [e*]}}\n"
                "h: {messaging: {accepted_events: [other]}}\n";
        char path[] = "/tmp/celadon-routing-XXXXXX";
        int fd = mkstemp(path);
        world w;

        CHECK(write(fd, routes, strlen(routes)) == (ssize_t)strlen(routes));
        close(fd);
        world_init(&w);
        w.options.drivers = drivers;
        CHECK_DONE(fixture_act(&w.f, kind, "maker", make, &w), CEL_EINVAL);
        w.options.routing_config = path;
        CHECK_DONE(fixture_act(&w.f, kind, "maker", make, &w), 0);
        unlink(path);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_INT(w.bus.published_n, 0);
        w.priority = "error";
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_INT(w.bus.published_n, 1);
        CHECK(strncmp(bus_last(&w.bus)->body, "{\"oslo.version\"", 15) == 0);
        CHECK_DONE(fixture_act(&w.f, kind, "reader", take_sent, &w), 0);
        CHECK_INT(json_array_size(w.sent), 2);
        world_fini(&w);
}

TEST_BOTH(a_payload_nested_too_deep_is_refused_by_every_driver)
{
        static const char *const names[] = {"messaging", "messagingv2", "log", "test"};
        world w;

        world_init(&w);
        w.payload = json_array();
        for (int i = 0; i < 100; i++)
                w.payload = json_pack("[o]", w.payload);
        for (int i = 0; i < 4; i++) {
                w.options.drivers = (const char *const[]){names[i], NULL};
                CHECK_DONE(fixture_act(&w.f, kind, "maker", make, &w), 0);
                CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), CEL_EINVAL);
                w.notifier = cel_notifier_free(w.notifier);
        }
        world_fini(&w);
}

/* Replace the notifier by one prepared from it. */
static int prepare(cel_ctx *ctx, void *arg)
{
        world *w = arg;
        cel_notifier *base = w->notifier;
        int r = cel_notifier_prepare(ctx, base, w->options.publisher_id, w->options.retry, &w->notifier);

        cel_notifier_free(base);
        return r;
}

TEST_BOTH(a_prepared_notifier_has_another_publisher_or_retry_and_shares_the_rest)
{
        static const char *const drivers[] = {"messaging", "test", NULL};
        world w;

        world_init(&w);
        w.options = (cel_notifier_options){.exchange = "nova", .drivers = drivers, .publisher_id = "one"};
        CHECK_RESULT(fixture_spawn(&w.f, "maker", make, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        w.options = (cel_notifier_options){.publisher_id = "two"};
        CHECK_DONE(fixture_act(&w.f, kind, "preparer", prepare, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        check_sent(bus_last(&w.bus), "publisher_id", "two");
        CHECK_STR(bus_last(&w.bus)->exchange, "nova");
        w.options = (cel_notifier_options){.retry = 5};
        CHECK_DONE(fixture_act(&w.f, kind, "preparer", prepare, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        check_sent(bus_last(&w.bus), "publisher_id", "two");
        CHECK_DONE(fixture_act(&w.f, kind, "reader", take_sent, &w), 0);
        CHECK_INT(json_integer_value(json_object_get(json_array_get(w.sent, 1), "retry")), -1);
        CHECK_INT(json_integer_value(json_object_get(json_array_get(w.sent, 2), "retry")), 5);
        w.options = (cel_notifier_options){.publisher_id = "three"};
        CHECK_DONE(fixture_act(&w.f, kind, "preparer", prepare, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_DONE(fixture_act(&w.f, kind, "reader", take_sent, &w), 0);
        CHECK_INT(json_integer_value(json_object_get(json_array_get(w.sent, 0), "retry")), 5);
        world_fini(&w);
}

TEST_BOTH(there_is_no_other_priority_or_driver)
{
        static const char *const unknown[] = {"carrier-pigeon", NULL}, *const noop[] = {"noop", NULL};
        world w;

        world_init(&w);
        w.options.drivers = unknown;
        CHECK_DONE(fixture_act(&w.f, kind, "maker", make, &w), CEL_ENOSUPPORT);
        w.options.drivers = noop;
        CHECK_DONE(fixture_act(&w.f, kind, "maker", make, &w), 0);
        CHECK(!cel_notifier_is_enabled(w.notifier));
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), 0);
        CHECK_INT(w.bus.published_n, 0);
        w.priority = "INFO";
        CHECK_DONE(fixture_act(&w.f, kind, "notifier", notify, &w), CEL_EINVAL);
        world_fini(&w);
}
