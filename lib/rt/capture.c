/* SPDX-License-Identifier: Apache-2.0
 *
 * cel_process_capture(): two pipes and the end of a program, watched through one descriptor, because a ctx
 * waits for one thing at a time. */
#include "base/buf.h"
#include "rt/ctx.h"
#include "rt/poller.h"
#include "rt/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CHUNK_BYTES = 16 * 1024, DROP_BYTES = 4096, BYTES_MAX = 1024 * 1024 * 1024 };

typedef struct sink {
        int fd; /* owned; -1: it has ended */
        cel__buf buf;
        bool cut;
} sink;

typedef struct capturing {
        cel_process *process; /* borrowed */
        int watch;            /* owned; an epoll of the descriptors below and the program's end */
        sink sinks[2];        /* stdout, stderr */
} capturing;

static void close_sink(sink *s)
{
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
}

/* Read once, at most `n` bytes. Returns how many came; 0: none now, and none later if the sink is closed; or
 * CEL_ENOMEM. */
static int read_some(sink *s, size_t n)
{
        char dropped[DROP_BYTES];
        size_t room = s->buf.bytes_max - cel__buf_used(&s->buf);
        void *to = dropped;

        if (room > 0) {
                n = n < room ? n : room;
                n = n < CHUNK_BYTES ? n : CHUNK_BYTES;
                to = cel__buf_reserve(&s->buf, n, NULL);
                if (!to)
                        return CEL_ENOMEM;
        } else {
                n = n < DROP_BYTES ? n : DROP_BYTES;
        }
        ssize_t got = read(s->fd, to, n);
        if (got > 0 && room > 0)
                cel__buf_commit(&s->buf, (size_t)got);
        else if (got > 0)
                s->cut = true;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
                close_sink(s);
        return got > 0 ? (int)got : 0;
}

/* The program has ended: read what it has left in the pipe, and not what others go on writing. */
static int read_rest(sink *s)
{
        int left = 0, n = 1;

        if (s->fd >= 0 && ioctl(s->fd, FIONREAD, &left) < 0)
                left = 0;
        for (; left > 0 && n > 0; left -= n)
                n = read_some(s, (size_t)left);
        close_sink(s);
        return n < 0 ? n : 0;
}

static int watch_fd(const capturing *c, int fd, uint32_t what)
{
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};

        return epoll_ctl(c->watch, EPOLL_CTL_ADD, fd, &event);
}

/* Read until the program has ended. */
static int pump(cel_ctx *ctx, capturing *c)
{
        enum { END = 2 };
        struct epoll_event events[3];

        c->watch = epoll_create1(EPOLL_CLOEXEC);
        if (c->watch < 0 || watch_fd(c, cel__process_pidfd(c->process), END) < 0 ||
            watch_fd(c, c->sinks[0].fd, 0) < 0 || (c->sinks[1].fd >= 0 && watch_fd(c, c->sinks[1].fd, 1) < 0))
                return cel_fail(ctx, CEL_ESYSTEM, "what it prints cannot be watched: %s", strerror(errno));
        for (;;) {
                int r = cel__fd_wait(ctx, c->watch, CEL__READABLE, "process");

                if (r < 0)
                        return r;
                int n = epoll_wait(c->watch, events, 3, 0);
                bool ended = false;
                for (int i = 0; i < n; i++) {
                        uint32_t what = events[i].data.u32;

                        if (what == END)
                                ended = true;
                        else if (read_some(&c->sinks[what], CHUNK_BYTES) < 0)
                                return CEL_ENOMEM;
                }
                if (!ended)
                        continue;
                r = read_rest(&c->sinks[0]);
                return r < 0 ? r : read_rest(&c->sinks[1]);
        }
}

/* The buffer's bytes as a string. NULL: out of memory. */
static char *text_of(sink *s)
{
        size_t n = cel__buf_used(&s->buf);
        char *text = malloc(n + 1);

        if (!text)
                return NULL;
        if (n > 0)
                memcpy(text, cel__buf_head(&s->buf), n);
        text[n] = '\0';
        return text;
}

static cel_capture *result_of(capturing *c)
{
        cel_capture *result = calloc(1, sizeof(*result));

        if (!result)
                return NULL;
        *result = (cel_capture){.out = text_of(&c->sinks[0]),
                                .err = text_of(&c->sinks[1]),
                                .out_bytes = cel__buf_used(&c->sinks[0].buf),
                                .err_bytes = cel__buf_used(&c->sinks[1].buf),
                                .out_cut = c->sinks[0].cut,
                                .err_cut = c->sinks[1].cut};
        return result->out && result->err ? result : cel_capture_free(result);
}

static int run(cel_ctx *ctx, capturing *c, cel_capture **ret_capture)
{
        int r = pump(ctx, c);

        if (r < 0) {
                close_sink(&c->sinks[0]); /* one that is stuck writing hears of it */
                close_sink(&c->sinks[1]);
                return cel__process_give_up(ctx, c->process, r);
        }
        r = cel_process_finish(ctx, c->process);
        if (r < 0)
                return r;
        cel_capture *result = result_of(c);
        if (!result)
                return cel_fail(ctx, CEL_ENOMEM, "%s", cel_error_text(CEL_ENOMEM));
        *ret_capture = result;
        return r;
}

int cel_process_capture(cel_ctx *ctx, const cel_process_options *options, size_t bytes_max,
                        cel_capture **ret_capture)
{
        cel_auto(cel_process) *process = NULL;
        cel_process_options o = *options;

        if (bytes_max == 0 || bytes_max > BYTES_MAX || o.out != CEL_STDIO_INHERIT ||
            (o.err != CEL_STDIO_INHERIT && o.err != CEL_STDIO_STDOUT) || o.in == CEL_STDIO_PIPE)
                return cel_fail(ctx, CEL_EINVAL,
                                "what to capture is not said by `in`, `out` and `err`, and 1 "
                                "byte to 1 GiB of it are kept");
        o.out = CEL_STDIO_PIPE;
        if (o.err == CEL_STDIO_INHERIT)
                o.err = CEL_STDIO_PIPE;
        if (!o.input)
                o.in = CEL_STDIO_NULL;
        int r = cel__process_may_begin(ctx);
        if (r >= 0)
                r = cel_process_spawn(ctx, &o, &process);
        if (r < 0)
                return r;

        capturing c = {.process = process, .watch = -1};
        for (int i = 0; i < 2; i++) {
                int fd = cel_process_take_pipe(process, i + 1);

                c.sinks[i].fd = fd < 0 ? -1 : fd;
                cel__buf_init(&c.sinks[i].buf, bytes_max);
        }
        r = run(ctx, &c, ret_capture);
        for (int i = 0; i < 2; i++) {
                close_sink(&c.sinks[i]);
                cel__buf_fini(&c.sinks[i].buf);
        }
        if (c.watch >= 0)
                close(c.watch);
        return r;
}

cel_capture *cel_capture_free(cel_capture *capture)
{
        if (!capture)
                return NULL;
        free(capture->out);
        free(capture->err);
        free(capture);
        return NULL;
}
