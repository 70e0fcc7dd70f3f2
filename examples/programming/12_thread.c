/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread of one's own, with a ctx of its own. */
#include <celadon/celadon.h>
#include <pthread.h>
#include <stdio.h>

typedef struct shared {
        cel_runtime *runtime;  /* borrowed */
        cel_channel *readings; /* borrowed */
} shared;

/* The same calls as in a task. Here they block the thread. */
static void *sensor(void *arg)
{
        shared *s = arg;
        cel_auto(cel_ctx) *ctx = NULL;

        int r = cel_thread_ctx_new(s->runtime, "sensor", &ctx);
        for (int degrees = 20; degrees < 23 && r >= 0; degrees++)
                r = cel_channel_send(ctx, s->readings, &degrees);
        cel_channel_close(s->readings);
        return NULL;
}

static int print_readings(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_channel) *readings = NULL;
        pthread_t thread;
        int degrees;

        (void)unused;
        int r = cel_channel_new(sizeof(int), 1, &readings);
        if (r < 0)
                return r;
        shared s = {.runtime = cel_ctx_runtime(ctx), .readings = readings};
        if (pthread_create(&thread, NULL, sensor, &s))
                return cel_fail(ctx, CEL_ESYSTEM, "no thread to be had");
        while ((r = cel_channel_receive(ctx, readings, &degrees)) >= 0)
                printf("%d degrees\n", degrees);
        cel_channel_close(readings); /* whatever ended us: the thread cannot send any more, and ends */
        pthread_join(thread, NULL);  /* hardly blocks: it is as good as gone */
        return r == CEL_ECLOSED ? 0 : r;
}

int main(void)
{
        return cel_main(print_readings, NULL);
}
