/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_world.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

/* --- Handlers --------------------------------------------------------------------------------- */

int world_add(cel_ctx *ctx, cel_request *q)
{
        world *w = cel_request_endpoint_arg(q);

        w->called++;
        snprintf(w->seen, sizeof(w->seen), "%s %s %s %s user=%s", cel_request_method(q),
                 cel_request_name_space(q) ? cel_request_name_space(q) : "-", cel_request_version(q),
                 cel_request_is_call(q) ? "call" : "cast",
                 json_string_value(json_object_get(cel_request_context(q), "user")));
        (void)ctx;
        return cel_request_reply(q, json_integer(cel_request_int(q, "a", 0) + cel_request_int(q, "b", 0)));
}

int world_slow(cel_ctx *ctx, cel_request *q)
{
        world *w = cel_request_endpoint_arg(q);

        w->called++;
        int r = cel_await(ctx, w->gate, NULL);
        w->canceled += r == CEL_ECANCELED;
        return r;
}

int world_raise_error(cel_ctx *ctx, cel_request *q)
{
        ((world *)cel_request_endpoint_arg(q))->called++;
        (void)ctx;
        return cel_request_fail(q, "NotFound", "nova.exception", "there is no %s", "x");
}

static int break_down(cel_ctx *ctx, cel_request *q)
{
        (void)q;
        return cel_fail(ctx, CEL_EIO, "the disk is full");
}

int world_nothing(cel_ctx *ctx, cel_request *q)
{
        (void)ctx, (void)q;
        return 0;
}

static const char *const expected[] = {"NotFound", NULL};
const cel_method world_methods[] = {
        {.name = "add", .fn = world_add},
        {.name = "slow", .fn = world_slow},
        {.name = "few", .fn = world_slow, .concurrency_max = 2},
        {.name = "raise_error", .fn = world_raise_error, .expected = expected},
        {.name = "break_down", .fn = break_down},
        {.name = "nothing", .fn = world_nothing},
        {.name = "_hidden", .fn = world_add},
        {0},
};

/* --- Around them ------------------------------------------------------------------------------ */

int world_make_server(cel_ctx *ctx, void *arg)
{
        world *w = arg;
        const cel_target target = {.exchange = "x", .topic = "t", .server = "h"};

        return cel_rpc_server_new(ctx, w->bus.transport, &target, &w->options, &w->server);
}

int world_start_server(cel_ctx *ctx, void *arg)
{
        return cel_rpc_server_start(ctx, ((world *)arg)->server);
}

void world_init(world *w)
{
        memset(w, 0, sizeof(*w));
        w->f = fixture_new();
        bus_init(&w->bus, &w->f);
        w->endpoints[0] = (cel_endpoint){.version = "1.3", .methods = world_methods, .arg = w};
        w->options = (cel_rpc_server_options){.endpoints = w->endpoints, .endpoints_n = 1};
        CHECK_INT(cel_future_new(&w->gate), 0);
}

void world_start(world *w)
{
        CHECK_RESULT(fixture_spawn(&w->f, "maker", world_make_server, w), 0);
        CHECK_RESULT(fixture_spawn(&w->f, "starter", world_start_server, w), 0);
}

void world_fini(world *w)
{
        cel_rpc_server_free(w->server);
        bus_fini(&w->bus);
        cel_future_unref(w->gate);
        fixture_free(&w->f);
}

void world_open_gate(world *w)
{
        cel_future_complete(w->gate, 0, NULL);
        fixture_settle(&w->f);
}

/* Deliver a request for `method`; `rest` comes behind it. */
unsigned world_ask(world *w, const char *method, const char *rest)
{
        char body[1024];

        snprintf(body, sizeof(body), "{\"method\": \"%s\", \"args\": {\"a\": 2, \"b\": 3}%s}", method, rest);
        return bus_deliver(&w->bus, 0, body, NULL);
}

void world_check_last(const world *w, const char *key, const char *expected_value)
{
        char text[1024];

        bus_get(bus_last(&w->bus), key, text, sizeof(text));
        CHECK_STR(text, expected_value);
}

void world_check_failure(const world *w, const char *class_name, const char *module, const char *message)
{
        char failure[1024];
        json_t *json;

        bus_get(bus_last(&w->bus), "failure", failure, sizeof(failure));
        json = json_loads(failure, 0, NULL);
        CHECK(json);
        CHECK_STR(json_string_value(json_object_get(json, "class")), class_name);
        CHECK_STR(json_string_value(json_object_get(json, "module")), module);
        CHECK_STR(json_string_value(json_object_get(json, "message")), message);
        CHECK_STR(json_string_value(json_array_get(json_object_get(json, "args"), 0)), message);
        json_decref(json);
}
