/* SPDX-License-Identifier: Apache-2.0
 *
 * Cancellation is a return code, so cleaning up is ordinary code. */
#include <celadon/celadon.h>
#include <stdio.h>

static int copy_disk(cel_ctx *ctx, void *unused)
{
        (void)unused;
        printf("temporary file made\n");
        int r = cel_sleep_ms(ctx, 3600 * 1000); /* the copying */
        printf("temporary file removed: %s\n", cel_error_text(r));
        return r;
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_task) *copy = NULL;
        cel_scope *scope;

        (void)unused;
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "copy", copy_disk, NULL, &copy);
        if (r >= 0) {
                CEL_WITHIN_MS(ctx, 100);
                r = cel_task_await(ctx, copy); /* gives up; the task itself is left alone */
                printf("await: %s\n", cel_error_text(r));
                cel_scope_cancel(scope); /* asks, and never waits */
                printf("asked it to end\n");
        }
        int closed = cel_scope_close(ctx, scope); /* here it ends */
        printf("close: %s\n", cel_error_text(closed));
        return r == CEL_ETIMEDOUT ? 0 : r;
}

int main(void)
{
        return cel_main(run, NULL);
}
