/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "rt/guardian.h"
#include "rt/watchdog.h"
#include "test.h"

#include <celadon/log.h>
#include <celadon/stats.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

/* What was logged: the last line of each kind, and how many there were. */
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static char held_line[4096], released_line[4096];
static _Atomic unsigned held_n, released_n;

static void note_line(cel_log_level level, const char *line, void *arg)
{
        (void)level, (void)arg;
        pthread_mutex_lock(&log_mutex);
        if (strstr(line, "LOOP-HELD")) {
                strncpy(held_line, line, sizeof(held_line) - 1);
                atomic_fetch_add(&held_n, 1);
        } else if (strstr(line, "LOOP-RELEASED")) {
                strncpy(released_line, line, sizeof(released_line) - 1);
                atomic_fetch_add(&released_n, 1);
        }
        pthread_mutex_unlock(&log_mutex);
}

static void watch_log(void)
{
        atomic_store(&held_n, 0);
        atomic_store(&released_n, 0);
        cel_log_set_sink(note_line, NULL);
}

static bool line_says(const char *line, const char *words)
{
        pthread_mutex_lock(&log_mutex);
        bool says = strstr(line, words) != NULL;
        if (!says)
                print_error("it said: %s\n", line);
        pthread_mutex_unlock(&log_mutex);
        return says;
}

/* Time passes until the watchdog has said so. */
static void pass_until(cel_clock *clock, const _Atomic unsigned *n, unsigned wanted)
{
        while (atomic_load(n) < wanted) {
                cel_clock_advance_ms(clock, 25);
                sched_yield();
        }
}

static int hold_until_named(cel_ctx *ctx, void *arg)
{
        fixture *f = arg;

        cel_ctx_set_request_id(ctx, "req-7");
        pass_until(f->clock, &held_n, 1);
        return 0;
}

TEST(a_task_that_holds_its_loop_is_named_with_its_stack_while_it_does_and_again_when_it_lets_go)
{
        watch_log();
        fixture f = fixture_new();

        CHECK_RESULT(fixture_spawn(&f, "hog", hold_until_named, &f), 0);
        CHECK(line_says(held_line, "task \"hog\" of request req-7 has held loop 0 for "));
        CHECK(line_says(held_line, "hold_until_named+0x"));
        CHECK(line_says(held_line, "task_main+0x"));
        pass_until(f.clock, &released_n, 1);
        CHECK(line_says(released_line, "task \"hog\" of request req-7 let go of loop 0 after "));
        CHECK_INT(cel_runtime_get_stats(f.runtime).holds, 1);
        fixture_free(&f);
        cel_log_set_sink(NULL, NULL);
}

/* A ward that is due as often as the watchdog looks, and comes after it. */
typedef struct looks {
        cel__ward ward;
        _Atomic unsigned n;
} looks;

static cel_time on_look(cel__ward *ward, cel_time now)
{
        atomic_fetch_add(&cel__container(ward, looks, ward)->n, 1);
        return cel_time_add_ms(now, 25);
}

typedef struct pace {
        fixture *f;
        looks looks;
        int steps;
} pace;

/* Let 25 ms pass and the guardian see it. */
static void pass_a_look(pace *p)
{
        unsigned n = atomic_load(&p->looks.n);

        cel_clock_advance_ms(p->f->clock, 25);
        while (atomic_load(&p->looks.n) == n)
                sched_yield();
}

static void pace_begin(pace *p, fixture *f, int steps)
{
        *p = (pace){.f = f, .steps = steps};
        fixture_settle(f); /* the watchdog's ward stands first */
        p->looks.ward.on_due = on_look;
        p->looks.ward.due = cel_time_add_ms(cel_clock_now(f->clock), 25);
        CHECK_INT(cel__guardian_watch(cel__runtime_guardian(f->runtime), &p->looks.ward), 0);
}

static void pace_end(pace *p)
{
        cel__guardian_unwatch(cel__runtime_guardian(p->f->runtime), &p->looks.ward);
}

