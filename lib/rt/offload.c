/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A job is on the heap and belongs to two parties, the pool and whoever waits; the pool's mutex
 * decides who of them lets go last. A waiter that gives up marks the job abandoned; the thread that runs it
 * then frees it. */
#include "base/assert.h"
#include "rt/ctx.h"
#include "rt/probe.h"
#include "rt/runtime.h"
#include "rt/thread.h"

#include <celadon/log.h>
#include <celadon/offload.h>
#include <celadon/stats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 1024, QUEUE_MAX = 1000000, THREAD_NAME_BYTES = CEL_POOL_NAME_BYTES };

typedef struct job {
        cel__list node; /* in pool->queue */
        int (*fn)(void *arg);
        void *arg;
        void (*free_arg)(void *arg);
        cel__wait *wait; /* borrowed; valid unless abandoned */
        int result;
        bool running, done, abandoned;
} job;

struct cel_pool {
        cel_runtime *runtime; /* borrowed, until it is freed */
        cel__list node;       /* in runtime->pools */
        pthread_mutex_t mutex;
        pthread_cond_t work;  /* a job, or closing */
        pthread_cond_t ended; /* a thread has ended */
        char name[THREAD_NAME_BYTES];
        unsigned threads_max, queue_max;
        unsigned idle; /* threads that wait for work */
        bool closing;
        unsigned holders; /* threads alive, calls that wait, and the owner until it has freed the pool */
        cel__list queue;
        cel_pool_stats stats;
};

int cel_pool_new(cel_runtime *runtime, const char *name, unsigned threads_max, unsigned queue_max,
                 cel_pool **ret_pool)
{
        if (threads_max == 0 || threads_max > THREADS_MAX || queue_max > QUEUE_MAX)
                return CEL_EINVAL;
        cel_pool *pool = calloc(1, sizeof(*pool));
        if (!pool)
                return CEL_ENOMEM;
        pthread_mutex_init(&pool->mutex, NULL);
        pthread_cond_init(&pool->work, NULL);
        pthread_cond_init(&pool->ended, NULL);
        snprintf(pool->name, sizeof(pool->name), "%s", name);
        pool->threads_max = threads_max;
        pool->queue_max = queue_max;
        pool->holders = 1;
        cel__list_init(&pool->queue);
        pool->runtime = runtime;
        pthread_mutex_lock(&runtime->pools_mutex);
        cel__list_append(&runtime->pools, &pool->node);
        pthread_mutex_unlock(&runtime->pools_mutex);
        *ret_pool = pool;
        return 0;
}

/* Give up a hold, with the mutex held; it is released. The last one frees the pool. */
static void release_locked(cel_pool *pool)
{
        bool last = --pool->holders == 0;

        pthread_mutex_unlock(&pool->mutex);
        if (!last)
                return;
        pthread_cond_destroy(&pool->work);
        pthread_cond_destroy(&pool->ended);
        pthread_mutex_destroy(&pool->mutex);
        free(pool);
}

/* A job that nobody waits for. */
static void job_free(job *j)
{
        if (j->free_arg)
                j->free_arg(j->arg);
        free(j);
}

/* With the mutex held, which is released while the job runs. */
static void run_job_locked(cel_pool *pool, job *j)
{
        pool->stats.queued--;
        pool->stats.running++;
        j->running = true;
        pthread_mutex_unlock(&pool->mutex);

        CEL__PROBE2(offload_run, pool->name, j);
        int result = j->fn(j->arg);
        CEL__PROBE3(offload_end, pool->name, j, result);

        pthread_mutex_lock(&pool->mutex);
        if (j->abandoned) {
                pool->stats.stuck--;
                pthread_mutex_unlock(&pool->mutex);
                job_free(j);
                pthread_mutex_lock(&pool->mutex);
                pool->stats.running--;
                return;
        }
        pool->stats.running--;
        pool->stats.jobs_done++;
        j->result = result;
        j->done = true;
        cel__wait_finish(j->wait, 0);
}

static void *worker(void *arg)
{
        cel_pool *pool = arg;

        pthread_setname_np(pthread_self(), pool->name);
        pthread_mutex_lock(&pool->mutex);
        for (;;) {
                cel__list *node = cel__list_pop(&pool->queue);

                if (node) {
                        run_job_locked(pool, cel__container(node, job, node));
                } else if (pool->closing) {
                        break;
                } else {
                        pool->idle++;
                        pthread_cond_wait(&pool->work, &pool->mutex);
                        pool->idle--;
                }
        }
        pool->stats.threads--;
        pthread_cond_signal(&pool->ended);
        release_locked(pool);
        return NULL;
}

/* One more thread, if there is work that no idle thread will take. */
static void add_thread_locked(cel_pool *pool)
{
        if (pool->idle > pool->stats.queued || pool->stats.threads == pool->threads_max)
                return;
        if (cel__thread_start(worker, pool, NULL) < 0)
                return;
        pool->stats.threads++;
        pool->holders++;
}

