/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "rt/poller.h"
#include "test.h"

#include <celadon/stats.h>
#include <semaphore.h>
#include <unistd.h>

static cel_loop_stats stats_of(const fixture *f)
{
        return cel_runtime_get_stats(f->runtime);
}

static int yield_twice(cel_ctx *ctx, void *arg)
{
        (void)arg;
        cel_yield(ctx);
        return cel_yield(ctx);
}

TEST(tasks_and_switches_are_counted)
{
        fixture f = fixture_new();

        CHECK_RESULT(fixture_spawn(&f, "task", yield_twice, NULL), 0);
        CHECK_INT(stats_of(&f).spawned, 1);
        CHECK_INT(stats_of(&f).switches, 3);
        CHECK_INT(stats_of(&f).tasks, 0);
        CHECK(stats_of(&f).turns > 0);
        fixture_free(&f);
}

static int sleep_long(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_sleep_ms(ctx, 1000);
}

TEST(timers_and_descriptors_are_counted_while_they_are_there)
{
        fixture f = fixture_new();
        cel__poller *poller;
        int fds[2];

        fixture_spawn(&f, "sleeper", sleep_long, NULL);
        CHECK_INT(stats_of(&f).tasks, 1);
        CHECK_INT(stats_of(&f).timers, 1);
        CHECK_INT(pipe(fds), 0);
        CHECK_INT(cel__poller_new(cel__runtime_loop(f.runtime), fds[0], NULL, NULL, &poller), 0);
        CHECK_INT(stats_of(&f).descriptors, 1);
        cel__poller_free(poller);
        CHECK_INT(stats_of(&f).descriptors, 0);
        fixture_advance_ms(&f, 1000);
        CHECK_INT(stats_of(&f).timers, 0);
        CHECK_INT(stats_of(&f).tasks, 0);
        close(fds[0]);
        close(fds[1]);
        fixture_free(&f);
}

static void do_nothing(void *arg)
{
        (void)arg;
}

TEST(a_wake_up_is_empty_unless_it_found_something_to_do)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);

        fixture_settle(&f);
        cel__loop_wake(loop);
        cel__loop_turn(loop, true);
        CHECK_INT(stats_of(&f).wakeups, 1);
        CHECK_INT(stats_of(&f).wakeups_empty, 1);
        CHECK_INT(cel_post(f.runtime, do_nothing, NULL), 0);
        cel__loop_turn(loop, true); /* the letter is there: nobody waits for it */
        CHECK_INT(stats_of(&f).wakeups, 1);
        CHECK_INT(stats_of(&f).wakeups_empty, 1);
        CHECK_INT(stats_of(&f).letters, 1);
        CHECK_INT(stats_of(&f).posts, 1);
        fixture_free(&f);
}

static void drop_byte(void *arg, int events)
{
        char byte;

        (void)events;
        CHECK_INT(read(*(int *)arg, &byte, 1), 1);
}

TEST(a_wake_up_for_a_descriptor_is_not_empty)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);
        cel__poller *poller;
        int fds[2];

        fixture_settle(&f);
        CHECK_INT(pipe(fds), 0);
        CHECK_INT(cel__poller_new(loop, fds[0], drop_byte, &fds[0], &poller), 0);
        cel__poller_want(poller, CEL__READABLE);
        CHECK_INT(write(fds[1], "x", 1), 1);
        cel__loop_turn(loop, true);
        CHECK_INT(stats_of(&f).wakeups, 1);
        CHECK_INT(stats_of(&f).wakeups_empty, 0);
        cel__poller_free(poller);
        close(fds[0]);
        close(fds[1]);
        fixture_free(&f);
}

static int take_10_ms(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        cel_clock_advance_ms(arg, 10);
        return 0;
}

TEST(a_turn_is_counted_by_how_long_it_kept_others_waiting)
{
        fixture f = fixture_new();

        fixture_spawn(&f, "slow", take_10_ms, f.clock);
        cel_loop_stats stats = stats_of(&f);
        CHECK_INT(stats.lag[14], 1);      /* 8,192 to 16,383 us */
        stats.lag[0] = stats.lag[14] = 0; /* those that took no time */
        for (int i = 0; i < CEL_LAG_BUCKETS; i++)
                CHECK_INT(stats.lag[i], 0);
        fixture_free(&f);
}

static int ask_for_each_loop(cel_ctx *ctx, void *arg)
{
        cel_runtime *runtime = cel_ctx_runtime(ctx);
        cel_loop_stats one, two;
        cel_scope *scope;

        (void)arg;
        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        for (int i = 0; i < 3; i++)
                cel_spawn_on(ctx, scope, 1, "task", yield_twice, NULL, NULL);
        cel_scope_close(ctx, scope);
        cel_loop_get_stats(runtime, 0, &one);
        cel_loop_get_stats(runtime, 1, &two);
        return one.spawned == 1 && two.spawned == 3 && two.switches == 9 &&
                               cel_runtime_get_stats(runtime).spawned == 4
                       ? 0
                       : CEL_EPROTO;
}

TEST(each_loop_counts_for_itself)
{
        cel_loop_stats stats;
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = 2}, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "main", ask_for_each_loop, NULL), 0);
        CHECK_INT(cel_loop_get_stats(runtime, 2, &stats), CEL_EINVAL);
        cel_runtime_free(runtime);
}

static int wait_for_permit(void *arg)
{
        while (sem_wait(arg) < 0)
                ;
        return 0;
}

typedef struct offloader {
        cel_pool *pool;
        sem_t permit;
} offloader;

static int offload_within_a_second(cel_ctx *ctx, void *arg)
{
        offloader *o = arg;

        CEL_WITHIN_MS(ctx, 1000);
        return cel_offload(ctx, o->pool, wait_for_permit, &o->permit, NULL, NULL);
}

TEST_BOTH(pools_are_listed_with_what_they_do)
{
        fixture f = fixture_new();
        cel_pool_info pools[2];
        cel_pool *other;
        offloader o;

        sem_init(&o.permit, 0, 0);
        CHECK_INT(cel_runtime_get_pools(f.runtime, NULL, 0), 0);
        CHECK_INT(cel_pool_new(f.runtime, "files", 1, 1, &o.pool), 0);
        CHECK_INT(cel_pool_new(f.runtime, "names", 1, 1, &other), 0);
        fixture_actor *actor = fixture_act(&f, kind, "offloader", offload_within_a_second, &o);
        while (cel_pool_get_stats(o.pool).running == 0)
                ;
        fixture_advance_ms(&f, 1000);
        CHECK_DONE(actor, CEL_ETIMEDOUT);
        CHECK_INT(cel_runtime_get_pools(f.runtime, pools, 1), 2);
        CHECK_STR(pools[0].name, "files");
        CHECK_INT(pools[0].stats.threads, 1);
        CHECK_INT(pools[0].stats.stuck, 1);
        CHECK_INT(pools[0].stats.jobs_abandoned, 1);
        sem_post(&o.permit);
        while (cel_pool_get_stats(o.pool).stuck > 0)
                ;
        cel_pool_free(o.pool);
        CHECK_INT(cel_runtime_get_pools(f.runtime, pools, 2), 1);
        CHECK_STR(pools[0].name, "names");
        cel_pool_free(other);
        CHECK_INT(cel_runtime_get_pools(f.runtime, pools, 2), 0);
        fixture_free(&f);
        sem_destroy(&o.permit);
}
