/* SPDX-License-Identifier: Apache-2.0
 *
 * An event loop of some other making drives the runtime; poll() stands for it. */
#include <celadon/celadon.h>
#include <poll.h>
#include <stdio.h>

static int agent(cel_ctx *ctx, void *unused)
{
        (void)unused;
        for (int i = 1; i <= 3; i++) {
                int r = cel_sleep_ms(ctx, 5);
                if (r < 0)
                        return r;
                printf("tick %d\n", i);
        }
        return 7;
}

static int drive(cel_runtime *runtime)
{
        int r = cel_runtime_begin(runtime, "agent", agent, NULL);
        if (r < 0)
                return r;
        struct pollfd fd = {.fd = cel_runtime_fd(runtime), .events = POLLIN};
        while ((r = cel_runtime_step(runtime)) > 0)
                poll(&fd, 1, -1); /* beside the descriptors of the program's own */
        return r < 0 ? r : cel_runtime_end(runtime);
}

int main(void)
{
        cel_auto(cel_runtime) *runtime = NULL;

        int r = cel_runtime_new(NULL, &runtime);
        if (r >= 0)
                r = drive(runtime);
        printf("the agent returned %d\n", r);
        return r < 0;
}
