/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <celadon/log.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

/* A job that goes no further than the test allows, and tells how far it is. */
typedef struct job {
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        bool may_end;
        unsigned started, ended, freed;
        pthread_t thread;
        cel_pool *pool;
        int result;
} job;

static void job_init(job *j, cel_pool *pool)
{
        *j = (job){.pool = pool, .result = 5};
        pthread_mutex_init(&j->mutex, NULL);
        pthread_cond_init(&j->cond, NULL);
}

static void job_fini(job *j)
{
        pthread_cond_destroy(&j->cond);
        pthread_mutex_destroy(&j->mutex);
}

static int run_job(void *arg)
{
        job *j = arg;

        pthread_mutex_lock(&j->mutex);
        j->started++;
        j->thread = pthread_self();
        pthread_cond_broadcast(&j->cond);
        while (!j->may_end)
                pthread_cond_wait(&j->cond, &j->mutex);
        j->ended++;
        pthread_mutex_unlock(&j->mutex);
        return j->result;
}

static void free_arg(void *arg)
{
        job *j = arg;

        pthread_mutex_lock(&j->mutex);
        j->freed++;
        pthread_cond_broadcast(&j->cond);
        pthread_mutex_unlock(&j->mutex);
}

static void job_let_end(job *j)
{
        pthread_mutex_lock(&j->mutex);
        j->may_end = true;
        pthread_cond_broadcast(&j->cond);
        pthread_mutex_unlock(&j->mutex);
}

static void job_wait_for(job *j, const unsigned *count)
{
        pthread_mutex_lock(&j->mutex);
        while (*count == 0)
                pthread_cond_wait(&j->cond, &j->mutex);
        pthread_mutex_unlock(&j->mutex);
}

static unsigned job_read(job *j, const unsigned *count)
{
        pthread_mutex_lock(&j->mutex);
        unsigned n = *count;
        pthread_mutex_unlock(&j->mutex);
        return n;
}

static int offload(cel_ctx *ctx, void *arg)
{
        job *j = arg;

        int result = 0, r = cel_offload(ctx, j->pool, run_job, j, free_arg, &result);

        return r < 0 ? r : result;
}

static int offload_within_50(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 50);
        return offload(ctx, arg);
}

TEST_BOTH(the_result_of_a_job_is_the_result_of_the_call_and_it_ran_on_another_thread)
{
        fixture f = fixture_new();
        cel_pool *pool;
        job j;

        CHECK_INT(cel_pool_new(f.runtime, "pool", 1, 1, &pool), 0);
        CHECK_INT(cel_pool_get_stats(pool).threads, 0);
        job_init(&j, pool);
        fixture_actor *task = fixture_act(&f, kind, "caller", offload, &j);
        job_wait_for(&j, &j.started);
        CHECK(!pthread_equal(j.thread, pthread_self()));
        cel_pool_stats stats = cel_pool_get_stats(pool);
        CHECK_INT(stats.threads, 1);
        CHECK_INT(stats.running, 1);
        CHECK_INT(stats.queued, 0);
        CHECK_INT(stats.jobs_done, 0);
        CHECK_WAITS(task);
        job_let_end(&j);
        fixture_actor_wait(&f, task);
        CHECK_DONE(task, 5);
        stats = cel_pool_get_stats(pool);
        CHECK_INT(stats.running, 0);
        CHECK_INT(stats.jobs_done, 1);
        CHECK_INT(stats.jobs_abandoned, 0);
        CHECK_INT(j.freed, 0);
        CHECK(cel_pool_free(pool) == NULL);
        job_fini(&j);
        fixture_free(&f);
}

TEST(a_pool_without_threads_or_beyond_its_limits_is_refused)
{
        fixture f = fixture_new();
        cel_pool *pool = NULL;

        CHECK_INT(cel_pool_new(f.runtime, "pool", 0, 1, &pool), CEL_EINVAL);
        CHECK_INT(cel_pool_new(f.runtime, "pool", 1025, 1, &pool), CEL_EINVAL);
        CHECK_INT(cel_pool_new(f.runtime, "pool", 1, 1000001, &pool), CEL_EINVAL);
        CHECK(pool == NULL);
        fixture_free(&f);
}

