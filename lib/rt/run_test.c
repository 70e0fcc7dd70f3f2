/* SPDX-License-Identifier: Apache-2.0
 *
 * Several loops, loops that others drive, posts, and forks. Real threads run here, on the system's clock: tests wait
 * for what happens, never for time. */
#include "fixture.h"
#include "rt/poller.h"
#include "test.h"

#include <celadon/channel.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOPS = 4 };

static cel_runtime *runtime_new(unsigned loops)
{
        cel_runtime *runtime = NULL;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = loops}, &runtime), 0);
        return runtime;
}

static void run(unsigned loops, cel_task_fn fn, void *arg, int expected)
{
        cel_auto(cel_runtime) *runtime = runtime_new(loops);

        CHECK_INT(cel_runtime_run(runtime, "main", fn, arg), expected);
}

/* --- Several loops ---------------------------------------------------------------------------- */

static int my_loop(cel_ctx *ctx, void *arg)
{
        (void)arg;
        cel_yield(ctx);
        return cel_ctx_loop(ctx);
}

static int ask_each_loop(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        cel_task *tasks[LOOPS];
        int wrong = 0;

        (void)arg;
        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        for (int i = 0; i < LOOPS; i++)
                if (cel_spawn_on(ctx, scope, i, NULL, my_loop, NULL, &tasks[i]) < 0)
                        return CEL_ENOMEM;
        for (int i = 0; i < LOOPS; i++) {
                wrong += cel_task_await(ctx, tasks[i]) != i;
                cel_task_unref(tasks[i]);
        }
        cel_scope_close(ctx, scope);
        return wrong;
}

TEST(a_task_runs_on_the_loop_it_was_spawned_on_and_stays_there)
{
        run(LOOPS, ask_each_loop, NULL, 0);
}

static int spawn_on_no_loop(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        int wrong = 0;

        (void)arg;
        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        wrong += cel_spawn_on(ctx, scope, 2, "task", my_loop, NULL, NULL) != CEL_EINVAL;
        wrong += strcmp(cel_ctx_error_text(ctx, CEL_EINVAL), "there is no loop 2: this runtime has 2") != 0;
        wrong += cel_spawn_on(ctx, scope, -3, "task", my_loop, NULL, NULL) != CEL_EINVAL;
        cel_scope_close(ctx, scope);
        return wrong;
}

TEST(spawning_on_a_loop_that_does_not_exist_is_an_error_that_says_how_many_there_are)
{
        run(2, spawn_on_no_loop, NULL, 0);
}

static int until_canceled(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_sleep_ms(ctx, INT64_MAX / CEL_NS_PER_MS);
}

static int spread(cel_ctx *ctx, void *arg)
{
        enum { TASKS = 3 * LOOPS - 1 }; /* with this one, three for each loop */
        unsigned *on = arg;
        cel_scope *scope;

        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        for (int i = 0; i < TASKS; i++) {
                cel_task *task;

                if (cel_spawn_on(ctx, scope, CEL_LOOP_LEAST_BUSY, "sleeper", until_canceled, NULL, &task) < 0)
                        return CEL_ENOMEM;
                on[task->ctx.loop->number]++;
                cel_task_unref(task);
        }
        cel_scope_cancel(scope);
        return cel_scope_close(ctx, scope);
}

TEST(the_least_busy_loop_is_the_one_with_the_fewest_tasks)
{
        unsigned on[LOOPS] = {0};

        run(LOOPS, spread, on, 0);
        CHECK_INT(on[0], 2);
        for (int i = 1; i < LOOPS; i++)
                CHECK_INT(on[i], 3);
}

static int fail_here(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_fail(ctx, CEL_EPROTO, "the task on loop %d failed", cel_ctx_loop(ctx));
}

static int fail_on_another_loop(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;

        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        for (int i = 0; i < LOOPS; i++)
                if (cel_spawn_on(ctx, scope, i, "sleeper", until_canceled, NULL, NULL) < 0)
                        return CEL_ENOMEM;
        if (cel_spawn_on(ctx, scope, 2, "failing", fail_here, NULL, NULL) < 0)
                return CEL_ENOMEM;
        int r = cel_scope_close(ctx, scope);
        snprintf(arg, 64, "%s", cel_ctx_error_text(ctx, r));
        return r;
}

TEST(a_failure_on_one_loop_cancels_the_siblings_on_all)
{
        char text[64];

        run(LOOPS, fail_on_another_loop, text, CEL_EPROTO);
        CHECK_STR(text, "the task on loop 2 failed");
}

