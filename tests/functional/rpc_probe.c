/* SPDX-License-Identifier: Apache-2.0
 *
 * A service as others write them, for the functional tests; the public API is all it sees.
 *
 *     rpc_probe server URL EXCHANGE TOPIC SERVER [special]
 *                                             prints "ready", and serves until SIGTERM; a special server has a serializer,
 *                                             and lets only those methods be called that are exposed
 *     rpc_probe client URL EXCHANGE TOPIC     does what each line of standard input says, all at once, and prints
 *                                             a line for each; ends with the input
 *
 * A line is an object: {"id": …, "do": "call", "cast" or "notify", "method" (or the event type), "args", "context", "server",
 * "exchange", "topic", "namespace", "version", "cap", "timeout_ms", "monitor_s", "retry", "mandatory", "fanout", "serializer":
 * use one, "allowed": modules}; the answer has "id", "ms" (how long it took) and either "result" or "error". */
#include <celadon/celadon.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_line(json_t *json)
{
        json_dumpf(json, stdout, JSON_COMPACT);
        puts("");
        fflush(stdout);
        json_decref(json);
}

static json_t *copy(const json_t *json)
{
        return json_incref((json_t *)(uintptr_t)json);
}

/* --- A serializer, as parts/rpc.py has one ---------------------------------------------------- */

static int wrap(cel_ctx *ctx, void *arg, const json_t *context, json_t *entity, json_t **ret_entity)
{
        (void)ctx, (void)arg;
        *ret_entity = json_pack("{s:O, s:O?}", "wrapped", entity, "for", json_object_get(context, "user"));
        return 0;
}

static int unwrap(cel_ctx *ctx, void *arg, const json_t *context, json_t *entity, json_t **ret_entity)
{
        const json_t *wrapped = json_object_get(entity, "wrapped");

        (void)ctx, (void)arg, (void)context;
        *ret_entity = copy(wrapped ? wrapped : entity);
        return 0;
}

static json_t *with_mark(const json_t *context, const char *mark)
{
        json_t *marked = json_copy((json_t *)(uintptr_t)context);

        json_object_set_new(marked, mark, json_true());
        return marked;
}

static int mark_serialized(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context)
{
        (void)ctx, (void)arg;
        *ret_context = with_mark(context, "serialized");
        return 0;
}

static int mark_deserialized(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context)
{
        (void)ctx, (void)arg;
        *ret_context = with_mark(context, "deserialized");
        return 0;
}

static const cel_serializer serializer = {.serialize_entity = wrap,
                                          .deserialize_entity = unwrap,
                                          .serialize_context = mark_serialized,
                                          .deserialize_context = mark_deserialized};

/* --- Server ----------------------------------------------------------------------------------- */

static int echo(cel_ctx *ctx, cel_request *q)
{
        (void)ctx;
        return cel_request_reply(q, copy(cel_request_arg(q, "msg")));
}

static int wait_seconds(cel_ctx *ctx, cel_request *q)
{
        int r = cel_sleep_ms(ctx, (int64_t)(cel_request_real(q, "seconds", 0) * 1000));

        return r < 0 ? r : cel_request_reply(q, copy(cel_request_arg(q, "seconds")));
}

static int fail(cel_ctx *ctx, cel_request *q)
{
        cel_remote_error error = {.class_name = cel_request_str(q, "cls"),
                                  .module = cel_request_str(q, "module"),
                                  .message = cel_request_str(q, "message"),
                                  .kwargs = cel_request_arg(q, "kwargs")};

        (void)ctx;
        return cel_request_fail_with(q, &error);
}

static int version(cel_ctx *ctx, cel_request *q)
{
        (void)ctx;
        return cel_request_reply(q, json_string(cel_request_version(q)));
}

static int context(cel_ctx *ctx, cel_request *q)
{
        (void)ctx;
        return cel_request_reply(q, copy(cel_request_context(q)));
}

static const char *name; /* the server's */

static int who(cel_ctx *ctx, cel_request *q)
{
        (void)ctx;
        return cel_request_reply(q, json_string(name));
}

static int note(cel_ctx *ctx, cel_request *q)
{
        (void)ctx;
        printf("note %s\n", cel_request_str(q, "text"));
        fflush(stdout);
        return 0;
}

static int exit_at_once(cel_ctx *ctx, cel_request *q)
{
        (void)ctx, (void)q;
        abort();
}

static bool is_dynamic(const cel_endpoint *endpoint, const char *method)
{
        (void)endpoint;
        return strncmp(method, "dyn_", 4) == 0 || strncmp(method, "_dyn", 4) == 0;
}

