/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/runtime.h"
#include "base/assert.h"
#include "rt/fork.h"
#include "rt/guardian.h"
#include "rt/task.h"
#include "rt/watchdog.h"

#include <celadon/offload.h>
#include <stdlib.h>

enum {
        TASKS_MAX_DEFAULT = 1000000,
        WEDGE_MS_MAX_DEFAULT = 120000,
        WATCHDOG_MS_DEFAULT = 50,
        WATCHDOG_MS_MAX = 24 * 3600 * 1000,
#if defined(CEL__ASAN) || defined(CEL__TSAN)
        STACK_BYTES_DEFAULT = 256 * 1024,
#else
        STACK_BYTES_DEFAULT = 64 * 1024,
#endif
        STACK_BYTES_MIN = 16 * 1024,
        STACK_BYTES_MAX = 256 * 1024 * 1024,
        LOOPS_MAX = 64,
};

cel__list cel__runtimes = {&cel__runtimes, &cel__runtimes};
static pthread_mutex_t runtimes_mutex = PTHREAD_MUTEX_INITIALIZER;

static int make_loops(cel_runtime *runtime, unsigned n, size_t stack_bytes)
{
        runtime->loops = calloc(n, sizeof(*runtime->loops));
        if (!runtime->loops)
                return CEL_ENOMEM;
        for (unsigned i = 0; i < n; i++) {
                int r = cel__loop_init(&runtime->loops[i], runtime, i, stack_bytes);

                if (r < 0)
                        return r;
                runtime->loops_n++;
        }
        return 0;
}

/* Options with their defaults filled in, or CEL_EINVAL. */
static int check_options(const cel_runtime_options *options, cel_runtime_options *ret_checked)
{
        cel_runtime_options o = options ? *options : (cel_runtime_options){0};

        o.clock = o.clock ? o.clock : cel_clock_system();
        o.stack_bytes = o.stack_bytes ? o.stack_bytes : STACK_BYTES_DEFAULT;
        o.tasks_max = o.tasks_max ? o.tasks_max : TASKS_MAX_DEFAULT;
        o.loops = o.loops ? o.loops : 1;
        o.wedge_ms_max = o.wedge_ms_max ? o.wedge_ms_max : WEDGE_MS_MAX_DEFAULT;
        o.watchdog_ms = o.watchdog_ms ? o.watchdog_ms : WATCHDOG_MS_DEFAULT;
        if (o.stack_bytes < STACK_BYTES_MIN || o.stack_bytes > STACK_BYTES_MAX || o.wedge_ms_max < 0 ||
            o.loops > LOOPS_MAX || o.tasks_max >= CEL__TASKS_CLOSED || o.watchdog_ms < CEL_WATCHDOG_OFF ||
            o.watchdog_ms > WATCHDOG_MS_MAX)
                return CEL_EINVAL;
        *ret_checked = o;
        return 0;
}

int cel_runtime_new(const cel_runtime_options *options, cel_runtime **ret_runtime)
{
        cel_runtime_options o;
        int r = cel__forked ? CEL_EFORKED : check_options(options, &o);

        if (r < 0)
                return r;
        cel_runtime *runtime = calloc(1, sizeof(*runtime));
        if (!runtime)
                return CEL_ENOMEM;
        cel__abort_prepare();
        cel__fork_count_runtime(1);
        pthread_mutex_lock(&runtimes_mutex);
        cel__list_append(&cel__runtimes, &runtime->node);
        pthread_mutex_unlock(&runtimes_mutex);
        pthread_mutex_init(&runtime->closed_mutex, NULL);
        runtime->clock = o.clock;
        runtime->tasks_max = o.tasks_max;
        runtime->wedge_ms_max = o.wedge_ms_max;
        pthread_mutex_init(&runtime->pools_mutex, NULL);
        cel__list_init(&runtime->pools);
        r = make_loops(runtime, o.loops, o.stack_bytes);
        if (r >= 0)
                r = cel__guardian_new(runtime, &runtime->guardian);
        if (r >= 0 && o.watchdog_ms != CEL_WATCHDOG_OFF)
                r = cel__watchdog_new(runtime, o.watchdog_ms, &runtime->watchdog);
        if (r >= 0)
                r = cel__scope_new(runtime, &runtime->loops[0], CEL_SCOPE_COLLECT_ALL, &runtime->system);
        if (r >= 0)
                r = cel_future_new(&runtime->stop);
        if (r < 0) {
                cel_runtime_free(runtime);
                return r;
        }
        *ret_runtime = runtime;
        return 0;
}

