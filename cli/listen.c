/* SPDX-License-Identifier: Apache-2.0
 *
 * celadon listen: notifications as they come, one JSON object a line. */
#include "cli/cli.h"

#include <celadon/celadon.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>

static const char usage[] =
        "usage: celadon listen --url URL [--exchange X] [--topic T …] [--priority P …] "
        "[--pool NAME]\n"
        "                      [--event-type REGEX] [--publisher REGEX] [--count N]\n"
        "\n"
        "Print notifications, one JSON object a line. With --pool, this gets a copy of "
        "each; without, it takes them\n"
        "away from whoever else listens, also those that the expressions leave out, which "
        "match from the beginning.\n"
        "Says \"listening\" on standard error once it "
        "does; ends with ^C, or after N.\n"
        "Exit status: 0 success, 3 no way to the bus, 64 usage.\n";

typedef struct job {
        const char *url;
        cli_list topics, priorities;
        cel_notification_filter filter;
        cel_notification_endpoint endpoint;
        cel_notification_listener_options options;
        long count; /* still to come; 0: any number */
        cel_future *enough;
        int status;
} job;

/* In a task of its own; what is printed is settled. */
static int print(cel_ctx *ctx, const cel_notification *notification, void *arg)
{
        job *j = arg;

        (void)ctx;
        if (cel_future_done(j->enough))
                return CEL_REQUEUE;
        json_dumpf(notification->message, stdout, JSON_COMPACT);
        putchar('\n');
        if (fflush(stdout) != 0)
                return CEL_REQUEUE;
        if (j->count > 0 && --j->count == 0)
                cel_future_complete(j->enough, 0, NULL);
        return CEL_HANDLED;
}

static int listen_until_stopped(cel_ctx *ctx, job *j)
{
        cel_auto(cel_transport) *bus = NULL;
        cel_notification_listener *listener = NULL;
        int r = cel_transport_open(ctx, j->url, &bus);

        if (r >= 0)
                r = cel_transport_ready(ctx, bus);
        if (r >= 0)
                r = cel_notification_listener_open(ctx, bus, &j->options, &listener);
        if (r >= 0) {
                cel_future *const ends[] = {cel_stop_future(ctx), j->enough};

                fputs("listening\n", stderr);
                cel_await_any(ctx, ends, 2);
                r = cel_notification_listener_close(ctx, listener);
        }
        if (r < 0)
                fprintf(stderr, "celadon listen: %s\n", cel_ctx_error_text(ctx, r));
        if (bus)
                cel_transport_close(ctx, CEL_TAKE(bus));
        return r >= 0 ? 0 : r == CEL_EINVAL ? CLI_USAGE : CLI_TRANSPORT;
}

static int run(cel_ctx *ctx, void *arg)
{
        job *j = arg;

        j->status = listen_until_stopped(ctx, j);
        return 0;
}

static const struct option flags[] = {
        {"url", required_argument, NULL, 'u'},
        {"exchange", required_argument, NULL, 'x'},
        {"topic", required_argument, NULL, 't'},
        {"priority", required_argument, NULL, 'p'},
        {"event-type", required_argument, NULL, 'e'},
        {"publisher", required_argument, NULL, 'i'},
        {"pool", required_argument, NULL, 'o'},
        {"count", required_argument, NULL, 'c'},
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
                j->options.exchange = optarg;
                return true;
        case 't':
                return cli_add(&j->topics, optarg);
        case 'p':
                return cli_add(&j->priorities, optarg);
        case 'e':
                j->filter.event_type = optarg;
                return true;
        case 'i':
                j->filter.publisher_id = optarg;
                return true;
        case 'o':
                j->options.pool = optarg;
                return true;
        case 'c':
                return cli_read_number(optarg, 1, LONG_MAX, &j->count);
        default:
                return false;
        }
}

/* Returns what is wrong, or NULL. */
static const char *check(void *arg, int argc, char **argv)
{
        const job *j = arg;

        (void)argv;
        if (argc > 0)
                return "there are only options";
        return j->url ? NULL : "--url is needed";
}

int cli_listen(int argc, char **argv)
{
        static const cli_verb verb = {
                .name = "listen", .usage = usage, .flags = flags, .read_flag = read_flag, .check = check};
        job j = {.options = {.allow_requeue = true, .concurrency = 1}, .status = CLI_TRANSPORT};
        int status = cli_read_arguments(&verb, argc, argv, &j);

        if (status >= 0)
                return status;
        cel_log_set_level(CEL_LOG_WARN);
        if (cel_future_new(&j.enough) < 0)
                return CLI_TRANSPORT;
        j.options.topics = cli_list_or_null(&j.topics);
        j.options.priorities = cli_list_or_null(&j.priorities);
        j.endpoint = (cel_notification_endpoint){.filter = &j.filter, .on_notification = print, .arg = &j};
        j.options.endpoints = &j.endpoint;
        j.options.endpoints_n = 1;
        cel_main(run, &j);
        cel_future_unref(j.enough);
        return j.status;
}
