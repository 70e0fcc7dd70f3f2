/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "rt/ctx.h"

#include <celadon/log.h>
#include <celadon/periodic.h>
#include <stdlib.h>

struct cel_periodic {
        cel_periodic_options options;
        cel_task *task;        /* owned; for cancelling; NULL when nobody keeps a reference */
        _Atomic unsigned refs; /* the task's and the caller's */
        pthread_mutex_t mutex;
        cel_periodic_stats stats; /* under it */
};

static void unref(cel_periodic *periodic)
{
        if (atomic_fetch_sub(&periodic->refs, 1) > 1)
                return;
        pthread_mutex_destroy(&periodic->mutex);
        free(periodic);
}

static int run_once(cel_ctx *ctx, cel_periodic *periodic)
{
        const cel_periodic_options *o = &periodic->options;
        CEL_WITHIN_MS(ctx, o->run_ms_max > 0 ? o->run_ms_max : INT64_MAX);

        pthread_mutex_lock(&periodic->mutex);
        periodic->stats.running = true;
        pthread_mutex_unlock(&periodic->mutex);

        int r = o->run(ctx, o->arg);

        pthread_mutex_lock(&periodic->mutex);
        periodic->stats.running = false;
        periodic->stats.runs++;
        periodic->stats.last_result = r;
        if (r < 0)
                periodic->stats.failed++;
        pthread_mutex_unlock(&periodic->mutex);
        return r;
}

/* When the next run is due after one that was due at `due`; those that were due since are missed, but for the
 * first, which is late. */
static cel_time next_due(cel_periodic *periodic, cel_time due, cel_time now)
{
        int64_t period_ns = periodic->options.period_ms * CEL_NS_PER_MS;
        int64_t passed = now.ns < due.ns ? 0 : (now.ns - due.ns) / period_ns; /* periods since then */

        if (passed > 1) {
                pthread_mutex_lock(&periodic->mutex);
                periodic->stats.missed += (uint64_t)(passed - 1);
                pthread_mutex_unlock(&periodic->mutex);
                due.ns += (passed - 1) * period_ns;
        }
        return cel_time_add_ms(due, periodic->options.period_ms);
}

/* Sleep until a point in time; when it has passed already, let the others have their turn at least. */
static int sleep_until(cel_ctx *ctx, cel_time until)
{
        int64_t ns = until.ns - cel_ctx_now(ctx).ns;

        return ns > 0 ? cel_sleep_ms(ctx, (ns + CEL_NS_PER_MS - 1) / CEL_NS_PER_MS) : cel_yield(ctx);
}

static int run_all(cel_ctx *ctx, cel_periodic *periodic)
{
        const cel_periodic_options *o = &periodic->options;
        cel_time due = cel_time_add_ms(cel_ctx_now(ctx), o->first_ms);

        for (;;) {
                int64_t jitter_ms = (int64_t)cel__random_below((uint64_t)o->jitter_ms + 1);
                int r = sleep_until(ctx, cel_time_add_ms(due, jitter_ms));

                if (r < 0)
                        return r;
                r = run_once(ctx, periodic);
                if (cel_ctx_canceled(ctx))
                        return CEL_ECANCELED;
                if (r == CEL_PERIODIC_DONE)
                        return 0;
                if (r < 0 && o->stop_when_failed)
                        return r;
                if (r < 0)
                        cel_warn(ctx, "PERIODIC-FAILED", "%s", cel_ctx_error_text(ctx, r));
                due = next_due(periodic, due, cel_ctx_now(ctx));
        }
}

static int periodic_main(cel_ctx *ctx, void *arg)
{
        int r = run_all(ctx, arg);

        unref(arg);
        return r;
}

int cel_periodic_start(cel_ctx *ctx, cel_scope *scope, const cel_periodic_options *options,
                       cel_periodic **ret_periodic)
{
        const char *name = options->name ? options->name : "periodic";

        if (!options->run || options->period_ms < 1 || options->period_ms > INT64_MAX / CEL_NS_PER_MS ||
            options->first_ms < 0 || options->run_ms_max < 0 || options->jitter_ms < 0 ||
            options->jitter_ms > options->period_ms)
                return cel_fail(
                        ctx, CEL_EINVAL,
                        "\"%s\" needs something to run, a period of 1 ms or more, and a jitter of at most "
                        "that",
                        name);
        cel_periodic *periodic = calloc(1, sizeof(*periodic));
        if (!periodic)
                return cel_fail(ctx, CEL_ENOMEM, "%s", cel_error_text(CEL_ENOMEM));
        periodic->options = *options;
        periodic->options.name = NULL; /* the task has it */
        atomic_init(&periodic->refs, ret_periodic ? 2 : 1);
        pthread_mutex_init(&periodic->mutex, NULL);
        int r = cel_spawn(ctx, scope, name, periodic_main, periodic, ret_periodic ? &periodic->task : NULL);
        if (r < 0) {
                atomic_store(&periodic->refs, 1);
                unref(periodic);
                return r;
        }
        if (ret_periodic)
                *ret_periodic = periodic;
        return 0;
}

void cel_periodic_cancel(cel_periodic *periodic)
{
        cel_task_cancel(periodic->task);
}

cel_periodic_stats cel_periodic_get_stats(cel_periodic *periodic)
{
        pthread_mutex_lock(&periodic->mutex);
        cel_periodic_stats stats = periodic->stats;
        pthread_mutex_unlock(&periodic->mutex);
        return stats;
}

cel_periodic *cel_periodic_unref(cel_periodic *periodic)
{
        if (periodic) {
                cel_task_unref(periodic->task);
                unref(periodic);
        }
        return NULL;
}