/* A letter to one loop may send one to another. */
static void drain_loops(cel_runtime *runtime)
{
        bool any;

        do {
                any = false;
                for (unsigned i = 0; i < runtime->loops_n; i++)
                        any |= cel__loop_drain(&runtime->loops[i]);
        } while (any);
}

cel_runtime *cel_runtime_free(cel_runtime *runtime)
{
        if (!runtime || cel__forked) /* in a fork's child it is the parent's */
                return NULL;
        unsigned tasks = atomic_load(&runtime->tasks) & ~CEL__TASKS_CLOSED;
        if (tasks > 0)
                cel__misuse("a runtime was freed while %u tasks were alive", tasks);
        drain_loops(runtime);
        if (runtime->system)
                cel__scope_free(runtime->system);
        for (unsigned i = 0; i < CEL__SCOPES_KEPT; i++)
                cel__scope_free(runtime->closed_scopes[i]);
        pthread_mutex_destroy(&runtime->closed_mutex);
        for (int i = 0; i < CEL__SLOTS; i++) {
                cel__attachment *attached = atomic_load(&runtime->attached[i]);

                if (attached)
                        attached->free(attached);
        }
        pthread_mutex_destroy(&runtime->pools_mutex);
        cel__watchdog_free(runtime->watchdog);
        cel__guardian_free(runtime->guardian);
        for (unsigned i = 0; i < runtime->loops_n; i++)
                cel__loop_fini(&runtime->loops[i]);
        cel_future_unref(runtime->stop);
        pthread_mutex_lock(&runtimes_mutex);
        cel__list_remove(&runtime->node);
        pthread_mutex_unlock(&runtimes_mutex);
        cel__fork_count_runtime(-1);
        free(runtime->loops);
        free(runtime);
        return NULL;
}

cel_clock *cel__runtime_clock(const cel_runtime *runtime)
{
        return runtime->clock;
}

unsigned cel_runtime_loops(const cel_runtime *runtime)
{
        return runtime->loops_n;
}

cel__loop *cel__runtime_loop(cel_runtime *runtime)
{
        return &runtime->loops[0];
}

cel__loop *cel__runtime_loop_at(cel_runtime *runtime, int i)
{
        cel__loop *least = &runtime->loops[0];

        if (i >= 0)
                return (unsigned)i < runtime->loops_n ? &runtime->loops[i] : NULL;
        if (i != CEL_LOOP_LEAST_BUSY)
                return NULL;
        for (unsigned n = 1; n < runtime->loops_n; n++)
                if (atomic_load_explicit(&runtime->loops[n].tasks, memory_order_relaxed) <
                    atomic_load_explicit(&least->tasks, memory_order_relaxed))
                        least = &runtime->loops[n];
        return least;
}

cel_scope *cel__runtime_system_scope(cel_runtime *runtime)
{
        return runtime->system;
}

cel__guardian *cel__runtime_guardian(cel_runtime *runtime)
{
        return runtime->guardian;
}

int64_t cel__runtime_wedge_ms_max(const cel_runtime *runtime)
{
        return runtime->wedge_ms_max;
}

int cel__runtime_task_enter(cel_runtime *runtime, cel__loop *loop)
{
        unsigned tasks = atomic_load_explicit(&runtime->tasks, memory_order_relaxed);

        do { /* never more than there may be, not even for a moment: the end waits for zero */
                if (tasks & CEL__TASKS_CLOSED)
                        return CEL_ECLOSED;
                if (tasks >= runtime->tasks_max)
                        return CEL_EFULL;
        } while (!atomic_compare_exchange_weak(&runtime->tasks, &tasks, tasks + 1));
        atomic_fetch_add_explicit(&loop->tasks, 1, memory_order_relaxed);
        return 0;
}

void cel__runtime_task_leave(cel_runtime *runtime, cel__loop *loop)
{
        atomic_fetch_sub_explicit(&loop->tasks, 1, memory_order_relaxed);
        /* The first loop frees nothing before this loop's thread has ended. */
        if (atomic_fetch_sub(&runtime->tasks, 1) == 1 && !cel__loop_is_here(&runtime->loops[0]))
                cel__loop_wake(&runtime->loops[0]);
}

cel__attachment *cel__runtime_attached(cel_runtime *runtime, cel__slot slot)
{
        return atomic_load(&runtime->attached[slot]);
}

cel__attachment *cel__runtime_attach(cel_runtime *runtime, cel__slot slot, cel__attachment *made)
{
        cel__attachment *there = NULL;

        return atomic_compare_exchange_strong(&runtime->attached[slot], &there, made) ? made : there;
}
