/* SPDX-License-Identifier: Apache-2.0
 *
 * One stream on several loops, and in a fork's child. Real threads run here: the test waits for what happens. */
#include "fixture.h"
#include "net/streams.h"
#include "test.h"

#include <celadon/stream.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOPS = 3, MUCH = 4 * 1024 * 1024 };

typedef struct scene {
        cel_stream *a, *b;
        cel_task *reader, *writer; /* of a, on loops 1 and 2 */
        char byte;
} scene;

static int read_byte(cel_ctx *ctx, void *arg)
{
        scene *s = arg;

        return cel_stream_read(ctx, s->a, &s->byte, 1);
}

static int write_much(cel_ctx *ctx, void *arg)
{
        scene *s = arg;
        cel_auto_free char *bytes = calloc(1, MUCH);

        return bytes ? cel_stream_write_all(ctx, s->a, bytes, MUCH) : CEL_ENOMEM;
}

static bool both_wait(cel_stream *stream)
{
        pthread_mutex_lock(&stream->source.mutex);
        bool wait = stream->sides[CEL__READING].waiter && stream->sides[CEL__WRITING].waiter;
        pthread_mutex_unlock(&stream->source.mutex);
        return wait;
}

/* Two streams, and two tasks of other loops that wait for one of them. */
static int set_up(cel_ctx *ctx, cel_scope *scope, scene *s, bool in_memory)
{
        int ends[2];
        int r = 0;

        if (in_memory)
                r = cel_stream_pair(0, &s->a, &s->b);
        else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ||
                 cel_stream_from_fd(ends[0], "left", &s->a) < 0 ||
                 cel_stream_from_fd(ends[1], "right", &s->b) < 0)
                r = CEL_ENOMEM;
        if (r >= 0)
                r = cel_spawn_on(ctx, scope, 1, "reader", read_byte, s, &s->reader);
        if (r >= 0)
                r = cel_spawn_on(ctx, scope, 2, "writer", write_much, s, &s->writer);
        while (r >= 0 && !both_wait(s->a))
                r = cel_yield(ctx);
        return r;
}

static void tear_down(cel_ctx *ctx, cel_scope *scope, scene *s)
{
        cel_scope_close(ctx, scope);
        cel_task_unref(s->reader);
        cel_task_unref(s->writer);
        cel_stream_unref(s->a);
        cel_stream_unref(s->b);
}

static int serve_both(cel_ctx *ctx, void *arg)
{
        cel_auto_free char *bytes = malloc(MUCH);
        cel_scope *scope;
        scene s = {0};

        cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        int r = set_up(ctx, scope, &s, *(bool *)arg);
        if (r >= 0)
                r = cel_stream_write_all(ctx, s.b, "x", 1);
        if (r >= 0)
                r = cel_stream_read_exactly(ctx, s.b, bytes, MUCH);
        if (r >= 0)
                r = cel_task_await(ctx, s.reader) == 1 && s.byte == 'x' ? 0 : CEL_EDECODE;
        if (r >= 0)
                r = cel_task_await(ctx, s.writer);
        tear_down(ctx, scope, &s);
        return r;
}

static int close_on_both(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        scene s = {0};

        cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        int r = set_up(ctx, scope, &s, *(bool *)arg);
        cel_stream_close(s.a);
        if (r >= 0 && cel_task_await(ctx, s.reader) != CEL_ECLOSED)
                r = CEL_EDECODE;
        if (r >= 0 && cel_task_await(ctx, s.writer) != CEL_ECLOSED)
                r = CEL_EDECODE;
        tear_down(ctx, scope, &s);
        return r;
}

static void run(cel_task_fn fn)
{
        for (int in_memory = 0; in_memory < 2; in_memory++) {
                cel_runtime *runtime;
                bool arg = in_memory;

                CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = LOOPS}, &runtime), 0);
                CHECK_INT(cel_runtime_run(runtime, "main", fn, &arg), 0);
                cel_runtime_free(runtime);
        }
}

TEST(two_loops_wait_for_one_stream_at_once)
{
        run(serve_both);
}

TEST(closing_wakes_who_waits_on_other_loops)
{
        run(close_on_both);
}

static int read_in_child(cel_ctx *ctx, void *arg)
{
        scene *s = arg;
        int status = -1;
        pid_t child = fork();

        if (child == 0) {
                int r = cel_stream_read(ctx, s->a, &s->byte, 1);

                cel_stream_unref(s->a);
                _exit(r == CEL_EFORKED ? 0 : 1);
        }
        if (waitpid(child, &status, 0) != child || status != 0)
                return CEL_EDECODE;
        int r = cel_stream_write_all(ctx, s->b, "y", 1);
        return r < 0 ? r : cel_stream_read(ctx, s->a, &s->byte, 1);
}

TEST(a_forks_child_leaves_the_streams_to_its_parent)
{
        scene s = {0};
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        CHECK_INT(cel_stream_pair(0, &s.a, &s.b), 0);
        CHECK_INT(cel_runtime_run(runtime, "main", read_in_child, &s), 1);
        CHECK_INT(s.byte, 'y');
        cel_stream_unref(s.a);
        cel_stream_unref(s.b);
        cel_runtime_free(runtime);
}
