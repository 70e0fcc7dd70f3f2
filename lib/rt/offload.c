/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A job is on the heap and belongs to two parties, the pool and whoever waits; the pool's mutex
 * decides who of them lets go last. A waiter that gives up marks the job abandoned; the thread that runs it
 * then frees it. */
#include "base/assert.h"
#include "rt/ctx.h"
#include "rt/fork.h"
#include "rt/runtime.h"

#include <celadon/log.h>
#include <celadon/offload.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS_MAX = 1024, QUEUE_MAX = 1000000, THREAD_NAME_BYTES = 16 };

typedef struct job {
        cel__list node; /* in pool->queue */
        int (*fn)(void *arg);
        void *arg;
        void (*on_abandoned)(void *arg);
        cel__wait *wait; /* borrowed; valid unless abandoned */
        int result;
        bool running, done, abandoned;
} job;

struct cel_pool {
        pthread_mutex_t mutex;
        pthread_cond_t work;  /* a job, or closing */
        pthread_cond_t ended; /* a thread has ended */
        char name[THREAD_NAME_BYTES];
        unsigned threads_max, queue_max;
        unsigned idle; /* threads that wait for work */
        bool closing;
        unsigned holders; /* threads alive, and the owner until it has freed the pool */
        cel__list queue;
        cel_pool_stats stats;
};

int cel_pool_new(cel_runtime *runtime, const char *name, unsigned threads_max, unsigned queue_max,
                 cel_pool **ret_pool)
{
        (void)runtime;
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

/* With the mutex held, which is released while the job runs. */
static void run_job_locked(cel_pool *pool, job *j)
{
        pool->stats.queued--;
        pool->stats.running++;
        j->running = true;
        pthread_mutex_unlock(&pool->mutex);

        int result = j->fn(j->arg);

        pthread_mutex_lock(&pool->mutex);
        if (j->abandoned) {
                pool->stats.stuck--;
                pthread_mutex_unlock(&pool->mutex);
                if (j->on_abandoned)
                        j->on_abandoned(j->arg);
                free(j);
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

/* One more thread, if there is work that no idle thread will take.
 * Errors: CEL_ENOMEM when there is no thread at all. */
static int ensure_thread_locked(cel_pool *pool)
{
        pthread_attr_t attr;
        pthread_t thread;

        if (pool->idle > pool->stats.queued || pool->stats.threads == pool->threads_max)
                return 0;
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        int r = pthread_create(&thread, &attr, worker, pool);
        pthread_attr_destroy(&attr);
        if (r != 0)
                return pool->stats.threads > 0 ? 0 : CEL_ENOMEM;
        pool->stats.threads++;
        pool->holders++;
        return 0;
}

static int enqueue(cel_pool *pool, job *j)
{
        int r;

        pthread_mutex_lock(&pool->mutex);
        /* Jobs that a thread is about to take are in the queue too; only those beyond the threads wait for
         * one. */
        if (pool->stats.running + pool->stats.queued >= pool->threads_max + pool->queue_max)
                r = CEL_EFULL;
        else
                r = ensure_thread_locked(pool);
        if (r >= 0) {
                cel__list_append(&pool->queue, &j->node);
                pool->stats.queued++;
                pthread_cond_signal(&pool->work);
        }
        pthread_mutex_unlock(&pool->mutex);
        return r;
}

/* The waiter leaves before the job has ended. */
static void abandon_locked(cel_pool *pool, job *j, cel_ctx *ctx)
{
        pool->stats.jobs_abandoned++;
        if (j->running) {
                j->abandoned = true;
                pool->stats.stuck++;
                pthread_mutex_unlock(&pool->mutex);
                cel_warn(ctx, "POOL-STUCK", "pool %s: a job was abandoned and still holds its thread",
                         pool->name);
                return;
        }
        cel__list_remove(&j->node);
        pool->stats.queued--;
        pthread_mutex_unlock(&pool->mutex);
        if (j->on_abandoned)
                j->on_abandoned(j->arg);
        free(j);
}

int cel_offload(cel_ctx *ctx, cel_pool *pool, int (*fn)(void *arg), void *arg,
                void (*on_abandoned)(void *arg))
{
        cel__wait wait;

        if (cel__forked)
                return cel__fork_fail(ctx);
        job *j = calloc(1, sizeof(*j));
        if (!j)
                return cel_fail(ctx, CEL_ENOMEM, "pool %s: out of memory", pool->name);
        *j = (job){.fn = fn, .arg = arg, .on_abandoned = on_abandoned, .wait = &wait};
        cel__wait_begin(&wait, ctx, "offload");
        int r = enqueue(pool, j);
        if (r == CEL_ENOMEM) {
                free(j);
                return cel_fail(ctx, r, "pool %s: no thread can be started", pool->name);
        }
        if (r < 0) {
                free(j);
                return cel_fail(ctx, r, "pool %s: %u jobs wait already, and %u threads are all in use",
                                pool->name, pool->queue_max, pool->threads_max);
        }
        r = cel__wait_block(&wait);

        pthread_mutex_lock(&pool->mutex);
        if (!j->done) {
                abandon_locked(pool, j, ctx);
                /* Whoever calls tells an abandoned job by the error; without memory for a timer, it is one. */
                return r == CEL_ENOMEM ? CEL_ETIMEDOUT : r;
        }
        pthread_mutex_unlock(&pool->mutex);
        r = j->result;
        free(j);
        return r;
}

cel_pool *cel_pool_free(cel_pool *pool)
{
        if (!pool)
                return NULL;
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
