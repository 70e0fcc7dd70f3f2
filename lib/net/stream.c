/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A cel_stream is a source (who waits, who closes) over a cel__stream (bytes, without waiting), and
 * has two sides. A call takes a side, tries, waits when it must, tries again, and leaves; the stream's mutex is
 * held but while it waits. `ahead` holds bytes that were read and not yet asked for; whoever reads takes those
 * first. */
#include "base/assert.h"
#include "net/streams.h"
#include "rt/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
        AHEAD_BYTES = 16 * 1024, /* read at once for those who want less */
        TRIES_IN_TURN_MAX = 32,  /* that had something to do; then others have their turn */
        PAIR_BYTES_DEFAULT = 64 * 1024,
        PAIR_BYTES_MAX = 1024 * 1024 * 1024,
        TRANSFER_BYTES_MAX = INT_MAX,
};

/* --- Life ------------------------------------------------------------------------------------- */

static cel_stream *from_source(cel__source *source)
{
        return cel__container(source, cel_stream, source);
}

static void release(cel__source *source)
{
        cel_stream *stream = from_source(source);

        stream->top = cel__stream_free(stream->top);
        cel__buf_clear(&stream->ahead, 0);
}

static void destroy(cel__source *source)
{
        cel_stream *stream = from_source(source);

        cel__source_fini(source);
        cel__buf_fini(&stream->ahead);
        free(stream);
}

int cel__stream_wrap(cel__stream *below, const char *name, cel_stream **ret_stream)
{
        cel_stream *stream = calloc(1, sizeof(*stream));

        if (!stream)
                return CEL_ENOMEM;
        cel__source_init(&stream->source, below->fd, release, destroy);
        if (below->fd < 0)
                stream->source.below = below;
        stream->top = stream->bottom = below;
        below->heeds_dry = true;
        cel__buf_init(&stream->ahead, CEL_STREAM_LINE_BYTES_MAX + AHEAD_BYTES);
        snprintf(stream->name, sizeof(stream->name), "%s", name);
        *ret_stream = stream;
        return 0;
}

int cel_stream_from_fd(int fd, const char *name, cel_stream **ret_stream)
{
        struct stat about;
        cel__stream *below;

        if (fstat(fd, &about) < 0 || S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) ||
            S_ISBLK(about.st_mode))
                return CEL_EINVAL;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return CEL_EINVAL;
        int r = cel__fd_stream_new(fd, S_ISSOCK(about.st_mode), &below);
        if (r < 0)
                return r;
        r = cel__stream_wrap(below, name, ret_stream);
        if (r < 0)
                free(below); /* and not the descriptor */
        return r;
}

int cel_stream_pair(size_t bytes_max, cel_stream **ret_a, cel_stream **ret_b)
{
        cel__stream *below[2];
        cel_stream *a, *b;

        if (bytes_max > PAIR_BYTES_MAX)
                return CEL_EINVAL;
        int r = cel__pair_new(bytes_max ? bytes_max : PAIR_BYTES_DEFAULT, &below[0], &below[1]);
        if (r < 0)
                return r;
        r = cel__stream_wrap(below[0], "a pair in memory", &a);
        if (r < 0) {
                cel__stream_free(below[0]);
                cel__stream_free(below[1]);
                return r;
        }
        r = cel__stream_wrap(below[1], "a pair in memory", &b);
        if (r < 0) {
                cel_stream_unref(a);
                cel__stream_free(below[1]);
                return r;
        }
        *ret_a = a;
        *ret_b = b;
        return 0;
}

void cel_stream_close(cel_stream *stream)
{
        cel__source_close(&stream->source);
}

cel_stream *cel_stream_ref(cel_stream *stream)
{
        cel__source_ref(&stream->source);
        return stream;
}

cel_stream *cel_stream_unref(cel_stream *stream)
{
        if (stream)
                cel__source_unref(&stream->source);
        return NULL;
}

const char *cel_stream_name(const cel_stream *stream)
{
        return stream->name;
}

