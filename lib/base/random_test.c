/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "base/uuid.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int compare(const void *a, const void *b)
{
        return strcmp(a, b);
}

TEST(no_two_ids_are_equal_and_all_are_of_version_4)
{
        enum { N = 10000 };
        static char ids[N][CEL__UUID_BYTES];

        for (int i = 0; i < N; i++) {
                cel__uuid_hex(ids[i]);
                CHECK_INT(strspn(ids[i], "0123456789abcdef"), CEL__UUID_BYTES - 1);
                CHECK_INT(ids[i][12], '4');
        }
        qsort(ids, N, sizeof(ids[0]), compare);
        for (int i = 1; i < N; i++)
                CHECK(strcmp(ids[i - 1], ids[i]) != 0);
}

TEST(a_forked_child_has_ids_of_its_own)
{
        char mine[CEL__UUID_BYTES], childs[CEL__UUID_BYTES] = "";
        int pipe_fds[2];

        cel__uuid_hex(mine); /* there is a stock now, which the child inherits */
        CHECK_INT(pipe(pipe_fds), 0);
        pid_t child = fork();
        if (child == 0) {
                cel__uuid_hex(childs);
                _exit(write(pipe_fds[1], childs, sizeof(childs)) == sizeof(childs) ? 0 : 1);
        }
        cel__uuid_hex(mine);
        CHECK_INT(read(pipe_fds[0], childs, sizeof(childs)), sizeof(childs));
        CHECK_INT(waitpid(child, NULL, 0), child);
        CHECK_INT(strlen(childs), CEL__UUID_BYTES - 1);
        CHECK(strcmp(mine, childs) != 0);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
}
