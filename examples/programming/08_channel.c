/* SPDX-License-Identifier: Apache-2.0
 *
 * A producer, two consumers, and no more than two jobs in between. */
#include <celadon/celadon.h>
#include <stdio.h>

static int produce(cel_ctx *ctx, void *jobs)
{
        int r = 0;

        for (int job = 1; job <= 100 && r >= 0; job++)
                r = cel_channel_send(ctx, jobs, &job); /* waits while two are inside */
        cel_channel_close(jobs);
        return r;
}

typedef struct consumer {
        cel_channel *jobs; /* borrowed */
        int sum;
} consumer;

static int consume(cel_ctx *ctx, void *arg)
{
        consumer *c = arg;
        int job, r;

        while ((r = cel_channel_receive(ctx, c->jobs, &job)) >= 0)
                c->sum += job;
        return r == CEL_ECLOSED ? 0 : r; /* closed and empty: this is the good end */
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_auto(cel_channel) *jobs = NULL;
        cel_scope *scope;

        (void)unused;
        int r = cel_channel_new(sizeof(int), 2, &jobs);
        if (r >= 0)
                r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        consumer a = {.jobs = jobs}, b = {.jobs = jobs};
        r = cel_spawn(ctx, scope, "producer", produce, jobs, NULL);
        if (r >= 0)
                r = cel_spawn(ctx, scope, "a", consume, &a, NULL);
        if (r >= 0)
                r = cel_spawn(ctx, scope, "b", consume, &b, NULL);
        if (r < 0)
                cel_scope_cancel(scope);
        int closed = cel_scope_close(ctx, scope);
        printf("a and b together: %d\n", a.sum + b.sum);
        return r < 0 ? r : closed;
}

int main(void)
{
        return cel_main(run, NULL);
}
