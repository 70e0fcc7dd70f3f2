/* SPDX-License-Identifier: Apache-2.0
 *
 * Many RPC servers in one process, on one transport: as if the agents of a whole cloud lived together.
 *
 *     rpc_agents URL TOPIC N
 *
 * They are called agent-0, agent-1, … and have one method, echo(msg). Prints "open" once it is connected, and "ready"
 * once all consume, each time after waiting for a line: so bench/agents can look at what it takes. */
#include <celadon/celadon.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct fleet {
        const char *url, *topic;
        unsigned n;
        cel_rpc_server **servers; /* owned, and each of them */
} fleet;

static int echo(cel_ctx *ctx, cel_request *request)
{
        (void)ctx;
        return cel_request_reply(request, json_incref((json_t *)(uintptr_t)cel_request_arg(request, "msg")));
}

static void say(const char *what)
{
        puts(what);
        fflush(stdout);
        getchar(); /* holds up everything, on purpose: somebody looks at the memory */
}

static int open_all(cel_ctx *ctx, cel_transport *bus, fleet *f)
{
        static const cel_method methods[] = {{.name = "echo", .fn = echo}, {0}};
        int r = 0;

        for (unsigned i = 0; i < f->n && r >= 0; i++) {
                char name[32];

                snprintf(name, sizeof(name), "agent-%u", i);
                r = cel_rpc_server_open(ctx, bus, &(cel_target){.topic = f->topic, .server = name}, methods,
                                        &f->servers[i]);
        }
        return r;
}

static int serve(cel_ctx *ctx, void *arg)
{
        fleet *f = arg;
        cel_auto(cel_transport) *bus = NULL;
        int r = cel_transport_open(ctx, f->url, &bus);

        if (r >= 0)
                r = cel_transport_ready(ctx, bus);
        if (r < 0)
                return r;
        say("open");
        r = open_all(ctx, bus, f);
        if (r >= 0) {
                say("ready");
                r = cel_await(ctx, cel_stop_future(ctx), NULL);
        }
        for (unsigned i = 0; i < f->n; i++)
                cel_rpc_server_free(f->servers[i]);
        return r;
}

int main(int argc, char **argv)
{
        fleet f = {.n = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0};

        if (f.n == 0) {
                fprintf(stderr, "usage: %s URL TOPIC N\n", argv[0]);
                return 2;
        }
        f.url = argv[1];
        f.topic = argv[2];
        f.servers = calloc(f.n, sizeof(f.servers[0]));
        if (!f.servers)
                return 1;
        int status = cel_main(serve, &f);
        free(f.servers);
        return status;
}
