/* SPDX-License-Identifier: Apache-2.0
 *
 * celadon bench rpc: how fast RPC is over a bus. */
#include "cli/cli.h"

#include <celadon/celadon.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
        "usage: celadon bench rpc --url URL [--concurrency N] [--seconds S] [--size BYTES] [--executor E]\n"
        "\n"
        "Call a method that returns its argument, N (64 if not given) calls at a time, for S (5) seconds, "
        "and print\n"
        "one JSON object: calls a second, median and 99th percentile in µs, CPU µs of this process for each "
        "call,\n"
        "caller and server together. E is green (if not given), threads, blocking or inline.\n"
        "Exit status: 0 success, 2 a call timed out, 3 no way to the bus, 64 usage.\n";

enum { SAMPLES_MAX = 4000000 };

typedef struct job {
        const char *url, *executor;
        long concurrency, size;
        int64_t ms;
        cel_rpc_client *client;
        char *text; /* what is sent to and fro */
        cel_time until;
        uint32_t *samples; /* owned; µs of each call */
        size_t samples_n;
        int status;
} job;

static int echo(cel_ctx *ctx, cel_request *request)
{
        (void)ctx;
        return cel_request_reply(request, json_incref((json_t *)(uintptr_t)cel_request_arg(request, "msg")));
}

static int64_t now_ns(clockid_t clock)
{
        struct timespec now;

        clock_gettime(clock, &now);
        return now.tv_sec * CEL_NS_PER_S + now.tv_nsec;
}

/* One of those who call. */
static int call_on(cel_ctx *ctx, void *arg)
{
        job *j = arg;

        while (cel_ctx_now(ctx).ns < j->until.ns) {
                json_t *result;
                int64_t begun = now_ns(CLOCK_MONOTONIC);
                int r = cel_rpc_call(ctx, j->client, NULL, "echo", json_pack("{s:s}", "msg", j->text),
                                     &result);

                if (r < 0)
                        return r;
                json_decref(result);
                if (j->samples_n < SAMPLES_MAX)
                        j->samples[j->samples_n++] =
                                (uint32_t)((now_ns(CLOCK_MONOTONIC) - begun) / CEL_NS_PER_US);
        }
        return 0;
}

static int compare(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

static void report(const job *j, int64_t wall_ns, int64_t cpu_ns)
{
        size_t n = j->samples_n;

        qsort(j->samples, n, sizeof(j->samples[0]), compare);
        printf("{\"concurrency\": %ld, \"size\": %ld, \"calls\": %zu, \"calls_per_s\": %.0f, \"p50_us\": %u, "
               "\"p99_us\": %u, \"cpu_us_per_call\": %.1f}\n",
               j->concurrency, j->size, n, (double)n * 1e9 / (double)wall_ns, j->samples[n / 2],
               j->samples[n * 99 / 100], (double)cpu_ns / 1e3 / (double)n);
}

/* Call for `ms`. */
static int call_for(cel_ctx *ctx, job *j, int64_t ms)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        if (r < 0)
                return r;
        j->samples_n = 0;
        j->until = cel_time_add_ms(cel_ctx_now(ctx), ms);
        for (long i = 0; i < j->concurrency && r >= 0; i++)
                r = cel_spawn(ctx, scope, "caller", call_on, j, NULL);
        if (r < 0)
                cel_scope_cancel(scope);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

static int measure(cel_ctx *ctx, job *j)
{
        int r = call_for(ctx, j, j->ms / 5); /* to warm up */
        int64_t wall = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);

        if (r >= 0)
                r = call_for(ctx, j, j->ms);
        if (r >= 0 && j->samples_n > 0)
                report(j, now_ns(CLOCK_MONOTONIC) - wall, now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
        return r;
}

/* A server and a client, each with a transport of its own, as two processes would have. */
static int bench(cel_ctx *ctx, job *j, cel_executor *executor)
{
        static const cel_method methods[] = {{"echo", echo, .concurrency_max = 0}, {0}};
        const cel_endpoint endpoint = {.methods = methods, .executor = executor};
        const cel_rpc_server_options options = {
                .endpoints = &endpoint, .endpoints_n = 1, .concurrency = (unsigned)j->concurrency};
        char topic[64];
        cel_auto(cel_transport) *near = NULL, *far = NULL;
        cel_auto(cel_rpc_server) *server = NULL;
        cel_auto(cel_rpc_client) *client = NULL;

        snprintf(topic, sizeof(topic), "celadon-bench-%d", (int)getpid());
        const cel_target target = {.topic = topic, .server = "bench"};
        int r = cel_transport_open(ctx, j->url, &near);
        if (r >= 0)
                r = cel_transport_open(ctx, j->url, &far);
        if (r >= 0)
                r = cel_transport_ready(ctx, near);
        if (r >= 0)
                r = cel_rpc_server_new(ctx, far, &target, &options, &server);
        if (r >= 0)
                r = cel_rpc_server_start(ctx, server);
        if (r >= 0)
                r = cel_rpc_client_new(ctx, near, &target, NULL, &client);
        if (r < 0)
                return r;
        j->client = client;
        r = measure(ctx, j);
        int drained = cel_rpc_server_drain(ctx, server);
        return r < 0 ? r : drained;
}

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

static int bench_beside_jobs(cel_ctx *ctx, job *j, cel_executor *executor)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);

        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "jobs", run_jobs, executor, NULL);
        if (r >= 0)
                r = bench(ctx, j, executor);
        cel_executor_cancel(executor);
        cel_scope_close(ctx, scope);
        return r;
}

