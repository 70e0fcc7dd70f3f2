/* SPDX-License-Identifier: Apache-2.0
 *
 * Endpoints and batches of a listener, on a bus that the test plays. */
#include "bus.h"
#include "fixture.h"
#include "test.h"

#include <celadon/notification.h>
#include <stdio.h>
#include <string.h>

enum { MINUTE_MS = 60 * 1000 };

typedef struct world {
        fixture f;
        bus bus;
        cel_notification_listener *listener;
        cel_notification_listener_options options;
        cel_notification_endpoint endpoints[3];
        char calls[512];  /* what handlers were given: "name(id id) " */
        char error[256];  /* of opening */
        cel_future *gate; /* handlers wait for it, if it is there */
} world;

/* A handler of its own: its name, and what it returns. */
typedef struct handler {
        world *w;
        const char *name;
        int result;
} handler;

static int write_down(cel_ctx *ctx, const handler *h, const cel_notification *const *notifications,
                      unsigned n)
{
        char *calls = h->w->calls;
        size_t room = sizeof(h->w->calls);

        for (unsigned i = 0; i < n; i++)
                snprintf(calls + strlen(calls), room - strlen(calls), "%s%s", i ? " " : h->name,
                         notifications[i]->message_id);
        snprintf(calls + strlen(calls), room - strlen(calls), ";");
        int r = h->w->gate ? cel_await(ctx, h->w->gate, NULL) : 0;
        return r < 0 ? r : h->result;
}

static int on_notification(cel_ctx *ctx, const cel_notification *notification, void *arg)
{
        return write_down(ctx, arg, &notification, 1);
}

static int on_batch(cel_ctx *ctx, const cel_notification *const *notifications, unsigned n, void *arg)
{
        return write_down(ctx, arg, notifications, n);
}

static int open_listener(cel_ctx *ctx, void *arg)
{
        world *w = arg;
        int r = cel_notification_listener_open(ctx, w->bus.transport, &w->options, &w->listener);

        if (r < 0)
                snprintf(w->error, sizeof(w->error), "%s", cel_ctx_error_text(ctx, r));
        return r;
}

static int close_listener(cel_ctx *ctx, void *arg)
{
        return cel_notification_listener_close(ctx, ((world *)arg)->listener);
}

static void world_init(world *w)
{
        memset(w, 0, sizeof(*w));
        w->f = fixture_new();
        bus_init(&w->bus, &w->f);
        w->options = (cel_notification_listener_options){.allow_requeue = true, .endpoints = w->endpoints};
}

static void world_open(world *w)
{
        CHECK_RESULT(fixture_spawn(&w->f, "opener", open_listener, w), 0);
}

static void world_fini(world *w)
{
        CHECK_RESULT(fixture_spawn(&w->f, "closer", close_listener, w), 0);
        cel_future_unref(w->gate);
        bus_fini(&w->bus);
        fixture_free(&w->f);
}

static void hold_handlers(world *w)
{
        CHECK_INT(cel_future_new(&w->gate), 0);
}

static void let_go(world *w)
{
        cel_future_complete(w->gate, 0, NULL);
        fixture_settle(&w->f);
}

static void give(world *w, const char *priority, const char *event_type, const char *id)
{
        char body[256];

        snprintf(body, sizeof(body),
                 "{\"priority\": \"%s\", \"event_type\": \"%s\", \"message_id\": \"%s\", \"_unique_id\": "
                 "\"%s\"}",
                 priority, event_type, id, id);
        bus_deliver(&w->bus, 0, body, NULL);
        fixture_settle(&w->f);
}

static void give_some(world *w, unsigned from, unsigned n)
{
        for (unsigned i = from; i < from + n; i++) {
                char id[8];

                snprintf(id, sizeof(id), "%u", i);
                give(w, "INFO", "x", id);
        }
}

/* --- Endpoints -------------------------------------------------------------------------------- */

static const char *const info[] = {"info", NULL}, *const errors[] = {"error", "critical", NULL};

