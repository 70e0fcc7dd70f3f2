/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include "rt/poller.h"

#include <celadon/process.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- Nothing leaks ---------------------------------------------------------------------------- */

static int open_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

/* A fixture, and what was open before it. */
typedef struct box {
        fixture f;
        int fds;
} box;

static box box_new(void)
{
        box b = {.f = fixture_new()}; /* libuv keeps a pipe from its first loop on */

        fixture_free(&b.f);
        b.fds = open_fds();
        b.f = fixture_new();
        return b;
}

/* Nothing is left: no descriptor, and no child, running or dead. */
static void box_free(box *b)
{
        fixture_free(&b->f);
        CHECK_INT(open_fds(), b->fds);
        CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
        CHECK_INT(errno, ECHILD);
}

/* --- Running to the end ----------------------------------------------------------------------- */

typedef struct job {
        const char *const *argv;
        int64_t within_ms; /* 0: no deadline */
        const cel_process_options *options;
        cel_process *process;
        cel_process_end end;
} job;

#define ARGV(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define SH(script) ARGV("sh", "-c", script)

static int run(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        CEL_WITHIN_MS(ctx, j->within_ms ? j->within_ms : INT64_MAX);

        return cel_process_run(ctx, j->argv);
}

static int run_sh(fixture *f, fixture_kind kind, const char *script)
{
        job j = {.argv = SH(script)};

        return fixture_actor_wait(f, fixture_act(f, kind, "run", run, &j));
}

TEST_BOTH(a_program_runs_to_its_end_and_its_status_comes_back)
{
        box b = box_new();

        CHECK_INT(run_sh(&b.f, kind, "exit 0"), 0);
        CHECK_INT(run_sh(&b.f, kind, "exit 7"), 7);
        CHECK_INT(run_sh(&b.f, kind, "kill -9 $$"), 128 + SIGKILL);
        box_free(&b);
}

TEST_BOTH(a_program_that_does_not_exist_is_named)
{
        box b = box_new();
        job nowhere = {.argv = ARGV("celadon-no-such-program")};
        job no_path = {.argv = ARGV("/nonexistent/tool")};
        job folder = {.argv = ARGV("/etc")};

        fixture_actor *a = fixture_act(&b.f, kind, "run", run, &nowhere);
        CHECK_DONE(a, CEL_ENOTFOUND);
        CHECK(strstr(fixture_actor_text(a), "\"celadon-no-such-program\" in PATH"));
        a = fixture_act(&b.f, kind, "run", run, &no_path);
        CHECK_DONE(a, CEL_ENOTFOUND);
        CHECK(strstr(fixture_actor_text(a), "\"/nonexistent/tool\","));
        CHECK_DONE(fixture_act(&b.f, kind, "run", run, &folder), CEL_EACCESS);
        box_free(&b);
}

/* --- Deadline and cancellation ---------------------------------------------------------------- */

/* A script says through a pipe that it has come so far; its end can be seen there too. */
typedef struct phone {
        int ends[2];
        char script[512];
} phone;

static phone phone_new(const char *format)
{
        phone p;
        char *path;

        CHECK_INT(pipe2(p.ends, O_CLOEXEC), 0);
        CHECK(asprintf(&path, "/proc/%d/fd/%d", (int)getpid(), p.ends[1]) > 0);
        snprintf(p.script, sizeof(p.script), "exec 9>%s; %s", path, format);
        free(path);
        return p;
}

static void phone_wait(phone *p, const char *expected)
{
        char byte;

        for (; *expected; expected++) {
                CHECK_INT(read(p->ends[0], &byte, 1), 1);
                CHECK_INT(byte, *expected);
        }
}

/* Everybody has hung up but us. */
static void phone_wait_end(phone *p)
{
        char byte;

        close(p->ends[1]);
        CHECK_INT(read(p->ends[0], &byte, 1), 0);
        close(p->ends[0]);
}

TEST_BOTH(a_deadline_ends_the_program_with_sigterm)
{
        box b = box_new();
        phone p = phone_new("trap 'printf t >&9; exit 3' TERM; printf r >&9; while :; do sleep 0.01; done");
        job j = {.argv = SH(p.script), .within_ms = 50};

        fixture_actor *a = fixture_act(&b.f, kind, "run", run, &j);
        phone_wait(&p, "r");
        fixture_advance_ms(&b.f, 49);
        CHECK_WAITS(a);
        fixture_advance_ms(&b.f, 1);
        CHECK_INT(fixture_actor_wait(&b.f, a), CEL_ETIMEDOUT);
        CHECK(strstr(fixture_actor_text(a), "sh did not end and was stopped: deadline passed"));
        phone_wait(&p, "t");
        phone_wait_end(&p);
        box_free(&b);
}

