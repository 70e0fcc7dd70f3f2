/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Two pipes in memory, in opposite directions, under one mutex that is always the last one taken.
 * Whoever changes a pipe wakes everybody who waits for it; they look again. */
#include "base/assert.h"
#include "net/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pipe_half {
        char *ring;   /* owned; made by the first write */
        size_t start; /* the first byte */
        size_t used;
        bool writer_gone; /* has shut down, or is closed: after what is inside comes the end */
        bool reader_gone;
        cel__list readers, writers; /* of cel__waiter */
} pipe_half;

typedef struct pair pair;

typedef struct pair_end {
        cel__stream stream;
        pair *pair;
        pipe_half *in, *out;
} pair_end;

struct pair {
        pthread_mutex_t mutex;
        size_t bytes_max;
        unsigned ends; /* that are not destroyed */
        pipe_half halves[2];
        pair_end end[2];
};

static pair_end *as_end(cel__stream *stream)
{
        return cel__container(stream, pair_end, stream);
}

static void wake_locked(cel__list *waiters)
{
        for (cel__list *node; (node = cel__list_pop(waiters));)
                cel__wait_finish(cel__container(node, cel__waiter, node)->wait, 0);
}

/* --- The ring --------------------------------------------------------------------------------- */

static size_t min(size_t a, size_t b)
{
        return a < b ? a : b;
}

static size_t take(pipe_half *half, size_t bytes_max, char *bytes, size_t n)
{
        n = min(n, half->used);
        size_t head = min(n, bytes_max - half->start);
        memcpy(bytes, half->ring + half->start, head);
        memcpy(bytes + head, half->ring, n - head);
        half->start = (half->start + n) % bytes_max;
        half->used -= n;
        if (half->used == 0)
                half->start = 0;
        return n;
}

static size_t put(pipe_half *half, size_t bytes_max, const char *bytes, size_t n)
{
        n = min(n, bytes_max - half->used);
        size_t end = (half->start + half->used) % bytes_max;
        size_t tail = min(n, bytes_max - end);
        memcpy(half->ring + end, bytes, tail);
        memcpy(half->ring, bytes + tail, n - tail);
        half->used += n;
        return n;
}

/* --- The stream ------------------------------------------------------------------------------- */

static ssize_t read_locked(pair_end *end, void *bytes, size_t n, int *ret_needs)
{
        pipe_half *half = end->in;

        if (half->used == 0 && half->writer_gone)
                return 0;
        if (half->used == 0) {
                *ret_needs = CEL__READABLE;
                return CEL_EAGAIN;
        }
        n = take(half, end->pair->bytes_max, bytes, n);
        wake_locked(&half->writers);
        return (ssize_t)n;
}

static ssize_t write_locked(pair_end *end, const void *bytes, size_t n, int *ret_needs)
{
        pipe_half *half = end->out;

        if (half->reader_gone) {
                snprintf(end->stream.error, sizeof(end->stream.error),
                         "writing failed: the other end is closed");
                return CEL_EIO;
        }
        if (!half->ring)
                half->ring = malloc(end->pair->bytes_max);
        if (!half->ring) {
                snprintf(end->stream.error, sizeof(end->stream.error), "writing failed: out of memory");
                return CEL_ENOMEM;
        }
        if (half->used == end->pair->bytes_max) {
                *ret_needs = CEL__WRITABLE;
                return CEL_EAGAIN;
        }
        n = put(half, end->pair->bytes_max, bytes, n);
        wake_locked(&half->readers);
        return (ssize_t)n;
}

static ssize_t pair_try_read(cel__stream *stream, void *bytes, size_t n, int *ret_needs)
{
        pair_end *end = as_end(stream);

        pthread_mutex_lock(&end->pair->mutex);
        ssize_t r = read_locked(end, bytes, n, ret_needs);
        pthread_mutex_unlock(&end->pair->mutex);
        return r;
}

static ssize_t pair_try_write(cel__stream *stream, const void *bytes, size_t n, int *ret_needs)
{
        pair_end *end = as_end(stream);

        pthread_mutex_lock(&end->pair->mutex);
        ssize_t r = write_locked(end, bytes, n, ret_needs);
        pthread_mutex_unlock(&end->pair->mutex);
        return r;
}

static void end_writing_locked(pair_end *end)
{
        end->out->writer_gone = true;
        wake_locked(&end->out->readers);
}

static int pair_try_shutdown(cel__stream *stream, int *ret_needs)
{
        pair_end *end = as_end(stream);

        (void)ret_needs;
        pthread_mutex_lock(&end->pair->mutex);
        end_writing_locked(end);
        pthread_mutex_unlock(&end->pair->mutex);
        return 0;
}

static bool is_ready_locked(const pair_end *end, int needs)
{
        return ((needs & CEL__READABLE) && (end->in->used > 0 || end->in->writer_gone)) ||
               ((needs & CEL__WRITABLE) && (end->out->used < end->pair->bytes_max || end->out->reader_gone));
}

static void pair_watch(cel__stream *stream, int needs, cel__waiter *waiter)
{
        pair_end *end = as_end(stream);

        cel_assert(needs == CEL__READABLE || needs == CEL__WRITABLE);
        pthread_mutex_lock(&end->pair->mutex);
        cel__list_append(needs == CEL__READABLE ? &end->in->readers : &end->out->writers, &waiter->node);
        if (is_ready_locked(end, needs)) /* it has become so since it was tried */
                cel__wait_finish(waiter->wait, 0);
        pthread_mutex_unlock(&end->pair->mutex);
}

static void pair_unwatch(cel__stream *stream, cel__waiter *waiter)
{
        pair_end *end = as_end(stream);

        pthread_mutex_lock(&end->pair->mutex);
        cel__list_remove(&waiter->node);
        pthread_mutex_unlock(&end->pair->mutex);
}

static void pair_free(pair *p)
{
        for (int i = 0; i < 2; i++)
                free(p->halves[i].ring);
        pthread_mutex_destroy(&p->mutex);
        free(p);
}

static void pair_destroy(cel__stream *stream)
{
        pair_end *end = as_end(stream);
        pair *p = end->pair;

        pthread_mutex_lock(&p->mutex);
        end_writing_locked(end);
        end->in->reader_gone = true;
        wake_locked(&end->in->writers);
        bool last = --p->ends == 0;
        pthread_mutex_unlock(&p->mutex);
        if (last)
                pair_free(p);
}

static const cel__stream_ops pair_ops = {
        .try_read = pair_try_read,
        .try_write = pair_try_write,
        .try_shutdown = pair_try_shutdown,
        .watch = pair_watch,
        .unwatch = pair_unwatch,
        .destroy = pair_destroy,
};

int cel__pair_new(size_t bytes_max, cel__stream **ret_a, cel__stream **ret_b)
{
        pair *p = calloc(1, sizeof(*p));

        if (!p)
                return CEL_ENOMEM;
        pthread_mutex_init(&p->mutex, NULL);
        p->bytes_max = bytes_max;
        p->ends = 2;
        for (int i = 0; i < 2; i++) {
                cel__list_init(&p->halves[i].readers);
                cel__list_init(&p->halves[i].writers);
                p->end[i] = (pair_end){.stream = {.ops = &pair_ops, .fd = -1},
                                       .pair = p,
                                       .in = &p->halves[i],
                                       .out = &p->halves[1 - i]};
        }
        *ret_a = &p->end[0].stream;
        *ret_b = &p->end[1].stream;
        return 0;
}
