/* SPDX-License-Identifier: Apache-2.0
 *
 * The one documented way to call blocking foreign code from a task: a named, bounded pool of threads. Give
 * each kind of work its own pool (files, databases, names), so that one cannot starve another. */
#ifndef CELADON_OFFLOAD_H
#define CELADON_OFFLOAD_H

#include <celadon/ctx.h>

typedef struct cel_pool cel_pool;

/* What a pool has seen and is doing. */
typedef struct cel_pool_stats {
        unsigned threads;        /* alive now */
        unsigned running;        /* jobs that run now, stuck ones included */
        unsigned queued;         /* jobs that wait for a thread */
        unsigned stuck;          /* abandoned jobs that still run */
        uint64_t jobs_done;      /* ended and waited for */
        uint64_t jobs_abandoned; /* whoever waited gave up */
} cel_pool_stats;

CEL_BEGIN

/* A pool of at most `threads_max` threads (1 to 1024), started as they are needed, with at most `queue_max`
 * jobs waiting for one (0 to 1,000,000). `name` is copied and names the threads.
 * Owns:   *ret_pool is yours; cel_pool_free() it before the runtime.
 * Errors: CEL_ENOMEM, CEL_EINVAL. */
CEL_API int cel_pool_new(cel_runtime *runtime, const char *name, unsigned threads_max, unsigned queue_max,
                         cel_pool **ret_pool);

/* Free the pool, once its jobs have ended; whoever waits for one may still read its result. A job that was
 * abandoned and never ends would hold this up, so its thread is left behind and reported. Blocks the calling
 * thread while jobs run: on a loop's thread, call it when none does. */
CEL_API cel_pool *cel_pool_free(cel_pool *pool);

/* Run `fn(arg)` on a thread of `pool`. Returns 0 when it has ended, with its result in *ret_result unless that is
 * NULL.
 * Owns:   on success `arg` is yours again. On every error it is not: free_arg(arg), unless NULL, is called once,
 *         when nobody uses it any more: here, if fn did not and will not run, or else on the pool's thread when
 *         the abandoned job has ended. So what it frees lives on the heap.
 * Waits:  until the job has ended, the deadline or cancellation.
 * Errors: CEL_EFULL (the queue is full), CEL_ENOMEM, CEL_ESYSTEM (no thread to be had), CEL_EFORKED: fn does not
 *         run; CEL_ETIMEDOUT, CEL_ECANCELED: the job is abandoned, it may run or not. */
CEL_API int cel_offload(cel_ctx *ctx, cel_pool *pool, int (*fn)(void *arg), void *arg,
                        void (*free_arg)(void *arg), int *ret_result);

CEL_API cel_pool_stats cel_pool_get_stats(cel_pool *pool);

CEL_END

CEL_AUTO_WITH(cel_pool, cel_pool_free)

#endif
