/* SPDX-License-Identifier: Apache-2.0
 *
 * An echo server as one writes it with Celadon: a task for each connection. Prints its port. */
#include <celadon/celadon.h>
#include <stdio.h>

enum { BYTES_MAX = 2048 };

static int serve(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_stream) *stream = arg;
        char bytes[BYTES_MAX];
        int r;

        while ((r = cel_stream_read(ctx, stream, bytes, sizeof(bytes))) > 0) {
                r = cel_stream_write_all(ctx, stream, bytes, (size_t)r);
                if (r < 0)
                        return r;
        }
        return r;
}

static int accept_all(cel_ctx *ctx, cel_listener *listener, cel_scope *scope)
{
        for (;;) {
                cel_stream *stream;
                int r = cel_accept(ctx, listener, &stream);

                if (r < 0)
                        return r;
                r = cel_spawn(ctx, scope, "echo", serve, stream, NULL);
                if (r < 0) {
                        cel_stream_unref(stream);
                        return r;
                }
        }
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_listener) *listener = NULL;
        cel_scope *scope;

        (void)unused;
        int r = cel_tcp_listen(ctx, "127.0.0.1", 0, &listener);
        if (r < 0)
                return r;
        printf("%d\n", cel_listener_port(listener));
        fflush(stdout);
        r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope); /* one that fails does not harm the others */
        if (r < 0)
                return r;
        r = accept_all(ctx, listener, scope);
        cel_scope_close(ctx, scope);
        return r;
}

int main(void)
{
        return cel_main(run, NULL);
}