/* Errors: CEL_EFULL, CEL_ESYSTEM. */
static int enqueue_locked(cel_pool *pool, job *j)
{
        if (pool->stats.running + pool->stats.queued >= pool->threads_max + pool->queue_max)
                return CEL_EFULL;
        add_thread_locked(pool);
        if (pool->stats.threads == 0)
                return CEL_ESYSTEM;
        /* Jobs that a thread is about to take are in the queue too; only those beyond the threads wait for one,
         * and there may be fewer threads than there should. */
        if (pool->stats.running + pool->stats.queued >= pool->stats.threads + pool->queue_max)
                return CEL_EFULL;
        cel__list_append(&pool->queue, &j->node);
        pool->stats.queued++;
        pthread_cond_signal(&pool->work);
        return 0;
}

/* The waiter leaves before the job has ended. With the mutex held; it is released. */
static void abandon_locked(cel_pool *pool, job *j, cel_ctx *ctx)
{
        pool->stats.jobs_abandoned++;
        if (j->running) {
                j->abandoned = true;
                pool->stats.stuck++;
                cel_warn(ctx, "POOL-STUCK", "pool %s: a job was abandoned and still holds its thread",
                         pool->name);
                release_locked(pool);
                return;
        }
        cel__list_remove(&j->node);
        pool->stats.queued--;
        release_locked(pool);
        job_free(j);
}

/* Wait for a job that is in the queue, with the mutex held; it is released, and a hold with it. */
static int await_job_locked(cel_ctx *ctx, cel_pool *pool, job *j, cel__wait *wait, int *ret_result)
{
        pthread_mutex_unlock(&pool->mutex);
        int r = cel__wait_block(wait);

        pthread_mutex_lock(&pool->mutex);
        if (!j->done) {
                abandon_locked(pool, j, ctx);
                return r;
        }
        release_locked(pool);
        if (ret_result)
                *ret_result = j->result;
        free(j);
        return 0;
}

int cel_offload(cel_ctx *ctx, cel_pool *pool, int (*fn)(void *arg), void *arg, void (*free_arg)(void *arg),
                int *ret_result)
{
        cel__wait wait;
        int r = cel__ctx_begin(ctx, "offload");
        job *j = r < 0 ? NULL : malloc(sizeof(*j));
        if (!j) {
                if (free_arg)
                        free_arg(arg);
                return r < 0 ? r : cel_fail(ctx, CEL_ENOMEM, "pool %s: out of memory", pool->name);
        }
        *j = (job){.fn = fn, .arg = arg, .free_arg = free_arg, .wait = &wait};
        cel__wait_begin(&wait, ctx, "offload");
        pthread_mutex_lock(&pool->mutex);
        r = enqueue_locked(pool, j);
        if (r >= 0) {
                CEL__PROBE3(offload, pool->name, j, cel_ctx_name(ctx));
                pool->holders++; /* the pool may be freed while this waits */
                return await_job_locked(ctx, pool, j, &wait, ret_result);
        }
        pthread_mutex_unlock(&pool->mutex);
        job_free(j);
        if (r == CEL_ESYSTEM)
                return cel_fail(ctx, r, "pool %s: no thread can be started", pool->name);
        return cel_fail(ctx, r, "pool %s: %u jobs wait already, and %u threads are all in use", pool->name,
                        pool->queue_max, pool->threads_max);
}

cel_pool *cel_pool_free(cel_pool *pool)
{
        if (!pool)
                return NULL;
        pthread_mutex_lock(&pool->runtime->pools_mutex);
        cel__list_remove(&pool->node);
        pthread_mutex_unlock(&pool->runtime->pools_mutex);
        pthread_mutex_lock(&pool->mutex);
        pool->closing = true;
        pthread_cond_broadcast(&pool->work);
        while (pool->stats.threads > pool->stats.stuck)
                pthread_cond_wait(&pool->ended, &pool->mutex);
        if (pool->stats.stuck > 0)
                cel_warn(NULL, "POOL-STUCK", "pool %s is left with %u stuck threads", pool->name,
                         pool->stats.stuck);
        release_locked(pool);
        return NULL;
}

cel_pool_stats cel_pool_get_stats(cel_pool *pool)
{
        pthread_mutex_lock(&pool->mutex);
        cel_pool_stats stats = pool->stats;
        pthread_mutex_unlock(&pool->mutex);
        return stats;
}

unsigned cel_runtime_get_pools(cel_runtime *runtime, cel_pool_info ret_pools[], unsigned n)
{
        unsigned pools_n = 0;

        pthread_mutex_lock(&runtime->pools_mutex);
        cel__list_for_each (node, &runtime->pools) {
                cel_pool *pool = cel__container(node, cel_pool, node);

                if (pools_n < n) {
                        memcpy(ret_pools[pools_n].name, pool->name, sizeof(pool->name));
                        ret_pools[pools_n].stats = cel_pool_get_stats(pool);
                }
                pools_n++;
        }
        pthread_mutex_unlock(&runtime->pools_mutex);
        return pools_n;
}