static int with_executor(cel_ctx *ctx, job *j)
{
        const cel_executor_options options = {.kind = (cel_executor_kind)find_kind(j->executor),
                                              .waiting_max = (unsigned)j->concurrency};
        cel_executor *executor;

        if (options.kind == CEL_EXECUTOR_GREEN) /* the server's own way */
                return bench(ctx, j, NULL);
        int r = cel_executor_open(ctx, &options, &executor);
        if (r < 0)
                return r;
        r = options.kind == CEL_EXECUTOR_BLOCKING ? bench_beside_jobs(ctx, j, executor)
                                                  : bench(ctx, j, executor);
        cel_executor_close(ctx, executor);
        return r;
}

static int run(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        int r = with_executor(ctx, j);

        if (r < 0)
                fprintf(stderr, "celadon bench: %s\n", cel_ctx_error_text(ctx, r));
        j->status = r >= 0 ? 0 : r == CEL_ETIMEDOUT ? CLI_TIMEOUT : CLI_TRANSPORT;
        return 0;
}

/* --- Arguments -------------------------------------------------------------------------------- */

static const struct option flags[] = {
        {"url", required_argument, NULL, 'u'},
        {"concurrency", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {"size", required_argument, NULL, 'z'},
        {"executor", required_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},
        {0},
};

static bool read_flag(void *arg, int flag)
{
        job *j = arg;

        switch (flag) {
        case 'u':
                j->url = optarg;
                return true;
        case 'c':
                return cli_read_number(optarg, 1, 10000, &j->concurrency);
        case 's':
                return cli_read_seconds(optarg, &j->ms);
        case 'z':
                return cli_read_number(optarg, 0, 16 << 20, &j->size);
        case 'e':
                j->executor = optarg;
                return find_kind(optarg) >= 0;
        default:
                return false;
        }
}

/* Returns what is wrong, or NULL. */
static const char *check(void *arg, int argc, char **argv)
{
        job *j = arg;

        if (argc != 1 || strcmp(argv[0], "rpc") != 0)
                return "there is only \"bench rpc\"";
        return j->url ? NULL : "--url is needed";
}

int cli_bench(int argc, char **argv)
{
        static const cli_verb verb = {
                .name = "bench", .usage = usage, .flags = flags, .read_flag = read_flag, .check = check};
        job j = {.executor = "green", .concurrency = 64, .size = 100, .ms = 5000, .status = CLI_TRANSPORT};
        int status = cli_read_arguments(&verb, argc, argv, &j);

        if (status >= 0)
                return status;
        cel_log_set_level(CEL_LOG_ERROR);
        j.text = calloc(1, (size_t)j.size + 1);
        j.samples = calloc(SAMPLES_MAX, sizeof(j.samples[0])); /* touched as it is used */
        if (j.text && j.samples) {
                memset(j.text, 'x', (size_t)j.size);
                cel_main(run, &j);
        }
        free(j.text);
        free(j.samples);
        return j.status;
}
