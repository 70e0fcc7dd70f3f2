/* SPDX-License-Identifier: Apache-2.0
 *
 * The smallest program: a runtime, one task, one wait. */
#include <celadon/celadon.h>
#include <stdio.h>

static int hello(cel_ctx *ctx, void *name)
{
        printf("hello\n");
        int r = cel_sleep_ms(ctx, 10); /* the only line at which anything else can run */
        if (r < 0)
                return r; /* somebody wants us to end */
        printf("goodbye, %s\n", (char *)name);
        return 0;
}

int main(void)
{
        return cel_main(hello, "world");
}
