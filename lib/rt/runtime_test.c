/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <celadon/log.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int return_arg(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        return *(int *)arg;
}

TEST(run_returns_the_result_of_the_first_task)
{
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "first", return_arg, &(int){42}), 42);
        CHECK_INT(cel_runtime_run(runtime, "first", return_arg, &(int){CEL_EPROTO}), CEL_EPROTO);
        CHECK(cel_runtime_free(runtime) == NULL);
        CHECK(cel_runtime_free(NULL) == NULL);
}

TEST(options_that_make_no_sense_are_refused)
{
        cel_runtime *runtime = NULL;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.stack_bytes = 1}, &runtime), CEL_EINVAL);
        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.stack_bytes = SIZE_MAX}, &runtime), CEL_EINVAL);
        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.stack_bytes = SIZE_MAX / 32}, &runtime),
                  CEL_EINVAL);
        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.wedge_ms_max = -1}, &runtime), CEL_EINVAL);
        CHECK(runtime == NULL);
        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.stack_bytes = 256 * 1024 * 1024}, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "first", return_arg, &(int){0}), 0);
        cel_runtime_free(runtime);
}

/* --- What the library runs for itself --------------------------------------------------------- */

static int sleep_until_canceled(cel_ctx *ctx, void *arg)
{
        int r = cel_sleep_ms(ctx, 100000);

        *(int *)arg = r;
        return r;
}

static int spawn_system_task(cel_ctx *ctx, void *arg)
{
        int r = cel_spawn(ctx, cel__runtime_system_scope(cel_ctx_runtime(ctx)), "system",
                          sleep_until_canceled, arg, NULL);

        return r < 0 ? r : cel_yield(ctx);
}

static int is_system_task_well(cel_ctx *ctx, void *arg)
{
        int r = spawn_system_task(ctx, arg);

        return r < 0 ? r : *(int *)arg; /* 1 unless it has ended */
}

TEST(the_librarys_own_tasks_are_cancelled_and_waited_for_when_the_program_has_ended)
{
        cel_runtime *runtime;
        int result = 1;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "first", spawn_system_task, &result), 0);
        CHECK_INT(result, CEL_ECANCELED);
        cel_runtime_free(runtime);
}

TEST(a_runtime_that_runs_again_has_tasks_of_its_own_again)
{
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        for (int i = 0; i < 3; i++) {
                int result = 1;

                CHECK_INT(cel_runtime_run(runtime, "first", is_system_task_well, &result), 1);
                CHECK_INT(result, CEL_ECANCELED);
        }
        cel_runtime_free(runtime);
}

typedef struct crowd {
        cel_runtime *runtime;
        pthread_barrier_t barrier;
        unsigned freed;
} crowd;

typedef struct attached {
        cel__attachment attachment;
        unsigned *freed;
} attached;

static void free_attached(cel__attachment *attachment)
{
        attached *a = cel__container(attachment, attached, attachment);

        ++*a->freed;
        free(a);
}

/* Returns what is in the slot then. */
static void *thread_attaches(void *arg)
{
        crowd *c = arg;
        attached *made = malloc(sizeof(*made));

        *made = (attached){.attachment.free = free_attached, .freed = &c->freed};
        pthread_barrier_wait(&c->barrier);
        cel__attachment *there = cel__runtime_attach(c->runtime, CEL__SLOT_NAMES, &made->attachment);
        if (there != &made->attachment)
                free(made);
        return there;
}

TEST(threads_that_attach_to_a_slot_at_once_get_the_same_and_it_is_freed_with_the_runtime)
{
        crowd c;

        pthread_barrier_init(&c.barrier, NULL, 3);
        for (int round = 0; round < 200; round++) {
                pthread_t threads[3];
                void *there[3];

                c.freed = 0;
                CHECK_INT(cel_runtime_new(NULL, &c.runtime), 0);
                for (int i = 0; i < 3; i++)
                        CHECK_INT(pthread_create(&threads[i], NULL, thread_attaches, &c), 0);
                for (int i = 0; i < 3; i++)
                        pthread_join(threads[i], &there[i]);
                CHECK(there[0] != NULL && there[0] == there[1] && there[1] == there[2]);
                CHECK(cel__runtime_attached(c.runtime, CEL__SLOT_NAMES) == there[0]);
                cel_runtime_free(c.runtime);
                CHECK_INT(c.freed, 1);
        }
        pthread_barrier_destroy(&c.barrier);
}

/* --- Stopping --------------------------------------------------------------------------------- */

