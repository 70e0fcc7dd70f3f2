/* SPDX-License-Identifier: Apache-2.0
 *
 * A deadline holds for everything below it. */
#include <celadon/celadon.h>
#include <stdio.h>

static int ask_database(cel_ctx *ctx)
{
        CEL_WITHIN_MS(ctx, 60 * 1000); /* its own limit: it can tighten the caller's, never loosen it */
        return cel_sleep_ms(ctx, 30 * 1000);
}

static int handle(cel_ctx *ctx)
{
        CEL_WITHIN_MS(ctx, 50);
        return ask_database(ctx);
} /* here the deadline that was there before is back */

static int serve(cel_ctx *ctx, void *unused)
{
        (void)unused;
        int r = handle(ctx);
        printf("handle: %s\n", cel_error_text(r));
        r = cel_sleep_ms(ctx, 100);
        printf("afterwards: %s\n", cel_error_text(r));
        return 0;
}

int main(void)
{
        return cel_main(serve, NULL);
}
