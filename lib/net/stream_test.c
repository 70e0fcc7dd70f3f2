/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "fixture.h"
#include "net/streams.h"
#include "test.h"

#include <celadon/process.h>
#include <celadon/stream.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- Streams of every make -------------------------------------------------------------------- */

typedef enum make { MEMORY, SOCKETS, TCP, MAKES } make;

typedef struct dial {
        cel_listener *listener;
        cel_stream *connected, *accepted;
} dial;

static int dial_and_accept(cel_ctx *ctx, void *arg)
{
        dial *d = arg;
        int r = cel_tcp_listen(ctx, "127.0.0.1", 0, &d->listener);

        if (r >= 0)
                r = cel_tcp_connect(ctx, "127.0.0.1", cel_listener_port(d->listener), &d->connected);
        if (r >= 0)
                r = cel_accept(ctx, d->listener, &d->accepted);
        cel_listener_unref(d->listener);
        return r;
}

static void connect_two(fixture *f, make how, cel_stream **ret_a, cel_stream **ret_b)
{
        dial d;
        int ends[2];

        switch (how) {
        case MEMORY:
                CHECK_INT(cel_stream_pair(0, ret_a, ret_b), 0);
                return;
        case SOCKETS:
                CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
                CHECK_INT(cel_stream_from_fd(ends[0], "left", ret_a), 0);
                CHECK_INT(cel_stream_from_fd(ends[1], "right", ret_b), 0);
                return;
        case TCP:
        case MAKES:
                CHECK_INT(fixture_actor_wait(f, fixture_act(f, FIXTURE_TASK, "dial", dial_and_accept, &d)),
                          0);
                *ret_a = d.connected;
                *ret_b = d.accepted;
                return;
        }
}

/* A test that runs with both kinds of ctx and every make of stream: the body has `f`, `kind`, and `a` and `b`,
 * which are connected. */
#define TEST_STREAMS(name)                                                                               \
        static void streams_##name(fixture *f, fixture_kind kind, cel_stream *a, cel_stream *b);         \
        TEST_BOTH(name)                                                                                  \
        {                                                                                                \
                for (int how = 0; how < MAKES; how++) {                                                  \
                        fixture f = fixture_new();                                                       \
                        cel_stream *a, *b;                                                               \
                        connect_two(&f, (make)how, &a, &b);                                              \
                        streams_##name(&f, kind, a, b);                                                  \
                        cel_stream_unref(a);                                                             \
                        cel_stream_unref(b);                                                             \
                        fixture_free(&f);                                                                \
                }                                                                                        \
        }                                                                                                \
        static void streams_##name(fixture *f, fixture_kind kind, __attribute__((unused)) cel_stream *a, \
                                   __attribute__((unused)) cel_stream *b)

/* One call, to be made by an actor. */
typedef struct call {
        cel_stream *stream;
        char bytes[64];
        size_t n;
        int64_t within_ms; /* 0: no deadline */
        char *line;
} call;

static int within(cel_ctx *ctx, call *c, int (*fn)(cel_ctx *ctx, call *c))
{
        if (c->within_ms == 0)
                return fn(ctx, c);
        CEL_WITHIN_MS(ctx, c->within_ms);
        return fn(ctx, c);
}

static int do_read(cel_ctx *ctx, call *c)
{
        return cel_stream_read(ctx, c->stream, c->bytes, c->n);
}

static int read_some(cel_ctx *ctx, void *arg)
{
        return within(ctx, arg, do_read);
}

static int do_read_exactly(cel_ctx *ctx, call *c)
{
        return cel_stream_read_exactly(ctx, c->stream, c->bytes, c->n);
}

static int read_exactly(cel_ctx *ctx, void *arg)
{
        return within(ctx, arg, do_read_exactly);
}

static int do_read_line(cel_ctx *ctx, call *c)
{
        return cel_stream_read_line(ctx, c->stream, c->n, &c->line);
}

static int read_line(cel_ctx *ctx, void *arg)
{
        return within(ctx, arg, do_read_line);
}

static int write_bytes(cel_ctx *ctx, void *arg)
{
        const call *c = arg;

        return cel_stream_write_all(ctx, c->stream, c->bytes, c->n);
}

static int shut_down(cel_ctx *ctx, void *arg)
{
        const call *c = arg;

        return cel_stream_shutdown(ctx, c->stream);
}

static int close_it(cel_ctx *ctx, void *arg)
{
        const call *c = arg;

        (void)ctx;
        cel_stream_close(c->stream);
        return 0;
}

