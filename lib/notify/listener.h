/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a notification listener. listener.c takes deliveries in and opens and closes listeners; batch.c is what
 * happens in a handler's task. */
#ifndef CEL_NOTIFY_LISTENER_H
#define CEL_NOTIFY_LISTENER_H

#include "base/seen.h"
#include "notify/endpoints.h"
#include "notify/job.h"
#include "rt/runtime.h"

enum { CEL__RUNNING_BUCKETS = 256 }; /* a power of two */

/* What one handler's task handles: one message that is no notification, or up to batch_size that are. */
typedef struct batch {
        cel_notification_listener *listener; /* borrowed */
        cel_time until;                      /* begin it by then */
        unsigned n;
        job *jobs[]; /* owned; room for batch_size */
} batch;

struct cel_notification_listener {
        const cel__driver *driver; /* borrowed */
        void *subscription;        /* the driver's; NULL before and after */
        cel__loop *loop;           /* borrowed */
        cel_clock *clock;          /* borrowed */
        cel_scope *scope;          /* owned; of the handlers' tasks */
        cel__seen *handled;        /* owned; unique ids */
        cel__endpoints endpoints;
        cel_serializer serializer;
        cel_invalid_message_fn on_invalid;
        void *arg; /* borrowed; for on_invalid */
        bool allow_requeue;
        unsigned concurrency;
        unsigned running;    /* tasks of handlers */
        unsigned batch_size; /* 1 without batches */
        int64_t batch_timeout_ms;
        size_t bytes_max;
        size_t bytes;      /* that jobs hold */
        bool draining;     /* what is not begun goes back */
        bool paused;       /* nothing is begun but what has waited too long */
        cel__list pending; /* of job, in the order in which they came */
        batch *open;       /* owned; of decoded jobs, which its handler's turn has come for; NULL: none */
        cel__timer window; /* set while a batch is open: it begins then, full or not */
        cel__timer
                impatience;  /* set while something is pending: no later than the first one's time is over */
        cel__deferred begin; /* on the hub: a handler is free */
        cel__list running_by_id[CEL__RUNNING_BUCKETS]; /* of job, those with an id */
};

/* Settle a job and free it. */
void job_end(job *j, cel__settlement how);

/* A handler's task; `arg` is its batch. */
int batch_work(cel_ctx *ctx, void *arg);

#endif
