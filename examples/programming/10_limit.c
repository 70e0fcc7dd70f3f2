/* SPDX-License-Identifier: Apache-2.0
 *
 * Ten tasks, three at a time. */
#include <celadon/celadon.h>
#include <stdio.h>

typedef struct limited {
        cel_semaphore *slots; /* borrowed */
        int now, most;        /* of tasks; all on one loop, so no lock is needed */
} limited;

static int fetch(cel_ctx *ctx, void *arg)
{
        limited *l = arg;

        int r = cel_semaphore_acquire(ctx, l->slots);
        if (r < 0)
                return r;
        if (++l->now > l->most)
                l->most = l->now;
        r = cel_sleep_ms(ctx, 1);
        l->now--;
        cel_semaphore_release(l->slots);
        return r;
}

static int fetch_all(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_semaphore) *slots = NULL;
        cel_scope *scope;

        (void)unused;
        int r = cel_semaphore_new(3, 3, &slots);
        if (r >= 0)
                r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        limited l = {.slots = slots};
        for (int i = 0; i < 10 && r >= 0; i++)
                r = cel_spawn(ctx, scope, "fetch", fetch, &l, NULL);
        int closed = cel_scope_close(ctx, scope);
        printf("at most %d at once\n", l.most);
        return r < 0 ? r : closed;
}

int main(void)
{
        return cel_main(fetch_all, NULL);
}
