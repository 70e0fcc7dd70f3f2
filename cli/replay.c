/* SPDX-License-Identifier: Apache-2.0
 *
 * celadon bridge replay: dead letters back to where they came from. */
#include "cli/cli.h"

#include "bridge/replay.h"
#include "bridge/route.h"

#include <celadon/celadon.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { RATE_MAX = 10000, RATE_DEFAULT = 20 };

static const char usage[] =
        "usage: celadon bridge replay CONFIG.yaml [--route NAME] [--reason R] [--status 503|5xx] "
        "[--since TIME]\n"
        "                             [--limit N] [--rate N/s] [--dry-run] [--json]\n"
        "\n"
        "Take dead letters off the routes' dead-letter queues and publish each into the queue that its event "
        "came from,\n"
        "so that the bridge tries it again, with the same Idempotency-Key. Those that are not asked for "
        "stay.\n"
        "  --route    only of this route\n"
        "  --reason   only those with this x-celadon-reason, such as max_attempts or http_status\n"
        "  --status   only those whose last response had this status\n"
        "  --since    only those that died from then on: 2026-11-24T15:00 (UTC), 2026-11-24, or -2h\n"
        "  --limit    at most so many\n"
        "  --rate     so many in a second at most, 20/s if not given\n"
        "  --dry-run  print those that would be replayed, one a line, and change nothing\n"
        "  --json     print JSON\n"
        "\n"
        "Example: celadon bridge replay /etc/celadon/bridge.yaml --route instances --status 5xx --since -2h "
        "--dry-run\n"
        "\n"
        "It ends when it has gone through each queue once, and sooner when more than 20 % of what it has "
        "replayed, of 20\n"
        "at least, has come back as dead letters. Exit status: 0 done, 1 not all could be replayed, 2 the "
        "broker did not\n"
        "answer in time, 3 no way to the bus, 64 usage, 78 the configuration is wrong.\n";

typedef struct job {
        const char *path;
        bridge_replay_options options;
        bridge_config *config; /* owned */
        bool json;
        int status;
} job;

/* --- Telling ---------------------------------------------------------------------------------- */

static void print_json(FILE *out, json_t *object)
{
        if (object && json_dumpf(object, out, JSON_COMPACT) == 0)
                fputc('\n', out);
        json_decref(object);
}

static void print_letter(FILE *out, const job *j, const bridge_letter *l, const char *failure)
{
        if (j->json)
                print_json(out, json_pack("{s:s*, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s}", "failure",
                                          failure, "dead_at", l->dead_at, "route", l->route, "reason",
                                          l->reason, "status", (json_int_t)l->status, "attempts",
                                          (json_int_t)l->attempts, "replays", (json_int_t)l->replays, "queue",
                                          l->queue, "idempotency_key", l->key, "error", l->error));
        else
                fprintf(out,
                        "%s%s%s route=%s reason=%s status=%" PRId64 " attempts=%" PRId64 " replays=%" PRId64
                        " queue=%s key=%s: %s\n",
                        failure ? failure : "", failure ? ": " : "", l->dead_at, l->route, l->reason,
                        l->status, l->attempts, l->replays, l->queue, l->key, l->error);
}

/* What goes wrong is told on standard error, a dry run on standard output. */
static void on_letter(void *arg, const bridge_letter *letter, const char *failure)
{
        if (failure)
                fputs("celadon bridge replay: ", stderr);
        print_letter(failure ? stderr : stdout, arg, letter, failure);
}

static const char *const ends[] = {
        [BRIDGE_REPLAY_DONE] = "done", [BRIDGE_REPLAY_LIMIT] = "limit", [BRIDGE_REPLAY_RETURNED] = "returned",
        [BRIDGE_REPLAY_FULL] = "full", [BRIDGE_REPLAY_LATE] = "late",
};

static const char *const stopped_because[] = {
        [BRIDGE_REPLAY_RETURNED] = "stopped: too many come back as dead letters; what is wrong is not mended",
        [BRIDGE_REPLAY_FULL] =
                "stopped: no more dead letters can be held that are to stay, and there may be others "
                "behind them",
        [BRIDGE_REPLAY_LATE] =
                "stopped after 20 minutes, before RabbitMQ takes back what is held: run it again for "
                "the rest",
};

static void print_totals(const job *j, const bridge_replay_totals *t, const char *end)
{
        if (j->json)
                print_json(stdout, json_pack("{s:s, s:b, s:I, s:I, s:I, s:I}", "end", end, "dry_run",
                                             j->options.dry_run, "replayed", (json_int_t)t->replayed,
                                             "returned", (json_int_t)t->returned, "failed",
                                             (json_int_t)t->failed, "others", (json_int_t)t->others));
        else
                printf("%" PRIu64 " %s, of which %" PRIu64 " came back, %" PRIu64 " failed, %" PRIu64
                       " others stay\n",
                       t->replayed, j->options.dry_run ? "would be replayed" : "replayed", t->returned,
                       t->failed, t->others);
}

/* --- Running ---------------------------------------------------------------------------------- */

