/* SPDX-License-Identifier: Apache-2.0
 *
 * Two tasks take turns. */
#include <celadon/celadon.h>
#include <stdio.h>

static int walk(cel_ctx *ctx, void *steps)
{
        for (int i = 1; i <= *(int *)steps; i++) {
                printf("%s: step %d\n", cel_ctx_name(ctx), i);
                int r = cel_yield(ctx); /* let the others run */
                if (r < 0)
                        return r;
        }
        return 0;
}

static int both(cel_ctx *ctx, void *unused)
{
        cel_scope *scope;
        int two = 2, three = 3;

        (void)unused;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "anna", walk, &two, NULL);
        if (r >= 0)
                r = cel_spawn(ctx, scope, "bert", walk, &three, NULL);
        if (r < 0)
                cel_scope_cancel(scope);
        printf("both spawned, none has run\n");
        int closed = cel_scope_close(ctx, scope); /* waits for both */
        printf("both ended: two and three may go now\n");
        return r < 0 ? r : closed;
}

int main(void)
{
        return cel_main(both, NULL);
}