TEST_BOTH(a_program_that_ignores_sigterm_is_killed_after_the_grace)
{
        box b = box_new();
        phone p = phone_new("trap '' TERM; printf r >&9; while :; do sleep 0.01; done");
        job j = {.argv = SH(p.script)};

        fixture_actor *a = fixture_act(&b.f, kind, "run", run, &j);
        phone_wait(&p, "r");
        fixture_cancel(a);
        fixture_advance_ms(&b.f, 4999);
        CHECK_WAITS(a);
        fixture_advance_ms(&b.f, 1);
        CHECK_INT(fixture_actor_wait(&b.f, a), CEL_ECANCELED);
        phone_wait_end(&p);
        box_free(&b);
}

TEST_BOTH(stopping_reaches_grandchildren)
{
        box b = box_new();
        phone p = phone_new("(trap '' TERM; printf r >&9; while :; do sleep 0.01; done) & wait");
        job j = {.argv = SH(p.script)};

        fixture_actor *a = fixture_act(&b.f, kind, "run", run, &j);
        phone_wait(&p, "r");
        fixture_cancel(a);
        CHECK_INT(fixture_actor_wait(&b.f, a), CEL_ECANCELED);
        phone_wait_end(&p); /* the grandchild had it open */
        box_free(&b);
}

TEST_BOTH(a_stopped_program_hears_sigterm_too)
{
        box b = box_new();
        phone p = phone_new("printf r >&9; kill -STOP $$");
        job j = {.argv = SH(p.script)};

        fixture_actor *a = fixture_act(&b.f, kind, "run", run, &j);
        phone_wait(&p, "r");
        fixture_cancel(a); /* if it is not stopped yet, the test proves less but does not fail */
        CHECK_INT(fixture_actor_wait(&b.f, a), CEL_ECANCELED);
        phone_wait_end(&p);
        box_free(&b);
}

static int run_when_canceled(cel_ctx *ctx, void *arg)
{
        cel_ctx_cancel(ctx);
        return run(ctx, arg);
}

static int run_when_late(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 0);
        return run(ctx, arg);
}

TEST_BOTH(nothing_is_started_for_a_ctx_that_is_cancelled_or_late)
{
        box b = box_new();
        phone p = phone_new("printf r >&9");
        job j = {.argv = SH(p.script)};

        CHECK_INT(fixture_actor_wait(&b.f, fixture_act(&b.f, kind, "late", run_when_late, &j)),
                  CEL_ETIMEDOUT);
        CHECK_INT(fixture_actor_wait(&b.f, fixture_act(&b.f, kind, "canceled", run_when_canceled, &j)),
                  CEL_ECANCELED);
        phone_wait_end(&p); /* it has not written */
        box_free(&b);
}

/* --- One that goes on while we do ------------------------------------------------------------- */

static int spawn(cel_ctx *ctx, void *arg)
{
        job *j = arg;

        return cel_process_spawn(ctx, j->options, &j->process);
}

static int wait_end(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        CEL_WITHIN_MS(ctx, j->within_ms ? j->within_ms : INT64_MAX);

        return cel_process_wait(ctx, j->process, &j->end);
}

/* Start it with a ctx of this kind. */
static job started(fixture *f, fixture_kind kind, const cel_process_options *options)
{
        job j = {.options = options};

        CHECK_DONE(fixture_act(f, kind, "spawn", spawn, &j), 0);
        return j;
}

TEST_BOTH(several_wait_for_one_program_and_may_give_up)
{
        box b = box_new();
        job j = started(&b.f, kind, &(cel_process_options){.argv = ARGV("sleep", "1000")});
        job other = j, hasty = j;

        hasty.within_ms = 50;
        fixture_actor *one = fixture_act(&b.f, kind, "one", wait_end, &j);
        fixture_actor *two = fixture_act(&b.f, fixture_other(kind), "two", wait_end, &other);
        fixture_actor *gone = fixture_act(&b.f, kind, "gone", wait_end, &hasty);
        fixture_actor *canceled = fixture_act(&b.f, kind, "canceled", wait_end, &hasty);
        fixture_cancel(canceled);
        CHECK_DONE(canceled, CEL_ECANCELED);
        fixture_advance_ms(&b.f, 50);
        CHECK_DONE(gone, CEL_ETIMEDOUT);
        CHECK_WAITS(one);
        CHECK_INT(cel_process_kill(j.process, SIGUSR1), 0);
        CHECK_INT(fixture_actor_wait(&b.f, one), 128 + SIGUSR1);
        CHECK_INT(fixture_actor_wait(&b.f, two), 128 + SIGUSR1);
        CHECK_INT(j.end.exit_status, -1);
        CHECK_INT(j.end.signal_number, SIGUSR1);
        CHECK_INT(fixture_actor_wait(&b.f, fixture_act(&b.f, kind, "again", wait_end, &j)), 128 + SIGUSR1);
        CHECK_INT(cel_process_kill(j.process, SIGUSR1), CEL_ENOTFOUND);
        cel_process_free(j.process);
        box_free(&b);
}