TEST_BOTH(a_job_too_many_is_refused_never_runs_and_its_argument_is_freed)
{
        fixture f = fixture_new();
        cel_pool *pool;
        job running, waits, refused;

        CHECK_INT(cel_pool_new(f.runtime, "pool", 1, 1, &pool), 0);
        job_init(&running, pool);
        job_init(&waits, pool);
        job_init(&refused, pool);
        fixture_actor *one = fixture_act(&f, kind, "one", offload, &running);
        job_wait_for(&running, &running.started);
        fixture_actor *two = fixture_act(&f, kind, "two", offload, &waits);
        CHECK_INT(cel_pool_get_stats(pool).queued, 1);
        fixture_actor *three = fixture_act(&f, kind, "three", offload, &refused);
        CHECK_DONE(three, CEL_EFULL);
        CHECK_STR(fixture_actor_text(three), "pool pool: 1 jobs wait already, and 1 threads are all in use");
        job_let_end(&running);
        job_let_end(&waits);
        fixture_actor_wait(&f, one);
        fixture_actor_wait(&f, two);
        CHECK_DONE(two, 5);
        cel_pool_free(pool);
        CHECK_INT(refused.started, 0);
        CHECK_INT(refused.freed, 1);
        job_fini(&running);
        job_fini(&waits);
        job_fini(&refused);
        fixture_free(&f);
}

TEST_BOTH(as_many_jobs_as_threads_and_places_are_taken_even_before_a_thread_had_time_to_start)
{
        enum { THREADS = 4, PLACES = 3 };

        for (int round = 0; round < 20; round++) {
                fixture f = fixture_new();
                cel_pool *pool;
                job jobs[THREADS + PLACES + 1];

                CHECK_INT(cel_pool_new(f.runtime, "pool", THREADS, PLACES, &pool), 0);
                for (int i = 0; i < THREADS + PLACES + 1; i++) {
                        job_init(&jobs[i], pool);
                        fixture_act(&f, kind, "caller", offload, &jobs[i]);
                }
                CHECK_DONE(f.actors[THREADS + PLACES], CEL_EFULL);
                for (int i = 0; i < THREADS + PLACES; i++)
                        job_let_end(&jobs[i]);
                for (int i = 0; i < THREADS + PLACES; i++)
                        CHECK_INT(fixture_actor_wait(&f, f.actors[i]), 5);
                CHECK(cel_pool_get_stats(pool).threads <= THREADS);
                cel_pool_free(pool);
                fixture_free(&f);
                for (int i = 0; i < THREADS + PLACES + 1; i++)
                        job_fini(&jobs[i]);
        }
}

/* --- Giving up -------------------------------------------------------------------------------- */

static void swallow(cel_log_level level, const char *line, void *arg)
{
        (void)level;
        snprintf(arg, 256, "%s", line);
}

TEST_BOTH(a_job_that_runs_past_the_deadline_is_abandoned_and_its_thread_counted_as_stuck)
{
        fixture f = fixture_new();
        char said[256] = "";
        cel_pool *pool;
        job j;

        cel_log_set_sink(swallow, said);
        CHECK_INT(cel_pool_new(f.runtime, "pool", 1, 1, &pool), 0);
        job_init(&j, pool);
        fixture_actor *task = fixture_act(&f, kind, "caller", offload_within_50, &j);
        job_wait_for(&j, &j.started);
        fixture_advance_ms(&f, 49);
        CHECK_WAITS(task);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(task, CEL_ETIMEDOUT);
        CHECK(strstr(said, "POOL-STUCK [caller] pool pool: a job was abandoned") != NULL);
        cel_pool_stats stats = cel_pool_get_stats(pool);
        CHECK_INT(stats.stuck, 1);
        CHECK_INT(stats.running, 1);
        CHECK_INT(stats.jobs_abandoned, 1);
        CHECK_INT(job_read(&j, &j.freed), 0); /* it still runs: its argument is still in use */

        job_let_end(&j);
        job_wait_for(&j, &j.freed);
        CHECK(cel_pool_free(pool) == NULL); /* waits for the thread, which is well again */
        CHECK_INT(j.ended, 1);
        CHECK_INT(j.freed, 1);
        cel_log_set_sink(NULL, NULL);
        job_fini(&j);
        fixture_free(&f);
}

