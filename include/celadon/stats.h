/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters: what the runtime has done and is doing. They cost next to nothing to keep and nothing to read: no
 * lock is taken, so numbers that belong together may be a moment apart. Those that only grow do so from the
 * making of the runtime to its end. */
#ifndef CELADON_STATS_H
#define CELADON_STATS_H

#include <celadon/offload.h>
#include <celadon/runtime.h>

enum {
        CEL_LAG_BUCKETS = 24,
        CEL_POOL_NAME_BYTES = 16,
};

typedef struct cel_loop_stats {
        unsigned tasks;       /* alive now */
        unsigned timers;      /* set, at the end of the last turn */
        unsigned descriptors; /* watched now */
        uint64_t spawned;     /* tasks that began here */
        uint64_t switches;    /* to a task */
        uint64_t turns;
        uint64_t wakeups;       /* turns for which the thread had waited */
        uint64_t wakeups_empty; /* of these, those that found nothing to do */
        uint64_t letters;       /* sent by other threads: wake-ups of tasks, cancellations, posts, … */
        uint64_t posts;         /* of these, those of cel_post() */
        uint64_t holds;         /* times that the watchdog found the loop held */

        /* Turns that did something, by how long each kept timers, mail and descriptors waiting: lag[0] under 1 us, lag[i] from
         * 2^(i-1) to under 2^i us, the last all longer ones. */
        uint64_t lag[CEL_LAG_BUCKETS];
} cel_loop_stats;

typedef struct cel_pool_info {
        char name[CEL_POOL_NAME_BYTES];
        cel_pool_stats stats;
} cel_pool_info;

CEL_BEGIN

/* The counters of loop number `loop`, 0 to cel_runtime_loops() - 1. Callable from any thread; never waits.
 * Errors: CEL_EINVAL (no such loop). */
CEL_API int cel_loop_get_stats(const cel_runtime *runtime, unsigned loop, cel_loop_stats *ret_stats);

/* The sum over all loops. Callable from any thread; never waits. */
CEL_API cel_loop_stats cel_runtime_get_stats(const cel_runtime *runtime);

/* The offload pools that have not been freed, in the order they were made: at most `n` of them into
 * `ret_pools`, which may be NULL when n is 0. Returns how many there are. Callable from any thread. */
CEL_API unsigned cel_runtime_get_pools(cel_runtime *runtime, cel_pool_info ret_pools[], unsigned n);

CEL_END

#endif