static void put(fixture *f, cel_stream *stream, const char *text)
{
        call c = {.stream = stream, .n = strlen(text)};

        memcpy(c.bytes, text, c.n);
        CHECK_RESULT(fixture_spawn(f, "put", write_bytes, &c), 0);
}

static void end(fixture *f, cel_stream *stream)
{
        CHECK_RESULT(fixture_spawn(f, "end", shut_down, &(call){.stream = stream}), 0);
}

/* --- Reading ---------------------------------------------------------------------------------- */

TEST_STREAMS(a_read_waits_for_bytes_and_gets_what_there_is)
{
        call c = {.stream = a, .n = 10};
        fixture_actor *reader = fixture_act(f, kind, "reader", read_some, &c);

        CHECK_WAITS(reader);
        put(f, b, "hello");
        CHECK_INT(fixture_actor_wait(f, reader), 5);
        CHECK_BYTES(c.bytes, "hello", 5);
}

TEST_STREAMS(an_end_is_read_as_often_as_asked_after_what_came_before)
{
        call c = {.stream = a, .n = 10};

        put(f, b, "last");
        end(f, b);
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "reader", read_some, &c)), 4);
        for (int i = 0; i < 3; i++)
                CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "reader", read_some, &c)), 0);
}

TEST_STREAMS(after_our_end_the_peer_may_go_on_writing)
{
        call c = {.stream = a, .n = 10}, w = {.stream = a, .n = 1};

        end(f, a);
        end(f, a);
        put(f, b, "still here");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "reader", read_some, &c)), 10);
        fixture_actor *writer = fixture_act(f, kind, "writer", write_bytes, &w);
        CHECK_INT(fixture_actor_wait(f, writer), CEL_ECLOSED);
        CHECK(strstr(fixture_actor_text(writer), "cel_stream_shutdown()"));
}

TEST_STREAMS(a_read_that_times_out_loses_no_byte)
{
        call c = {.stream = a, .n = 10, .within_ms = 50};
        fixture_actor *reader = fixture_act(f, kind, "reader", read_some, &c);

        fixture_advance_ms(f, 49);
        CHECK_WAITS(reader);
        fixture_advance_ms(f, 1);
        CHECK_DONE(reader, CEL_ETIMEDOUT);
        put(f, b, "later");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "reader", read_some, &c)), 5);
        CHECK_BYTES(c.bytes, "later", 5);
}

TEST_STREAMS(bytes_that_arrive_with_the_cancellation_are_there_for_the_next_read)
{
        call c = {.stream = a, .n = 10};
        fixture_actor *reader = fixture_act(f, kind, "reader", read_some, &c);
        cel_task *writer;
        call w = {.stream = b, .bytes = "now", .n = 3};

        cel_assert(cel__task_spawn(f->scope, NULL, "writer", write_bytes, &w, &writer) == 0);
        cel_task_unref(writer);
        fixture_cancel(reader);
        int r = fixture_actor_wait(f, reader);
        CHECK(r == CEL_ECANCELED || r == 3);
        if (r == CEL_ECANCELED)
                CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "next", read_some, &c)), 3);
        CHECK_BYTES(c.bytes, "now", 3);
}

TEST_STREAMS(a_canceled_ctx_reads_nothing_even_if_there_is_something)
{
        call first = {.stream = a, .n = 1};
        fixture_actor *reader = fixture_act(f, kind, "reader", read_some, &first);

        fixture_cancel(reader);
        CHECK_DONE(reader, CEL_ECANCELED);
        put(f, b, "x");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "next", read_some, &first)), 1);
}

TEST_STREAMS(a_deadline_that_has_passed_does_not_hide_bytes_that_are_there)
{
        call c = {.stream = a, .n = 3}, late = {.stream = a, .n = 10, .within_ms = -1};

        put(f, b, "one");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "first", read_some, &c)), 3);
        c.n = 10;
        put(f, b, "two");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "second", read_some, &c)), 3); /* a short read */
        put(f, b, "three");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "late", read_some, &late)), 5);
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "late", read_some, &late)), CEL_ETIMEDOUT);
}

TEST_STREAMS(exactly_means_all_or_nothing)
{
        call c = {.stream = a, .n = 6, .within_ms = 50};

        put(f, b, "abcd");
        fixture_actor *reader = fixture_act(f, kind, "reader", read_exactly, &c);
        CHECK_WAITS(reader);
        fixture_advance_ms(f, 50);
        CHECK_DONE(reader, CEL_ETIMEDOUT);
        put(f, b, "efgh");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "again", read_exactly, &c)), 6);
        CHECK_BYTES(c.bytes, "abcdef", 6);
        end(f, b);
        fixture_actor *short_one = fixture_act(f, kind, "short", read_exactly, &c);
        CHECK_INT(fixture_actor_wait(f, short_one), CEL_EPROTO);
        CHECK(strstr(fixture_actor_text(short_one), "2 of 6"));
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "rest", read_some, &c)), 2);
        CHECK_BYTES(c.bytes, "gh", 2);
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "none", read_exactly, &c)), 0);
}