static int hold_for_looks(cel_ctx *ctx, void *arg)
{
        pace *p = arg;

        (void)ctx;
        for (int i = 0; i < p->steps; i++)
                pass_a_look(p);
        return 0;
}

TEST(a_hold_is_told_once_however_long_it_lasts)
{
        watch_log();
        fixture f = fixture_new();
        pace p;

        pace_begin(&p, &f, 12);
        CHECK_RESULT(fixture_spawn(&f, "hog", hold_for_looks, &p), 0);
        pass_a_look(&p);
        CHECK_INT(atomic_load(&held_n), 1);
        CHECK_INT(atomic_load(&released_n), 1);
        CHECK_INT(cel_runtime_get_stats(f.runtime).holds, 1);
        pace_end(&p);
        fixture_free(&f);
        cel_log_set_sink(NULL, NULL);
}

TEST(a_hold_that_is_shorter_than_the_limit_is_not_named)
{
        watch_log();
        fixture f = fixture_new();
        pace p;

        pace_begin(&p, &f, 2); /* seen in the first look, not yet for 50 ms in the second */
        CHECK_RESULT(fixture_spawn(&f, "quick", hold_for_looks, &p), 0);
        pass_a_look(&p);
        pass_a_look(&p);
        CHECK_INT(cel_runtime_get_stats(f.runtime).holds, 0);
        CHECK_INT(atomic_load(&held_n), 0);
        pace_end(&p);
        fixture_free(&f);
        cel_log_set_sink(NULL, NULL);
}

static int hold_and_yield(cel_ctx *ctx, void *arg)
{
        pace *p = arg;

        for (int i = 0; i < p->steps; i++) {
                pass_a_look(p);
                cel_yield(ctx);
        }
        return 0;
}

TEST(tasks_that_let_each_other_run_are_never_named_although_the_loop_is_always_busy)
{
        watch_log();
        fixture f = fixture_new();
        pace p;

        pace_begin(&p, &f, 20);
        CHECK_RESULT(fixture_spawn(&f, "fair", hold_and_yield, &p), 0);
        CHECK_INT(cel_runtime_get_stats(f.runtime).holds, 0);
        CHECK_INT(atomic_load(&held_n), 0);
        pace_end(&p);
        fixture_free(&f);
        cel_log_set_sink(NULL, NULL);
}

static void hold_as_loop_code(void *arg)
{
        pass_until(arg, &held_n, 1);
}

TEST(code_that_holds_the_loop_without_being_a_task_is_named_as_such)
{
        watch_log();
        fixture f = fixture_new();

        CHECK_INT(cel_post(f.runtime, hold_as_loop_code, f.clock), 0);
        fixture_settle(&f);
        CHECK(line_says(held_line, "code of the loop itself has held loop 0"));
        CHECK(line_says(held_line, "hold_as_loop_code+0x"));
        fixture_free(&f);
        cel_log_set_sink(NULL, NULL);
}

TEST(nobody_looks_at_loops_that_wait)
{
        fixture f = fixture_new();
        pace p;

        pace_begin(&p, &f, 1);
        CHECK(cel__watchdog_is_armed(f.runtime->watchdog));
        pass_a_look(&p);
        CHECK(!cel__watchdog_is_armed(f.runtime->watchdog));
        CHECK_INT(f.runtime->loops[0].busy_since_ns, 0);
        fixture_spawn(&f, "task", hold_for_looks, &p);
        CHECK(cel__watchdog_is_armed(f.runtime->watchdog));
        pass_a_look(&p);
        CHECK(!cel__watchdog_is_armed(f.runtime->watchdog));
        pace_end(&p);
        fixture_free(&f);
}

static int hold_a_second(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        for (int i = 0; i < 40; i++) {
                cel_clock_advance_ms(arg, 25);
                sched_yield();
        }
        return 0;
}

