/* SPDX-License-Identifier: Apache-2.0
 *
 * Something to be done again and again, in a task of its own.
 *
 * The runs are due at fixed times, one period apart, from the first on; each starts up to `jitter_ms` later, so
 * that many processes do not do the same thing in the same instant. Runs never overlap. One that takes longer
 * than its period makes the next one late, which then starts at once; those beyond it that were due meanwhile
 * are missed: counted, not made up for. */
#ifndef CELADON_PERIODIC_H
#define CELADON_PERIODIC_H

#include <celadon/task.h>

typedef struct cel_periodic cel_periodic;

/* What a run returns when it was the last: the task ends with 0. */
enum { CEL_PERIODIC_DONE = 1 };

typedef struct cel_periodic_options {
        const char *name;      /* copied; of the task. NULL: "periodic" */
        cel_task_fn run;       /* 0: fine; CEL_PERIODIC_DONE; below zero: it has failed, which is logged */
        void *arg;             /* borrowed until the task has ended */
        int64_t period_ms;     /* 1 or more */
        int64_t first_ms;      /* before the first run is due; 0: at once */
        int64_t jitter_ms;     /* at most the period; each run starts 0 to this much later, evenly */
        int64_t run_ms_max;    /* the deadline of each run; 0: none */
        bool stop_when_failed; /* end the task with the failure, which is then not logged */
} cel_periodic_options;

typedef struct cel_periodic_stats {
        uint64_t runs;   /* ended, the failed ones included */
        uint64_t missed; /* due while another still ran, and left out */
        uint64_t failed;
        int last_result;
        bool running; /* now */
} cel_periodic_stats;

CEL_BEGIN

/* Start it as a task of `scope`: cancelling that ends it. Nothing is written down: a new start is a new first
 * run.
 * Owns:   `options` is copied. *ret_periodic, unless ret_periodic is NULL, is a reference of yours.
 * Waits:  never.
 * Errors: CEL_EINVAL, and those of cel_spawn(). */
CEL_API int cel_periodic_start(cel_ctx *ctx, cel_scope *scope, const cel_periodic_options *options,
                               cel_periodic **ret_periodic);

/* Cancel the run in progress and all later ones. Never waits; callable from any thread. */
CEL_API void cel_periodic_cancel(cel_periodic *periodic);

/* Callable from any thread. */
CEL_API cel_periodic_stats cel_periodic_get_stats(cel_periodic *periodic);

/* Drop the reference; the task goes on. */
CEL_API cel_periodic *cel_periodic_unref(cel_periodic *periodic);

CEL_END

CEL_AUTO_WITH(cel_periodic, cel_periodic_unref)

#endif