static int stop_and_await_it(cel_ctx *ctx, void *arg)
{
        cel_future *stop = cel_stop_future(ctx);

        (void)arg;
        CHECK(!cel_future_done(stop));
        cel_stop(cel_ctx_runtime(ctx));
        int r = cel_await(ctx, stop, NULL);
        return r < 0 ? r : cel_ctx_canceled(ctx) ? CEL_ECANCELED : 1;
}

TEST(a_program_that_took_the_stop_future_is_asked_through_it_and_not_cancelled)
{
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "first", stop_and_await_it, NULL), 1);
        cel_runtime_free(runtime);
}

static int stop_and_sleep(cel_ctx *ctx, void *arg)
{
        (void)arg;
        cel_stop(cel_ctx_runtime(ctx));
        return cel_sleep_ms(ctx, 100000);
}

TEST(a_program_that_never_asked_for_the_stop_future_is_cancelled)
{
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "first", stop_and_sleep, NULL), CEL_ECANCELED);
        cel_runtime_free(runtime);
}

static int stop_twice(cel_ctx *ctx, void *arg)
{
        int r = stop_and_await_it(ctx, arg);

        if (r != 1)
                return r;
        cel_stop(cel_ctx_runtime(ctx));
        return cel_ctx_canceled(ctx) ? cel_sleep_ms(ctx, 100000) : CEL_EPROTO;
}

TEST(the_second_stop_cancels_even_a_program_that_took_the_future)
{
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "first", stop_twice, NULL), CEL_ECANCELED);
        cel_runtime_free(runtime);
}

static void *thread_stops(void *arg)
{
        cel_stop(arg);
        return NULL;
}

static int await_stop_from_thread(cel_ctx *ctx, void *arg)
{
        cel_future *stop = cel_stop_future(ctx);

        CHECK_INT(pthread_create(arg, NULL, thread_stops, cel_ctx_runtime(ctx)), 0);
        return cel_await(ctx, stop, NULL);
}

TEST(any_thread_may_stop_the_program_at_any_time)
{
        cel_runtime *runtime;
        pthread_t thread, early, late;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(pthread_create(&early, NULL, thread_stops, runtime),
                  0); /* races with the run's beginning */
        int r = cel_runtime_run(runtime, "first", await_stop_from_thread, &thread);
        CHECK(r == 0 || r == CEL_ECANCELED); /* whether it took the future before the early one, or after, or
                                                too late */
        CHECK_INT(pthread_create(&late, NULL, thread_stops, runtime), 0);
        pthread_join(early, NULL);
        pthread_join(thread, NULL);
        pthread_join(late, NULL);
        cel_runtime_free(runtime);
}

/* --- In a process of its own ------------------------------------------------------------------ */

typedef struct child {
        cel_task_fn fn;
        void *arg;
        int signals;     /* sent one after the other, each when the program asks for it */
        char text[4096]; /* what it printed to standard error */
        int status;
} child;

static int ask_fd; /* in the child: a byte to it asks the test for a signal */

static void run_child(child *c, int (*body)(const child *c))
{
        int err[2], ask[2];
        char byte;

        CHECK_INT(pipe(err), 0);
        CHECK_INT(pipe(ask), 0);
        pid_t pid = fork();
        if (pid == 0) {
                dup2(err[1], STDERR_FILENO);
                close(err[0]);
                close(ask[0]);
                signal(SIGABRT, SIG_DFL);
                ask_fd = ask[1];
                _exit(body(c));
        }
        close(err[1]);
        close(ask[1]);
        for (int i = 0; i < c->signals; i++) {
                CHECK_INT(read(ask[0], &byte, 1), 1);
                CHECK_INT(kill(pid, i == 0 ? SIGTERM : SIGINT), 0);
        }
        size_t n = 0;
        for (ssize_t got;
             n < sizeof(c->text) - 1 && (got = read(err[0], c->text + n, sizeof(c->text) - 1 - n)) > 0;)
                n += (size_t)got;
        c->text[n] = '\0';
        close(err[0]);
        close(ask[0]);
        CHECK_INT(waitpid(pid, &c->status, 0), pid);
}

static int main_of(const child *c)
{
        return cel_main(c->fn, c->arg);
}

#define CHECK_EXIT(c, code)                                \
        do {                                               \
                CHECK(WIFEXITED((c)->status));             \
                CHECK_INT(WEXITSTATUS((c)->status), code); \
        } while (0)

TEST(the_exit_status_of_a_program_is_its_result)
{
        child well = {.fn = return_arg, .arg = &(int){0}}, count = {.fn = return_arg, .arg = &(int){3}};

        run_child(&well, main_of);
        CHECK_EXIT(&well, 0);
        CHECK_STR(well.text, "");
        run_child(&count, main_of);
        CHECK_EXIT(&count, 3);
}