static int exit_status(int r, const bridge_replay_totals *totals)
{
        if (r == CEL_ETIMEDOUT)
                return CLI_TIMEOUT;
        if (r < 0 && r != CEL_ECANCELED)
                return CLI_TRANSPORT;
        return totals->failed > 0 || totals->end > BRIDGE_REPLAY_LIMIT ? CLI_REMOTE : 0;
}

/* A request to stop cancels it. */
static int run(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        bridge_replay_totals totals;
        int r = bridge_replay(ctx, j->config, &j->options, &totals);

        if (r < 0 && r != CEL_ECANCELED)
                fprintf(stderr, "celadon bridge replay: %s\n", cel_ctx_error_text(ctx, r));
        else if (totals.end > BRIDGE_REPLAY_LIMIT)
                fprintf(stderr, "celadon bridge replay: %s\n", stopped_because[totals.end]);
        print_totals(j, &totals, r == CEL_ECANCELED ? "interrupted" : r < 0 ? "error" : ends[totals.end]);
        j->status = exit_status(r, &totals);
        return 0;
}

/* --- Arguments -------------------------------------------------------------------------------- */

static const struct option flags[] = {
        {"route", required_argument, NULL, 'r'},  {"reason", required_argument, NULL, 'R'},
        {"status", required_argument, NULL, 's'}, {"since", required_argument, NULL, 'S'},
        {"limit", required_argument, NULL, 'l'},  {"rate", required_argument, NULL, 'n'},
        {"dry-run", no_argument, NULL, 'd'},      {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {0},
};

static bool read_rate(const char *text, unsigned *ret_rate)
{
        char number[16];
        long rate;
        size_t n = strcspn(text, "/");

        if (n >= sizeof(number) || (text[n] && strcmp(text + n, "/s") != 0))
                return false;
        snprintf(number, sizeof(number), "%.*s", (int)n, text);
        if (!cli_read_number(number, 1, RATE_MAX, &rate))
                return false;
        *ret_rate = (unsigned)rate;
        return true;
}

static bool say(const char *what, const char *value)
{
        fprintf(stderr, "celadon bridge replay: %s, not \"%s\"\n", what, value);
        return false;
}

static bool read_reason(const char *text, const char **ret_reason)
{
        char known[256] = "";

        for (unsigned i = 0; bridge_reason_name(i); i++) {
                if (strcmp(bridge_reason_name(i), text) == 0) {
                        *ret_reason = text;
                        return true;
                }
                snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
                         i ? ", " : "--reason is one of ", bridge_reason_name(i));
        }
        return say(known, text);
}

static bool read_flag(void *arg, int flag)
{
        job *j = arg;
        bridge_letter_filter *filter = &j->options.filter;
        long limit;

        switch (flag) {
        case 'r':
                filter->route = optarg;
                return true;
        case 'R':
                return read_reason(optarg, &filter->reason);
        case 's':
                return bridge_letter_read_status(optarg, filter) ||
                       say("--status is a status such as 503, or 5xx", optarg);
        case 'S':
                return bridge_letter_read_time(optarg, bridge_time_of_day_ms(), &filter->since_ms) ||
                       say("--since is a time such as 2026-11-24T15:00 or -2h", optarg);
        case 'l':
                if (!cli_read_number(optarg, 1, INT32_MAX, &limit))
                        return say("--limit is a number from 1 on", optarg);
                j->options.limit = (uint64_t)limit;
                return true;
        case 'n':
                return read_rate(optarg, &j->options.rate) || say("--rate is 1/s to 10000/s", optarg);
        case 'd':
                return j->options.dry_run = true;
        case 'j':
                return j->json = true;
        default:
                return false;
        }
}

static const char *check(void *arg, int argc, char **argv)
{
        job *j = arg;

        if (argc != 1)
                return argc == 0 ? "which configuration?" : "one configuration, and no more";
        j->path = argv[0];
        return NULL;
}

static void print_error(const char *line, void *arg)
{
        (void)arg;
        fprintf(stderr, "%s\n", line);
}

static bool has_route(const bridge_config *config, const char *name)
{
        for (size_t i = 0; i < config->routes_n; i++)
                if (strcmp(config->routes[i].name, name) == 0)
                        return true;
        return false;
}

int cli_bridge_replay(int argc, char **argv)
{
        static const cli_verb verb = {.name = "bridge replay",
                                      .usage = usage,
                                      .flags = flags,
                                      .read_flag = read_flag,
                                      .check = check};
        job j = {.options = {.rate = RATE_DEFAULT, .on_letter = on_letter}, .status = CLI_TRANSPORT};
        const char *route;
        int status = cli_read_arguments(&verb, argc, argv, &j);

        if (status >= 0)
                return status;
        j.options.arg = &j;
        if (bridge_config_load(j.path, print_error, NULL, &j.config) < 0)
                return CLI_CONFIG;
        route = j.options.filter.route;
        if (route && !has_route(j.config, route)) {
                fprintf(stderr, "celadon bridge replay: %s has no route \"%s\"\n", j.path, route);
                j.status = CLI_USAGE;
        } else {
                cel_log_set_level(CEL_LOG_ERROR); /* what matters, this says itself */
                cel_main(run, &j);
        }
        bridge_config_free(j.config);
        return j.status;
}