enum { ITEMS_EACH = 5000 };

typedef struct traffic {
        cel_channel *channel;
} traffic;

static int send_numbered(cel_ctx *ctx, void *arg)
{
        traffic *t = arg;

        for (int i = 0; i < ITEMS_EACH; i++) {
                int item = cel_ctx_loop(ctx) * ITEMS_EACH + i;
                int r = cel_channel_send(ctx, t->channel, &item);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int receive_from_all(cel_ctx *ctx, void *arg)
{
        traffic *t = arg;
        int next[LOOPS] = {0}, wrong = 0;
        cel_scope *scope;

        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        for (int i = 0; i < LOOPS; i++)
                if (cel_spawn_on(ctx, scope, i, "sender", send_numbered, t, NULL) < 0)
                        return CEL_ENOMEM;
        for (int i = 0; i < LOOPS * ITEMS_EACH; i++) {
                int item = -1;
                int r = cel_channel_receive(ctx, t->channel, &item);

                if (r < 0)
                        return r;
                wrong += item % ITEMS_EACH != next[item / ITEMS_EACH]++;
        }
        cel_scope_close(ctx, scope);
        return wrong;
}

TEST(a_channel_between_loops_loses_nothing_and_keeps_each_senders_order)
{
        traffic t;

        CHECK_INT(cel_channel_new(sizeof(int), 16, &t.channel), 0);
        run(LOOPS, receive_from_all, &t, 0);
        cel_channel_unref(t.channel);
}

static int leave_one_behind(cel_ctx *ctx, void *arg)
{
        cel_scope *system = cel__runtime_system_scope(cel_ctx_runtime(ctx));

        (void)arg;
        return cel__task_spawn_on(system, cel__runtime_loop_at(cel_ctx_runtime(ctx), 1), ctx,
                                  "of the library", until_canceled, NULL, NULL);
}

TEST(a_runtime_ends_what_the_library_runs_on_other_loops_and_may_run_again)
{
        cel_auto(cel_runtime) *runtime = runtime_new(2);

        for (int i = 0; i < 3; i++)
                CHECK_INT(cel_runtime_run(runtime, "main", leave_one_behind, NULL), 0);
}

TEST(more_loops_than_64_are_refused)
{
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = 65}, &runtime), CEL_EINVAL);
}

/* --- Posts ------------------------------------------------------------------------------------ */

enum { POSTERS = 8, POSTS_EACH = 125000 };

typedef struct poster {
        cel_runtime *runtime;
        pthread_t thread;
        cel_future *all_here; /* the same for all */
        unsigned *ended;      /* on the loop only; the same for all */
        unsigned next;        /* on the loop only */
        bool wrong;
} poster;

typedef struct letter {
        poster *from;
        unsigned number;
} letter;

static void take_letter(void *arg)
{
        letter *l = arg;
        poster *from = l->from;

        from->wrong |= l->number != from->next++;
        if (from->next == POSTS_EACH && ++*from->ended == POSTERS)
                cel_future_complete(from->all_here, 0, NULL);
}

static void *post_all(void *arg)
{
        poster *p = arg;
        letter *letters = calloc(POSTS_EACH, sizeof(*letters));

        for (unsigned i = 0; letters && i < POSTS_EACH; i++) {
                letters[i] = (letter){p, i};
                while (cel_post(p->runtime, take_letter, &letters[i]) == CEL_EFULL)
                        sched_yield();
        }
        return letters;
}

static int post_from_threads(cel_ctx *ctx, void *arg)
{
        poster *posters = arg;
        unsigned ended = 0;
        int wrong = 0;
        cel_auto(cel_future) *all_here = NULL;

        if (cel_future_new(&all_here) < 0)
                return CEL_ENOMEM;
        for (int i = 0; i < POSTERS; i++) {
                posters[i] = (poster){.runtime = cel_ctx_runtime(ctx), .all_here = all_here, .ended = &ended};
                wrong += pthread_create(&posters[i].thread, NULL, post_all, &posters[i]) != 0;
        }
        cel_await(ctx, all_here, NULL);
        for (int i = 0; i < POSTERS; i++) {
                void *letters;

                pthread_join(posters[i].thread, &letters);
                free(letters);
                wrong += posters[i].wrong;
        }
        return wrong;
}

TEST(a_million_posts_from_eight_threads_arrive_each_senders_in_order)
{
        poster posters[POSTERS];

        run(1, post_from_threads, posters, 0);
}

