/* SPDX-License-Identifier: Apache-2.0
 *
 * GLib's main loop drives a runtime: its sources and our tasks run on one thread and talk to each other. The
 * public API is all that is used. */
#include "test.h"

#include <celadon/celadon.h>
#include <glib-unix.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct driver {
        cel_runtime *runtime;
        GMainLoop *main_loop;
        int steps;
} driver;

static gboolean on_celadon(gint fd, GIOCondition condition, gpointer data)
{
        driver *d = data;

        (void)fd, (void)condition;
        d->steps++;
        if (cel_runtime_step(d->runtime) > 0)
                return G_SOURCE_CONTINUE;
        g_main_loop_quit(d->main_loop);
        return G_SOURCE_REMOVE;
}

/* Have GLib run `fn` as the first task, until it has ended; returns its result. */
static int drive(cel_runtime *runtime, cel_task_fn fn, void *arg)
{
        driver d = {.runtime = runtime, .main_loop = g_main_loop_new(NULL, FALSE)};

        CHECK_INT(cel_runtime_begin(runtime, "main", fn, arg), 0);
        int fd = cel_runtime_fd(runtime);
        CHECK(fd >= 0);
        guint source = g_unix_fd_add(fd, G_IO_IN, on_celadon, &d);
        if (cel_runtime_step(runtime) > 0)
                g_main_loop_run(d.main_loop);
        else
                g_source_remove(source);
        g_main_loop_unref(d.main_loop);
        return cel_runtime_end(runtime);
}

static cel_runtime *runtime_new(void)
{
        cel_runtime *runtime = NULL;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        return runtime;
}

/* --- Descriptors and timers ------------------------------------------------------------------- */

enum { ROUNDS = 60 };

/* GLib's end: what comes in goes out again, one higher. */
static gboolean on_byte(gint fd, GIOCondition condition, gpointer data)
{
        unsigned char byte = 0;

        (void)condition;
        if (read(fd, &byte, 1) != 1)
                return G_SOURCE_REMOVE;
        byte++;
        ++*(int *)data;
        return write(fd, &byte, 1) == 1 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static int talk_to_glib(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_stream) *stream = NULL;
        int r = cel_stream_from_fd(*(int *)arg, "glib", &stream);

        for (unsigned char i = 0; i < ROUNDS && r >= 0; i++) {
                unsigned char byte = i;

                r = cel_stream_write_all(ctx, stream, &byte, 1);
                if (r >= 0)
                        r = cel_stream_read_exactly(ctx, stream, &byte, 1);
                if (r >= 0 && byte != i + 1)
                        return cel_fail(ctx, CEL_EPROTO, "%d came back as %d", i, byte);
                if (r >= 0 && i % 10 == 0)
                        r = cel_sleep_ms(ctx, 2);
        }
        return r < 0 ? r : 0;
}

static gboolean on_tick(gpointer data)
{
        ++*(int *)data;
        return G_SOURCE_CONTINUE;
}

TEST(a_task_and_a_source_of_glib_talk_over_a_socket_while_glibs_timers_run)
{
        cel_auto(cel_runtime) *runtime = runtime_new();
        int ends[2], echoed = 0, ticks = 0;

        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        guint echo = g_unix_fd_add(ends[1], G_IO_IN, on_byte, &echoed);
        guint tick = g_timeout_add(1, on_tick, &ticks);
        CHECK_INT(drive(runtime, talk_to_glib, &ends[0]), 0);
        CHECK_INT(echoed, ROUNDS);
        CHECK(ticks > 0);
        g_source_remove(echo);
        g_source_remove(tick);
        close(ends[1]);
}

/* --- Posts and futures ------------------------------------------------------------------------ */

typedef struct exchange {
        cel_runtime *runtime;
        cel_future *question; /* completed by GLib, by a post */
        cel_future *end;      /* completed by GLib, when all answers have arrived */
        intptr_t asked, answered;
} exchange;

