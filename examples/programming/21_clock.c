/* SPDX-License-Identifier: Apache-2.0
 *
 * A test holds the clock in its hand: an hour takes no time. */
#include <celadon/celadon.h>
#include <stdio.h>

static int nap(cel_ctx *ctx, void *unused)
{
        (void)unused;
        CEL_WITHIN_MS(ctx, 2 * 3600 * 1000);
        int r = cel_sleep_ms(ctx, 3600 * 1000);
        printf("slept: %s\n", cel_error_text(r));
        return r;
}

int main(void)
{
        cel_auto(cel_clock) *clock = cel_clock_new_manual();
        cel_auto(cel_runtime) *runtime = NULL; /* freed before its clock */

        if (!clock || cel_runtime_new(&(cel_runtime_options){.clock = clock}, &runtime) < 0 ||
            cel_runtime_begin(runtime, "nap", nap, NULL) < 0)
                return EXIT_FAILURE;
        cel_runtime_step(runtime);
        cel_clock_advance_ms(clock, 3600 * 1000 - 1);
        cel_runtime_step(runtime);
        printf("one millisecond is missing\n");
        cel_clock_advance_ms(clock, 1);
        while (cel_runtime_step(runtime) > 0)
                ;
        return cel_runtime_end(runtime) < 0;
}
