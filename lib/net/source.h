/* SPDX-License-Identifier: Apache-2.0
 *
 * Something that tasks and threads wait for and that anybody may close: what streams and listeners have in
 * common.
 *
 * A call enters, waits as often as it must, and leaves. Closing finishes every wait at once, but what lies below
 * is released only after the last call has left and the last loop has stopped watching: nobody ever uses a
 * descriptor that is closed, or another's that got its number. */
#ifndef CEL_NET_SOURCE_H
#define CEL_NET_SOURCE_H

#include "net/stream.h"
#include "rt/ctx.h"

typedef struct cel__source {
        pthread_mutex_t mutex; /* of all below */
        int fd;                /* borrowed; what to wait for; -1: `below` says when */
        cel__stream *below;    /* borrowed; of a stream without descriptor; else NULL */
        bool one_by_one;       /* wake one waiter for each event, not all */
        bool closed;
        bool released;
        unsigned refs;
        unsigned users;                              /* calls that have entered */
        cel__list waiters;                           /* of those calls */
        cel__list watches;                           /* one for each loop that waited */
        void (*release)(struct cel__source *source); /* close what lies below; with the mutex held */
        void (*destroy)(struct cel__source *source); /* free the memory; after cel__source_fini() */
} cel__source;

/* One reference, the caller's. */
void cel__source_init(cel__source *source, int fd, void (*release)(cel__source *source),
                      void (*destroy)(cel__source *source));
void cel__source_fini(cel__source *source);

void cel__source_ref(cel__source *source);
void cel__source_unref(cel__source *source);
void cel__source_close(cel__source *source);

/* The same within a call; what lies below is released when it leaves. */
void cel__source_close_locked(cel__source *source);

/* Release the mutex, and whatever nobody needs any more. */
void cel__source_settle_locked(cel__source *source);

/* What every call that may wait does first, for whatever it is about to wait.
 * Errors: CEL_ECANCELED, CEL_EFORKED. */
int cel__call_begin(cel_ctx *ctx, const char *where);

/* Begin a call: take the mutex. On failure the call has not begun, and the mutex is not held.
 * Errors: CEL_ECLOSED, CEL_ECANCELED, CEL_EFORKED. */
int cel__source_enter(cel__source *source, cel_ctx *ctx, const char *where);

/* End it: release the mutex. The source may then be gone. */
static inline void cel__source_leave_locked(cel__source *source)
{
        source->users--;
        if (source->closed)
                cel__source_settle_locked(source);
        else
                pthread_mutex_unlock(&source->mutex);
}

/* A call that waits. */
typedef struct cel__source_waiter {
        cel__list node; /* in source->waiters */
        cel__wait wait;
        const void *watcher; /* the watch that wakes it; NULL: a thread's, or without descriptor */
        int needs;
} cel__source_waiter;

/* Wait, within a call, until `needs` may hold. The mutex is held, and released meanwhile.
 * Errors: CEL_ECLOSED, CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM, CEL_ESYSTEM. */
int cel__source_wait_locked(cel__source *source, cel_ctx *ctx, cel__source_waiter *waiter, int needs,
                            const char *where);

/* Within a call that goes on and on without ever having to wait: let others have their turn, descriptors too.
 * As cel__source_wait_locked(). */
int cel__source_take_turn_locked(cel__source *source, cel_ctx *ctx);

#endif