TEST_BOTH(a_job_abandoned_in_the_queue_never_runs_and_frees_its_place)
{
        fixture f = fixture_new();
        cel_pool *pool;
        job running, dropped, next;

        CHECK_INT(cel_pool_new(f.runtime, "pool", 1, 1, &pool), 0);
        job_init(&running, pool);
        job_init(&dropped, pool);
        job_init(&next, pool);
        fixture_actor *one = fixture_act(&f, kind, "one", offload, &running);
        job_wait_for(&running, &running.started);
        fixture_actor *two = fixture_act(&f, kind, "two", offload_within_50, &dropped);
        fixture_advance_ms(&f, 50);
        CHECK_DONE(two, CEL_ETIMEDOUT);
        CHECK_INT(job_read(&dropped, &dropped.freed), 1);
        CHECK_INT(cel_pool_get_stats(pool).queued, 0);
        CHECK_INT(cel_pool_get_stats(pool).stuck, 0);
        fixture_actor *three = fixture_act(&f, kind, "three", offload, &next);
        CHECK_WAITS(three);
        job_let_end(&running);
        job_let_end(&next);
        fixture_actor_wait(&f, one);
        fixture_actor_wait(&f, three);
        CHECK_DONE(three, 5);
        cel_pool_free(pool);
        CHECK_INT(dropped.started, 0);
        CHECK_INT(dropped.freed, 1);
        job_fini(&running);
        job_fini(&dropped);
        job_fini(&next);
        fixture_free(&f);
}

TEST_BOTH(cancelling_the_caller_abandons_the_job)
{
        fixture f = fixture_new();
        char said[256];
        cel_pool *pool;
        job j;

        cel_log_set_sink(swallow, said);
        CHECK_INT(cel_pool_new(f.runtime, "pool", 1, 0, &pool), 0);
        job_init(&j, pool);
        fixture_actor *task = fixture_act(&f, kind, "caller", offload, &j);
        job_wait_for(&j, &j.started);
        fixture_cancel(task);
        CHECK_DONE(task, CEL_ECANCELED);
        job_let_end(&j);
        job_wait_for(&j, &j.freed);
        cel_pool_free(pool);
        CHECK_INT(j.freed, 1);
        cel_log_set_sink(NULL, NULL);
        job_fini(&j);
        fixture_free(&f);
}

TEST_BOTH(a_pool_is_freed_although_a_thread_is_stuck_and_the_thread_ends_well_later)
{
        fixture f = fixture_new();
        char said[256] = "";
        cel_pool *pool;
        job stuck, healthy;

        cel_log_set_sink(swallow, said);
        CHECK_INT(cel_pool_new(f.runtime, "pool", 2, 0, &pool), 0);
        job_init(&stuck, pool);
        job_init(&healthy, pool);
        fixture_actor *task = fixture_act(&f, kind, "caller", offload_within_50, &stuck);
        job_wait_for(&stuck, &stuck.started);
        fixture_advance_ms(&f, 50);
        CHECK_DONE(task, CEL_ETIMEDOUT);
        job_let_end(&healthy);
        task = fixture_act(&f, kind, "healthy", offload, &healthy);
        fixture_actor_wait(&f, task);
        CHECK_DONE(task, 5);

        CHECK(cel_pool_free(pool) == NULL); /* would never return if it waited for the stuck one */
        CHECK(strstr(said, "pool pool is left with 1 stuck threads") != NULL);
        CHECK_INT(job_read(&stuck, &stuck.freed), 0);
        cel_log_set_sink(NULL, NULL);
        fixture_free(&f); /* the runtime may go, too */

        job_let_end(&stuck);
        job_wait_for(&stuck, &stuck.freed);
        CHECK_INT(stuck.ended, 1);
        job_fini(&healthy);
        job_fini(&stuck);
}