/* --- Entering and leaving --------------------------------------------------------------------- */

#define RARELY \
        __attribute__((cold, noinline)) /* keeps what is seldom needed out of the way of what is always */

static const char *kind_of(const cel_ctx *ctx)
{
        return ctx->loop ? "task" : "thread";
}

RARELY static int closed(cel_ctx *ctx, const cel_stream *stream)
{
        return cel_fail(ctx, CEL_ECLOSED, "%s: closed", stream->name);
}

RARELY static int busy(cel_ctx *ctx, const cel_stream *stream, cel__side_name which)
{
        const cel_ctx *user = stream->sides[which].user;

        return cel_fail(ctx, CEL_EBUSY, "%s: %s \"%s\" %s it already; %s \"%s\" has to wait for that to end",
                        stream->name, kind_of(user), user->name, which == CEL__READING ? "reads" : "writes",
                        kind_of(ctx), ctx->name);
}

static const char *where(cel__side_name which)
{
        return which == CEL__READING ? "stream read" : "stream write";
}

static inline int enter(cel_ctx *ctx, cel_stream *stream, cel__side_name which)
{
        cel__side *side = &stream->sides[which];
        int r = cel__source_enter(&stream->source, ctx, where(which));

        if (r < 0)
                return r == CEL_ECLOSED ? closed(ctx, stream) : r;
        if (!side->user) {
                side->user = ctx;
                return 0;
        }
        r = busy(ctx, stream, which);
        cel__source_leave_locked(&stream->source);
        return r;
}

static inline void leave_locked(cel_stream *stream, cel__side_name which)
{
        stream->sides[which].user = NULL;
        cel__source_leave_locked(&stream->source);
}

int cel__stream_enter(cel_ctx *ctx, cel_stream *stream, cel__side_name which)
{
        return enter(ctx, stream, which);
}

void cel__stream_leave_locked(cel_stream *stream, cel__side_name which)
{
        leave_locked(stream, which);
}

/* --- Trying and waiting ----------------------------------------------------------------------- */

/* TLS may have to read before it can write, and the other way round. Then one side waits for what the other may
 * just have taken: so it looks again. */
static void wake_other_side_locked(cel_stream *stream, cel__side_name which)
{
        cel__source_waiter *other = stream->sides[which == CEL__READING ? CEL__WRITING : CEL__READING].waiter;

        if (other && other->needs != (which == CEL__READING ? CEL__WRITABLE : CEL__READABLE))
                cel__wait_finish(&other->wait, 0);
}

static int wait_locked(cel_ctx *ctx, cel_stream *stream, cel__side_name which, int needs)
{
        cel__side *side = &stream->sides[which];
        cel__source_waiter waiter;

        if (which == CEL__READING && stream->ahead.capacity > 0 && cel__buf_used(&stream->ahead) == 0)
                cel__buf_clear(&stream->ahead, 0); /* who waits holds no memory */
        side->tries = 0;
        side->waiter = &waiter;
        int r = cel__source_wait_locked(&stream->source, ctx, &waiter, needs, where(which));
        side->waiter = NULL;
        return r;
}

/* Wait, then say whether to try again: 0, or the error to end with. A deadline that has passed is no reason to
 * leave behind what is there, so where the last try did not ask the kernel, there is one more. */
static int wait_to_retry_locked(cel_ctx *ctx, cel_stream *stream, cel__side_name which, int needs, bool *last)
{
        cel__stream *bottom = stream->bottom;
        int r = wait_locked(ctx, stream, which, needs);

        if (r < 0 && (r != CEL_ETIMEDOUT || !bottom->dry || !(needs & CEL__READABLE)))
                return r;
        *last = r < 0;
        if (needs & CEL__READABLE)
                bottom->dry = false;
        return 0;
}

RARELY static int fail(cel_ctx *ctx, const cel_stream *stream, int code)
{
        return cel_fail(ctx, code, "%s: %s", stream->name, stream->top->error);
}

