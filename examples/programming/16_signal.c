/* SPDX-License-Identifier: Apache-2.0
 *
 * A signal is something to wait for. */
#include <celadon/celadon.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int run(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_signal_watch) *watch = NULL;

        (void)unused;
        int r = cel_signal_watch_new(ctx, (const int[]){SIGHUP, SIGUSR2, 0}, &watch);
        if (r < 0)
                return r;
        kill(getpid(), SIGHUP); /* somebody wants the configuration read again */
        while ((r = cel_signal_wait(ctx, watch)) >= 0) {
                printf("%s\n", r == SIGHUP ? "reload" : "report");
                if (r == SIGUSR2)
                        return 0;
                kill(getpid(), SIGUSR2);
        }
        return r;
}

int main(void)
{
        return cel_main(run, NULL);
}
