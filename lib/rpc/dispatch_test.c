/* SPDX-License-Identifier: Apache-2.0
 *
 * Which method is meant, who may call it, and what becomes of its arguments and its result. */
#include "rpc_world.h"
#include "test.h"

#include <string.h>

TEST(what_no_endpoint_has_is_refused_in_upstreams_words)
{
        static const char module[] = "oslo_messaging.rpc.dispatcher";
        world w;

        world_init(&w);
        world_start(&w);
        world_ask(&w, "unknown", CALL);
        world_check_failure(&w, "NoSuchMethod", module, "Endpoint does not support RPC method unknown");
        world_ask(&w, "_hidden", CALL);
        world_check_failure(&w, "NoSuchMethod", module, "Endpoint does not support RPC method _hidden");
        world_ask(&w, "add", CALL ", \"version\": \"1.4\"");
        world_check_failure(&w, "UnsupportedVersion", module,
                            "Endpoint does not support RPC version 1.4. Attempted method: add");
        world_ask(&w, "add", CALL ", \"version\": null");
        world_check_failure(&w, "UnsupportedVersion", module,
                            "Endpoint does not support RPC version None. Attempted method: add");
        world_ask(&w, "add", CALL ", \"namespace\": \"other\"");
        world_check_failure(&w, "UnsupportedVersion", module,
                            "Endpoint does not support RPC version 1.0. Attempted method: add");
        CHECK_INT(w.called, 0);
        CHECK_INT(cel_rpc_server_get_stats(w.server).refused, 5);
        world_fini(&w);
}

TEST(the_first_endpoint_that_fits_and_has_the_method_is_asked)
{
        static const cel_method first[] = {{.name = "other", .fn = world_nothing}, {0}};
        static const char *const legacy[] = {"old", "", NULL};
        world w;

        world_init(&w);
        w.endpoints[0] = (cel_endpoint){.version = "2.0", .methods = first};
        w.endpoints[1] = (cel_endpoint){.name_space = "ns",
                                        .version = "2.5",
                                        .methods = world_methods,
                                        .legacy_name_spaces = legacy,
                                        .arg = &w};
        w.options.endpoints_n = 2;
        world_start(&w);
        world_ask(&w, "add", ", \"version\": \"2.0\"");
        CHECK_STR(w.seen, "add - 2.0 cast user=(null)");
        world_ask(&w, "add", ", \"version\": \"2.4\", \"namespace\": \"old\"");
        CHECK_STR(w.seen, "add old 2.4 cast user=(null)");
        world_ask(&w, "add", ", \"version\": \"2.5\", \"namespace\": \"ns\"");
        CHECK_STR(w.seen, "add ns 2.5 cast user=(null)");
        CHECK_INT(w.called, 3);
        world_fini(&w);
}

TEST(a_ping_is_answered_if_that_is_wanted)
{
        world w;

        world_init(&w);
        w.options.ping = true;
        world_start(&w);
        world_ask(&w, "oslo_rpc_server_ping", CALL);
        world_check_last(&w, "result", "pong");
        world_fini(&w);
}

static bool allow_hidden(const cel_endpoint *endpoint, const char *method, void *arg)
{
        (void)endpoint, (void)arg;
        return strcmp(method, "_hidden") == 0;
}

TEST(a_policy_says_what_may_be_called)
{
        world w;

        world_init(&w);
        w.options.access_policy = allow_hidden;
        world_start(&w);
        world_ask(&w, "add", CALL);
        CHECK_INT(w.called, 0);
        world_ask(&w, "_hidden", CALL);
        CHECK_INT(w.called, 1);
        world_fini(&w);
}