TEST_STREAMS(lines_come_one_by_one_and_the_last_may_lack_its_end)
{
        call c = {.stream = a, .n = 20};
        static const struct {
                int n;
                const char *text;
        } expected[] = {{4, "one"}, {5, "two"}, {1, ""}, {2, ""}, {5, "three"}};

        put(f, b, "one\ntwo\r\n\n\r\nthr");
        for (int i = 0; i < 4; i++) {
                CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "line", read_line, &c)), expected[i].n);
                CHECK_STR(c.line, expected[i].text);
                free(c.line);
        }
        fixture_actor *last = fixture_act(f, kind, "last", read_line, &c);
        CHECK_WAITS(last);
        put(f, b, "ee");
        end(f, b);
        CHECK_INT(fixture_actor_wait(f, last), 5);
        CHECK_STR(c.line, "three");
        free(c.line);
        c.line = NULL;
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "none", read_line, &c)), 0);
        CHECK(c.line == NULL);
}

TEST_STREAMS(a_line_that_is_too_long_or_broken_is_refused_and_stays)
{
        call c = {.stream = a, .n = 4}, none = {.stream = a, .n = 0}, rest = {.stream = a, .n = 20};
        call w = {.stream = b, .bytes = "a\0b\n", .n = 4};

        put(f, b, "12345\n");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "none", read_line, &none)), CEL_EINVAL);
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "line", read_line, &c)), CEL_ETOOBIG);
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "rest", read_some, &rest)), 6);
        CHECK_RESULT(fixture_spawn(f, "zero", write_bytes, &w), 0);
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "line", read_line, &c)), CEL_EPROTO);
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "rest", read_some, &rest)), 4);
}

TEST_STREAMS(a_line_that_times_out_is_whole_the_next_time)
{
        call c = {.stream = a, .n = 20, .within_ms = 50};

        put(f, b, "hel");
        fixture_actor *reader = fixture_act(f, kind, "reader", read_line, &c);
        fixture_advance_ms(f, 50);
        CHECK_DONE(reader, CEL_ETIMEDOUT);
        put(f, b, "lo\n");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "again", read_line, &c)), 6);
        CHECK_STR(c.line, "hello");
        free(c.line);
}

/* --- Two at once ------------------------------------------------------------------------------ */

TEST_STREAMS(a_second_reader_is_an_error_that_names_both)
{
        call one = {.stream = a, .n = 1}, two = {.stream = a, .n = 1};
        fixture_actor *first = fixture_act(f, kind, "first", read_some, &one);
        fixture_actor *second = fixture_act(f, fixture_other(kind), "second", read_some, &two);

        CHECK_WAITS(first);
        CHECK_DONE(second, CEL_EBUSY);
        CHECK(strstr(fixture_actor_text(second), "\"first\" reads it"));
        CHECK(strstr(fixture_actor_text(second), "\"second\""));
        put(f, b, "x");
        CHECK_INT(fixture_actor_wait(f, first), 1);
        put(f, b, "y");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "third", read_some, &two)), 1);
}

typedef struct flood {
        cel_stream *stream;
        size_t n;
        int64_t within_ms;
} flood;

static int write_much(cel_ctx *ctx, void *arg)
{
        flood *w = arg;
        cel_auto_free char *bytes = calloc(1, w->n);
        CEL_WITHIN_MS(ctx, w->within_ms ? w->within_ms : INT64_MAX);

        return bytes ? cel_stream_write_all(ctx, w->stream, bytes, w->n) : CEL_ENOMEM;
}

static int read_much(cel_ctx *ctx, void *arg)
{
        const flood *w = arg;
        char bytes[20000];
        size_t got = 0;

        while (got < w->n) {
                int r = cel_stream_read(ctx, w->stream, bytes, sizeof(bytes));

                if (r <= 0)
                        return r < 0 ? r : CEL_EPROTO;
                got += (size_t)r;
        }
        return 0;
}

enum { MUCH = 16 * 1024 * 1024 };

