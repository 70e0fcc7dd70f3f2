/* SPDX-License-Identifier: Apache-2.0
 *
 * Something to do again and again. */
#include <celadon/celadon.h>
#include <stdio.h>

static int measure(cel_ctx *ctx, void *arg)
{
        int *runs = arg;

        printf("%s: run %d\n", cel_ctx_name(ctx), ++*runs);
        return *runs < 3 ? 0 : CEL_PERIODIC_DONE;
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_scope *scope;
        int runs = 0;
        cel_periodic_options options = {
                .name = "measure",
                .run = measure,
                .arg = &runs,
                .period_ms = 20,
                .jitter_ms = 5,
                .run_ms_max = 10 * 1000, /* the deadline of each run */
        };

        (void)unused;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        r = cel_periodic_start(ctx, scope, &options, NULL);
        int closed = cel_scope_close(ctx, scope); /* cel_scope_cancel() would end it earlier */
        return r < 0 ? r : closed;
}

int main(void)
{
        return cel_main(run, NULL);
}