TEST(upstreams_policies_allow_what_they_do_there)
{
        static const cel_method exposed[] = {
                {.name = "open", .fn = world_add, .exposed = true},
                {.name = "closed", .fn = world_add},
                {.name = "_open", .fn = world_add, .exposed = true},
                {0},
        };
        static const char *const names[] = {"open", "closed", "_open", "missing"};
        static const struct {
                cel_rpc_access_policy policy;
                const char *called; /* for each name */
        } cases[] = {{NULL, "yynn"},
                     {cel_rpc_access_default, "yynn"},
                     {cel_rpc_access_legacy, "yyyn"},
                     {cel_rpc_access_explicit, "ynyn"}};

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                world w;
                char called[5] = "";

                world_init(&w);
                w.endpoints[0] = (cel_endpoint){.methods = exposed, .arg = &w};
                w.options.access_policy = cases[i].policy;
                w.options.ping = true;
                world_start(&w);
                for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
                        unsigned before = w.called;

                        world_ask(&w, names[n], CALL);
                        called[n] = w.called > before ? 'y' : 'n';
                }
                CHECK_STR(called, cases[i].called);
                world_check_failure(&w, "NoSuchMethod", "oslo_messaging.rpc.dispatcher",
                                    "Endpoint does not support RPC method missing");
                world_ask(&w, "oslo_rpc_server_ping", CALL);
                world_check_last(&w, "result", "pong");
                world_fini(&w);
        }
}

static bool begins_with_a_or_underscore(const cel_endpoint *endpoint, const char *method)
{
        world *w = endpoint->arg;

        w->looked_up++;
        return method[0] == 'a' || method[0] == '_';
}

TEST(an_endpoint_may_look_up_methods_that_are_in_no_table)
{
        static const cel_method others[] = {{.name = "another", .fn = world_raise_error}, {0}};
        world w;

        world_init(&w);
        w.endpoints[0] = (cel_endpoint){.version = "2.0",
                                        .methods = others,
                                        .lookup = begins_with_a_or_underscore,
                                        .dynamic = {.fn = world_add},
                                        .arg = &w};
        w.endpoints[1] = (cel_endpoint){.methods = world_methods, .arg = &w};
        w.options.endpoints_n = 2;
        world_start(&w);
        world_ask(&w, "anything", CALL ", \"version\": \"2.0\"");
        CHECK_STR(w.seen, "anything - 2.0 call user=(null)");
        world_ask(&w, "another", CALL ", \"version\": \"2.0\""); /* the table comes first */
        world_check_failure(&w, "NotFound", "nova.exception", "there is no x");
        CHECK_INT(w.looked_up, 1);
        world_ask(&w, "_hidden", CALL ", \"version\": \"2.0\"");
        world_check_failure(&w, "NoSuchMethod", "oslo_messaging.rpc.dispatcher",
                            "Endpoint does not support RPC method _hidden");
        world_ask(&w, "missing", CALL ", \"version\": \"2.0\"");
        world_check_failure(&w, "NoSuchMethod", "oslo_messaging.rpc.dispatcher",
                            "Endpoint does not support RPC method missing");
        world_ask(&w, "nothing", CALL); /* the lanes of the next endpoint are its own */
        world_check_last(&w, "failure", "");
        CHECK_INT(w.called, 2);
        world_fini(&w);
}

TEST(methods_that_are_looked_up_share_a_limit)
{
        world w;

        world_init(&w);
        w.endpoints[0] = (cel_endpoint){.lookup = begins_with_a_or_underscore,
                                        .dynamic = {.fn = world_slow, .concurrency_max = 2},
                                        .arg = &w};
        world_start(&w);
        world_ask(&w, "a1", "");
        world_ask(&w, "a2", "");
        world_ask(&w, "a3", "");
        CHECK_INT(w.called, 2);
        world_open_gate(&w);
        CHECK_INT(w.called, 3);
        world_fini(&w);
}

static bool looks_up_anything(const cel_endpoint *endpoint, const char *method)
{
        (void)endpoint, (void)method;
        return true;
}

TEST(a_ping_is_left_to_an_endpoint_that_looks_it_up_itself)
{
        world w;

        world_init(&w);
        w.endpoints[0] =
                (cel_endpoint){.lookup = looks_up_anything, .dynamic = {.fn = world_nothing}, .arg = &w};
        w.options.ping = true;
        world_start(&w);
        world_ask(&w, "oslo_rpc_server_ping", CALL);
        world_check_last(&w, "result", "");
        world_fini(&w);
}

