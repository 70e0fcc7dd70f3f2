/* SPDX-License-Identifier: Apache-2.0
 *
 * Gather the results of several tasks. */
#include <celadon/celadon.h>
#include <stdio.h>

enum { PARTS = 4 };

typedef struct part {
        int from, to;
        int total; /* the task's result */
} part;

static int add_up(cel_ctx *ctx, void *arg)
{
        part *p = arg;

        for (int i = p->from; i <= p->to; i++)
                p->total += i;
        return cel_yield(ctx);
}

static int add_to_100(cel_ctx *ctx, void *unused)
{
        part parts[PARTS] = {{1, 25, 0}, {26, 50, 0}, {51, 75, 0}, {76, 100, 0}};
        cel_scope *scope;
        int total = 0;

        (void)unused;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        for (int i = 0; i < PARTS && r >= 0; i++)
                r = cel_spawn(ctx, scope, "part", add_up, &parts[i], NULL);
        int closed = cel_scope_close(ctx, scope);
        if (r < 0 || closed < 0)
                return r < 0 ? r : closed;
        for (int i = 0; i < PARTS; i++)
                total += parts[i].total;
        printf("the sum is %d\n", total);
        return 0;
}

int main(void)
{
        return cel_main(add_to_100, NULL);
}