static int tell(cel_ctx *ctx, cel_request *q)
{
        (void)ctx;
        return cel_request_reply(
                q, json_pack("{s:s, s:O?}", "method", cel_request_method(q), "args", cel_request_args(q)));
}

static const cel_method exposed_methods[] = {{.name = "echo", .fn = echo, .exposed = true},
                                             {.name = "context", .fn = context, .exposed = true},
                                             {.name = "fail", .fn = fail, .exposed = true},
                                             {.name = "_hidden", .fn = echo, .exposed = true},
                                             {.name = "who", .fn = who},
                                             {0}};

static const cel_method methods[] = {{.name = "echo", .fn = echo},
                                     {.name = "wait", .fn = wait_seconds},
                                     {.name = "fail", .fn = fail},
                                     {.name = "version", .fn = version},
                                     {.name = "context", .fn = context},
                                     {.name = "note", .fn = note},
                                     {.name = "exit_at_once", .fn = exit_at_once},
                                     {.name = "who", .fn = who},
                                     {.name = "_hidden", .fn = echo},
                                     {0}};

static int serve(cel_ctx *ctx, void *arg)
{
        static const char *const legacy[] = {"old", NULL};
        char **argv = arg;
        const cel_endpoint endpoints[] = {
                {.version = "1.3", .methods = methods},
                {.name_space = "ns", .version = "2.0", .methods = methods, .legacy_name_spaces = legacy},
                {.name_space = "late", .methods = methods, .ack_late = true},
                {.name_space = "dyn", .lookup = is_dynamic, .dynamic = {.fn = tell}},
        };
        const cel_endpoint special = {.methods = exposed_methods};
        const cel_rpc_server_options usual = {.endpoints = endpoints, .endpoints_n = 4, .ping = true},
                                     specially = {.endpoints = &special,
                                                  .endpoints_n = 1,
                                                  .access_policy = cel_rpc_access_explicit,
                                                  .serializer = &serializer};
        const cel_target target = {.exchange = argv[1], .topic = argv[2], .server = argv[3]};
        cel_auto(cel_transport) *bus = NULL;
        cel_auto(cel_rpc_server) *server = NULL;

        name = argv[3];
        int r = cel_transport_open(ctx, argv[0], &bus);

        if (r >= 0)
                r = cel_rpc_server_new(ctx, bus, &target, argv[4] ? &specially : &usual, &server);
        if (r >= 0)
                r = cel_rpc_server_start(ctx, server);
        if (r < 0)
                return r;
        puts("ready");
        fflush(stdout);
        return cel_rpc_server_run(ctx, server);
}

/* --- Client ----------------------------------------------------------------------------------- */

typedef struct order {
        cel_transport *bus;     /* borrowed */
        cel_rpc_client *client; /* borrowed */
        json_t *json;           /* owned */
} order;

static const char *text(const json_t *json, const char *key)
{
        return json_string_value(json_object_get(json, key));
}

static int64_t number(const json_t *json, const char *key)
{
        return json_integer_value(json_object_get(json, key));
}

static cel_choice choice(const json_t *json, const char *key)
{
        return json_is_true(json_object_get(json, key)) ? CEL_YES : CEL_UNDECIDED;
}

static json_t *describe(cel_ctx *ctx, int r, json_t *result)
{
        const cel_remote_error *e = r == CEL_EREMOTE ? cel_remote_error_of(ctx) : NULL;

        if (r >= 0)
                return json_pack("{s:o}", "result", result ? result : json_null());
        if (!e)
                return json_pack("{s:{s:s, s:s}}", "error", "code", cel_error_name(r), "text",
                                 cel_ctx_error_text(ctx, r));
        return json_pack("{s:{s:s, s:s, s:s, s:s, s:O*, s:O*, s:O*, s:b}}", "error", "code",
                         cel_error_name(r), "class", e->class_name, "module", e->module, "message",
                         e->message, "args", e->args, "kwargs", e->kwargs, "tb", e->traceback, "allowed",
                         e->allowed);
}

enum { MODULES_MAX = 8 };

static const char *const *read_modules(const json_t *json, const char *modules[MODULES_MAX])
{
        const json_t *listed = json_object_get(json, "allowed");

        for (size_t i = 0; i < json_array_size(listed) && i < MODULES_MAX; i++)
                modules[i] = json_string_value(json_array_get(listed, i));
        return listed ? modules : NULL;
}