/* --- Serializers ------------------------------------------------------------------------------ */

static int serialize(cel_ctx *ctx, void *arg, const json_t *context, json_t *entity, json_t **ret_entity)
{
        world *w = arg;

        if (w->serializing < 0)
                return ctx ? cel_fail(ctx, w->serializing, "as the test wants it") : w->serializing;
        *ret_entity = json_pack("{s:O, s:s*}", "sent", entity, "to",
                                json_string_value(json_object_get(context, "user")));
        return 0;
}

static int deserialize(cel_ctx *ctx, void *arg, const json_t *context, json_t *entity, json_t **ret_entity)
{
        world *w = arg;

        if (w->deserializing < 0)
                return ctx ? cel_fail(ctx, w->deserializing, "as the test wants it") : w->deserializing;
        CHECK_STR(json_string_value(json_object_get(context, "user")), "ALICE");
        *ret_entity = json_integer(json_integer_value(entity) * 10);
        return 0;
}

static int deserialize_context(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context)
{
        (void)ctx, (void)arg;
        bool known = strcmp(json_string_value(json_object_get(context, "user")), "alice") == 0;
        *ret_context = known ? json_pack("{s:s}", "user", "ALICE") : json_integer(1);
        return 0;
}

static void world_init_with_serializer(world *w)
{
        static cel_serializer serializer;

        world_init(w);
        serializer = (cel_serializer){.serialize_entity = serialize,
                                      .deserialize_entity = deserialize,
                                      .deserialize_context = deserialize_context,
                                      .arg = w};
        w->options.serializer = &serializer;
        w->options.ping = true;
}

#define ALICE ", \"_context_user\": \"alice\""

TEST(a_serializer_converts_the_context_then_the_arguments_and_in_the_end_the_result)
{
        world w;

        world_init_with_serializer(&w);
        world_start(&w);
        world_ask(&w, "add", CALL ALICE);
        CHECK_STR(w.seen, "add - 1.0 call user=ALICE");
        CHECK(strstr(bus_last(&w.bus)->body,
                     "\\\"result\\\": {\\\"sent\\\": 50, \\\"to\\\": \\\"ALICE\\\"}"));
        world_ask(&w, "nothing", CALL ALICE);
        CHECK(strstr(bus_last(&w.bus)->body, "\\\"result\\\": {\\\"sent\\\": null,"));
        world_ask(&w, "oslo_rpc_server_ping", CALL ALICE);
        CHECK(strstr(bus_last(&w.bus)->body, "\\\"result\\\": {\\\"sent\\\": \\\"pong\\\","));
        world_ask(&w, "raise_error", CALL ALICE);
        world_check_failure(&w, "NotFound", "nova.exception", "there is no x");
        world_fini(&w);
}

TEST(what_a_serializer_refuses_is_the_methods_failure)
{
        world w;

        world_init_with_serializer(&w);
        world_start(&w);
        w.deserializing = CEL_EBUSY;
        world_ask(&w, "add", CALL ALICE);
        world_check_failure(&w, "RuntimeError", "builtins",
                            "argument a cannot be deserialized: as the test wants it");
        CHECK_INT(w.called, 0);
        world_ask(&w, "nope", CALL ALICE); /* it is not asked about what is refused */
        world_check_failure(&w, "NoSuchMethod", "oslo_messaging.rpc.dispatcher",
                            "Endpoint does not support RPC method nope");
        w.deserializing = 0;
        w.serializing = CEL_EBUSY;
        world_ask(&w, "add", CALL ALICE);
        world_check_failure(&w, "RuntimeError", "builtins",
                            "the result cannot be serialized: as the test wants it");
        world_ask(&w, "add", ALICE); /* nobody is to see the result */
        CHECK_INT(w.called, 2);
        CHECK_INT(cel_rpc_server_get_stats(w.server).failed, 3);
        world_ask(&w, "add", CALL ", \"_context_user\": \"bob\"");
        world_check_failure(&w, "RuntimeError", "builtins",
                            "the serializer has made a context that is no object");
        world_fini(&w);
}

/* --- Intake ----------------------------------------------------------------------------------- */
