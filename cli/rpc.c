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
        bool is_call, help;
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

static bool read_flag(job *j, int flag)
{
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
        case 'h':
                j->help = true;
                return true;
        default:
                return false;
        }
}

/* Returns what is wrong, or NULL. */
static const char *read_arguments(int argc, char **argv, job *j)
{
        int flag;
        json_error_t error;

        optind = 0; /* begin anew, whoever used getopt() before */
        while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1)
                if (!read_flag(j, flag))
                        return "what is this?";
        if (j->help)
                return NULL;
        if (!j->url || !j->target.topic)
                return "--url and --topic are needed";
        if (argc - optind < 1 || argc - optind > 2)
                return "one METHOD, and at most one ARGS-JSON";
        j->method = argv[optind];
        if (argc - optind == 2) {
                j->args = json_loads(argv[optind + 1], 0, &error);
                if (!json_is_object(j->args))
                        return "ARGS-JSON is not a JSON object";
        }
        return NULL;
}

static int request(bool is_call, int argc, char **argv)
{
        const char *usage = is_call ? call_usage : cast_usage;
        job j = {.is_call = is_call, .timeout_ms = 60000};
        const char *wrong = read_arguments(argc, argv, &j);

        if (wrong)
                fprintf(stderr, "celadon %s: %s\n\n%s", argv[0], wrong, usage);
        else if (j.help)
                fputs(usage, stdout);
        if (wrong || j.help) {
                json_decref(j.args);
                return wrong ? CLI_USAGE : 0;
        }
        cel_log_set_level(CEL_LOG_ERROR); /* what matters, this says itself */
        j.options.timeout_ms = j.timeout_ms;
        j.status = CLI_TRANSPORT;
        cel_main(run, &j);
        json_decref(j.args);
        return j.status;
}

int cli_call(int argc, char **argv)
{
        return request(true, argc, argv);
}

int cli_cast(int argc, char **argv)
{
        return request(false, argc, argv);
}
