/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <celadon/process.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct job {
        cel_process_options options;
        size_t bytes_max;
        cel_capture *capture;
} job;

#define ARGV(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define SH(script) ARGV("sh", "-c", script)

static int capture(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        size_t bytes_max = j->bytes_max ? j->bytes_max : 1000;

        return cel_process_capture(ctx, &j->options, bytes_max, &j->capture);
}

static void nothing_left(void)
{
        CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
        CHECK_INT(errno, ECHILD);
}

static int captured(fixture *f, fixture_kind kind, job *j)
{
        return fixture_actor_wait(f, fixture_act(f, kind, "capture", capture, j));
}

TEST_BOTH(what_a_program_prints_is_kept_with_its_status)
{
        fixture f = fixture_new();
        job j = {.options.argv = SH("echo out; echo err >&2; exit 5")};

        CHECK_INT(captured(&f, kind, &j), 5);
        CHECK_STR(j.capture->out, "out\n");
        CHECK_STR(j.capture->err, "err\n");
        CHECK_INT(j.capture->out_bytes, 4);
        CHECK_INT(j.capture->err_bytes, 4);
        CHECK(!j.capture->out_cut && !j.capture->err_cut);
        cel_capture_free(j.capture);
        fixture_free(&f);
        nothing_left();
}

TEST_BOTH(both_outputs_can_be_one)
{
        fixture f = fixture_new();
        job j = {.options = {.argv = SH("echo 1; echo 2 >&2; echo 3"), .err = CEL_STDIO_STDOUT}};

        CHECK_INT(captured(&f, kind, &j), 0);
        CHECK_STR(j.capture->out, "1\n2\n3\n");
        CHECK_STR(j.capture->err, "");
        cel_capture_free(j.capture);
        fixture_free(&f);
}

TEST_BOTH(beyond_the_limit_output_is_dropped_and_said_to_be)
{
        fixture f = fixture_new();
        job j = {.options.argv = SH("head -c 1000000 /dev/zero; head -c 300 /dev/zero >&2; exit 3"),
                 .bytes_max = 300};

        CHECK_INT(captured(&f, kind, &j), 3); /* it wrote all it wanted */
        CHECK_INT(j.capture->out_bytes, 300);
        CHECK(j.capture->out_cut);
        CHECK_INT(j.capture->err_bytes, 300);
        CHECK(!j.capture->err_cut);
        cel_capture_free(j.capture);
        fixture_free(&f);
}

TEST_BOTH(input_goes_in_however_long_it_is)
{
        enum { BYTES = 1000000 };
        static char input[BYTES];
        fixture f = fixture_new();
        job j = {.options = {.argv = ARGV("cat"), .input = input, .input_bytes = BYTES},
                 .bytes_max = BYTES + 1};

        memset(input, 'x', BYTES);
        CHECK_INT(captured(&f, kind, &j), 0);
        CHECK_INT(j.capture->out_bytes, BYTES);
        CHECK_BYTES(j.capture->out, input, BYTES);
        cel_capture_free(j.capture);
        fixture_free(&f);
}

TEST_BOTH(without_input_stdin_is_empty)
{
        fixture f = fixture_new();
        job j = {.options.argv = ARGV("cat")};

        CHECK_INT(captured(&f, kind, &j), 0);
        CHECK_INT(j.capture->out_bytes, 0);
        cel_capture_free(j.capture);
        fixture_free(&f);
}

TEST_BOTH(what_stays_behind_in_the_background_is_not_waited_for)
{
        fixture f = fixture_new();
        job j = {.options.argv = SH("sleep 1000 & echo $!")};
        int pid = 0;

        CHECK_INT(captured(&f, kind, &j), 0);
        CHECK_INT(sscanf(j.capture->out, "%d", &pid), 1);
        CHECK_INT(kill(pid, SIGKILL), 0); /* it still runs */
        cel_capture_free(j.capture);
        fixture_free(&f);
}

/* The other end of a pipe, for scripts: opens it as descriptor 9. */
static const char *phone_script(char script[512], int fd, const char *rest)
{
        snprintf(script, 512, "exec 9>/proc/%d/fd/%d; %s", (int)getpid(), fd, rest);
        return script;
}

TEST_BOTH(a_program_that_writes_while_it_is_stopped_does_not_get_stuck)
{
        fixture f = fixture_new();
        int ends[2];
        char script[512], byte;
        job j = {.options.argv = (const char *const[]){"sh", "-c", script, NULL}};

        CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
        phone_script(
                script, ends[1],
                "trap 'head -c 1000000 /dev/zero; exit' TERM; printf r >&9; while :; do sleep 0.01; done");
        fixture_actor *a = fixture_act(&f, kind, "capture", capture, &j);
        CHECK_INT(read(ends[0], &byte, 1), 1);
        fixture_cancel(a); /* time stands still: SIGKILL will not come */
        CHECK_INT(fixture_actor_wait(&f, a), CEL_ECANCELED);
        CHECK(!j.capture);
        close(ends[0]);
        close(ends[1]);
        fixture_free(&f);
        nothing_left();
}

TEST_BOTH(a_program_starts_with_clean_signals_and_three_descriptors)
{
        fixture f = fixture_new();
        job j = {.options.argv = SH("grep -E '^Sig(Blk|Ign)' /proc/self/status; cd /proc/$$/fd; echo *")};
        unsigned long long blocked = 1, ignored = 1;
        char fds[64] = "";
        sigset_t usr1, before;
        int leak = fcntl(0, F_DUPFD, 100); /* as a careless library does */

        sigemptyset(&usr1);
        sigaddset(&usr1, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &usr1, &before);
        signal(SIGPIPE, SIG_IGN);
        int r = captured(&f, kind, &j);
        signal(SIGPIPE, SIG_DFL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        close(leak);
        CHECK_INT(r, 0);
        CHECK_INT(sscanf(j.capture->out, "SigBlk: %llx SigIgn: %llx %63[0-9 ]", &blocked, &ignored, fds), 3);
        CHECK_INT(blocked, 0);
        CHECK_INT(ignored & 0x7fffffff, 0); /* 32 and 33 are glibc's own */
        CHECK_STR(fds, "0 1 2 3");          /* 3 is the folder that the shell reads */
        cel_capture_free(j.capture);
        fixture_free(&f);
}

TEST_BOTH(a_program_gets_the_folder_and_the_environment_that_it_is_given)
{
        fixture f = fixture_new();
        job j = {.options = {.argv = SH("pwd; echo $A$B"), .cwd = "/usr", .env = ARGV("A=a", "B=b")}};

        CHECK_INT(captured(&f, kind, &j), 0);
        CHECK_STR(j.capture->out, "/usr\nab\n");
        cel_capture_free(j.capture);
        fixture_free(&f);
}

TEST(what_to_capture_is_not_a_matter_of_options)
{
        fixture f = fixture_new();
        job out = {.options = {.argv = ARGV("true"), .out = CEL_STDIO_NULL}};
        job err = {.options = {.argv = ARGV("true"), .err = CEL_STDIO_PIPE}};
        job in = {.options = {.argv = ARGV("true"), .in = CEL_STDIO_PIPE}};

        CHECK_INT(captured(&f, FIXTURE_TASK, &out), CEL_EINVAL);
        CHECK_INT(captured(&f, FIXTURE_TASK, &err), CEL_EINVAL);
        CHECK_INT(captured(&f, FIXTURE_TASK, &in), CEL_EINVAL);
        fixture_free(&f);
}