typedef struct where {
        cel_future *told;
        int number;
} where;

static void tell_where(void *arg)
{
        where *w = arg;

        w->number = (int)cel__loop_of_thread->number;
        cel_future_complete(w->told, 0, NULL);
}

static int post_to_each(cel_ctx *ctx, void *arg)
{
        int wrong = 0;

        (void)arg;
        for (unsigned i = 0; i < LOOPS; i++) {
                where w = {0};

                wrong += cel_future_new(&w.told) < 0;
                wrong += cel_post_to(cel_ctx_runtime(ctx), i, tell_where, &w) < 0;
                wrong += cel_await(ctx, w.told, NULL) < 0 || w.number != (int)i;
                cel_future_unref(w.told);
        }
        wrong += cel_post_to(cel_ctx_runtime(ctx), LOOPS, tell_where, NULL) != CEL_EINVAL;
        return wrong;
}

TEST(a_post_runs_on_the_loop_it_was_sent_to)
{
        run(LOOPS, post_to_each, NULL, 0);
}

typedef struct chain {
        cel_runtime *runtime;
        unsigned runs;
} chain;

static void post_onwards(void *arg)
{
        chain *c = arg;

        if (c->runs++ < 4)
                cel_post_to(c->runtime, c->runs % 2, post_onwards, c);
}

TEST(posts_that_come_after_the_end_run_when_the_runtime_is_freed_whichever_loop_they_go_to)
{
        chain c = {.runtime = runtime_new(2)};

        CHECK_INT(cel_runtime_run(c.runtime, "main", my_loop, NULL), 0);
        CHECK_INT(cel_post_to(c.runtime, 1, post_onwards, &c), 0);
        cel_runtime_free(c.runtime);
        CHECK_INT(c.runs, 5);
}

static void *spawn_late(void *arg)
{
        cel_auto(cel_ctx) *ctx = NULL;
        cel_scope *scope;

        if (cel_thread_ctx_new(arg, "late", &ctx) < 0 || cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope) < 0)
                return NULL;
        int r = cel_spawn(ctx, scope, "task", my_loop, NULL, NULL);
        int closed = cel_scope_close(ctx, scope);
        return r == CEL_ECLOSED && closed == 0 ? arg : NULL;
}

TEST(a_thread_that_spawns_after_the_end_is_told_closed)
{
        cel_auto(cel_runtime) *runtime = runtime_new(1);
        pthread_t thread;
        void *ok = NULL;

        CHECK_INT(cel_runtime_run(runtime, "main", my_loop, NULL), 0);
        CHECK_INT(pthread_create(&thread, NULL, spawn_late, runtime), 0);
        pthread_join(thread, &ok);
        CHECK(ok == runtime);
}

static int stop_and_look(cel_ctx *ctx, void *arg)
{
        bool stopped_at_the_start = cel_future_done(cel_stop_future(ctx));

        (void)arg;
        cel_stop(cel_ctx_runtime(ctx));
        return stopped_at_the_start;
}

TEST(a_runtime_that_runs_again_was_not_asked_to_stop_yet)
{
        cel_auto(cel_runtime) *runtime = runtime_new(1);

        for (int i = 0; i < 2; i++)
                CHECK_INT(cel_runtime_run(runtime, "main", stop_and_look, NULL), 0);
}

/* --- Driven by a foreign loop ----------------------------------------------------------------- */

/* What a foreign loop does: wait for the descriptor and nothing else, then step. */
static int drive(cel_runtime *runtime, cel_task_fn fn, void *arg)
{
        CHECK_INT(cel_runtime_begin(runtime, "main", fn, arg), 0);
        int fd = cel_runtime_fd(runtime);
        CHECK(fd >= 0);
        while (cel_runtime_step(runtime) > 0)
                CHECK_INT(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1), 1);
        return cel_runtime_end(runtime);
}

static int sleep_and_count(cel_ctx *ctx, void *arg)
{
        for (int i = 0; i < 20; i++) {
                int r = cel_sleep_ms(ctx, i % 3);

                if (r < 0)
                        return r;
                ++*(int *)arg;
        }
        return 7;
}

TEST(the_descriptor_wakes_a_foreign_loop_for_timers)
{
        cel_auto(cel_runtime) *runtime = runtime_new(1);
        int steps = 0;

        CHECK_INT(drive(runtime, sleep_and_count, &steps), 7);
        CHECK_INT(steps, 20);
}

