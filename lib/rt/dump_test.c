/* SPDX-License-Identifier: Apache-2.0 */
#include <celadon/dump.h>

#include "fixture.h"
#include "rt/roll.h"
#include "test.h"

#include <celadon/offload.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct dump {
        char *text; /* owned */
        size_t bytes;
} dump;

static int take_dump(cel_ctx *ctx, void *arg)
{
        dump *d = arg;
        FILE *file = open_memstream(&d->text, &d->bytes);

        if (!file)
                return CEL_ENOMEM;
        int r = cel_dump(ctx, file);
        fclose(file);
        return r;
}

/* A dump taken by an actor of `kind`, which ends with `expected`. */
static dump dump_by(fixture *f, fixture_kind kind, int expected)
{
        dump d = {0};
        fixture_actor *asker = fixture_act(f, kind, "asker", take_dump, &d);

        CHECK_INT(fixture_actor_wait(f, asker), expected);
        return d;
}

static bool says(const char *text, const char *words)
{
        if (strstr(text, words))
                return true;
        print_error("it says:\n%s", text);
        return false;
}

static int doze_off(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_sleep_ms(ctx, 100000);
}

static int doze_on_request(cel_ctx *ctx, void *arg)
{
        cel_ctx_set_request_id(ctx, "req-1");
        int r = doze_off(ctx, arg);
        return r < 0 ? r : 0;
}

TEST_BOTH(a_dump_says_of_each_task_what_it_waits_for_since_when_and_where)
{
        fixture f = fixture_new();

        fixture_spawn(&f, "sleeper", doze_on_request, NULL);
        fixture_advance_ms(&f, 1500);
        dump d = dump_by(&f, kind, 0);
        CHECK(says(d.text, "task \"sleeper\" of request req-1: waiting for \"sleep\", 1.500 s; stack: "));
        CHECK(says(d.text, "    cel_sleep_ms+0x"));
        CHECK(says(d.text, "    doze_on_request+0x"));
        CHECK(says(d.text, "    task_main+0x"));
        CHECK(says(d.text, kind == FIXTURE_TASK ? "loop 0: 2 tasks, " : "loop 0: 1 tasks, "));
        free(d.text);
        fixture_free(&f);
}

TEST(a_parked_task_uses_less_of_its_stack_than_it_has_touched)
{
        fixture f = fixture_new();
        cel__roll_call *call;

        fixture_spawn(&f, "sleeper", doze_off, NULL);
        CHECK_INT(cel__roll_call_begin(cel__runtime_loop(f.runtime), &call), 0);
        fixture_settle(&f);
        CHECK(call->done);
        CHECK_INT(call->tasks_n, 1);
        const cel__roll_task *task = &call->tasks[0];
        CHECK(task->depth_bytes > 0 && task->depth_bytes <= task->touched_bytes);
        CHECK(task->touched_bytes <= task->stack_bytes);
        CHECK_INT(task->state, CEL__TASK_PARKED);
        CHECK(task->frames_n > 3);
        cel__roll_call_let_go(call);
        fixture_free(&f);
}

typedef struct crowd {
        int n;
        cel_scope *scope;
} crowd;

/* Every third is called "rare". */
static int gather(cel_ctx *ctx, void *arg)
{
        crowd *c = arg;
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &c->scope);

        for (int i = 0; i < c->n && r >= 0; i++)
                r = cel_spawn(ctx, c->scope, i % 3 == 0 ? "rare" : "frequent", doze_off, NULL, NULL);
        int closed = cel_scope_close(ctx, c->scope);
        return r < 0 ? r : closed;
}

TEST_BOTH(of_a_crowd_the_dump_describes_200_and_counts_the_others_by_name_and_place)
{
        fixture f = fixture_new();
        crowd c = {.n = 799};

        fixture_spawn(&f, "host", gather, &c);
        dump d = dump_by(&f, kind, 0);
        CHECK(says(d.text, "task \"rare\": waiting for \"sleep\""));
        CHECK(says(d.text, kind == FIXTURE_TASK ? "  and 601 more:\n" : "  and 600 more:\n"));
        CHECK(says(d.text,
                   "    400 \"frequent\" waiting for \"sleep\"\n    200 \"rare\" waiting for \"sleep\"\n"));
        CHECK(d.bytes < 1000000);
        free(d.text);
        fixture_free(&f);
}

TEST(tasks_may_end_while_a_roll_call_goes_on)
{
        fixture f = fixture_new();
        cel__loop *loop = cel__runtime_loop(f.runtime);
        crowd c = {.n = 799};
        cel__roll_call *calls[3];

        fixture_spawn(&f, "host", gather, &c);
        CHECK_INT(cel__roll_call_begin(loop, &calls[0]), 0);
        cel__loop_turn(loop, false);
        CHECK_INT(cel__roll_call_begin(loop, &calls[1]), 0);
        cel__loop_turn(loop, false);
        CHECK(calls[0]->done && !calls[1]->done);
        CHECK_INT(calls[0]->tasks_n + calls[0]->others_n, 800);
        CHECK_INT(cel__roll_call_begin(loop, &calls[2]), 0);
        cel_scope_cancel(c.scope);
        fixture_settle(&f);
        CHECK(calls[1]->done && calls[2]->done);
        CHECK(calls[1]->tasks_n + calls[1]->others_n >= 500);
        for (int i = 0; i < 3; i++)
                cel__roll_call_let_go(calls[i]);
        fixture_free(&f);
}

