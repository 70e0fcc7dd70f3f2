/* SPDX-License-Identifier: Apache-2.0
 *
 * A server with four methods, to try clients with:
 *     build/examples/echo-server --url rabbit://guest:guest@127.0.0.1/ --topic echo --server host-1
 *
 *     echo(msg)                      the same msg
 *     wait(seconds)                  seconds, after so many
 *     fail(cls, module, message)     that exception
 *     version()                      the version it was called with
 *
 * It prints "ready" once it consumes. */
#include <celadon/celadon.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int echo(cel_ctx *ctx, cel_request *request)
{
        (void)ctx;
        return cel_request_reply(request, json_incref((json_t *)(uintptr_t)cel_request_arg(request, "msg")));
}

static int wait_seconds(cel_ctx *ctx, cel_request *request)
{
        double seconds = cel_request_real(request, "seconds", 0);

        if (!ctx)
                return cel_request_fail(request, "RuntimeError", "builtins", "an inline method cannot wait");
        int r = cel_sleep_ms(ctx, (int64_t)(seconds * 1000));
        if (r < 0)
                return r;
        return cel_request_reply(request,
                                 json_incref((json_t *)(uintptr_t)cel_request_arg(request, "seconds")));
}

static int fail(cel_ctx *ctx, cel_request *request)
{
        const char *class_name = cel_request_str(request, "cls"),
                   *module = cel_request_str(request, "module"),
                   *message = cel_request_str(request, "message");

        (void)ctx;
        return cel_request_fail(request, class_name ? class_name : "Exception", module ? module : "builtins",
                                "%s", message ? message : "");
}

static int version(cel_ctx *ctx, cel_request *request)
{
        (void)ctx;
        return cel_request_reply(request, json_string(cel_request_version(request)));
}

typedef struct options {
        const char *url;
        cel_target target;
        const char *executor;
        unsigned concurrency;
} options;

static const struct {
        const char *name;
        cel_executor_kind kind;
} kinds[] = {
        {"green", CEL_EXECUTOR_GREEN},
        {"threads", CEL_EXECUTOR_THREADS},
        {"blocking", CEL_EXECUTOR_BLOCKING},
        {"inline", CEL_EXECUTOR_INLINE},
};

/* The kind of executor with this name; -1: there is none. */
static int find_kind(const char *name)
{
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(kinds[i].name, name) == 0)
                        return (int)kinds[i].kind;
        return -1;
}

/* A blocking executor needs somebody who runs its jobs. */
static int run_jobs(cel_ctx *ctx, void *executor)
{
        return cel_executor_run(ctx, executor);
}

static int serve_until_stopped(cel_ctx *ctx, cel_transport *bus, const cel_target *target,
                               const cel_rpc_server_options *how)
{
        cel_auto(cel_rpc_server) *server = NULL;
        int r = cel_rpc_server_new(ctx, bus, target, how, &server);

        if (r >= 0)
                r = cel_rpc_server_start(ctx, server);
        if (r < 0)
                return r;
        puts("ready");
        fflush(stdout);
        return cel_rpc_server_run(ctx, server);
}

/* The same with an executor, which ends after the server. */
static int serve_on(cel_ctx *ctx, cel_transport *bus, const options *o, cel_endpoint *endpoint,
                    const cel_rpc_server_options *server_options)
{
        const cel_executor_options executor_options = {
                .name = "echo",
                .kind = (cel_executor_kind)find_kind(o->executor),
                .concurrency = find_kind(o->executor) == CEL_EXECUTOR_INLINE ? 1 : o->concurrency,
                .waiting_max = 1000};
        cel_scope *scope;
        int r = cel_executor_open(ctx, &executor_options, &endpoint->executor);

        if (r < 0)
                return r;
        r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        if (r >= 0) {
                if (executor_options.kind == CEL_EXECUTOR_BLOCKING)
                        r = cel_spawn(ctx, scope, "jobs", run_jobs, endpoint->executor, NULL);
                if (r >= 0)
                        r = serve_until_stopped(ctx, bus, &o->target, server_options);
                cel_executor_cancel(endpoint->executor);
                cel_scope_close(ctx, scope);
        }
        cel_executor_close(ctx, endpoint->executor);
        return r;
}

static int serve(cel_ctx *ctx, void *arg)
{
        static const cel_method methods[] = {
                {.name = "echo", .fn = echo},
                {.name = "wait", .fn = wait_seconds},
                {.name = "fail", .fn = fail},
                {.name = "version", .fn = version},
                {0},
        };
        const options *o = arg;
        cel_endpoint endpoint = {
                .name_space = o->target.name_space, .version = o->target.version, .methods = methods};
        const cel_rpc_server_options server_options = {
                .endpoints = &endpoint, .endpoints_n = 1, .concurrency = o->concurrency, .ping = true};
        cel_auto(cel_transport) *bus = NULL;
        int r = cel_transport_open(ctx, o->url, &bus);

        if (r < 0)
                return r;
        if (find_kind(o->executor) == CEL_EXECUTOR_GREEN) /* the server's own way */
                return serve_until_stopped(ctx, bus, &o->target, &server_options);
        return serve_on(ctx, bus, o, &endpoint, &server_options);
}

static const struct option flags[] = {
        {"url", required_argument, NULL, 'u'},
        {"exchange", required_argument, NULL, 'x'},
        {"topic", required_argument, NULL, 't'},
        {"server", required_argument, NULL, 's'},
        {"namespace", required_argument, NULL, 'n'},
        {"rpc-version", required_argument, NULL, 'v'},
        {"executor", required_argument, NULL, 'e'},
        {"concurrency", required_argument, NULL, 'c'},
        {0},
};

static bool read_arguments(int argc, char **argv, options *o)
{
        int flag;

        while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
                switch (flag) {
                case 'u':
                        o->url = optarg;
                        break;
                case 'x':
                        o->target.exchange = optarg;
                        break;
                case 't':
                        o->target.topic = optarg;
                        break;
                case 's':
                        o->target.server = optarg;
                        break;
                case 'n':
                        o->target.name_space = optarg;
                        break;
                case 'v':
                        o->target.version = optarg;
                        break;
                case 'e':
                        o->executor = optarg;
                        break;
                case 'c':
                        o->concurrency = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                default:
                        return false;
                }
        }
        return optind == argc && find_kind(o->executor) >= 0;
}

int main(int argc, char **argv)
{
        options o = {
                .url = "rabbit://", .target = {.topic = "echo", .server = "host-1"}, .executor = "green"};

        if (!read_arguments(argc, argv, &o)) {
                fputs("usage: echo-server --url URL --topic T --server S [--exchange X] [--namespace N] "
                      "[--rpc-version V] [--executor green|threads|blocking|inline] [--concurrency N]\n",
                      stderr);
                return 64;
        }
        return cel_main(serve, &o);
}