static int free_it(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        cel_process_free(arg);
        return 0;
}

TEST_BOTH(freeing_a_process_kills_and_reaps_the_program)
{
        box b = box_new();
        phone p = phone_new("trap '' TERM; printf r >&9; while :; do sleep 0.01; done");
        job j = started(&b.f, kind, &(cel_process_options){.argv = SH(p.script)});

        phone_wait(&p, "r");
        fixture_actor_wait(&b.f, fixture_act(&b.f, kind, "free", free_it, j.process));
        phone_wait_end(&p);
        box_free(&b);
}

TEST(a_program_that_shares_our_group_is_signalled_alone)
{
        box b = box_new();
        job own = started(&b.f, FIXTURE_TASK, &(cel_process_options){.argv = ARGV("sleep", "1000")});
        job shared = started(&b.f, FIXTURE_TASK,
                             &(cel_process_options){.argv = ARGV("sleep", "1000"), .share_group = true});

        CHECK_INT(getpgid(cel_process_pid(own.process)), cel_process_pid(own.process));
        CHECK_INT(getpgid(cel_process_pid(shared.process)), getpgid(0));
        CHECK_INT(cel_process_kill(shared.process, SIGTERM), 0); /* and not us */
        CHECK_INT(fixture_actor_wait(&b.f, fixture_act(&b.f, FIXTURE_TASK, "wait", wait_end, &shared)),
                  128 + SIGTERM);
        cel_process_free(own.process);
        cel_process_free(shared.process);
        box_free(&b);
}

/* --- Pipes ------------------------------------------------------------------------------------ */

/* What comes out of `fd` until its end. */
static int read_all(cel_ctx *ctx, int fd, char *text, size_t size)
{
        size_t used = 0;

        for (;;) {
                ssize_t n = read(fd, text + used, size - 1 - used);

                if (n > 0) {
                        used += (size_t)n;
                } else if (n == 0) {
                        text[used] = '\0';
                        return 0;
                } else {
                        int r = cel__fd_wait(ctx, fd, CEL__READABLE, "test");

                        if (r < 0)
                                return r;
                }
        }
}

static int talk(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_process) *process = NULL;
        char *text = arg;
        int r = cel_process_spawn(ctx,
                                  &(cel_process_options){.argv = ARGV("tr", "a-z", "A-Z"),
                                                         .in = CEL_STDIO_PIPE,
                                                         .out = CEL_STDIO_PIPE},
                                  &process);
        if (r < 0)
                return r;
        int in = cel_process_take_pipe(process, 0), out = cel_process_take_pipe(process, 1);
        CHECK_INT(cel_process_take_pipe(process, 1), CEL_ENOTFOUND);
        CHECK_INT(cel_process_take_pipe(process, 2), CEL_ENOTFOUND);
        CHECK_INT(write(in, "hello", 5), 5);
        close(in);
        r = read_all(ctx, out, text, 64);
        close(out);
        return r < 0 ? r : cel_process_finish(ctx, process);
}

TEST_BOTH(pipes_connect_us_with_the_program)
{
        box b = box_new();
        char text[64];

        CHECK_INT(fixture_actor_wait(&b.f, fixture_act(&b.f, kind, "talk", talk, text)), 0);
        CHECK_STR(text, "HELLO");
        box_free(&b);
}

/* --- When it goes wrong ----------------------------------------------------------------------- */

TEST(options_that_make_no_sense_are_refused)
{
        const cel_process_options wrong[] = {
                {.argv = NULL},
                {.argv = (const char *const[]){NULL}},
                {.argv = (const char *const[]){"true", NULL}, .out = CEL_STDIO_STDOUT},
                {.argv = (const char *const[]){"true", NULL}, .in = CEL_STDIO_PIPE, .input = "x"},
                {.argv = (const char *const[]){"true", NULL}, .stop_ms_grace = -1},
        };
        box b = box_new();

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                CHECK_DONE(fixture_act(&b.f, FIXTURE_TASK, "spawn", spawn, &(job){.options = &wrong[i]}),
                           CEL_EINVAL);
        box_free(&b);
}