TEST(a_runtime_with_several_loops_can_be_driven_too)
{
        traffic t;
        cel_auto(cel_runtime) *runtime = runtime_new(LOOPS);

        CHECK_INT(cel_channel_new(sizeof(int), 16, &t.channel), 0);
        CHECK_INT(drive(runtime, receive_from_all, &t), 0);
        cel_channel_unref(t.channel);
}

TEST(the_descriptor_wakes_a_foreign_loop_for_posts_of_threads)
{
        cel_auto(cel_runtime) *runtime = runtime_new(1);
        poster posters[POSTERS];

        CHECK_INT(drive(runtime, post_from_threads, posters), 0);
}

static int await_future(cel_ctx *ctx, void *arg)
{
        return cel_await(ctx, arg, NULL);
}

TEST(the_descriptor_tells_of_what_the_foreign_loop_itself_does_between_steps)
{
        cel_auto(cel_runtime) *runtime = runtime_new(1);
        cel_auto(cel_future) *future = NULL;

        CHECK_INT(cel_future_new(&future), 0);
        CHECK_INT(cel_runtime_begin(runtime, "main", await_future, future), 0);
        struct pollfd fd = {.fd = cel_runtime_fd(runtime), .events = POLLIN};
        do
                CHECK_INT(cel_runtime_step(runtime), 1);
        while (poll(&fd, 1, 0) > 0);
        cel_future_complete(future, 5, NULL); /* as a callback of the foreign loop would, on this thread */
        CHECK_INT(poll(&fd, 1, 0), 1);
        while (cel_runtime_step(runtime) > 0)
                ;
        CHECK_INT(cel_runtime_end(runtime), 5);
}

static int echo_over_pipe(cel_ctx *ctx, void *arg)
{
        const int *fds = arg;
        char byte = 0;

        for (int i = 0; i < 100; i++) {
                int r = cel__fd_wait(ctx, fds[0], CEL__READABLE, "pipe");

                if (r < 0 || read(fds[0], &byte, 1) != 1 || byte != (char)i)
                        return CEL_EPROTO;
                cel_yield(ctx);
        }
        return 0;
}

static void *write_to_pipe(void *arg)
{
        for (char i = 0; i < 100; i++)
                while (write(((int *)arg)[1], &i, 1) != 1)
                        ;
        return NULL;
}

TEST(the_descriptor_wakes_a_foreign_loop_for_the_descriptors_of_tasks)
{
        cel_auto(cel_runtime) *runtime = runtime_new(1);
        pthread_t thread;
        int fds[2];

        CHECK_INT(pipe(fds), 0);
        CHECK_INT(pthread_create(&thread, NULL, write_to_pipe, fds), 0);
        CHECK_INT(drive(runtime, echo_over_pipe, fds), 0);
        pthread_join(thread, NULL);
        close(fds[0]);
        close(fds[1]);
}

static int spin_for_a_while(cel_ctx *ctx, void *arg)
{
        (void)arg;
        for (int i = 0; i < 100000; i++)
                cel_yield(ctx);
        return 3;
}

TEST(a_step_ends_although_tasks_are_always_ready_and_the_descriptor_says_so)
{
        cel_auto(cel_runtime) *runtime = runtime_new(1);

        CHECK_INT(drive(runtime, spin_for_a_while, NULL), 3);
}

TEST(a_quiet_runtime_leaves_the_foreign_loop_alone)
{
        cel_auto(cel_runtime) *runtime = runtime_new(1);

        CHECK_INT(cel_runtime_begin(runtime, "main", until_canceled, NULL), 0);
        int fd = cel_runtime_fd(runtime);
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        for (int i = 0; i < 3; i++) /* watching the timer takes a step of its own */
                CHECK_INT(cel_runtime_step(runtime), 1);
        CHECK_INT(poll(&readable, 1, 0), 0);
        cel_stop(runtime);
        CHECK_INT(poll(&readable, 1, 0), 1); /* the foreign loop waits, although this is its thread */
        while (cel_runtime_step(runtime) > 0)
                ;
        CHECK_INT(cel_runtime_end(runtime), CEL_ECANCELED);
}

/* --- Forks ------------------------------------------------------------------------------------ */

static int run_nothing(cel_ctx *ctx, void *arg)
{
        (void)ctx, (void)arg;
        return 0;
}