static void complete_question(void *arg)
{
        exchange *x = arg;

        cel_future_complete(x->question, 0, (void *)++x->asked);
}

/* A source of GLib hands the runtime something to do. */
static gboolean on_ask(gpointer data)
{
        exchange *x = data;

        cel_post(x->runtime, complete_question, x);
        return G_SOURCE_REMOVE;
}

static gboolean on_answer(gpointer data)
{
        exchange *x = data;

        if (++x->answered == ROUNDS)
                cel_future_complete(x->end, 0, NULL);
        return G_SOURCE_REMOVE;
}

/* A question comes from GLib as a future's value; the answer goes there as a source. */
static int answer_glib(cel_ctx *ctx, void *arg)
{
        exchange *x = arg;

        for (intptr_t i = 1; i <= ROUNDS; i++) {
                void *value = NULL;
                int r = cel_future_new(&x->question);

                if (r < 0)
                        return r;
                g_timeout_add(i % 2 ? 1 : 0, on_ask, x);
                r = cel_await(ctx, x->question, &value);
                x->question = cel_future_unref(x->question);
                if (r < 0)
                        return r;
                if ((intptr_t)value != i)
                        return cel_fail(ctx, CEL_EPROTO, "asked %ld, expected %ld", (long)(intptr_t)value,
                                        (long)i);
                g_idle_add(on_answer, x);
        }
        return cel_await(ctx, x->end, NULL);
}

TEST(glib_completes_futures_by_posts_and_tasks_add_sources_to_glib)
{
        cel_auto(cel_runtime) *runtime = runtime_new();
        exchange x = {.runtime = runtime};

        CHECK_INT(cel_future_new(&x.end), 0);
        CHECK_INT(drive(runtime, answer_glib, &x), 0);
        cel_future_unref(x.end);
        CHECK_INT(x.asked, ROUNDS);
        CHECK_INT(x.answered, ROUNDS);
}

typedef struct crowd {
        cel_runtime *runtime;
        cel_future *complete;
        int arrived;
} crowd;

enum { THREADS = 4, POSTS = 1000 };

static void arrive(void *arg)
{
        crowd *c = arg;

        if (++c->arrived == THREADS * POSTS)
                cel_future_complete(c->complete, 0, NULL);
}

static void *post_many(void *arg)
{
        crowd *c = arg;

        for (int i = 0; i < POSTS; i++)
                cel_post(c->runtime, arrive, c);
        return NULL;
}

static int wait_for_crowd(cel_ctx *ctx, void *arg)
{
        crowd *c = arg;

        return cel_await(ctx, c->complete, NULL);
}

TEST(posts_of_other_threads_arrive_while_glib_waits)
{
        cel_auto(cel_runtime) *runtime = runtime_new();
        crowd c = {.runtime = runtime};
        pthread_t threads[THREADS];

        CHECK_INT(cel_future_new(&c.complete), 0);
        for (int i = 0; i < THREADS; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, post_many, &c), 0);
        CHECK_INT(drive(runtime, wait_for_crowd, &c), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        CHECK_INT(c.arrived, THREADS * POSTS);
        cel_future_unref(c.complete);
}

/* --- Rest ------------------------------------------------------------------------------------- */

static int sleep_a_while(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_sleep_ms(ctx, 60);
}

TEST(glib_is_left_alone_while_all_tasks_wait)
{
        cel_auto(cel_runtime) *runtime = runtime_new();
        driver d = {.runtime = runtime, .main_loop = g_main_loop_new(NULL, FALSE)};

        CHECK_INT(cel_runtime_begin(runtime, "main", sleep_a_while, NULL), 0);
        g_unix_fd_add(cel_runtime_fd(runtime), G_IO_IN, on_celadon, &d);
        CHECK_INT(cel_runtime_step(runtime), 1);
        g_main_loop_run(d.main_loop);
        CHECK(d.steps < 10);
        g_main_loop_unref(d.main_loop);
        CHECK_INT(cel_runtime_end(runtime), 0);
}
