/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "rt/stack.h"
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK_BYTES = 32 * 1024, STACKS = 200 };

TEST(stacks_are_rounded_up_to_pages_writable_to_both_ends_and_apart)
{
        cel__stack_pool pool;
        cel__stack *stacks[STACKS];

        cel__stack_pool_init(&pool, STACK_BYTES - 100);
        for (int i = 0; i < STACKS; i++) {
                stacks[i] = cel__stack_get(&pool);
                CHECK(stacks[i] != NULL);
                CHECK_INT(stacks[i]->bytes, STACK_BYTES);
                CHECK(stacks[i]->guarded);
                CHECK(stacks[i]->guard_lo < stacks[i]->lo);
                memset(stacks[i]->lo, i, 16);
                memset(stacks[i]->lo + stacks[i]->bytes - 16, i, 16);
        }
        for (int i = 0; i < STACKS; i++) {
                CHECK_INT((unsigned char)stacks[i]->lo[0], i);
                CHECK_INT((unsigned char)stacks[i]->lo[stacks[i]->bytes - 1], i);
                CHECK(!cel__stack_overflowed(stacks[i]));
                cel__stack_put(&pool, stacks[i]);
        }
        cel__stack_pool_fini(&pool);
}

TEST(a_stack_that_was_given_back_is_the_next_to_be_given_out)
{
        cel__stack_pool pool;

        cel__stack_pool_init(&pool, STACK_BYTES);
        cel__stack *stack = cel__stack_get(&pool);
        cel__stack_put(&pool, stack);
        CHECK(cel__stack_get(&pool) == stack);
        cel__stack_put(&pool, stack);
        cel__stack_pool_fini(&pool);
}

/* How a child process ends that writes to `address`; 0: nothing happened. */
static int death_by_writing(char *address)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                signal(SIGSEGV, SIG_DFL);
                *(volatile char *)address = 1;
                _exit(0);
        }
        CHECK_INT(waitpid(pid, &status, 0), pid);
        return status;
}

TEST(writing_anywhere_in_the_guard_is_deadly_and_at_the_lowest_byte_of_the_stack_is_not)
{
        cel__stack_pool pool;

        cel__stack_pool_init(&pool, STACK_BYTES);
        cel__stack *low = cel__stack_get(&pool), *high = cel__stack_get(&pool);
        for (cel__stack *stack = low;; stack = high) {
                CHECK_INT(death_by_writing(stack->lo), 0);
                CHECK(death_by_writing(stack->lo - 1) != 0);
                CHECK(death_by_writing(stack->guard_lo) != 0);
                if (stack == high)
                        break;
        }
        cel__stack_put(&pool, low);
        cel__stack_put(&pool, high);
        cel__stack_pool_fini(&pool);
}

TEST(a_guard_outlasts_its_stack_being_used_again_and_its_pages_given_back)
{
        enum { MANY = 1200 }; /* more than stay warm when unused */
        cel__stack_pool pool;
        cel__stack *stacks[MANY];

        cel__stack_pool_init(&pool, 16 * 1024);
        for (int i = 0; i < MANY; i++) {
                stacks[i] = cel__stack_get(&pool);
                CHECK(stacks[i] != NULL);
                stacks[i]->lo[0] = 1;
        }
        for (int i = 0; i < MANY; i++)
                cel__stack_put(&pool, stacks[i]);
        CHECK(death_by_writing(stacks[0]->lo - 1) != 0);
        CHECK(death_by_writing(stacks[MANY - 1]->lo - 1) != 0);
        CHECK_INT(stacks[MANY - 1]->lo[0], 0); /* its page went back to the kernel */
        cel__stack_pool_fini(&pool);
}

TEST(without_a_guard_a_canary_tells_that_the_stack_was_overrun)
{
        cel__stack_pool pool;

        cel__stack_pool_init(&pool, STACK_BYTES);
        cel__stack *stack = cel__stack_get(&pool);
        stack->guarded = false;
        cel__stack_put(&pool, stack);
        CHECK(cel__stack_get(&pool) == stack);
        CHECK(!cel__stack_overflowed(stack));
        memset(stack->lo + sizeof(uint64_t), 0xee, 64);
        CHECK(!cel__stack_overflowed(stack));
        stack->lo[sizeof(uint64_t) - 1] ^= 1;
        CHECK(cel__stack_overflowed(stack));
        cel__stack_put(&pool, stack);
        cel__stack_pool_fini(&pool);
}

static int overrun(cel_ctx *ctx, void *arg)
{
        cel__stack *stack = cel__ctx_task(ctx)->stack;

        (void)arg;
        stack->guarded = false;
        memset(stack->lo, 0, 64);
        return 0;
}

TEST(a_task_that_overran_an_unguarded_stack_is_named_when_it_ends)
{
        char text[4096];
        int fds[2], status;

        CHECK_INT(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
                dup2(fds[1], STDERR_FILENO);
                close(fds[0]);
                signal(SIGABRT, SIG_DFL);
                fixture f = fixture_new();
                fixture_spawn(&f, "culprit", overrun, NULL);
                _exit(0);
        }
        close(fds[1]);
        size_t n = 0;
        for (ssize_t got; n < sizeof(text) - 1 && (got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0;)
                n += (size_t)got;
        text[n] = '\0';
        close(fds[0]);
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(status != 0);
        CHECK(strstr(text, "task \"culprit\" overflowed its stack of") != NULL);
}