static int notify(cel_ctx *ctx, const order *o)
{
        const json_t *j = o->json;
        cel_notifier *notifier;
        int r = cel_notifier_new(ctx, o->bus,
                                 &(cel_notifier_options){.exchange = text(j, "exchange"),
                                                         .publisher_id = "probe",
                                                         .retry = (int)number(j, "retry")},
                                 &notifier);

        if (r < 0)
                return r;
        r = cel_notify(ctx, notifier, "info", text(j, "method"), copy(json_object_get(j, "args")), NULL);
        cel_notifier_free(notifier);
        return r;
}

static int carry_out_as(cel_ctx *ctx, const order *o, const char *what, json_t **ret_result)
{
        const json_t *j = o->json;
        const char *allowed[MODULES_MAX + 1] = {NULL};
        cel_rpc_options options = {.exchange = text(j, "exchange"),
                                   .topic = text(j, "topic"),
                                   .server = text(j, "server"),
                                   .name_space = text(j, "namespace"),
                                   .version = text(j, "version"),
                                   .version_cap = text(j, "cap"),
                                   .timeout_ms = number(j, "timeout_ms"),
                                   .call_monitor_timeout_s = (int)number(j, "monitor_s"),
                                   .retry = (int)number(j, "retry"),
                                   .mandatory = choice(j, "mandatory"),
                                   .fanout = choice(j, "fanout"),
                                   .context = json_object_get(j, "context"),
                                   .serializer = choice(j, "serializer") == CEL_YES ? &serializer : NULL,
                                   .allowed_remote_exmods = read_modules(j, allowed)};

        if (strcmp(what, "notify") == 0)
                return notify(ctx, o);
        json_t *args = copy(json_object_get(j, "args"));
        return strcmp(what, "call") == 0
                       ? cel_rpc_call(ctx, o->client, &options, text(j, "method"), args, ret_result)
                       : cel_rpc_cast(ctx, o->client, &options, text(j, "method"), args);
}

static int carry_out(cel_ctx *ctx, void *arg)
{
        order *o = arg;
        json_t *result = NULL;
        int64_t begun_ns = cel_ctx_now(ctx).ns;
        int r = carry_out_as(ctx, o, text(o->json, "do"), &result);
        json_t *answer = describe(ctx, r, result);

        json_object_set(answer, "id", json_object_get(o->json, "id"));
        json_object_set_new(answer, "ms", json_integer((cel_ctx_now(ctx).ns - begun_ns) / 1000000));
        print_line(answer);
        json_decref(o->json);
        free(o);
        return 0;
}

typedef struct reading {
        char *line;
        size_t bytes;
} reading;

static int read_line(void *arg)
{
        reading *r = arg;

        return getline(&r->line, &r->bytes, stdin) > 0;
}

static int take_orders(cel_ctx *ctx, cel_transport *bus, cel_rpc_client *client, cel_scope *scope)
{
        reading input = {0};
        int more = 0;
        cel_pool *pool;
        int r = cel_pool_new(cel_ctx_runtime(ctx), "stdin", 1, 1, &pool);

        while (r >= 0 && (r = cel_offload(ctx, pool, read_line, &input, NULL, &more)) >= 0 && more) {
                order *o = malloc(sizeof(*o));

                *o = (order){.bus = bus, .client = client, .json = json_loads(input.line, 0, NULL)};
                r = cel_spawn(ctx, scope, "order", carry_out, o, NULL);
        }
        free(input.line);
        cel_pool_free(pool);
        return r;
}

static int be_client(cel_ctx *ctx, void *arg)
{
        char **argv = arg;
        cel_transport *bus;
        cel_rpc_client *client;
        cel_scope *scope;
        int r = cel_transport_open(ctx, argv[0], &bus);

        if (r < 0)
                return r;
        r = cel_rpc_client_new(ctx, bus, &(cel_target){.exchange = argv[1], .topic = argv[2]}, NULL, &client);
        if (r >= 0)
                r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        if (r < 0)
                return r;
        r = take_orders(ctx, bus, client, scope);
        cel_scope_close(ctx, scope);
        cel_rpc_client_free(client);
        cel_transport_close(ctx, bus);
        return r;
}

int main(int argc, char **argv)
{
        if ((argc == 6 || argc == 7) && strcmp(argv[1], "server") == 0)
                return cel_main(serve, argv + 2);
        if (argc == 5 && strcmp(argv[1], "client") == 0)
                return cel_main(be_client, argv + 2);
        fputs("usage: see the top of rpc_probe.c\n", stderr);
        return 64;
}
