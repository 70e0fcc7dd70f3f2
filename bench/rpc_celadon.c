/* SPDX-License-Identifier: Apache-2.0
 *
 * A client of examples/echo-server: as many tasks as there are calls in flight, each calling one after the other.
 *
 *     rpc_celadon time URL TOPIC IN_FLIGHT SECONDS BYTES    see rpc_load.h
 *     rpc_celadon spread URL TOPIC IN_FLIGHT SECONDS N      the same, to the servers agent-0, agent-1, … in turn
 *     rpc_celadon count URL TOPIC IN_FLIGHT CALLS STEP      that many calls; prints how many there were after each STEP,
 *                                                           and goes on when it is answered with a line; to warm up,
 *                                                           the first tenth is made with eight times as many in flight */
#include "rpc_load.h"

#include <celadon/celadon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        BYTES = 100,
        WARM_UP_TIMES = 8, /* as many calls in flight */
        WARM_UP_PART = 10, /* of all calls */
};

typedef struct job {
        const char *url, *topic;
        unsigned in_flight;
        unsigned servers_n, server; /* to be called in turn; 0: whichever listens to the topic */
        char *text;                 /* what is sent to and fro */
        cel_rpc_client *client;
        rpc_load *load;                    /* NULL: calls are counted */
        uint64_t begun, done, calls, step; /* `calls`: how many there are to be */
        uint64_t warm_up;                  /* so many of them with more callers */
        int status;
} job;

static int call_once(cel_ctx *ctx, job *j)
{
        cel_rpc_options options = {0};
        char server[32];
        json_t *result;

        if (j->servers_n > 0) {
                snprintf(server, sizeof(server), "agent-%u", j->server++ % j->servers_n);
                options.server = server;
        }
        int r = cel_rpc_call(ctx, j->client, &options, "echo", json_pack("{s:s}", "msg", j->text), &result);

        if (r < 0)
                return r;
        const char *text = json_string_value(result);
        bool same = text && strcmp(text, j->text) == 0;
        json_decref(result);
        return same ? 0 : cel_fail(ctx, CEL_EDECODE, "the echo is not what was sent");
}

static int call_for_a_time(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        int64_t begun_ns;

        do {
                begun_ns = rpc_load_now_ns();
                int r = call_once(ctx, j);
                if (r < 0)
                        return r;
        } while (rpc_load_note(j->load, begun_ns));
        return 0;
}

static int call_until(cel_ctx *ctx, job *j, uint64_t calls)
{
        while (j->begun < calls) {
                j->begun++;
                int r = call_once(ctx, j);
                if (r < 0)
                        return r;
                if (++j->done % j->step == 0) {
                        printf("%llu\n", (unsigned long long)j->done);
                        fflush(stdout);
                        getchar(); /* holds up everything, on purpose: somebody looks at the memory */
                }
        }
        return 0;
}

static int call_so_often(cel_ctx *ctx, void *arg)
{
        return call_until(ctx, arg, ((job *)arg)->calls);
}

/* What is kept for later use grows with what was needed at once, and a busy machine may need more at any time. */
static int warm_up(cel_ctx *ctx, void *arg)
{
        return call_until(ctx, arg, ((job *)arg)->warm_up);
}

static int spawn_callers(cel_ctx *ctx, cel_scope *scope, cel_task_fn fn, job *j, unsigned n)
{
        int r = 0;

        for (unsigned i = 0; i < n && r >= 0; i++)
                r = cel_spawn(ctx, scope, "caller", fn, j, NULL);
        return r;
}

static int call_together(cel_ctx *ctx, job *j)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        if (r < 0)
                return r;
        r = spawn_callers(ctx, scope, j->load ? call_for_a_time : call_so_often, j, j->in_flight);
        if (r >= 0 && j->warm_up > 0)
                r = spawn_callers(ctx, scope, warm_up, j, j->in_flight * (WARM_UP_TIMES - 1));
        if (r < 0)
                cel_scope_cancel(scope);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

static int run(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        cel_auto(cel_transport) *bus = NULL;
        cel_auto(cel_rpc_client) *client = NULL;
        int r = cel_transport_open(ctx, j->url, &bus);

        if (r >= 0)
                r = cel_transport_ready(ctx, bus);
        if (r >= 0)
                r = cel_rpc_client_new(ctx, bus, &(cel_target){.topic = j->topic}, NULL, &client);
        if (r >= 0) {
                j->client = client;
                r = call_together(ctx, j);
        }
        if (r >= 0 && j->load)
                rpc_load_report(j->load);
        if (r < 0)
                fprintf(stderr, "rpc_celadon: %s\n", cel_ctx_error_text(ctx, r));
        j->status = r < 0;
        return 0;
}

static bool read_arguments(int argc, char **argv, job *j)
{
        const char *verb = argc == 7 ? argv[1] : "";
        bool timed = strcmp(verb, "time") == 0, spread = strcmp(verb, "spread") == 0;
        size_t bytes = timed ? strtoul(argv[6], NULL, 10) : BYTES;

        if (!timed && !spread && strcmp(verb, "count") != 0)
                return false;
        j->url = argv[2];
        j->topic = argv[3];
        j->in_flight = (unsigned)strtoul(argv[4], NULL, 10);
        j->text = calloc(1, bytes + 1);
        if (!j->text)
                return false;
        memset(j->text, 'x', bytes);
        if (timed || spread) {
                j->load = rpc_load_new(atof(argv[5]));
                j->servers_n = spread ? (unsigned)strtoul(argv[6], NULL, 10) : 0;
        } else {
                j->calls = strtoull(argv[5], NULL, 10);
                j->warm_up = j->calls / WARM_UP_PART;
                j->step = strtoull(argv[6], NULL, 10);
        }
        return j->load || j->step > 0;
}

int main(int argc, char **argv)
{
        job j = {.status = 1};

        if (read_arguments(argc, argv, &j))
                cel_main(run, &j);
        else
                fprintf(stderr, "usage: %s time|spread|count URL TOPIC IN_FLIGHT …: see the source\n",
                        argv[0]);
        rpc_load_free(j.load);
        free(j.text);
        return j.status;
}
