/* SPDX-License-Identifier: Apache-2.0
 *
 * Print nova's notifications as they come:
 *     build/examples/notifications rabbit://guest:guest@127.0.0.1:5672/ */
#include <celadon/celadon.h>
#include <stdio.h>

/* Runs in a task of its own: while it waits for something, others run. */
static int on_notification(cel_ctx *ctx, const cel_notification *n, void *arg)
{
        (void)ctx, (void)arg;
        printf("%s %s %s\n", n->timestamp, n->event_type, n->publisher_id);
        return fflush(stdout) == 0 ? CEL_HANDLED : CEL_REQUEUE;
}

static int listen_until_stopped(cel_ctx *ctx, void *url)
{
        cel_notification_listener_options options = {
                .exchange = "nova", .pool = "example", .on_notification = on_notification};
        cel_auto(cel_transport) *bus = NULL;
        cel_notification_listener *listener;

        int r = cel_transport_open(ctx, url, &bus);
        if (r >= 0)
                r = cel_notification_listener_open(ctx, bus, &options, &listener);
        if (r < 0)
                return r;
        cel_await(ctx, cel_stop_future(ctx), NULL); /* SIGTERM or ^C */
        return cel_notification_listener_close(ctx, listener);
}

int main(int argc, char **argv)
{
        return cel_main(listen_until_stopped, argc > 1 ? argv[1] : "rabbit://");
}
