/* SPDX-License-Identifier: Apache-2.0
 *
 * What a loop counts. Each counter has one writer, the loop's thread (`holds`: the guardian), so counting is
 * a plain load, add and store; others read whenever they like. */
#ifndef CEL_RT_COUNTERS_H
#define CEL_RT_COUNTERS_H

#include <celadon/stats.h>
#include <stdatomic.h>

typedef _Atomic uint64_t cel__counter;

/* As in cel_loop_stats. */
typedef struct cel__counters {
        cel__counter spawned, switches, turns, wakeups, wakeups_empty, letters, posts, holds;
        cel__counter timers, descriptors;
        cel__counter lag[CEL_LAG_BUCKETS];
} cel__counters;

static inline uint64_t cel__counter_get(const cel__counter *counter)
{
        return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void cel__counter_set(cel__counter *counter, uint64_t value)
{
        atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline void cel__count(cel__counter *counter)
{
        cel__counter_set(counter, cel__counter_get(counter) + 1);
}

static inline void cel__uncount(cel__counter *counter)
{
        cel__counter_set(counter, cel__counter_get(counter) - 1);
}

/* A turn kept everybody waiting for `ns`. */
static inline void cel__count_lag(cel__counters *counters, int64_t ns)
{
        uint64_t us = ns < 0 ? 0 : (uint64_t)ns / 1000;
        unsigned bucket = us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);

        cel__count(&counters->lag[bucket < CEL_LAG_BUCKETS ? bucket : CEL_LAG_BUCKETS - 1]);
}

#endif