TEST(a_folder_that_does_not_exist_is_named)
{
        box b = box_new();
        job j = {.options = &(cel_process_options){.argv = ARGV("true"), .cwd = "/nonexistent"}};

        fixture_actor *a = fixture_act(&b.f, FIXTURE_TASK, "spawn", spawn, &j);
        CHECK_DONE(a, CEL_ENOTFOUND);
        CHECK(strstr(fixture_actor_text(a), "/nonexistent"));
        box_free(&b);
}

TEST(a_program_that_ignores_sigchld_is_told_why_it_cannot_have_children)
{
        box b = box_new();
        job j = {.argv = ARGV("true")};

        signal(SIGCHLD, SIG_IGN);
        fixture_actor *a = fixture_act(&b.f, FIXTURE_TASK, "run", run, &j);
        signal(SIGCHLD, SIG_DFL);
        CHECK_DONE(a, CEL_ENOSUPPORT);
        CHECK(strstr(fixture_actor_text(a), "SIGCHLD"));
        box_free(&b);
}

TEST_BOTH(a_status_that_somebody_else_took_is_an_error_and_nothing_hangs)
{
        box b = box_new();
        job j = started(&b.f, kind, &(cel_process_options){.argv = ARGV("true")});

        CHECK_INT(waitpid(cel_process_pid(j.process), NULL, 0), cel_process_pid(j.process));
        CHECK_INT(fixture_actor_wait(&b.f, fixture_act(&b.f, kind, "wait", wait_end, &j)), CEL_EUNKNOWN);
        cel_process_free(j.process);
        box_free(&b);
}

TEST_BOTH(without_descriptors_nothing_is_started_and_nothing_leaks)
{
        box b = box_new();
        const cel_process_options options = {.argv = ARGV("true"),
                                             .out = CEL_STDIO_PIPE,
                                             .err = CEL_STDIO_PIPE,
                                             .input = "x",
                                             .input_bytes = 1};
        job j = {.options = &options};
        struct rlimit before;
        int r = CEL_ESYSTEM;

        /* With a thread's ctx everything it needs exists only now. */
        CHECK_INT(run_sh(&b.f, kind, "exit 0"), 0);
        CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
        int open_now = open_fds();
        for (int spare = 0; r == CEL_ESYSTEM; spare++) {
                struct rlimit tight = {.rlim_cur = (rlim_t)(open_now - 3 + spare),
                                       .rlim_max = before.rlim_max};

                CHECK_INT(setrlimit(RLIMIT_NOFILE, &tight), 0);
                fixture_actor *a = fixture_act(&b.f, kind, "spawn", spawn, &j);
                CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
                CHECK(fixture_actor_done(a));
                r = fixture_actor_result(a);
                CHECK(spare < 20);
                if (r < 0)
                        CHECK_INT(open_fds(), open_now);
        }
        CHECK_INT(r, 0);
        CHECK_INT(fixture_actor_wait(&b.f, fixture_act(&b.f, kind, "wait", wait_end, &j)), 0);
        cel_process_free(j.process);
        box_free(&b);
}

TEST(a_forks_child_leaves_its_parents_programs_alone)
{
        box b = box_new();
        job j = started(&b.f, FIXTURE_TASK, &(cel_process_options){.argv = ARGV("sleep", "1000")});
        int status;

        pid_t pid = fork();
        if (pid == 0) {
                int r = cel_process_kill(j.process, SIGKILL);

                cel_process_free(j.process);
                _exit(r == CEL_EFORKED ? 0 : 1);
        }
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(status, 0);
        fixture_actor *a = fixture_act(&b.f, FIXTURE_TASK, "wait", wait_end, &j);
        CHECK_WAITS(a);
        CHECK_INT(cel_process_kill(j.process, SIGTERM), 0);
        CHECK_INT(fixture_actor_wait(&b.f, a), 128 + SIGTERM);
        cel_process_free(j.process);
        box_free(&b);
}

/* --- Many at once ----------------------------------------------------------------------------- */

TEST(many_programs_run_at_once_and_each_gets_its_own_status)
{
        enum { N = 32 };
        box b = box_new();
        fixture_actor *actors[N];
        char scripts[N][32];
        const char *argv[N][4];
        job jobs[N];

        for (int i = 0; i < N; i++) {
                snprintf(scripts[i], sizeof(scripts[i]), "exit %d", i);
                memcpy(argv[i], (const char *[]){"sh", "-c", scripts[i], NULL}, sizeof(argv[i]));
                jobs[i] = (job){.argv = argv[i]};
                actors[i] = fixture_act(&b.f, i % 4 ? FIXTURE_TASK : FIXTURE_THREAD, "run", run, &jobs[i]);
        }
        for (int i = 0; i < N; i++)
                CHECK_INT(fixture_actor_wait(&b.f, actors[i]), i);
        box_free(&b);
}
