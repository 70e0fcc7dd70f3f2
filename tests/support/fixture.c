/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/assert.h"
#include "rt/overflow.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

fixture fixture_new(void)
{
        fixture f = {.clock = cel_clock_new_manual()};

        cel_assert(f.clock);
        cel_assert(cel_runtime_new(&(cel_runtime_options){.clock = f.clock}, &f.runtime) == 0);
        cel__loop_adopt(cel__runtime_loop(f.runtime));
        cel__overflow_watch(cel__runtime_loop(f.runtime));
        cel_assert(cel__scope_new(f.runtime, cel__runtime_loop(f.runtime), CEL_SCOPE_COLLECT_ALL, &f.scope) ==
                   0);
        return f;
}

void fixture_free(fixture *f)
{
        cel_scope_cancel(f->scope);
        cel_scope_cancel(cel__runtime_system_scope(f->runtime));
        while (cel_scope_tasks(f->scope) > 0 || cel_scope_tasks(cel__runtime_system_scope(f->runtime)) > 0)
                cel__loop_turn(cel__runtime_loop(f->runtime), true);
        fixture_settle(f);
        for (unsigned i = 0; i < f->tasks_n; i++)
                cel_task_unref(f->tasks[i]);
        cel__scope_free(f->scope);
        cel__overflow_unwatch();
        cel_runtime_free(f->runtime);
        cel_clock_free(f->clock);
}

cel_task *fixture_spawn(fixture *f, const char *name, cel_task_fn fn, void *arg)
{
        cel_task *task;

        cel_assert(f->tasks_n < FIXTURE_TASKS_MAX);
        cel_assert(cel__task_spawn(f->scope, NULL, name, fn, arg, &task) == 0);
        f->tasks[f->tasks_n++] = task;
        fixture_settle(f);
        return task;
}

void fixture_settle(fixture *f)
{
        while (cel__loop_turn(cel__runtime_loop(f->runtime), false))
                ;
}

void fixture_advance_ms(fixture *f, int64_t ms)
{
        cel_clock_advance_ms(f->clock, ms);
        fixture_settle(f);
}

void fixture_wait(fixture *f, cel_task *task)
{
        while (!cel_future_done(cel_task_future(task)))
                cel__loop_turn(cel__runtime_loop(f->runtime), true);
}

fixture_random fixture_random_new(void)
{
        const char *given = getenv("CEL_TEST_SEED");
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30;
        printf("# CEL_TEST_SEED=%llu\n", (unsigned long long)seed);
        fflush(stdout);
        return (fixture_random){.state = seed};
}

/* splitmix64 */
unsigned fixture_random_below(fixture_random *random, unsigned n)
{
        uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return (unsigned)((z ^ (z >> 31)) % n);
}
