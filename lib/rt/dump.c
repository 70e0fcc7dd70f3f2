/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/roll.h"
#include "rt/runtime.h"
#include "rt/symbols.h"
#include "rt/watchdog.h"

#include <celadon/dump.h>
#include <celadon/stats.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MS_MAX = 500, POOLS_MAX = 64 };

/* "12.345 s" */
static void put_time(FILE *file, int64_t ns)
{
        long long ms = ns < 0 ? 0 : (long long)(ns / CEL_NS_PER_MS);

        fprintf(file, "%lld.%03lld s", ms / 1000, ms % 1000);
}

static void put_frames(FILE *file, cel__symbols *symbols, void *const frames[], unsigned n,
                       bool first_returns)
{
        char name[CEL__SYMBOL_BYTES];

        for (unsigned i = 0; i < n; i++) {
                cel__symbols_name(symbols, frames[i], i > 0 || first_returns, name, sizeof(name));
                fprintf(file, "    %s\n", name);
        }
}

static const char *state_word(cel__task_state state)
{
        switch (state) {
        case CEL__TASK_READY:
                return "ready";
        case CEL__TASK_RUNNING:
                return "running";
        case CEL__TASK_PARKED:
                return "waiting";
        case CEL__TASK_ENDED:
                return "ended";
        }
        return "?";
}

static void put_task(FILE *file, cel__symbols *symbols, const cel__roll_task *task)
{
        fprintf(file, "  task \"%s\"%s%s: %s", task->name, *task->request_id ? " of request " : "",
                task->request_id, state_word(task->state));
        if (task->where) {
                fprintf(file, " for \"%s\", ", task->where);
                put_time(file, task->waited_ns);
        }
        fprintf(file, "; stack: %zu bytes used, %zu touched, of %zu\n", task->depth_bytes,
                task->touched_bytes, task->stack_bytes);
        put_frames(file, symbols, task->frames, task->frames_n, true);
}

static int by_number(const void *a, const void *b)
{
        const cel__roll_kind *x = a, *y = b;

        return (x->n < y->n) - (x->n > y->n);
}

static void put_others(FILE *file, cel__roll_call *call)
{
        if (call->others_n == 0)
                return;
        fprintf(file, "  and %llu more:\n", (unsigned long long)call->others_n);
        qsort(call->kinds, CEL__ROLL_KINDS_MAX, sizeof(call->kinds[0]), by_number);
        for (unsigned i = 0; i < CEL__ROLL_KINDS_MAX && call->kinds[i].n > 0; i++) {
                const cel__roll_kind *kind = &call->kinds[i];

                fprintf(file, "    %llu \"%s\"", (unsigned long long)kind->n, kind->name);
                if (kind->where)
                        fprintf(file, " waiting for \"%s\"\n", kind->where);
                else
                        fprintf(file, " ready\n");
        }
        if (call->rest_n > 0)
                fprintf(file, "    %llu of other names\n", (unsigned long long)call->rest_n);
}

static void put_head(FILE *file, cel_runtime *runtime, unsigned loop)
{
        cel_loop_stats s;

        if (cel_loop_get_stats(runtime, loop, &s) < 0)
                return;
        fprintf(file,
                "loop %u: %u tasks, %u timers, %u descriptors; so far %llu tasks begun, %llu switches, %llu "
                "turns, "
                "%llu wake-ups, %llu of them for nothing, %llu letters, held %llu times\n",
                loop, s.tasks, s.timers, s.descriptors, (unsigned long long)s.spawned,
                (unsigned long long)s.switches, (unsigned long long)s.turns, (unsigned long long)s.wakeups,
                (unsigned long long)s.wakeups_empty, (unsigned long long)s.letters,
                (unsigned long long)s.holds);
}

/* A loop that did not answer. */
static void put_wedged(FILE *file, cel__symbols *symbols, cel_runtime *runtime, unsigned loop)
{
        cel__hold hold;

        fprintf(file, "  does not answer");
        if (!cel__watchdog_holds(runtime->watchdog, loop, &hold)) {
                fprintf(file, "\n");
                return;
        }
        if (*hold.sight.task)
                fprintf(file, ": task \"%s\" has held it for ", hold.sight.task);
        else
                fprintf(file, ": it has been held for ");
        put_time(file, cel_clock_now(cel__runtime_clock(runtime)).ns - hold.since.ns);
        fprintf(file, "; when found, its stack was\n");
        put_frames(file, symbols, hold.sight.frames, hold.sight.frames_n, false);
}

static void put_pools(FILE *file, cel_runtime *runtime)
{
        cel_pool_info pools[POOLS_MAX];
        unsigned n = cel_runtime_get_pools(runtime, pools, POOLS_MAX);

        for (unsigned i = 0; i < n && i < POOLS_MAX; i++) {
                const cel_pool_stats *s = &pools[i].stats;

                fprintf(file,
                        "pool \"%s\": %u threads, %u jobs running, %u queued, %u stuck; so far %llu done, "
                        "%llu abandoned\n",
                        pools[i].name, s->threads, s->running, s->queued, s->stuck,
                        (unsigned long long)s->jobs_done, (unsigned long long)s->jobs_abandoned);
        }
        if (n > POOLS_MAX)
                fprintf(file, "and %u pools more\n", n - POOLS_MAX);
}

/* With calls[i] NULL where the loop did not answer. */
static int put_all(FILE *file, cel_runtime *runtime, cel__roll_call *const calls[])
{
        cel__symbols *symbols = cel__symbols_new();

        for (unsigned i = 0; i < runtime->loops_n; i++) {
                put_head(file, runtime, i);
                if (!calls[i]) {
                        put_wedged(file, symbols, runtime, i);
                        continue;
                }
                for (unsigned t = 0; t < calls[i]->tasks_n; t++)
                        put_task(file, symbols, &calls[i]->tasks[t]);
                put_others(file, calls[i]);
        }
        put_pools(file, runtime);
        cel__symbols_free(symbols);
        return fflush(file) == 0 && !ferror(file) ? 0 : CEL_EIO;
}

/* Ask all loops at once, then wait for each. */
static int call_all(cel_ctx *ctx, cel_runtime *runtime, cel__roll_call *calls[])
{
        cel_time until = cel_time_add_ms(cel_ctx_now(ctx), ANSWER_MS_MAX);

        for (unsigned i = 0; i < runtime->loops_n; i++) {
                int r = cel__roll_call_begin(&runtime->loops[i], &calls[i]);

                if (r < 0)
                        return cel_fail(ctx, r, "no memory for a dump");
        }
        for (unsigned i = 0; i < runtime->loops_n; i++) {
                int r = cel__roll_call_await(ctx, calls[i], until);

                if (r < 0)
                        return r;
                if (r == 0)
                        calls[i] = cel__roll_call_let_go(calls[i]);
        }
        return 0;
}

int cel_dump(cel_ctx *ctx, FILE *file)
{
        cel_runtime *runtime = cel_ctx_runtime(ctx);
        int r = cel__ctx_begin(ctx, "dump");

        if (r < 0)
                return r;
        cel__roll_call **calls = calloc(runtime->loops_n, sizeof(cel__roll_call *));
        if (!calls)
                return cel_fail(ctx, CEL_ENOMEM, "no memory for a dump");
        r = call_all(ctx, runtime, calls);
        if (r >= 0) {
                r = put_all(file, runtime, calls);
                if (r < 0)
                        cel_fail(ctx, r, "the dump cannot be written");
        }
        for (unsigned i = 0; i < runtime->loops_n; i++)
                cel__roll_call_let_go(calls[i]);
        free(calls);
        return r;
}
