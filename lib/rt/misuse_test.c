/* SPDX-License-Identifier: Apache-2.0
 *
 * Misuse aborts with a sentence that names the culprit, and with a stack. Each victim runs in a process of its
 * own. */
#include "death.h"
#include "fixture.h"
#include "rt/poller.h"
#include "test.h"

#include <celadon/channel.h>
#include <string.h>
#include <unistd.h>

#define CHECK_DIES(fn, sentence)                                   \
        do {                                                       \
                char check_text[16384];                            \
                death_of_task(fn, check_text, sizeof(check_text)); \
                if (!strstr(check_text, sentence))                 \
                        print_error("it said: %s\n", check_text);  \
                CHECK(strstr(check_text, sentence) != NULL);       \
        } while (0)

/* Run `thief` as another task, and let it use this one's ctx. */
static int lend_to_task(cel_ctx *ctx, cel_task_fn thief)
{
        cel_scope *scope;

        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        cel_spawn(ctx, scope, "thief", thief, ctx, NULL);
        return cel_scope_close(ctx, scope);
}

static int sleep_with(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        return cel_sleep_ms(arg, 1);
}

static int lend_for_sleep(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return lend_to_task(ctx, sleep_with);
}

TEST(waiting_with_another_tasks_ctx_names_both_tasks_and_what_was_waited_for)
{
        CHECK_DIES(lend_for_sleep,
                   "the ctx of task \"victim\" was used to wait for \"sleep\" by task \"thief\"");
}

static int receive_with(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_channel) *channel = NULL;
        int item = 1;

        (void)ctx;
        cel_channel_new(sizeof(int), 1, &channel);
        cel_channel_try_send(channel, &item);
        return cel_channel_receive(arg, channel, &item); /* need not wait, and is misuse all the same */
}

static int lend_for_receive(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return lend_to_task(ctx, receive_with);
}

TEST(a_call_that_need_not_wait_this_time_is_misuse_too)
{
        CHECK_DIES(lend_for_receive,
                   "the ctx of task \"victim\" was used to wait for \"channel receive\" by task \"thief\"");
}

static void await_in_loop_code(void *arg)
{
        cel_ctx *ctx = arg;

        cel_await(ctx, cel_stop_future(ctx), NULL);
}

static int lend_to_loop_code(cel_ctx *ctx, void *arg)
{
        (void)arg;
        cel_post(cel_ctx_runtime(ctx), await_in_loop_code, ctx);
        return cel_sleep_ms(ctx, 1000);
}

TEST(awaiting_a_future_from_loop_code_names_the_task_whose_ctx_it_was)
{
        CHECK_DIES(
                lend_to_loop_code,
                "the ctx of task \"victim\" was used to wait for \"future\" in loop code, which cannot wait");
}

static void *sleep_on_thread(void *arg)
{
        cel_sleep_ms(arg, 1);
        return NULL;
}

static int lend_to_thread(cel_ctx *ctx, void *arg)
{
        pthread_t thread;

        (void)arg;
        pthread_create(&thread, NULL, sleep_on_thread, ctx);
        pthread_join(thread, NULL);
        return 0;
}

TEST(using_a_tasks_ctx_on_another_thread_names_the_task)
{
        CHECK_DIES(lend_to_thread,
                   "the ctx of task \"victim\" was used to wait for \"sleep\" on another thread");
}

static void *use_threads_ctx(void *arg)
{
        return sleep_on_thread(arg);
}

static void *own_and_lend(void *arg)
{
        cel_ctx *ctx;
        pthread_t thread;

        if (cel_thread_ctx_new(arg, "owner", &ctx) == 0) {
                pthread_create(&thread, NULL, use_threads_ctx, ctx);
                pthread_join(thread, NULL);
        }
        return NULL;
}

static int let_threads_lend(cel_ctx *ctx, void *arg)
{
        pthread_t thread;

        (void)arg;
        pthread_create(&thread, NULL, own_and_lend, cel_ctx_runtime(ctx));
        pthread_join(thread, NULL);
        return 0;
}

TEST(using_a_threads_ctx_on_another_thread_names_the_thread)
{
        CHECK_DIES(let_threads_lend,
                   "the ctx of thread \"owner\" was used to wait for \"sleep\" on another thread");
}

static int make_thread_ctx_here(cel_ctx *ctx, void *arg)
{
        cel_ctx *second;

        (void)arg;
        return cel_thread_ctx_new(cel_ctx_runtime(ctx), "second", &second);
}

TEST(a_thread_ctx_on_a_loops_thread_is_refused_by_name)
{
        CHECK_DIES(make_thread_ctx_here, "thread ctx \"second\" was made on a loop's thread");
}

static int close_twice(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;

        (void)arg;
        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        cel_scope_close(ctx, scope);
        return cel_scope_close(ctx, scope);
}

TEST(closing_a_scope_twice_names_who_did_it_before)
{
        CHECK_DIES(close_twice, "task \"victim\" closed a scope that task \"victim\" has closed");
}

static int spawn_into_closed(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;

        (void)arg;
        cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        cel_scope_close(ctx, scope);
        return cel_spawn(ctx, scope, "late", sleep_with, ctx, NULL);
}

TEST(spawning_into_a_closed_scope_names_who_closed_it)
{
        CHECK_DIES(spawn_into_closed, "task \"victim\" spawned into a scope that task \"victim\" has closed");
}

static int begin_another(cel_ctx *ctx, void *arg)
{
        cel_runtime *other;

        (void)ctx, (void)arg;
        cel_runtime_new(NULL, &other);
        return cel_runtime_run(other, "nested", spawn_into_closed, NULL);
}

TEST(running_a_runtime_inside_a_task_is_refused)
{
        CHECK_DIES(begin_another, "a runtime was begun on a thread that runs another's loop");
}

static void ignore(void *arg, int events)
{
        (void)arg, (void)events;
}

static int free_while_watching(cel_ctx *ctx, void *arg)
{
        cel_runtime *other;
        cel__poller *poller;
        int fds[2];

        (void)ctx, (void)arg;
        if (pipe(fds) < 0 || cel_runtime_new(NULL, &other) < 0 ||
            cel__poller_new(cel__runtime_loop(other), fds[0], ignore, NULL, &poller) < 0)
                return CEL_ESYSTEM;
        cel__poller_want(poller, CEL__READABLE);
        cel_runtime_free(other);
        return 0;
}

TEST(freeing_a_runtime_whose_descriptors_are_watched_aborts)
{
        CHECK_DIES(free_while_watching,
                   "a runtime was freed while descriptors or signals were still watched");
}