/* In the child: how many calls did not fail with CEL_EFORKED and the sentence. */
static int count_calls_that_work(cel_ctx *ctx, cel_runtime *runtime, cel_scope *scope, cel_channel *channel)
{
        cel_scope *second;
        cel_runtime *other;
        cel_ctx *thread;
        int item = 0;

        return (cel_sleep_ms(ctx, 1) != CEL_EFORKED) + (cel_yield(ctx) != CEL_EFORKED) +
               (cel_await(ctx, cel_stop_future(ctx), NULL) != CEL_EFORKED) +
               (cel_channel_send(ctx, channel, &item) != CEL_EFORKED) +
               (cel_channel_receive(ctx, channel, &item) != CEL_EFORKED) +
               (cel_spawn(ctx, scope, "task", my_loop, NULL, NULL) != CEL_EFORKED) +
               (cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &second) != CEL_EFORKED) +
               (cel_post(runtime, tell_where, NULL) != CEL_EFORKED) +
               (cel_runtime_run(runtime, "main", my_loop, NULL) != CEL_EFORKED) +
               (cel_runtime_fd(runtime) != CEL_EFORKED) + (cel_runtime_step(runtime) != CEL_EFORKED) +
               (cel_thread_ctx_new(runtime, "thread", &thread) != CEL_EFORKED) +
               (cel_runtime_new(NULL, &other) != CEL_EFORKED) + (cel_sleep_ms(ctx, 1) != CEL_EFORKED) +
               (strstr(cel_ctx_error_text(ctx, CEL_EFORKED), "forked while a runtime was alive") == NULL);
}

static int fork_in_a_task(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_channel) *channel = NULL;
        cel_scope *scope;
        int status = -1;

        (void)arg;
        if (cel_channel_new(sizeof(int), 1, &channel) < 0 ||
            cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope) < 0)
                return CEL_ENOMEM;
        pid_t child = fork();
        if (child == 0)
                _exit(count_calls_that_work(ctx, cel_ctx_runtime(ctx), scope, channel));
        waitpid(child, &status, 0);
        cel_scope_close(ctx, scope);
        return WIFEXITED(status) ? WEXITSTATUS(status) : CEL_ESYSTEM;
}

TEST(every_call_in_a_forks_child_fails_with_a_clear_error)
{
        run(2, fork_in_a_task, NULL, 0);
}

static int fork_and_return(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        *(pid_t *)arg = fork();
        return 0;
}

TEST(a_child_that_returns_into_the_runtime_gets_the_error_too_and_can_leave)
{
        cel_runtime *runtime = runtime_new(2);
        pid_t child = -1;
        int status;

        int r = cel_runtime_run(runtime, "main", fork_and_return, &child);
        cel_runtime_free(runtime);
        if (child == 0)
                _exit(r == CEL_EFORKED ? 0 : 1);
        CHECK_INT(r, 0);
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int note_where_it_runs(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        return write(((int *)arg)[1], &(pid_t){getpid()}, sizeof(pid_t)) > 0 ? 0 : CEL_EIO;
}

static int just_fork(cel_ctx *ctx, void *arg)
{
        (void)ctx, (void)arg;
        fork();
        return 0;
}

static int fork_beside_another(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;

        cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        cel_spawn(ctx, scope, "forks", just_fork, NULL, NULL);
        cel_spawn(ctx, scope, "other", note_where_it_runs, arg, NULL);
        return cel_scope_close(ctx, scope);
}

TEST(the_other_tasks_of_the_parent_do_not_run_in_the_child)
{
        cel_runtime *runtime = runtime_new(1);
        pid_t parent = getpid(), pids[2] = {0};
        int fds[2];

        CHECK_INT(pipe(fds), 0);
        cel_runtime_run(runtime, "main", fork_beside_another, fds);
        if (getpid() != parent)
                _exit(0);
        cel_runtime_free(runtime);
        CHECK(wait(NULL) > 0);
        close(fds[1]);
        CHECK_INT(read(fds[0], pids, sizeof(pids)), sizeof(pid_t));
        CHECK_INT(pids[0], parent);
        close(fds[0]);
}

TEST(a_fork_while_no_runtime_lives_is_nobodys_business)
{
        int status;

        run(1, run_nothing, NULL, 0);
        pid_t child = fork();
        if (child == 0) {
                cel_runtime *runtime = NULL;
                int r = cel_runtime_new(NULL, &runtime);

                if (r == 0)
                        r = cel_runtime_run(runtime, "main", my_loop, NULL);
                cel_runtime_free(runtime);
                _exit(r == 0 ? 0 : 1);
        }
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
