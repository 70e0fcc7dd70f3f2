/* SPDX-License-Identifier: Apache-2.0
 *
 * Count the events of nova's instances, a hundred at a time or what came within a second, and name the failures:
 *     build/examples/notification-batches rabbit://guest:guest@127.0.0.1:5672/ */
#include <celadon/celadon.h>
#include <stdio.h>

/* One write for many events: a database would be here. What is returned settles them all. */
static int on_events(cel_ctx *ctx, const cel_notification *const *events, unsigned n, void *arg)
{
        (void)ctx, (void)arg;
        printf("%u %s events, from %s to %s\n", n, events[0]->priority, events[0]->timestamp,
               events[n - 1]->timestamp);
        return fflush(stdout) == 0 ? CEL_HANDLED : CEL_REQUEUE;
}

static int on_failures(cel_ctx *ctx, const cel_notification *const *events, unsigned n, void *arg)
{
        (void)ctx, (void)arg;
        for (unsigned i = 0; i < n; i++)
                printf("failed: %s at %s\n", events[i]->event_type, events[i]->publisher_id);
        return CEL_HANDLED;
}

static int listen_until_stopped(cel_ctx *ctx, void *url)
{
        static const char *const errors[] = {"error", "critical", NULL};
        static const cel_notification_filter instances = {.event_type = "compute\\.instance\\."};
        static const cel_notification_endpoint endpoints[] = {
                {.filter = &instances, .on_batch = on_events},
                {.priorities = errors, .filter = &instances, .on_batch = on_failures},
        };
        const cel_notification_listener_options options = {.exchange = "nova",
                                                           .pool = "example",
                                                           .endpoints = endpoints,
                                                           .endpoints_n = 2,
                                                           .allow_requeue = true,
                                                           .batch_size = 100,
                                                           .batch_timeout_ms = 1000};
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
