/* SPDX-License-Identifier: Apache-2.0
 *
 * celadon call and celadon cast: one request, from the command line. */
#include "cli/cli.h"

#include <celadon/celadon.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char call_usage[] =
        "usage: celadon call --url URL --topic T [--server S] [--exchange X] [--namespace N]\n"
        "                    [--rpc-version V] [--timeout S] METHOD [ARGS-JSON]\n"
        "\n"
        "Call a method and print its result as JSON.\n"
        "Exit status: 0 success, 1 the method failed, 2 no reply in time, 3 no way to the bus, 64 usage.\n";

static const char cast_usage[] =
        "usage: celadon cast --url URL --topic T [--server S | --fanout] [--exchange X] [--namespace N]\n"
        "                    [--rpc-version V] [--timeout S] METHOD [ARGS-JSON]\n"
        "\n"
        "Have a method called, by one server or by all, and wait until the bus has the request.\n"
        "Exit status: 0 success, 2 not confirmed in time, 3 no way to the bus, 64 usage.\n";

typedef struct job {
        bool is_call;
        const char *url, *method;
        cel_target target;
        cel_rpc_options options;
        int64_t timeout_ms;
        json_t *args; /* owned */
        int status;
} job;

static int exit_status(int r)
{
        return r >= 0 ? 0 : r == CEL_EREMOTE ? CLI_REMOTE : r == CEL_ETIMEDOUT ? CLI_TIMEOUT : CLI_TRANSPORT;
}

static void print_error(const cel_ctx *ctx, const job *j, int r)
{
        const cel_remote_error *remote = r == CEL_EREMOTE ? cel_remote_error_of(ctx) : NULL;

        if (!remote) {
                fprintf(stderr, "celadon %s: %s\n", j->is_call ? "call" : "cast", cel_ctx_error_text(ctx, r));
                return;
        }
        for (size_t i = 0; i < json_array_size(remote->traceback); i++)
                if (json_is_string(json_array_get(remote->traceback, i)))
                        fputs(json_string_value(json_array_get(remote->traceback, i)), stderr);
        fprintf(stderr, "celadon call: %s%s%s: %s\n", remote->module, *remote->module ? "." : "",
                remote->class_name, remote->message);
}

static int send_request(cel_ctx *ctx, job *j)
{
        cel_auto(cel_transport) *bus = NULL;
        cel_auto(cel_rpc_client) *client = NULL;
        json_t *result = NULL;
        CEL_WITHIN_MS(ctx, j->timeout_ms);

        int r = cel_transport_open(ctx, j->url, &bus);
        if (r >= 0)
                r = cel_rpc_client_new(ctx, bus, &j->target, &j->options, &client);
        if (r >= 0)
                r = cel_transport_ready(ctx, bus);
        if (r >= 0 && j->is_call)
                r = cel_rpc_call(ctx, client, NULL, j->method, CEL_TAKE(j->args), &result);
        else if (r >= 0)
                r = cel_rpc_cast(ctx, client, NULL, j->method, CEL_TAKE(j->args));
        if (r >= 0 && j->is_call) {
                json_dumpf(result, stdout, JSON_ENCODE_ANY);
                puts("");
        }
        json_decref(result);
        if (r < 0)
                print_error(ctx, j, r);
        cel_rpc_client_free(CEL_TAKE(client));
        if (bus)
                cel_transport_close(ctx, CEL_TAKE(bus));
        return exit_status(r);
}

static int run(cel_ctx *ctx, void *arg)
{
        job *j = arg;

        j->status = send_request(ctx, j);
        return 0;
}

/* --- Arguments -------------------------------------------------------------------------------- */

static const struct option flags[] = {
        {"url", required_argument, NULL, 'u'},
        {"exchange", required_argument, NULL, 'x'},
        {"topic", required_argument, NULL, 't'},
        {"server", required_argument, NULL, 's'},
        {"namespace", required_argument, NULL, 'n'},
        {"rpc-version", required_argument, NULL, 'v'},
        {"timeout", required_argument, NULL, 'T'},
        {"fanout", no_argument, NULL, 'f'},
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
        case 'x':
                j->target.exchange = optarg;
                return true;
        case 't':
                j->target.topic = optarg;
                return true;
        case 's':
                j->target.server = optarg;
                return true;
        case 'n':
                j->target.name_space = optarg;
                return true;
        case 'v':
                j->target.version = optarg;
                return true;
        case 'T':
                return cli_read_seconds(optarg, &j->timeout_ms);
        case 'f':
                j->options.fanout = CEL_YES;
                return !j->is_call;
        default:
                return false;
        }
}

/* Returns what is wrong, or NULL. */
static const char *check(void *arg, int argc, char **argv)
{
        job *j = arg;

        if (!j->url || !j->target.topic)
                return "--url and --topic are needed";
        if (argc < 1 || argc > 2)
                return "one METHOD, and at most one ARGS-JSON";
        j->method = argv[0];
        if (argc == 2) {
                j->args = json_loads(argv[1], 0, NULL);
                if (!json_is_object(j->args))
                        return "ARGS-JSON is not a JSON object";
        }
        return NULL;
}

static int request(const cli_verb *verb, job *j, int argc, char **argv)
{
        int status = cli_read_arguments(verb, argc, argv, j);

        if (status < 0) {
                cel_log_set_level(CEL_LOG_ERROR); /* what matters, this says itself */
                j->options.timeout_ms = j->timeout_ms;
                cel_main(run, j);
                status = j->status;
        }
        json_decref(j->args);
        return status;
}

int cli_call(int argc, char **argv)
{
        static const cli_verb verb = {
                .name = "call", .usage = call_usage, .flags = flags, .read_flag = read_flag, .check = check};
        job j = {.is_call = true, .timeout_ms = 60000, .status = CLI_TRANSPORT};

        return request(&verb, &j, argc, argv);
}

int cli_cast(int argc, char **argv)
{
        static const cli_verb verb = {
                .name = "cast", .usage = cast_usage, .flags = flags, .read_flag = read_flag, .check = check};
        job j = {.timeout_ms = 60000, .status = CLI_TRANSPORT};

        return request(&verb, &j, argc, argv);
}