RARELY static int fail_to_wait(cel_ctx *ctx, const cel_stream *stream, cel__side_name which, int code)
{
        if (code == CEL_ETIMEDOUT)
                return cel_fail(ctx, code, "%s: the peer %s in time", stream->name,
                                which == CEL__READING ? "sent nothing more" : "took nothing more");
        return code == CEL_ECLOSED ? closed(ctx, stream) : code;
}

int cel__stream_do_locked(cel_ctx *ctx, cel_stream *stream, cel__side_name which, const cel__operation *op)
{
        bool last = false;
        int waited = 0;

        if (++stream->sides[which].tries > TRIES_IN_TURN_MAX) {
                stream->sides[which].tries = 0;
                waited = cel__source_take_turn_locked(&stream->source, ctx);
        }
        while (waited >= 0) {
                int needs = 0;
                ssize_t r = op->attempt(stream, op, &needs);

                wake_other_side_locked(stream, which);
                if (r != CEL_EAGAIN)
                        return r < 0 ? fail(ctx, stream, (int)r) : (int)r;
                waited = last ? CEL_ETIMEDOUT : wait_to_retry_locked(ctx, stream, which, needs, &last);
        }
        return fail_to_wait(ctx, stream, which, waited);
}

/* --- Reading ---------------------------------------------------------------------------------- */

static size_t take_ahead(cel_stream *stream, void *bytes, size_t n)
{
        size_t used = cel__buf_used(&stream->ahead);

        if (n > used)
                n = used;
        if (n > 0) {
                memcpy(bytes, cel__buf_head(&stream->ahead), n);
                cel__buf_consume(&stream->ahead, n);
        }
        return n;
}

static ssize_t attempt_read(cel_stream *stream, const cel__operation *op, int *ret_needs)
{
        return stream->top->ops->try_read(stream->top, op->room, op->n, ret_needs);
}

static int read_locked(cel_ctx *ctx, cel_stream *stream, void *bytes, size_t n)
{
        size_t got = take_ahead(stream, bytes, n);
        cel__operation op = {.attempt = attempt_read, .room = bytes, .n = n};

        return got > 0 ? (int)got : cel__stream_do_locked(ctx, stream, CEL__READING, &op);
}

int cel_stream_read(cel_ctx *ctx, cel_stream *stream, void *bytes, size_t n)
{
        if (n == 0)
                return 0;
        if (n > TRANSFER_BYTES_MAX)
                n = TRANSFER_BYTES_MAX;
        int r = enter(ctx, stream, CEL__READING);
        if (r < 0)
                return r;
        r = read_locked(ctx, stream, bytes, n);
        leave_locked(stream, CEL__READING);
        return r;
}

static ssize_t attempt_read_ahead(cel_stream *stream, const cel__operation *op, int *ret_needs)
{
        uint8_t *room = cel__buf_reserve(&stream->ahead, AHEAD_BYTES, NULL);

        (void)op;
        if (!room) {
                snprintf(stream->top->error, sizeof(stream->top->error), "no memory to read into");
                return CEL_ENOMEM;
        }
        ssize_t got = stream->top->ops->try_read(stream->top, room, AHEAD_BYTES, ret_needs);
        if (got > 0)
                cel__buf_commit(&stream->ahead, (size_t)got);
        return got;
}

static int read_ahead_locked(cel_ctx *ctx, cel_stream *stream)
{
        return cel__stream_do_locked(ctx, stream, CEL__READING,
                                     &(cel__operation){.attempt = attempt_read_ahead});
}

/* Keep what cannot be given out yet for the next read; nothing is ahead then. */
static int put_back_locked(cel_ctx *ctx, cel_stream *stream, const void *bytes, size_t n)
{
        if (n + AHEAD_BYTES > stream->ahead.bytes_max)
                stream->ahead.bytes_max = n + AHEAD_BYTES;
        int r = cel__buf_append(&stream->ahead, bytes, n);
        if (r >= 0)
                return 0;
        cel__source_close_locked(&stream->source); /* better none than one with a hole */
        return cel_fail(ctx, r, "%s: closed, because there is no memory to keep %zu bytes in", stream->name,
                        n);
}