TEST_STREAMS(who_writes_more_than_fits_waits_for_the_reader)
{
        flood w = {.stream = a, .n = MUCH}, r = {.stream = b, .n = MUCH};
        fixture_actor *writer = fixture_act(f, kind, "writer", write_much, &w);
        fixture_actor *second = fixture_act(f, kind, "second", write_much, &w);

        CHECK_WAITS(writer);
        CHECK_DONE(second, CEL_EBUSY);
        CHECK(strstr(fixture_actor_text(second), "\"writer\" writes it"));
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, fixture_other(kind), "reader", read_much, &r)), 0);
        CHECK_INT(fixture_actor_wait(f, writer), 0);
}

TEST_STREAMS(a_write_that_was_cut_short_is_the_last_and_reading_goes_on)
{
        flood w = {.stream = a, .n = MUCH, .within_ms = 50};
        call more = {.stream = a, .n = 1}, c = {.stream = a, .n = 5};
        fixture_actor *writer = fixture_act(f, kind, "writer", write_much, &w);

        CHECK_WAITS(writer);
        fixture_advance_ms(f, 50);
        CHECK_DONE(writer, CEL_ETIMEDOUT);
        fixture_actor *again = fixture_act(f, kind, "again", write_bytes, &more);
        CHECK_DONE(again, CEL_ECLOSED);
        CHECK(strstr(fixture_actor_text(again), "cut short"));
        put(f, b, "fine");
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "reader", read_some, &c)), 4);
}

/* --- Closing ---------------------------------------------------------------------------------- */

TEST_STREAMS(closing_wakes_reader_and_writer)
{
        call c = {.stream = a, .n = 1};
        flood w = {.stream = a, .n = MUCH};
        fixture_actor *reader = fixture_act(f, kind, "reader", read_some, &c);
        fixture_actor *writer = fixture_act(f, fixture_other(kind), "writer", write_much, &w);

        CHECK_WAITS(reader);
        CHECK_WAITS(writer);
        fixture_act(f, kind, "closer", close_it, &c);
        CHECK_INT(fixture_actor_wait(f, reader), CEL_ECLOSED);
        CHECK_INT(fixture_actor_wait(f, writer), CEL_ECLOSED);
        CHECK_DONE(fixture_act(f, kind, "late", read_some, &c), CEL_ECLOSED);
        cel_stream_close(a);
}

TEST_STREAMS(the_last_reference_may_go_while_somebody_reads)
{
        call c = {.stream = a, .n = 1}, other = {.stream = b, .n = 1};
        fixture_actor *reader = fixture_act(f, kind, "reader", read_some, &c);

        cel_stream_ref(a); /* the caller's macro drops one more */
        cel_stream_unref(a);
        cel_stream_close(a);
        CHECK_INT(fixture_actor_wait(f, reader), CEL_ECLOSED);
        CHECK_INT(fixture_actor_wait(f, fixture_act(f, kind, "peer", read_some, &other)), 0);
}

TEST_BOTH(a_reader_outlives_the_last_reference)
{
        fixture f = fixture_new();
        cel_stream *a, *b;

        connect_two(&f, SOCKETS, &a, &b);
        call c = {.stream = a, .n = 1}, other = {.stream = b, .n = 1};
        fixture_actor *reader = fixture_act(&f, kind, "reader", read_some, &c);
        CHECK_WAITS(reader);
        cel_stream_unref(a);
        CHECK_INT(fixture_actor_wait(&f, reader), CEL_ECLOSED);
        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "peer", read_some, &other)), 0);
        cel_stream_unref(b);
        fixture_free(&f);
}

static void *close_on_thread(void *arg)
{
        cel_stream_close(arg);
        return NULL;
}

TEST(the_last_reference_may_go_while_the_loop_has_yet_to_hear_that_another_thread_closed_it)
{
        fixture f = fixture_new();
        pthread_t thread;
        cel_stream *a, *b;

        connect_two(&f, SOCKETS, &a, &b);
        call c = {.stream = a, .n = 1, .within_ms = 50};
        fixture_actor *reader = fixture_act(&f, FIXTURE_TASK, "reader", read_some, &c);
        fixture_advance_ms(&f, 50);
        CHECK_DONE(reader, CEL_ETIMEDOUT); /* and the loop goes on watching */
        CHECK_INT(pthread_create(&thread, NULL, close_on_thread, a), 0);
        pthread_join(thread, NULL);
        cel_stream_unref(a);
        cel_stream_unref(b);
        fixture_free(&f);
}

