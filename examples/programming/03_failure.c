/* SPDX-License-Identifier: Apache-2.0
 *
 * The first failure ends the others, and its text arrives. */
#include <celadon/celadon.h>
#include <stdio.h>

static int copy(cel_ctx *ctx, void *unused)
{
        (void)unused;
        int r = cel_sleep_ms(ctx, 3600 * 1000); /* a long copy */
        printf("copy: %s\n", cel_error_name(r));
        return r;
}

static int check_disk(cel_ctx *ctx, void *disk)
{
        return cel_fail(ctx, CEL_EIO, "disk %s is full", (char *)disk);
}

static int backup(cel_ctx *ctx, void *unused)
{
        cel_scope *scope;

        (void)unused;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "copy", copy, NULL, NULL);
        if (r >= 0)
                r = cel_spawn(ctx, scope, "check", check_disk, "sda", NULL);
        if (r < 0)
                cel_scope_cancel(scope);
        int closed = cel_scope_close(ctx, scope);
        printf("close: %s, %s\n", cel_error_name(closed), cel_ctx_error_text(ctx, closed));
        return r;
}

int main(void)
{
        return cel_main(backup, NULL);
}
