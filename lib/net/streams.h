/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a cel_stream, for those who make and change them. */
#ifndef CEL_NET_STREAMS_H
#define CEL_NET_STREAMS_H

#include "base/buf.h"
#include "net/source.h"

#include <celadon/stream.h>

typedef enum cel__side_name { CEL__READING, CEL__WRITING, CEL__SIDES } cel__side_name;

typedef struct cel__side {
        const cel_ctx *user;        /* borrowed; who is in a call; NULL: nobody */
        cel__source_waiter *waiter; /* borrowed; of the user while it waits; else NULL */
        unsigned tries;             /* since it last waited */
} cel__side;

enum { CEL__STREAM_NAME_BYTES = 320 };

struct cel_stream {
        cel__source source;     /* its mutex is of all below */
        cel__stream *top;       /* owned; what to read and write */
        cel__stream *bottom;    /* borrowed from top; what to wait for */
        const char *no_writing; /* static; why it cannot be written any more; NULL: it can */
        cel__side sides[CEL__SIDES];
        cel__buf ahead;
        char name[CEL__STREAM_NAME_BYTES]; /* never changes */
};

/* A stream of `below`. Owns: as cel__stream's are: takes `below`, unless this fails; *ret_stream is a reference of
 * yours.
 * Errors: CEL_ENOMEM. */
int cel__stream_wrap(cel__stream *below, const char *name, cel_stream **ret_stream);

/* What to do with a side: try, without waiting; as cel__stream_ops. */
typedef struct cel__operation {
        ssize_t (*attempt)(cel_stream *stream, const struct cel__operation *op, int *ret_needs);
        void *room;        /* to read into */
        const void *bytes; /* to write */
        size_t n;
} cel__operation;

/* Take a side; the mutex is then held. Leaving releases it, and the stream may be gone.
 * Errors: CEL_ECLOSED, CEL_ECANCELED, CEL_EBUSY, with a text. */
int cel__stream_enter(cel_ctx *ctx, cel_stream *stream, cel__side_name which);
void cel__stream_leave_locked(cel_stream *stream, cel__side_name which);

/* Try, and wait when needed, until it is done. Returns what the attempt returned; on failure the ctx has a text.
 */
int cel__stream_do_locked(cel_ctx *ctx, cel_stream *stream, cel__side_name which, const cel__operation *op);

#endif
