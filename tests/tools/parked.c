/* SPDX-License-Identifier: Apache-2.0
 *
 * A program with two tasks that wait, for gdb to look at: it stops at both_wait(). */
#include <celadon/celadon.h>

static int read_one(cel_ctx *ctx, void *arg)
{
        int item = 0;
        int r = cel_channel_receive(ctx, arg, &item);

        return r < 0 ? r : item;
}

static int read_on_request(cel_ctx *ctx, void *arg)
{
        cel_ctx_set_request_id(ctx, "req-1");
        int r = read_one(ctx, arg);
        return r == CEL_ECLOSED ? 0 : r;
}

static int doze(cel_ctx *ctx, void *arg)
{
        int *done = arg;
        int r = cel_sleep_ms(ctx, 1000000);

        *done = 1;
        return r;
}

void both_wait(void);
__attribute__((noinline)) void both_wait(void)
{
        __asm__ volatile("" ::: "memory");
}

static int wait_for_both(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_channel) *channel = NULL;
        cel_scope *scope;
        int done = 0;

        (void)arg;
        int r = cel_channel_new(sizeof(int), 1, &channel);
        if (r >= 0)
                r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "reader", read_on_request, channel, NULL);
        if (r >= 0)
                r = cel_spawn(ctx, scope, "sleeper", doze, &done, NULL);
        if (r >= 0)
                r = cel_yield(ctx); /* both run until they wait */
        both_wait();
        cel_channel_close(channel);
        cel_scope_cancel(scope);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed < 0 ? closed : done;
}

int main(void)
{
        return cel_main(wait_for_both, NULL) == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