static int fail_with_text(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_fail(ctx, CEL_EAUTH, "nobody knows %s", "guest");
}

TEST(a_program_that_fails_says_why_and_exits_with_1)
{
        child c = {.fn = fail_with_text};

        run_child(&c, main_of);
        CHECK_EXIT(&c, 1);
        CHECK(strstr(c.text, " ERROR MAIN-FAILED nobody knows guest\n") != NULL);
}

static int await_stop(cel_ctx *ctx, void *arg)
{
        cel_future *stop = cel_stop_future(ctx);

        (void)arg;
        if (write(ask_fd, "", 1) != 1)
                return CEL_ESYSTEM;
        return cel_await(ctx, stop, NULL);
}

TEST(sigterm_completes_the_stop_future)
{
        child c = {.fn = await_stop, .signals = 1};

        run_child(&c, main_of);
        CHECK_EXIT(&c, 0);
}

static int sleep_and_ask(cel_ctx *ctx, void *arg)
{
        (void)arg;
        if (write(ask_fd, "", 1) != 1)
                return CEL_ESYSTEM;
        return cel_sleep_ms(ctx, 1000000);
}

TEST(sigterm_cancels_a_program_that_never_asked_for_the_stop_future)
{
        child c = {.fn = sleep_and_ask, .signals = 1};

        run_child(&c, main_of);
        CHECK_EXIT(&c, 1);
        CHECK(strstr(c.text, "MAIN-FAILED cancelled") != NULL);
}

static int await_stop_then_sleep(cel_ctx *ctx, void *arg)
{
        int r = await_stop(ctx, arg);

        return r < 0 ? r : sleep_and_ask(ctx, arg) == CEL_ECANCELED ? 7 : 8;
}

TEST(a_second_signal_cancels_the_first_task)
{
        child c = {.fn = await_stop_then_sleep, .signals = 2};

        run_child(&c, main_of);
        CHECK_EXIT(&c, 7);
}

static int write_to_nobody(cel_ctx *ctx, void *arg)
{
        int fds[2];

        (void)ctx;
        (void)arg;
        if (pipe(fds) < 0)
                return CEL_ESYSTEM;
        close(fds[0]);
        return write(fds[1], "x", 1) < 0 ? 4 : 5;
}

TEST(sigpipe_does_not_end_a_program)
{
        child c = {.fn = write_to_nobody};

        run_child(&c, main_of);
        CHECK_EXIT(&c, 4);
}

static int free_too_early(const child *c)
{
        fixture f = fixture_new();

        (void)c;
        cel__task_spawn(f.scope, NULL, "alive", sleep_until_canceled, &(int){0}, NULL);
        cel_runtime_free(f.runtime);
        return 0;
}

TEST(freeing_a_runtime_while_a_task_is_alive_aborts_with_a_sentence)
{
        child c = {0};

        run_child(&c, free_too_early);
        CHECK(c.status != 0);
        CHECK(strstr(c.text, "a runtime was freed while 1 tasks were alive") != NULL);
}

static void plain_handler(int signal_number)
{
        static const char text[] = "the program's own handler\n";

        (void)signal_number;
        if (write(STDERR_FILENO, text, sizeof(text) - 1) > 0)
                _exit(9);
}

static int fault(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        (void)arg;
        return raise(SIGSEGV); /* and no real one: sanitizers and valgrind would have their say first */
}

static int fault_with_a_handler_of_its_own(const child *c)
{
        signal(SIGSEGV, plain_handler);
        return cel_main(c->fn, NULL);
}

TEST(a_fault_that_is_no_overflow_goes_to_the_handler_that_was_there_before)
{
        child c = {.fn = fault};

        run_child(&c, fault_with_a_handler_of_its_own);
        CHECK_EXIT(&c, 9);
        CHECK(strstr(c.text, "the program's own handler\n") != NULL);
}

TEST(a_run_gives_the_thread_back_the_signal_stack_it_had)
{
        static char own[65536];
        stack_t before, after;
        cel_runtime *runtime;

        CHECK_INT(sigaltstack(&(stack_t){.ss_sp = own, .ss_size = sizeof(own)}, &before), 0);
        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_runtime_run(runtime, "first", return_arg, &(int){0}), 0);
        CHECK_INT(sigaltstack(&before, &after), 0);
        CHECK(after.ss_sp == own);
        cel_runtime_free(runtime);
}