TEST(a_watchdog_that_is_switched_off_says_nothing)
{
        cel_auto(cel_clock) *clock = cel_clock_new_manual();
        cel_runtime_options options = {.clock = clock, .watchdog_ms = CEL_WATCHDOG_OFF};
        cel_runtime *runtime;

        watch_log();
        CHECK_INT(cel_runtime_new(&options, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "hog", hold_a_second, clock), 0);
        CHECK(!runtime->watchdog);
        CHECK_INT(cel_runtime_get_stats(runtime).holds, 0);
        cel_runtime_free(runtime);
        CHECK_INT(atomic_load(&held_n), 0);
        options.watchdog_ms = -2;
        CHECK_INT(cel_runtime_new(&options, &runtime), CEL_EINVAL);
        cel_log_set_sink(NULL, NULL);
}

static int spin_until_released(cel_ctx *ctx, void *arg)
{
        (void)ctx, (void)arg;
        while (atomic_load(&held_n) == 0)
                ;
        return 0;
}

static int have_loop_1_held(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        if (r < 0)
                return r;
        cel_spawn_on(ctx, scope, 1, "spinner", spin_until_released, NULL, NULL);
        r = cel_scope_close(ctx, scope);
        while (atomic_load(&released_n) == 0)
                cel_sleep_ms(ctx, 1);
        (void)arg;
        return r;
}

TEST(on_the_real_clock_a_thread_of_the_librarys_own_is_watched_too)
{
        cel_runtime *runtime;

        watch_log();
        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = 2, .watchdog_ms = 20}, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "main", have_loop_1_held, NULL), 0);
        CHECK(line_says(held_line, "task \"spinner\" has held loop 1"));
        CHECK(line_says(held_line, "spin_until_released+0x"));
        cel_runtime_free(runtime);
        cel_log_set_sink(NULL, NULL);
}

static _Atomic bool contest_over;

static void *spin_until_over(void *arg)
{
        (void)arg;
        while (!atomic_load(&contest_over))
                ;
        return NULL;
}

TEST(the_time_that_a_loops_thread_was_kept_from_running_is_known)
{
        cpu_set_t before, one;
        pthread_t rival;

        CHECK_INT(sched_getaffinity(0, sizeof(before), &before), 0);
        CPU_ZERO(&one);
        CPU_SET((size_t)sched_getcpu(), &one);
        CHECK_INT(sched_setaffinity(0, sizeof(one), &one), 0);
        fixture f = fixture_new();
        int64_t delay_ns = cel__snapshot_delay_ns(cel__runtime_loop(f.runtime));
        atomic_store(&contest_over, false);
        CHECK_INT(pthread_create(&rival, NULL, spin_until_over, NULL), 0); /* on the same processor */
        while (cel__snapshot_delay_ns(cel__runtime_loop(f.runtime)) < delay_ns + 10 * CEL_NS_PER_MS)
                ;
        atomic_store(&contest_over, true);
        pthread_join(rival, NULL);
        fixture_free(&f);
        sched_setaffinity(0, sizeof(before), &before);
}

static _Atomic unsigned urgent_n;

static void on_urgent(int signal_number)
{
        (void)signal_number;
        atomic_fetch_add(&urgent_n, 1);
}

static int urge_and_be_held(cel_ctx *ctx, void *arg)
{
        raise(SIGURG);
        return hold_until_named(ctx, arg);
}

TEST(a_signal_that_was_not_ours_goes_to_the_handler_that_was_there_before)
{
        struct sigaction before;

        watch_log();
        atomic_store(&urgent_n, 0);
        sigaction(SIGURG, &(struct sigaction){.sa_handler = on_urgent}, &before);
        fixture f = fixture_new();
        CHECK_RESULT(fixture_spawn(&f, "task", urge_and_be_held, &f), 0);
        CHECK_INT(atomic_load(&urgent_n), 1);
        CHECK_INT(atomic_load(&held_n), 1);
        fixture_free(&f);
        sigaction(SIGURG, &before, NULL);
        cel_log_set_sink(NULL, NULL);
}