TEST_STREAMS(writing_to_a_peer_that_is_gone_is_an_error)
{
        flood w = {.stream = a, .n = MUCH};

        cel_stream_close(b);
        fixture_settle(f);
        fixture_actor *writer = fixture_act(f, kind, "writer", write_much, &w);
        CHECK_INT(fixture_actor_wait(f, writer), CEL_EIO);
        CHECK(strstr(fixture_actor_text(writer), "writing failed"));
}

/* --- Descriptors ------------------------------------------------------------------------------ */

TEST_BOTH(a_pipe_is_a_stream_and_its_broken_end_raises_no_signal)
{
        fixture f = fixture_new();
        int ends[2];
        cel_stream *from, *to;

        signal(SIGPIPE, SIG_DFL);
        CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
        CHECK_INT(cel_stream_from_fd(ends[0], "out of the pipe", &from), 0);
        CHECK_INT(cel_stream_from_fd(ends[1], "into the pipe", &to), 0);
        call c = {.stream = from, .n = 10}, w = {.stream = to, .bytes = "abc", .n = 3};
        fixture_actor *reader = fixture_act(&f, kind, "reader", read_some, &c);
        CHECK_WAITS(reader);
        CHECK_DONE(fixture_act(&f, kind, "writer", write_bytes, &w), 0);
        CHECK_INT(fixture_actor_wait(&f, reader), 3);
        CHECK_DONE(fixture_act(&f, kind, "ender", shut_down, &(call){.stream = from}), CEL_ENOSUPPORT);
        cel_stream_close(from);
        fixture_settle(&f);
        CHECK_DONE(fixture_act(&f, kind, "writer", write_bytes, &w), CEL_EIO);
        cel_stream_unref(from);
        cel_stream_unref(to);
        fixture_free(&f);
}

TEST_BOTH(ending_the_writing_of_a_pipe_closes_it)
{
        fixture f = fixture_new();
        int ends[2];
        cel_stream *from, *to;

        CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
        CHECK_INT(cel_stream_from_fd(ends[0], "out of the pipe", &from), 0);
        CHECK_INT(cel_stream_from_fd(ends[1], "into the pipe", &to), 0);
        call c = {.stream = from, .n = 10};
        CHECK_DONE(fixture_act(&f, kind, "ender", shut_down, &(call){.stream = to}), 0);
        CHECK_DONE(fixture_act(&f, kind, "ender", shut_down, &(call){.stream = to}), CEL_ECLOSED);
        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "reader", read_some, &c)), 0);
        cel_stream_unref(from);
        cel_stream_unref(to);
        fixture_free(&f);
}

TEST(a_file_is_no_stream)
{
        cel_stream *stream;
        int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

        CHECK_INT(cel_stream_from_fd(fd, "a file", &stream), CEL_EINVAL);
        close(fd);
        CHECK_INT(cel_stream_from_fd(fd, "nothing", &stream), CEL_EINVAL);
}

/* Give a program three lines through its pipes, and read what it makes of them. */
static int talk_to_a_program(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_process) *process = NULL;
        cel_auto(cel_stream) *into = NULL;
        cel_auto(cel_stream) *out_of = NULL;
        const char *const argv[] = {"sort", NULL};
        cel_process_end end;
        char sorted[64];

        (void)arg;
        int r = cel_process_spawn(
                ctx, &(cel_process_options){.argv = argv, .in = CEL_STDIO_PIPE, .out = CEL_STDIO_PIPE},
                &process);
        if (r >= 0)
                r = cel_stream_from_fd(cel_process_take_pipe(process, 0), "sort's input", &into);
        if (r >= 0)
                r = cel_stream_from_fd(cel_process_take_pipe(process, 1), "sort's output", &out_of);
        if (r >= 0)
                r = cel_stream_write_all(ctx, into, "b\nc\na\n", 6);
        if (r >= 0)
                r = cel_stream_shutdown(ctx, into);
        if (r >= 0)
                r = cel_stream_read_exactly(ctx, out_of, sorted, 6);
        if (r >= 0 && memcmp(sorted, "a\nb\nc\n", 6) != 0)
                r = CEL_EPROTO;
        if (r >= 0)
                r = cel_stream_read(ctx, out_of, sorted, sizeof(sorted)) == 0 ? 0 : CEL_EPROTO;
        return r < 0 ? r : cel_process_wait(ctx, process, &end);
}

TEST_BOTH(the_pipes_of_a_program_are_streams)
{
        fixture f = fixture_new();
        fixture_actor *a = fixture_act(&f, kind, "talker", talk_to_a_program, NULL);

        CHECK_INT(fixture_actor_wait(&f, a), 0);
        fixture_free(&f);
}
