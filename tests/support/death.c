/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

void death_of(void (*act)(void *arg), void *arg, char *text, size_t text_bytes)
{
        int fds[2];
        int status;

        CHECK_INT(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
                dup2(fds[1], STDERR_FILENO);
                close(fds[0]);
                signal(SIGABRT, SIG_DFL); /* the test runner's own */
                act(arg);
                _exit(0);
        }
        close(fds[1]);
        size_t n = 0;
        for (ssize_t got; n < text_bytes - 1 && (got = read(fds[0], text + n, text_bytes - 1 - n)) > 0;)
                n += (size_t)got;
        text[n] = '\0';
        close(fds[0]);
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

typedef struct last_act {
        void (*act)(fixture *f, fixture_kind kind);
        fixture_kind kind;
} last_act;

static void act_with_fixture(void *arg)
{
        const last_act *a = arg;
        fixture f = fixture_new();

        a->act(&f, a->kind);
}

void death_with_fixture(void (*act)(fixture *f, fixture_kind kind), fixture_kind kind, char *text,
                        size_t text_bytes)
{
        death_of(act_with_fixture, &(last_act){act, kind}, text, text_bytes);
}

static void run_victim(void *arg)
{
        fixture f = fixture_new();

        fixture_spawn(&f, "victim", *(cel_task_fn *)arg, NULL);
}

void death_of_task(cel_task_fn fn, char *text, size_t text_bytes)
{
        death_of(run_victim, &fn, text, text_bytes);
}