/* --- At the end, and many at once ----------------------------------------------------------- */

TEST_BOTH(a_pool_may_be_freed_while_a_call_waits_for_the_result_of_its_last_job)
{
        fixture f = fixture_new();
        cel_pool *pool;
        job j;

        CHECK_INT(cel_pool_new(f.runtime, "pool", 1, 0, &pool), 0);
        job_init(&j, pool);
        fixture_actor *caller = fixture_act(&f, kind, "caller", offload, &j);
        job_wait_for(&j, &j.started);
        job_let_end(&j);
        cel_pool_free(pool); /* the job has ended now; a task has not run since, a thread may have */
        if (kind == FIXTURE_TASK)
                CHECK_WAITS(caller);
        fixture_actor_wait(&f, caller);
        CHECK_DONE(caller, 5);
        job_fini(&j);
        fixture_free(&f);
}

enum { CROWD = 40, CALLS = 50 };

typedef struct crowd {
        cel_pool *pool;
        unsigned done, gave_up;
        _Atomic unsigned freed;
        sem_t ended; /* posted for each abandoned job that has ended */
} crowd;

static int spin_a_little(void *arg)
{
        for (volatile int i = 0; i < **(int **)arg; i++)
                ;
        return **(int **)arg;
}

static void free_it(void *arg)
{
        crowd *c = ((crowd **)arg)[1];

        free(((void **)arg)[0]);
        free(arg);
        atomic_fetch_add(&c->freed, 1);
        sem_post(&c->ended);
}

/* Half of the calls have next to no time, so that jobs are abandoned queued, running and just about to end.
 */
static int call_again_and_again(cel_ctx *ctx, void *arg)
{
        crowd *c = arg;

        for (int i = 0; i < CALLS; i++) {
                CEL_WITHIN_MS(ctx, i % 2 ? i % 3 : 100000);
                void **box = malloc(2 * sizeof(*box));
                int *n = malloc(sizeof(*n));

                if (!box || !n)
                        return CEL_ENOMEM;
                box[0] = n;
                box[1] = c;
                *n = i * 300;
                int result = -1, r = cel_offload(ctx, c->pool, spin_a_little, box, free_it, &result);
                if (r == CEL_ETIMEDOUT) {
                        c->gave_up++;
                        continue;
                }
                if (r < 0 || result != i * 300)
                        return CEL_EPROTO;
                c->done++;
                free(n);
                free(box);
        }
        return 0;
}

static int start_crowd(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        for (int i = 0; i < CROWD && r >= 0; i++)
                r = cel_spawn(ctx, scope, "caller", call_again_and_again, arg, NULL);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

TEST(every_job_is_either_answered_or_abandoned_once_however_close_the_deadline)
{
        crowd c = {0};
        char said[256];
        cel_runtime *runtime;

        CHECK_INT(sem_init(&c.ended, 0, 0), 0);
        cel_log_set_sink(swallow, said);
        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_pool_new(runtime, "pool", 3, CROWD, &c.pool), 0);
        CHECK_INT(cel_runtime_run(runtime, "crowd", start_crowd, &c), 0);
        cel_pool_stats stats = cel_pool_get_stats(c.pool);
        CHECK_INT(c.done + c.gave_up, CROWD * CALLS);
        CHECK_INT(stats.jobs_abandoned, c.gave_up);
        CHECK_INT(stats.jobs_done, c.done);
        for (unsigned i = 0; i < c.gave_up; i++) /* each ends, sooner or later */
                CHECK_INT(sem_wait(&c.ended), 0);
        cel_pool_free(c.pool);
        CHECK_INT(atomic_load(&c.freed), c.gave_up);
        sem_destroy(&c.ended);
        cel_log_set_sink(NULL, NULL);
        cel_runtime_free(runtime);
}
