/* SPDX-License-Identifier: Apache-2.0
 *
 * An executor takes so many jobs and no more; then its source has to wait. */
#include <celadon/celadon.h>
#include <stdio.h>

static int work(cel_ctx *ctx, void *arg)
{
        cel_event *go = arg;

        return cel_event_wait(ctx, go);
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_executor_options options = {
                .name = "work", .kind = CEL_EXECUTOR_GREEN, .concurrency = 2, .waiting_max = 1};
        cel_auto(cel_event) *go = NULL;
        cel_executor *executor;

        (void)unused;
        int r = cel_event_new(&go);
        if (r >= 0)
                r = cel_executor_open(ctx, &options, &executor);
        if (r < 0)
                return r;
        const cel_job job = {.run = work, .arg = go};
        for (int i = 1; i <= 4; i++)
                printf("job %d: %s\n", i, cel_error_text(cel_executor_try_submit(executor, &job)));
        cel_event_set(go);
        r = cel_executor_submit(ctx, executor, &job); /* waits for room, which comes now */
        if (r >= 0)
                r = cel_executor_drain(ctx, executor); /* waits for what was accepted */
        printf("%llu jobs done\n", (unsigned long long)cel_executor_get_stats(executor).done);
        cel_executor_close(ctx, executor);
        return r;
}

int main(void)
{
        return cel_main(run, NULL);
}
