/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/runtime.h"

#include <celadon/stats.h>

static void add(cel_loop_stats *sum, const cel__loop *loop)
{
        const cel__counters *c = &loop->counters;

        sum->tasks += atomic_load_explicit(&loop->tasks, memory_order_relaxed);
        sum->timers += (unsigned)cel__counter_get(&c->timers);
        sum->descriptors += (unsigned)cel__counter_get(&c->descriptors);
        sum->spawned += cel__counter_get(&c->spawned);
        sum->switches += cel__counter_get(&c->switches);
        sum->turns += cel__counter_get(&c->turns);
        sum->wakeups += cel__counter_get(&c->wakeups);
        sum->wakeups_empty += cel__counter_get(&c->wakeups_empty);
        sum->letters += cel__counter_get(&c->letters);
        sum->posts += cel__counter_get(&c->posts);
        sum->holds += cel__counter_get(&c->holds);
        for (unsigned i = 0; i < CEL_LAG_BUCKETS; i++)
                sum->lag[i] += cel__counter_get(&c->lag[i]);
}

int cel_loop_get_stats(const cel_runtime *runtime, unsigned loop, cel_loop_stats *ret_stats)
{
        if (loop >= runtime->loops_n)
                return CEL_EINVAL;
        *ret_stats = (cel_loop_stats){0};
        add(ret_stats, &runtime->loops[loop]);
        return 0;
}

cel_loop_stats cel_runtime_get_stats(const cel_runtime *runtime)
{
        cel_loop_stats sum = {0};

        for (unsigned i = 0; i < runtime->loops_n; i++)
                add(&sum, &runtime->loops[i]);
        return sum;
}
