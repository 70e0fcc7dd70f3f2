/* SPDX-License-Identifier: Apache-2.0
 *
 * Two loops on two threads, and a task that says where it runs. */
#include <celadon/celadon.h>
#include <stdio.h>

static int say_where(cel_ctx *ctx, void *ret_loop)
{
        *(int *)ret_loop = cel_ctx_loop(ctx);
        return 0;
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_scope *scope;
        int loops[2] = {-1, -1};

        (void)unused;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        for (int i = 0; i < 2 && r >= 0; i++)
                r = cel_spawn_on(ctx, scope, i, "where", say_where, &loops[i], NULL);
        int closed = cel_scope_close(ctx, scope); /* what they wrote is safe to read from here on */
        printf("they ran on %d and %d, this one on %d\n", loops[0], loops[1], cel_ctx_loop(ctx));
        return r < 0 ? r : closed;
}

int main(void)
{
        cel_auto(cel_runtime) *runtime = NULL;

        int r = cel_runtime_new(&(cel_runtime_options){.loops = 2}, &runtime);
        if (r >= 0)
                r = cel_runtime_run(runtime, "main", run, NULL);
        return r < 0;
}
