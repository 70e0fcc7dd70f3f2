/* SPDX-License-Identifier: Apache-2.0
 *
 * celadon notify: one notification, from the command line. */
#include "cli/cli.h"

#include <celadon/celadon.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
        "usage: celadon notify --url URL [--exchange X] [--topic T …] [--priority P] [--publisher ID]\n"
        "                      [--driver D …] [--routing-config FILE] [--retry N] [--timeout S] EVENT_TYPE "
        "[PAYLOAD-JSON]\n"
        "\n"
        "Send a notification, and wait until the bus has it. P is audit, debug, info (if not given), warn, "
        "error,\n"
        "critical or sample; D is messagingv2 (if not given), messaging, log, noop, test or routing, which "
        "needs the file.\n"
        "N is how often to send again what may be lost: 0 never, -1 (if not given) until the timeout.\n"
        "Exit status: 0 success, 2 not confirmed in time, 3 no way to the bus, 64 usage.\n";

typedef struct job {
        const char *url, *priority, *event_type;
        cli_list topics, drivers;
        cel_notifier_options options;
        int64_t timeout_ms;
        json_t *payload; /* owned */
        int status;
} job;

static int send_notification(cel_ctx *ctx, job *j)
{
        cel_auto(cel_transport) *bus = NULL;
        cel_auto(cel_notifier) *notifier = NULL;
        CEL_WITHIN_MS(ctx, j->timeout_ms);

        int r = cel_transport_open(ctx, j->url, &bus);
        if (r >= 0)
                r = cel_notifier_new(ctx, bus, &j->options, &notifier);
        if (r >= 0 && j->options.retry == 0) /* a wrong password need not be tried until the timeout */
                r = cel_transport_ready(ctx, bus);
        if (r >= 0)
                r = cel_notify(ctx, notifier, j->priority, j->event_type, CEL_TAKE(j->payload), NULL);
        if (r < 0)
                fprintf(stderr, "celadon notify: %s\n", cel_ctx_error_text(ctx, r));
        cel_notifier_free(CEL_TAKE(notifier));
        if (bus)
                cel_transport_close(ctx, CEL_TAKE(bus));
        return r >= 0                                   ? 0
               : r == CEL_ETIMEDOUT                     ? CLI_TIMEOUT
               : r == CEL_EINVAL || r == CEL_ENOSUPPORT ? CLI_USAGE
                                                        : CLI_TRANSPORT;
}

static int run(cel_ctx *ctx, void *arg)
{
        job *j = arg;

        j->status = send_notification(ctx, j);
        return 0;
}

static const struct option flags[] = {
        {"url", required_argument, NULL, 'u'},
        {"exchange", required_argument, NULL, 'x'},
        {"topic", required_argument, NULL, 't'},
        {"priority", required_argument, NULL, 'p'},
        {"publisher", required_argument, NULL, 'i'},
        {"timeout", required_argument, NULL, 'T'},
        {"driver", required_argument, NULL, 'd'},
        {"routing-config", required_argument, NULL, 'r'},
        {"retry", required_argument, NULL, 'R'},
        {"help", no_argument, NULL, 'h'},
        {0},
};

static bool read_retry(job *j, const char *text)
{
        long retry;

        if (!cli_read_number(text, -1, INT_MAX, &retry))
                return false;
        j->options.retry = retry == 0 ? CEL_RETRY_NEVER : retry < 0 ? 0 : (int)retry;
        return true;
}

/* Does anything of what is sent go to the log? */
static bool logs(const job *j)
{
        for (unsigned i = 0; i < j->drivers.n; i++)
                if (strcmp(j->drivers.texts[i], "log") == 0 || strcmp(j->drivers.texts[i], "routing") == 0)
                        return true;
        return false;
}

static bool read_flag(void *arg, int flag)
{
        job *j = arg;

        switch (flag) {
        case 'u':
                j->url = optarg;
                return true;
        case 'x':
                j->options.exchange = optarg;
                return true;
        case 't':
                return cli_add(&j->topics, optarg);
        case 'p':
                j->priority = optarg;
                return true;
        case 'i':
                j->options.publisher_id = optarg;
                return true;
        case 'd':
                return cli_add(&j->drivers, optarg);
        case 'r':
                j->options.routing_config = optarg;
                return true;
        case 'R':
                return read_retry(j, optarg);
        case 'T':
                return cli_read_seconds(optarg, &j->timeout_ms);
        default:
                return false;
        }
}

/* Returns what is wrong, or NULL. */
static const char *check(void *arg, int argc, char **argv)
{
        job *j = arg;

        if (!j->url)
                return "--url is needed";
        if (argc < 1 || argc > 2)
                return "one EVENT_TYPE, and at most one PAYLOAD-JSON";
        j->event_type = argv[0];
        if (argc == 2) {
                j->payload = json_loads(argv[1], JSON_DECODE_ANY, NULL);
                if (!j->payload)
                        return "PAYLOAD-JSON is not JSON";
        }
        return NULL;
}

int cli_notify(int argc, char **argv)
{
        static const cli_verb verb = {
                .name = "notify", .usage = usage, .flags = flags, .read_flag = read_flag, .check = check};
        job j = {.priority = "info", .timeout_ms = 60000, .status = CLI_TRANSPORT};
        int status = cli_read_arguments(&verb, argc, argv, &j);

        if (status < 0) {
                /* What matters, this says itself. */
                cel_log_set_level(logs(&j) ? CEL_LOG_INFO : CEL_LOG_ERROR);
                j.options.topics = cli_list_or_null(&j.topics);
                j.options.drivers = cli_list_or_null(&j.drivers);
                cel_main(run, &j);
                status = j.status;
        }
        json_decref(j.payload);
        return status;
}