/* A part has come, and no more does, for the reason `r`. */
static int give_up_locked(cel_ctx *ctx, cel_stream *stream, const void *bytes, size_t got, size_t n, int r)
{
        if (got == 0 || stream->source.closed)
                return r;
        int kept = put_back_locked(ctx, stream, bytes, got);
        if (kept < 0)
                return kept;
        if (r < 0)
                return r;
        return cel_fail(ctx, CEL_EPROTO, "%s: the stream ended after %zu of %zu bytes", stream->name, got, n);
}

static int read_exactly_locked(cel_ctx *ctx, cel_stream *stream, char *bytes, size_t n)
{
        size_t got = take_ahead(stream, bytes, n);

        while (got < n) {
                size_t left = n - got;
                int r = left < AHEAD_BYTES ? read_ahead_locked(ctx, stream)
                                           : read_locked(ctx, stream, bytes + got, left);

                if (r <= 0)
                        return give_up_locked(ctx, stream, bytes, got, n, r);
                got += left < AHEAD_BYTES ? take_ahead(stream, bytes + got, left) : (size_t)r;
        }
        return (int)n;
}

int cel_stream_read_exactly(cel_ctx *ctx, cel_stream *stream, void *bytes, size_t n)
{
        if (n == 0)
                return 0;
        if (n > TRANSFER_BYTES_MAX)
                return cel_fail(ctx, CEL_EINVAL, "%s: %zu bytes are more than can be read at once",
                                stream->name, n);
        int r = enter(ctx, stream, CEL__READING);
        if (r < 0)
                return r;
        r = read_exactly_locked(ctx, stream, bytes, n);
        leave_locked(stream, CEL__READING);
        return r;
}

/* Wait until a line is ahead. Returns how many bytes it takes, its end included; 0: the stream has ended. */
static int find_line_locked(cel_ctx *ctx, cel_stream *stream, size_t bytes_max)
{
        size_t looked = 0;

        for (;;) {
                size_t used = cel__buf_used(&stream->ahead);
                const uint8_t *head = cel__buf_head(&stream->ahead);
                const uint8_t *end = used > looked ? memchr(head + looked, '\n', used - looked) : NULL;
                size_t line = end ? (size_t)(end - head) + 1 : used;

                if (line > bytes_max || (!end && line == bytes_max))
                        return cel_fail(ctx, CEL_ETOOBIG, "%s: a line is longer than %zu bytes", stream->name,
                                        bytes_max);
                if (end)
                        return (int)line;
                looked = used;
                int r = read_ahead_locked(ctx, stream);
                if (r < 0)
                        return r;
                if (r == 0)
                        return (int)used;
        }
}

static int take_line_locked(cel_ctx *ctx, cel_stream *stream, size_t n, char **ret_line)
{
        const char *head = (const char *)cel__buf_head(&stream->ahead);
        size_t text = n;

        if (memchr(head, '\0', n))
                return cel_fail(ctx, CEL_EPROTO, "%s: there is a zero byte in a line", stream->name);
        if (text > 0 && head[text - 1] == '\n')
                text--;
        if (text < n && text > 0 && head[text - 1] == '\r')
                text--;
        char *line = malloc(text + 1);
        if (!line)
                return cel_fail(ctx, CEL_ENOMEM, "%s: no memory for a line", stream->name);
        memcpy(line, head, text);
        line[text] = '\0';
        cel__buf_consume(&stream->ahead, n);
        *ret_line = line;
        return (int)n;
}