TEST(an_endpoint_gets_what_its_priorities_and_filter_let_pass)
{
        static const cel_notification_filter compute = {.event_type = "compute\\."};
        world w;
        handler a = {&w, "a", 0}, b = {&w, "b", 0}, c = {&w, "c", 0};

        world_init(&w);
        w.endpoints[0] = (cel_notification_endpoint){info, &compute, on_notification, NULL, &a};
        w.endpoints[1] = (cel_notification_endpoint){errors, NULL, on_notification, NULL, &b};
        w.endpoints[2] = (cel_notification_endpoint){info, NULL, on_notification, NULL, &c};
        w.options.endpoints_n = 3;
        world_open(&w);
        CHECK_INT(w.bus.subscriptions[0].options.queues_n, 3);
        CHECK_STR(w.bus.subscriptions[0].queues[0], "notifications.info");
        CHECK_STR(w.bus.subscriptions[0].queues[2], "notifications.critical");
        give(&w, "INFO", "compute.start", "1");
        give(&w, "info", "volume.start", "2");
        give(&w, "CRITICAL", "compute.end", "3");
        give(&w, "AUDIT", "compute.end", "4"); /* nobody's: settled nevertheless */
        give(&w, "LOUD", "compute.end", "5");
        CHECK_STR(w.calls, "a1;c1;c2;b3;");
        CHECK_STR(w.bus.settled, "aaaaa");
        world_fini(&w);
}

TEST(an_endpoint_that_gives_back_ends_the_round)
{
        for (int allowed = 0; allowed < 2; allowed++) {
                world w;
                handler a = {&w, "a", 0}, b = {&w, "b", CEL_REQUEUE}, c = {&w, "c", 0};

                world_init(&w);
                w.options.allow_requeue = allowed;
                w.options.endpoints_n = 3;
                w.endpoints[0] = (cel_notification_endpoint){.on_notification = on_notification, .arg = &a};
                w.endpoints[1] = (cel_notification_endpoint){.on_notification = on_notification, .arg = &b};
                w.endpoints[2] = (cel_notification_endpoint){.on_notification = on_notification, .arg = &c};
                w.options.priorities = NULL;
                world_open(&w);
                give(&w, "INFO", "x", "1");
                b.result = CEL_EIO;
                give(&w, "INFO", "x", "2");
                CHECK_STR(w.calls, "a1;b1;a2;b2;");
                CHECK_STR(w.bus.settled, allowed ? "qq" : "aa");
                world_fini(&w);
        }
}

/* --- Serializers ------------------------------------------------------------------------------ */

static int read_context(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context)
{
        (void)arg;
        *ret_context = json_pack("{s:s}", "user", json_string_value(json_object_get(context, "u")));
        return *ret_context ? 0 : cel_fail(ctx, CEL_EINVAL, "there is no u");
}

/* Waits like a handler, if that is to wait: it is in the handler's task. */
static int read_payload(cel_ctx *ctx, void *arg, const json_t *context, json_t *payload, json_t **ret_payload)
{
        world *w = arg;
        int r = w->gate ? cel_await(ctx, w->gate, NULL) : 0;

        if (r >= 0)
                *ret_payload =
                        json_pack("{s:O, s:O}", "state", payload, "of", json_object_get(context, "user"));
        return r;
}

static void give_serialized(world *w, const char *id, const char *user, const char *payload)
{
        char body[256];

        snprintf(body, sizeof(body),
                 "{\"priority\": \"INFO\", \"message_id\": \"%s\", \"_unique_id\": \"%s\", \"payload\": "
                 "\"%s\", "
                 "\"_context_u\": %s}",
                 id, id, payload, user);
        bus_deliver(&w->bus, 0, body, NULL);
        fixture_settle(&w->f);
}

static int check_made(cel_ctx *ctx, const cel_notification *n, void *arg)
{
        const json_t *message = n->message;

        CHECK_STR(json_string_value(json_object_get(n->payload, "of")), "me");
        CHECK(json_object_get(message, "payload") == n->payload);
        CHECK_STR(json_string_value(json_object_get(message, "_context_user")), "me");
        CHECK(!json_object_get(message, "_context_u"));
        CHECK(strstr(n->text, "_context_u\""));
        return write_down(ctx, arg, &n, 1);
}

static const cel_notification_filter active_for_me = {
        .context = (const cel_member_pattern[]){{"user", "me$"}, {0}},
        .payload = (const cel_member_pattern[]){{"state", "active$"}, {0}}};

TEST(filters_and_handlers_see_what_a_serializer_has_made)
{
        world w;
        handler a = {.w = &w, .name = "a", .result = CEL_REQUEUE};
        cel_serializer serializer = {
                .deserialize_context = read_context, .deserialize_entity = read_payload, .arg = &w};

        world_init(&w);
        w.endpoints[0] = (cel_notification_endpoint){
                .filter = &active_for_me, .on_notification = check_made, .arg = &a};
        w.options.endpoints_n = 1;
        w.options.serializer = &serializer;
        world_open(&w);
        memset(&serializer, 0, sizeof(serializer)); /* it was copied */
        give_serialized(&w, "1", "\"me\"", "active");
        give_serialized(&w, "2", "\"me\"", "idle");
        give_serialized(&w, "3", "\"you\"", "active");
        CHECK_STR(w.calls, "a1;");
        CHECK_STR(w.bus.settled, "qaa");
        world_fini(&w);
}

