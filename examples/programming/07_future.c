/* SPDX-License-Identifier: Apache-2.0
 *
 * A callback of some other library completes a future; a task awaits it. */
#include <celadon/celadon.h>
#include <pthread.h>
#include <stdio.h>

/* Stands for a library with threads and callbacks of its own. */
static void *library_thread(void *arg)
{
        cel_future *answer = arg;

        cel_future_complete(answer, 0, "42"); /* from any thread, at any time, once */
        cel_future_unref(answer);
        return NULL;
}

static int ask(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_future) *answer = NULL;
        pthread_t thread;
        void *value;

        (void)unused;
        int r = cel_future_new(&answer);
        if (r < 0)
                return r;
        if (pthread_create(&thread, NULL, library_thread, cel_future_ref(answer))) {
                cel_future_unref(answer);
                return cel_fail(ctx, CEL_ESYSTEM, "no thread to be had");
        }
        pthread_detach(thread);

        CEL_WITHIN_MS(ctx, 10 * 1000);
        r = cel_await(ctx, answer, &value);
        if (r >= 0)
                printf("the answer is %s\n", (char *)value);
        return r;
}

int main(void)
{
        return cel_main(ask, NULL);
}