int cel_stream_read_line(cel_ctx *ctx, cel_stream *stream, size_t bytes_max, char **ret_line)
{
        if (bytes_max == 0 || bytes_max > CEL_STREAM_LINE_BYTES_MAX)
                return cel_fail(ctx, CEL_EINVAL,
                                "%s: a line of at most %zu bytes was asked for; 1 to %d are possible",
                                stream->name, bytes_max, CEL_STREAM_LINE_BYTES_MAX);
        int r = enter(ctx, stream, CEL__READING);
        if (r < 0)
                return r;
        r = find_line_locked(ctx, stream, bytes_max);
        if (r > 0)
                r = take_line_locked(ctx, stream, (size_t)r, ret_line);
        leave_locked(stream, CEL__READING);
        return r;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static const char shut_down[] = "its writing was ended by cel_stream_shutdown()";

static int enter_to_write(cel_ctx *ctx, cel_stream *stream)
{
        int r = enter(ctx, stream, CEL__WRITING);

        if (r < 0 || !stream->no_writing)
                return r;
        r = cel_fail(ctx, CEL_ECLOSED, "%s: %s", stream->name, stream->no_writing);
        leave_locked(stream, CEL__WRITING);
        return r;
}

/* TLS that could not finish a record has to go on with that one, or with none. */
static void note_cut_locked(cel_stream *stream, int r, size_t gone)
{
        bool left = r == CEL_ETIMEDOUT || r == CEL_ECANCELED || r == CEL_ENOMEM || r == CEL_ESYSTEM;

        if (left && (gone > 0 || stream->top != stream->bottom))
                stream->no_writing = "an earlier write was cut short";
}

static ssize_t attempt_write(cel_stream *stream, const cel__operation *op, int *ret_needs)
{
        return stream->top->ops->try_write(stream->top, op->bytes, op->n, ret_needs);
}

int cel_stream_write(cel_ctx *ctx, cel_stream *stream, const void *bytes, size_t n)
{
        cel__operation op = {.attempt = attempt_write, .bytes = bytes, .n = n};

        if (n == 0)
                return 0;
        if (n > TRANSFER_BYTES_MAX)
                op.n = TRANSFER_BYTES_MAX;
        int r = enter_to_write(ctx, stream);
        if (r < 0)
                return r;
        r = cel__stream_do_locked(ctx, stream, CEL__WRITING, &op);
        note_cut_locked(stream, r, 0);
        leave_locked(stream, CEL__WRITING);
        return r;
}

int cel_stream_write_all(cel_ctx *ctx, cel_stream *stream, const void *bytes, size_t n)
{
        size_t put = 0;

        int r = enter_to_write(ctx, stream);
        if (r < 0)
                return r;
        while (r >= 0 && put < n) {
                size_t left = n - put < TRANSFER_BYTES_MAX ? n - put : TRANSFER_BYTES_MAX;
                cel__operation op = {.attempt = attempt_write, .bytes = (const char *)bytes + put, .n = left};

                r = cel__stream_do_locked(ctx, stream, CEL__WRITING, &op);
                if (r > 0)
                        put += (size_t)r;
        }
        note_cut_locked(stream, r, put);
        leave_locked(stream, CEL__WRITING);
        return r < 0 ? r : 0;
}

static ssize_t attempt_shutdown(cel_stream *stream, const cel__operation *op, int *ret_needs)
{
        (void)op;
        return stream->top->ops->try_shutdown(stream->top, ret_needs);
}

/* Returns 0, or the error; what only writes is closed by it. */
static int shutdown_locked(cel_ctx *ctx, cel_stream *stream)
{
        int r = cel__stream_do_locked(ctx, stream, CEL__WRITING,
                                      &(cel__operation){.attempt = attempt_shutdown});

        if (r == CEL_ECLOSED && !stream->source.closed) {
                cel__source_close_locked(&stream->source);
                r = 0;
        }
        if (r >= 0)
                stream->no_writing = shut_down;
        return r;
}

int cel_stream_shutdown(cel_ctx *ctx, cel_stream *stream)
{
        int r = enter(ctx, stream, CEL__WRITING);

        if (r < 0)
                return r;
        r = stream->no_writing == shut_down ? 0 : shutdown_locked(ctx, stream);
        leave_locked(stream, CEL__WRITING);
        return r;
}