TEST(what_cannot_be_deserialized_has_failed_as_if_its_handler_had)
{
        world w;
        handler a = {.w = &w, .name = "a"};

        for (int allowed = 0; allowed <= 1; allowed++) {
                world_init(&w);
                w.endpoints[0] = (cel_notification_endpoint){.on_notification = on_notification, .arg = &a};
                w.options.endpoints_n = 1;
                w.options.allow_requeue = allowed;
                w.options.serializer = &(cel_serializer){.deserialize_context = read_context};
                world_open(&w);
                give_serialized(&w, "1", "null", "active");
                CHECK_STR(w.calls, "");
                CHECK_STR(w.bus.settled, allowed ? "q" : "a");
                world_fini(&w);
        }
}

TEST(a_batch_is_deserialized_and_then_filtered)
{
        world w;
        handler a = {.w = &w, .name = "a", .result = CEL_REQUEUE};

        world_init(&w);
        w.endpoints[0] =
                (cel_notification_endpoint){.filter = &active_for_me, .on_batch = on_batch, .arg = &a};
        w.options.endpoints_n = 1;
        w.options.batch_size = 4;
        w.options.serializer = &(cel_serializer){
                .deserialize_context = read_context, .deserialize_entity = read_payload, .arg = &w};
        world_open(&w);
        give_serialized(&w, "1", "\"me\"", "active");
        give_serialized(&w, "2", "null", "active");
        give_serialized(&w, "3", "\"me\"", "idle");
        CHECK_STR(w.bus.settled, "---");
        give_serialized(&w, "4", "\"me\"", "active");
        CHECK_STR(w.calls, "a1 4;");
        CHECK_STR(w.bus.settled, "qqaq"); /* what nobody wants is not given back with the others */
        world_fini(&w);
}

TEST(a_serializer_that_waits_when_the_listener_closes_gives_back)
{
        world w;
        handler a = {.w = &w, .name = "a"};

        world_init(&w);
        hold_handlers(&w);
        w.endpoints[0] = (cel_notification_endpoint){.on_notification = on_notification, .arg = &a};
        w.options.endpoints_n = 1;
        w.options.allow_requeue = false;
        w.options.serializer = &(cel_serializer){
                .deserialize_context = read_context, .deserialize_entity = read_payload, .arg = &w};
        world_open(&w);
        give_serialized(&w, "1", "\"me\"", "active");
        CHECK_STR(w.bus.settled, "-");
        cel_task *closer = fixture_spawn(&w.f, "closer", close_listener, &w);
        cel_task_cancel(closer);
        fixture_settle(&w.f);
        CHECK_RESULT(closer, CEL_ECANCELED);
        CHECK_STR(w.calls, "");
        CHECK_STR(w.bus.settled, "q");
        cel_future_unref(w.gate);
        bus_fini(&w.bus);
        fixture_free(&w.f);
}

/* --- Targets and what is wrong ---------------------------------------------------------------- */

