/* SPDX-License-Identifier: Apache-2.0
 *
 * Executors: who runs a job, and how many at once. Four kinds behind one API; a server may have several, and
 * send each endpoint's messages to the one that suits it.
 *
 * | kind     | a job runs                                     | its ctx waits by       |
 * |----------|------------------------------------------------|------------------------|
 * | GREEN    | in a task of the loop                          | switching stacks       |
 * | THREADS  | on a thread of a bounded pool                  | blocking that thread   |
 * | BLOCKING | in whoever calls cel_executor_run()            | as the caller's does   |
 * | INLINE   | on the loop itself                             | it is NULL: it cannot  |
 *
 * An executor takes `concurrency` jobs that run and `waiting_max` that wait for their turn. Then it is full,
 * and stops its source instead of queueing without end: cel_executor_submit() waits; cel_executor_try_submit(),
 * for code that has no ctx, says CEL_EAGAIN, and on_room says when to go on.
 *
 * What becomes of a job that was accepted: either its `run` is called, or its `on_dropped`, once. */
#ifndef CELADON_EXECUTOR_H
#define CELADON_EXECUTOR_H

#include <celadon/ctx.h>
#include <celadon/task.h>

typedef struct cel_executor cel_executor;

typedef enum cel_executor_kind {
        CEL_EXECUTOR_GREEN,
        CEL_EXECUTOR_THREADS,
        CEL_EXECUTOR_BLOCKING,
        CEL_EXECUTOR_INLINE,
} cel_executor_kind;

typedef struct cel_executor_options {
        const char *name; /* copied; of its tasks and threads. NULL: "executor" */
        cel_executor_kind kind;
        unsigned
                concurrency; /* at once: GREEN 0: 64, at most 1,000,000; THREADS 0: 8, at most 1024; BLOCKING:
                                 how many call cel_executor_run(), 0: 1, at most 1024; INLINE: 1 */
        unsigned waiting_max; /* jobs that wait for their turn, at most 1,000,000 */
        /* Called once after cel_executor_try_submit() said CEL_EAGAIN, when room has come: a place, and half of
         * those to wait in. On the loop's hub, so it must not wait. Not called once the executor is closed to
         * new jobs. NULL: nobody wants to know. */
        void (*on_room)(void *arg);
        void *arg; /* borrowed; for on_room */
} cel_executor_options;

/* Copied when it is submitted. */
typedef struct cel_job {
        cel_task_fn run; /* its result is counted: below zero, the job has failed */
        void (*on_dropped)(
                void *arg); /* instead of run, when the executor was cancelled before its turn came:
                                          without ctx, in cel_executor_cancel(). NULL: nothing to do */
        void *arg;
} cel_job;

typedef struct cel_executor_stats {
        unsigned running;    /* jobs that run now */
        unsigned waiting;    /* accepted, for their turn */
        unsigned submitters; /* that wait in cel_executor_submit() */
        uint64_t done;       /* jobs that ran, the failed ones included */
        uint64_t failed;
        uint64_t rejected; /* refused, because there was no room in time */
        uint64_t dropped;
} cel_executor_stats;

CEL_BEGIN

/* Make an executor for the ctx's loop (a thread's ctx: the runtime's first). THREADS starts its threads here.
 * Owns:   *ret_executor is yours; cel_executor_close() it. `options` is copied.
 * Errors: CEL_EINVAL, CEL_ENOMEM (also when there are no more threads). */
CEL_API int cel_executor_open(cel_ctx *ctx, const cel_executor_options *options, cel_executor **ret_executor);

/* Give the executor a job. INLINE, on the loop's thread: the job runs before this returns.
 * Owns:   `job->arg` belongs to the job from now on, unless this fails.
 * Waits:  while the executor is full, first come first served; until the deadline or cancellation.
 * Errors: CEL_ECLOSED (drained or cancelled), CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM (GREEN: no task could be
 *         started and none runs). */
CEL_API int cel_executor_submit(cel_ctx *ctx, cel_executor *executor, const cel_job *job);

/* The same without waiting, from any thread.
 * Errors: CEL_EAGAIN when it is full; CEL_ECLOSED, CEL_ENOMEM. */
CEL_API int cel_executor_try_submit(cel_executor *executor, const cel_job *job);

/* BLOCKING: run jobs here, with this ctx, until the executor is drained or cancelled. With fewer callers than
 * `concurrency`, so many fewer jobs run at once.
 * Waits:  for jobs, and as they do; until the deadline or cancellation, which a job that runs feels too.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_EINVAL (of another kind). */
CEL_API int cel_executor_run(cel_ctx *ctx, cel_executor *executor);

/* Take no more jobs, and wait until those accepted have ended. Those who wait to submit are told CEL_ECLOSED.
 * Waits:  for the jobs, the deadline or cancellation; then the jobs go on: cancel or drain again.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED. */
CEL_API int cel_executor_drain(cel_ctx *ctx, cel_executor *executor);

/* Take no more jobs, drop those that wait, cancel those that run (BLOCKING: by cancelling the ctx of each
 * cel_executor_run(); INLINE: nothing). Never waits. Callable from any thread, twice too. */
CEL_API void cel_executor_cancel(cel_executor *executor);

/* Cancel what is left, wait for it, free the executor. No call on it may be under way or follow, but those of
 * its jobs and cel_executor_run(). A job that does not come back holds this up: code that ignores its ctx
 * belongs into cel_offload().
 * Waits:  for the jobs that run, whatever the deadline and cancellation. */
CEL_API void cel_executor_close(cel_ctx *ctx, cel_executor *executor);

/* Callable from any thread. */
CEL_API cel_executor_stats cel_executor_get_stats(cel_executor *executor);

CEL_END

#endif