TEST(a_roll_call_that_nobody_waits_for_any_more_goes_away)
{
        fixture f = fixture_new();
        cel__roll_call *call;

        CHECK_INT(cel__roll_call_begin(cel__runtime_loop(f.runtime), &call), 0);
        cel__roll_call_let_go(call); /* AddressSanitizer would tell if it stayed */
        fixture_free(&f);
}

TEST_BOTH(the_dump_lists_the_pools)
{
        fixture f = fixture_new();
        cel_pool *pool;

        CHECK_INT(cel_pool_new(f.runtime, "files", 1, 1, &pool), 0);
        dump d = dump_by(&f, kind, 0);
        CHECK(says(d.text,
                   "pool \"files\": 0 threads, 0 jobs running, 0 queued, 0 stuck; so far 0 done, 0 aban"));
        free(d.text);
        cel_pool_free(pool);
        fixture_free(&f);
}

static int dump_when_canceled(cel_ctx *ctx, void *arg)
{
        cel_ctx_cancel(ctx);
        return take_dump(ctx, arg);
}

TEST_BOTH(a_dump_by_somebody_who_is_cancelled_writes_nothing)
{
        fixture f = fixture_new();
        dump d = {0};

        CHECK_DONE(fixture_act(&f, kind, "asker", dump_when_canceled, &d), CEL_ECANCELED);
        CHECK_INT(d.bytes, 0);
        free(d.text);
        fixture_free(&f);
}

static int dump_to_full_disk(cel_ctx *ctx, void *arg)
{
        FILE *file = fopen("/dev/full", "w");
        int r = cel_dump(ctx, file);

        (void)arg;
        fclose(file);
        return r;
}

TEST_BOTH(a_dump_that_cannot_be_written_is_an_error)
{
        fixture f = fixture_new();
        fixture_actor *asker = fixture_act(&f, kind, "asker", dump_to_full_disk, NULL);

        CHECK_INT(fixture_actor_wait(&f, asker), CEL_EIO);
        CHECK_STR(fixture_actor_text(asker), "the dump cannot be written");
        fixture_free(&f);
}

/* --- Loops that do not answer ----------------------------------------------------------------- */

typedef struct wedge {
        cel_clock *clock;
        dump dump;
        _Atomic bool dumped;
} wedge;

/* Time passes, so that the watchdog finds out and the dump gives up. */
static int hold_loop(cel_ctx *ctx, void *arg)
{
        wedge *w = arg;

        (void)ctx;
        while (!atomic_load(&w->dumped)) {
                cel_clock_advance_ms(w->clock, 25);
                sched_yield();
        }
        return 0;
}

/* The clock runs so fast that even a loop that is well may not answer in time. */
static bool is_complete(const dump *d)
{
        return d->text && strstr(d->text, "task \"main\": waiting for \"dump\"") &&
               strstr(d->text, "task \"wedge\" has held it for ");
}

static int dump_beside_held_loop(cel_ctx *ctx, void *arg)
{
        wedge *w = arg;
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        if (r < 0)
                return r;
        r = cel_spawn_on(ctx, scope, 1, "wedge", hold_loop, w, NULL);
        while (r >= 0 && !is_complete(&w->dump)) {
                cel_sleep_ms(ctx, 25);
                free(w->dump.text);
                r = take_dump(ctx, &w->dump);
        }
        atomic_store(&w->dumped, true);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

TEST(a_loop_that_does_not_answer_is_reported_with_who_holds_it)
{
        wedge w = {.clock = cel_clock_new_manual()};
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.clock = w.clock, .loops = 2}, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "main", dump_beside_held_loop, &w), 0);
        CHECK(says(w.dump.text, "task \"main\": waiting for \"dump\""));
        CHECK(says(w.dump.text, "  does not answer: task \"wedge\" has held it for "));
        CHECK(says(w.dump.text, "    hold_loop+0x"));
        cel_runtime_free(runtime);
        cel_clock_free(w.clock);
        free(w.dump.text);
}

/* --- On a signal ------------------------------------------------------------------------------ */

static int ask_by_signal_and_sleep(cel_ctx *ctx, void *arg)
{
        (void)arg;
        kill(getpid(), SIGUSR1);
        return doze_off(ctx, NULL);
}

static int ask_by_signal_and_spin(cel_ctx *ctx, void *arg)
{
        static volatile bool for_ever = true;

        (void)arg;
        kill(getpid(), SIGUSR1);
        while (for_ever)
                cel_ctx_canceled(ctx);
        return 0;
}

/* What a program says until it has said `words`, and then it is killed. */
static void run_until_it_says(cel_task_fn fn, const char *words)
{
        char text[65536] = "";
        size_t n = 0;
        int fds[2], status;

        CHECK_INT(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0) {
                dup2(fds[1], STDERR_FILENO);
                close(fds[0]);
                close(fds[1]);
                _exit(cel_main(fn, NULL));
        }
        close(fds[1]);
        for (ssize_t got = 1; got > 0 && !strstr(text, words) && n < sizeof(text) - 1; n += (size_t)got) {
                got = read(fds[0], text + n, sizeof(text) - 1 - n);
                got = got < 0 ? 0 : got;
                text[n + (size_t)got] = '\0';
        }
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        close(fds[0]);
        CHECK(says(text, words));
}

TEST(sigusr1_has_a_program_dump_its_tasks)
{
        run_until_it_says(ask_by_signal_and_sleep, "task \"main\": waiting for \"sleep\"");
}

TEST(sigusr1_works_although_the_loop_is_stuck)
{
        run_until_it_says(ask_by_signal_and_spin, "does not answer");
}
