/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

void death_of(void (*act)(fixture *f, fixture_kind kind), fixture_kind kind, char *text, size_t text_bytes)
{
        int fds[2];
        int status;

        CHECK_INT(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
                dup2(fds[1], STDERR_FILENO);
                close(fds[0]);
                signal(SIGABRT, SIG_DFL); /* the test runner's own */
                fixture f = fixture_new();
                act(&f, kind);
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
