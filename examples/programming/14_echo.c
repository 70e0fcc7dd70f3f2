/* SPDX-License-Identifier: Apache-2.0
 *
 * A server with a task for each connection, and a client. */
#include <celadon/celadon.h>
#include <stdio.h>
#include <string.h>

static int answer(cel_ctx *ctx, cel_stream *peer)
{
        cel_auto_free char *line = NULL;
        char text[120];

        CEL_WITHIN_MS(ctx, 30 * 1000); /* for each line */
        int r = cel_stream_read_line(ctx, peer, 100, &line);
        if (r <= 0)
                return r; /* an error, or the end */
        int n = snprintf(text, sizeof(text), "you said %s\n", line);
        r = cel_stream_write_all(ctx, peer, text, (size_t)n);
        return r < 0 ? r : n;
}

static int serve_peer(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_stream) *peer = arg; /* handed over: this task closes it */

        while (answer(ctx, peer) > 0)
                ;
        return 0; /* what one peer does is no failure of the server */
}

static int serve(cel_ctx *ctx, void *listener)
{
        cel_scope *peers;
        cel_stream *peer;

        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &peers);
        if (r < 0)
                return r;
        while ((r = cel_accept(ctx, listener, &peer)) >= 0)
                if (cel_spawn(ctx, peers, "peer", serve_peer, peer, NULL) < 0)
                        cel_stream_unref(peer); /* no task, so it is still ours */
        int closed = cel_scope_close(ctx, peers);
        return r == CEL_ECLOSED ? closed : r;
}

static int talk(cel_ctx *ctx, uint16_t port)
{
        cel_auto(cel_stream) *stream = NULL;
        cel_auto_free char *line = NULL;

        int r = cel_tcp_connect(ctx, "127.0.0.1", port, &stream);
        if (r >= 0)
                r = cel_stream_write_all(ctx, stream, "hello\n", 6);
        if (r >= 0)
                r = cel_stream_read_line(ctx, stream, 120, &line);
        if (r > 0)
                printf("%s\n", line);
        return r;
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_listener) *listener = NULL;
        cel_scope *scope;

        (void)unused;
        int r = cel_tcp_listen(ctx, "127.0.0.1", 0, &listener);
        if (r >= 0)
                r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "server", serve, listener, NULL);
        if (r >= 0)
                r = talk(ctx, cel_listener_port(listener));
        cel_listener_close(listener); /* ends the server's loop */
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

int main(void)
{
        return cel_main(run, NULL);
}