TEST(what_is_wrong_with_endpoints_is_said_when_a_listener_opens)
{
        static const cel_notification_filter broken = {.publisher_id = "*"};
        static const char *const none[] = {NULL}, *const loud[] = {"loud", NULL};
        static const struct {
                cel_notification_endpoint endpoint;
                unsigned batch_size;
                const char *error;
        } cases[] = {
                {{loud, NULL, on_notification, NULL, NULL}, 0, "there is no priority \"loud\""},
                {{none, NULL, on_notification, NULL, NULL}, 0, "an endpoint has no priorities"},
                {{NULL, NULL, NULL, on_batch, NULL}, 0, "without batch_size, handlers are on_notification"},
                {{NULL, NULL, on_notification, NULL, NULL}, 5, "with batch_size, handlers are on_batch"},
                {{NULL, &broken, on_notification, NULL, NULL},
                 0,
                 "the filter's publisher_id is no regular expression: \"*\": quantifier does not follow a "
                 "repeatable item at byte 0"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                world w;

                world_init(&w);
                w.endpoints[0] = cases[i].endpoint;
                w.options.endpoints_n = 1;
                w.options.batch_size = cases[i].batch_size;
                CHECK_RESULT(fixture_spawn(&w.f, "opener", open_listener, &w), CEL_EINVAL);
                CHECK_STR(w.error, cases[i].error);
                bus_fini(&w.bus);
                fixture_free(&w.f);
        }
}

TEST(a_listener_says_each_thing_in_one_way)
{
        static const cel_notification_target target = {"nova", "notifications"};
        static const cel_notification_endpoint endpoint = {.on_notification = on_notification};
        static const struct {
                cel_notification_listener_options options;
                const char *error;
        } cases[] = {
                {{0}, "without batch_size, handlers are on_notification"},
                {{.on_notification = on_notification, .endpoints = &endpoint, .endpoints_n = 1},
                 "a listener with endpoints has its handlers there"},
                {{.on_notification = on_notification, .targets = &target, .targets_n = 1, .exchange = "nova"},
                 "a listener has targets, or exchange and topics, not both"},
                {{.on_notification = on_notification, .on_batch = on_batch, .batch_size = 5},
                 "with batch_size, handlers are on_batch"},
                {{.on_batch = on_batch, .batch_size = 10001},
                 "a listener's concurrency is at most 65535, its batch_size 10000"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                world w;

                world_init(&w);
                w.options = cases[i].options;
                CHECK_RESULT(fixture_spawn(&w.f, "opener", open_listener, &w), CEL_EINVAL);
                CHECK_STR(w.error, cases[i].error);
                bus_fini(&w.bus);
                fixture_free(&w.f);
        }
}

TEST(each_target_has_its_exchange)
{
        static const cel_notification_target targets[] = {{"nova", NULL}, {NULL, "t"}};
        world w;
        handler h = {&w, "", 0};

        world_init(&w);
        w.options = (cel_notification_listener_options){.targets = targets,
                                                        .targets_n = 2,
                                                        .priorities = errors,
                                                        .on_notification = on_notification,
                                                        .arg = &h};
        world_open(&w);
        CHECK_INT(w.bus.subscriptions[0].options.queues_n, 4);
        CHECK_STR(w.bus.subscriptions[0].queues[0], "notifications.error");
        CHECK_STR(w.bus.subscriptions[0].queues[3], "t.critical");
        world_fini(&w);
}

/* --- Batches ---------------------------------------------------------------------------------- */

/* A listener with one handler of batches. */
static void batches_open(world *w, handler *h, unsigned batch_size, int64_t batch_timeout_ms)
{
        world_init(w);
        w->options.on_batch = on_batch;
        w->options.arg = h;
        w->options.priorities = info;
        w->options.batch_size = batch_size;
        w->options.batch_timeout_ms = batch_timeout_ms;
        world_open(w);
}

TEST(a_batch_begins_when_it_is_full)
{
        world w;
        handler h = {&w, "", 0};

        batches_open(&w, &h, 3, 0);
        CHECK_INT(w.bus.subscriptions[0].options.prefetch, 6);
        give_some(&w, 1, 2);
        CHECK_STR(w.calls, "");
        give_some(&w, 3, 4);
        CHECK_STR(w.calls, "1 2 3;4 5 6;");
        CHECK_STR(w.bus.settled, "aaaaaa");
        world_fini(&w);
}

TEST(a_batch_begins_when_its_first_message_has_waited_long_enough)
{
        world w;
        handler h = {&w, "", 0};

        batches_open(&w, &h, 10, 500);
        fixture_advance_ms(&w.f, 10000);
        give_some(&w, 1, 1);
        fixture_advance_ms(&w.f, 499);
        give_some(&w, 2, 1);
        CHECK_STR(w.calls, "");
        fixture_advance_ms(&w.f, 1);
        CHECK_STR(w.calls, "1 2;");
        fixture_advance_ms(&w.f, 10000);
        CHECK_STR(w.calls, "1 2;");
        world_fini(&w);
}

TEST(no_timer_runs_while_no_batch_is_open)
{
        world w;
        handler h = {&w, "", 0};

        batches_open(&w, &h, 2, 500);
        cel__timers *timers = &cel__runtime_loop(w.f.runtime)->timers;
        CHECK(cel__timers_next(timers).ns == CEL_TIME_NEVER.ns);
        give_some(&w, 1, 1);
        CHECK(cel__timers_next(timers).ns != CEL_TIME_NEVER.ns);
        give_some(&w, 2, 1);
        CHECK(cel__timers_next(timers).ns == CEL_TIME_NEVER.ns);
        world_fini(&w);
}

TEST(without_a_timeout_a_batch_waits_for_as_long_as_a_message_may)
{
        world w;
        handler h = {&w, "", 0};

        batches_open(&w, &h, 10, 0);
        give_some(&w, 1, 1);
        fixture_advance_ms(&w.f, 5 * MINUTE_MS - 1);
        CHECK_STR(w.calls, "");
        fixture_advance_ms(&w.f, 1);
        CHECK_STR(w.calls, "1;");
        world_fini(&w);
}

TEST(what_waited_for_a_handler_is_no_longer_waited_with)
{
        world w;
        handler h = {&w, "", 0};

        batches_open(&w, &h, 3, 500);
        hold_handlers(&w);
        give_some(&w, 1, 3);
        give_some(&w, 4, 2); /* the only handler is busy */
        CHECK_STR(w.calls, "1 2 3;");
        fixture_advance_ms(&w.f, 501);
        CHECK_STR(w.calls, "1 2 3;");
        let_go(&w);
        CHECK_STR(w.calls, "1 2 3;4 5;");
        CHECK_STR(w.bus.settled, "aaaaa");
        world_fini(&w);
}

TEST(a_batch_is_handled_and_settled_by_priority)
{
        static const cel_notification_filter even = {.event_type = "even"};
        world w;
        handler a = {&w, "a", 0}, b = {&w, "b", CEL_REQUEUE}, c = {&w, "c", 0};

        world_init(&w);
        w.endpoints[0] = (cel_notification_endpoint){.filter = &even, .on_batch = on_batch, .arg = &a};
        w.endpoints[1] = (cel_notification_endpoint){.priorities = errors, .on_batch = on_batch, .arg = &b};
        w.endpoints[2] = (cel_notification_endpoint){.on_batch = on_batch, .arg = &c};
        w.options.endpoints_n = 3;
        w.options.batch_size = 6;
        world_open(&w);
        give(&w, "INFO", "odd", "1");
        give(&w, "ERROR", "even", "2");
        give(&w, "INFO", "odd", "3");
        give(&w, "ERROR", "odd", "4");
        give(&w, "error", "even", "5");
        give(&w, "INFO", "even", "6");
        CHECK_STR(w.calls, "a6;c1 3 6;a2 5;b2 4 5;");
        CHECK_STR(w.bus.settled, "aqaqqa");
        world_fini(&w);
}

TEST(what_is_no_notification_is_handled_alone_and_hurries_a_batch)
{
        world w;
        handler h = {&w, "", 0};

        batches_open(&w, &h, 3, 500);
        give_some(&w, 1, 2);
        bus_deliver(&w.bus, 0, "nonsense", NULL);
        fixture_settle(&w.f);
        CHECK_STR(w.calls, "1 2;");
        CHECK_STR(w.bus.settled, "aar");
        world_fini(&w);
}

TEST(an_open_batch_goes_back_when_the_listener_closes)
{
        world w;
        handler h = {&w, "", 0};

        batches_open(&w, &h, 3, 500);
        give_some(&w, 1, 2);
        CHECK_RESULT(fixture_spawn(&w.f, "closer", close_listener, &w), 0);
        CHECK_STR(w.calls, "");
        CHECK_STR(w.bus.settled, "qq");
        bus_fini(&w.bus);
        fixture_free(&w.f);
}

TEST(a_copy_of_what_is_in_the_open_batch_takes_its_place)
{
        world w;
        handler h = {&w, "", 0};

        batches_open(&w, &h, 3, 500);
        give_some(&w, 1, 2);
        w.bus.incarnation++;
        w.bus.redelivers = true;
        give_some(&w, 2, 1);
        CHECK_STR(w.bus.settled, "-/-");
        fixture_advance_ms(&w.f, 500); /* the first has not come again, and belongs to somebody else by now */
        CHECK_STR(w.calls, "2;");
        CHECK_STR(w.bus.settled, "//a");
        world_fini(&w);
}

TEST(a_batch_begins_when_there_is_no_room_for_more)
{
        world w;
        handler h = {&w, "", 0};

        world_init(&w);
        w.options.on_batch = on_batch;
        w.options.arg = &h;
        w.options.batch_size = 10;
        w.options.priorities = info;
        w.options.bytes_max = 170; /* two messages have 150 */
        world_open(&w);
        hold_handlers(&w);
        give_some(&w, 1, 3);
        CHECK_STR(w.calls, "1 2;");
        CHECK_STR(w.bus.settled, "---");
        let_go(&w);
        CHECK_STR(w.bus.settled, "aaq");
        world_fini(&w);
}

TEST(several_batches_are_handled_at_once_if_one_says_so)
{
        world w;
        handler h = {&w, "", 0};

        world_init(&w);
        w.options.on_batch = on_batch;
        w.options.arg = &h;
        w.options.batch_size = 2;
        w.options.concurrency = 2;
        w.options.priorities = info;
        world_open(&w);
        hold_handlers(&w);
        give_some(&w, 1, 6);
        CHECK_STR(w.calls, "1 2;3 4;");
        let_go(&w);
        CHECK_STR(w.calls, "1 2;3 4;5 6;");
        world_fini(&w);
}
