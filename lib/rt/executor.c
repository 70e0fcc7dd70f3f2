/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Every job goes through one ring, whatever the kind; the kinds differ in who takes it out: a
 * worker. A worker is a task (GREEN, started when there is work, gone when there is none), a thread (THREADS),
 * a caller of cel_executor_run() (BLOCKING), or whoever runs the loop now (INLINE). What is always true, under
 * the mutex:
 *   running + n <= concurrency + waiting_max
 *   GREEN, a job waits  =>  a task of ours is alive, and looks again before it goes
 *   somebody waits to submit, and is not leaving  =>  the executor is full: nobody overtakes them
 *   on_room is owed  =>  a job is in hand, whose end will look whether there is room
 * Nobody calls foreign code with the mutex held. */
#include "base/assert.h"
#include "rt/ctx.h"
#include "rt/runtime.h"
#include "rt/task.h"
#include "rt/thread.h"
#include "rt/waiters.h"

#include <celadon/executor.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING_MAX = 1000000, THREADS_MAX = 1024 };

struct cel_executor {
        cel__loop *loop;  /* borrowed */
        cel_scope *scope; /* owned; GREEN */
        cel_runtime *runtime;
        cel_executor_kind kind;
        unsigned concurrency, waiting_max;
        void (*on_room)(void *arg);
        void *arg;             /* borrowed */
        _Atomic unsigned refs; /* the owner's, and one for each thread and each letter under way */
        char name[CEL__NAME_BYTES];

        pthread_mutex_t mutex;  /* of all below */
        pthread_cond_t work;    /* THREADS: a job, or the end */
        pthread_cond_t started; /* THREADS: one more has, or could not */
        bool closed, canceled;
        unsigned workers, starting, not_started;
        cel__list hands;      /* of hand: whose ctx a cancel reaches */
        cel__list idle;       /* of cel__waiter: BLOCKING, workers without work */
        cel__list submitters; /* of cel__waiter: their items are jobs */
        cel__list watchers;   /* of cel__waiter: who wait until something has ended */
        bool room_owed, room_sent, telling;
        bool inlining, inline_sent;
        cel__mail room_mail, inline_mail;
        cel_executor_stats stats;
        size_t first; /* in the ring; stats.waiting is how many */
        size_t capacity;
        cel_job ring[];
};

/* A worker that has a ctx of its own. */
typedef struct hand {
        cel__list node;
        cel_ctx *ctx; /* borrowed */
} hand;

static void unref(cel_executor *executor)
{
        if (atomic_fetch_sub(&executor->refs, 1) > 1)
                return;
        pthread_cond_destroy(&executor->work);
        pthread_cond_destroy(&executor->started);
        pthread_mutex_destroy(&executor->mutex);
        free(executor);
}

/* --- Waiting lists ---------------------------------------------------------------------------- */

static void wake_all_locked(cel__list *waiters, int status)
{
        for (cel__waiter *waiter; (waiter = cel__waiters_pick(waiters));)
                waiter->status = status;
}

/* Wait in `list`, with the mutex held: released meanwhile. */
static int wait_locked(cel_ctx *ctx, cel_executor *executor, cel__list *list, void *item, const char *where)
{
        cel__waiter waiter = {.item = item};
        int r = cel__waiters_wait(list, &waiter, ctx, &executor->mutex, where);

        pthread_mutex_lock(&executor->mutex);
        return r < 0 ? r : cel__ctx_bare(ctx, waiter.status);
}

/* --- Jobs in and out -------------------------------------------------------------------------- */

static bool has_room_locked(const cel_executor *executor)
{
        return executor->stats.running + executor->stats.waiting < executor->capacity;
}

static void push_locked(cel_executor *executor, const cel_job *job)
{
        executor->ring[(executor->first + executor->stats.waiting++) % executor->capacity] = *job;
}

static bool pop_locked(cel_executor *executor, cel_job *ret_job)
{
        if (executor->stats.waiting == 0)
                return false;
        *ret_job = executor->ring[executor->first];
        executor->first = (executor->first + 1) % executor->capacity;
        executor->stats.waiting--;
        return true;
}

static void tell_watchers_locked(cel_executor *executor)
{
        if (executor->stats.running + executor->stats.waiting == 0 || executor->workers == 0)
                wake_all_locked(&executor->watchers, 0);
}

static void send_locked(cel_executor *executor, bool *sent, cel__mail *mail)
{
        if (*sent)
                return;
        *sent = true;
        atomic_fetch_add(&executor->refs, 1);
        cel__loop_send(executor->loop, mail);
}

/* Whoever was told CEL_EAGAIN hears of room when there is enough of it to be worth the way. */
static void tell_source_locked(cel_executor *executor)
{
        if (executor->room_owed && !executor->closed && has_room_locked(executor) &&
            executor->stats.waiting <= executor->waiting_max / 2)
                send_locked(executor, &executor->room_sent, &executor->room_mail);
}

static bool begin_locked(cel_executor *executor, cel_job *ret_job)
{
        if (executor->canceled || !pop_locked(executor, ret_job))
                return false;
        executor->stats.running++;
        tell_source_locked(executor); /* one waits less */
        return true;
}

static int kick_locked(cel_executor *executor);

/* A job has ended: who waits to submit is served first, then the source is told. */
static void make_room_locked(cel_executor *executor)
{
        cel__waiter *submitter;

        while (!executor->closed && has_room_locked(executor) &&
               (submitter = cel__waiters_pick(&executor->submitters))) {
                push_locked(executor, submitter->item);
                kick_locked(executor); /* cannot fail: whoever calls this is a worker itself */
        }
        tell_source_locked(executor);
}

/* A job's ctx, if it has one, is as new for the next: no request id and no error text of a stranger. */
static int run_job(cel_ctx *ctx, const cel_job *job)
{
        char request_id[CEL__REQUEST_ID_BYTES];

        if (!ctx)
                return job->run(NULL, job->arg);
        snprintf(request_id, sizeof(request_id), "%s", cel_ctx_request_id(ctx));
        int r = job->run(ctx, job->arg);
        if (strcmp(cel_ctx_request_id(ctx), request_id) != 0)
                cel_ctx_set_request_id(ctx, *request_id ? request_id : NULL);
        ctx->error_code = 0;
        return r;
}

/* Run a job that was begun, with the mutex held: released meanwhile. */
static void run_locked(cel_executor *executor, cel_ctx *ctx, const cel_job *job)
{
        pthread_mutex_unlock(&executor->mutex);
        int r = run_job(ctx, job);
        pthread_mutex_lock(&executor->mutex);
        executor->stats.running--;
        executor->stats.done++;
        if (r < 0)
                executor->stats.failed++;
        make_room_locked(executor);
        tell_watchers_locked(executor);
}

static void leave_locked(cel_executor *executor)
{
        executor->workers--;
        tell_watchers_locked(executor);
}

/* --- Workers ---------------------------------------------------------------------------------- */

static int work_green(cel_ctx *ctx, void *arg)
{
        cel_executor *executor = arg;
        cel_job job;

        pthread_mutex_lock(&executor->mutex);
        while (begin_locked(executor, &job)) {
                run_locked(executor, ctx, &job);
                if (executor->stats.waiting == 0)
                        continue;
                pthread_mutex_unlock(&executor->mutex);
                cel_yield(ctx); /* jobs that never wait must not keep the loop from its descriptors */
                pthread_mutex_lock(&executor->mutex);
        }
        leave_locked(executor);
        pthread_mutex_unlock(&executor->mutex);
        return 0;
}

static void work_threads_locked(cel_executor *executor, cel_ctx *ctx)
{
        hand h = {.ctx = ctx};
        cel_job job;

        cel__list_append(&executor->hands, &h.node);
        for (;;) {
                if (begin_locked(executor, &job))
                        run_locked(executor, ctx, &job);
                else if (executor->closed)
                        break;
                else
                        pthread_cond_wait(&executor->work, &executor->mutex);
        }
        cel__list_remove(&h.node);
}

static void *thread_main(void *arg)
{
        cel_executor *executor = arg;
        cel_auto(cel_ctx) *ctx = NULL;
        char name[16];

        snprintf(name, sizeof(name), "%.15s", executor->name);
        pthread_setname_np(pthread_self(), name);
        int r = cel_thread_ctx_new(executor->runtime, executor->name, &ctx);

        pthread_mutex_lock(&executor->mutex);
        executor->starting--;
        if (r < 0)
                executor->not_started++;
        pthread_cond_signal(&executor->started);
        if (r >= 0)
                work_threads_locked(executor, ctx);
        pthread_mutex_unlock(&executor->mutex);
        ctx = cel_thread_ctx_free(ctx); /* before the executor, and then the runtime, may go */

        pthread_mutex_lock(&executor->mutex);
        leave_locked(executor);
        pthread_cond_signal(&executor->started);
        pthread_mutex_unlock(&executor->mutex);
        unref(executor);
        return NULL;
}

static int work_blocking_locked(cel_ctx *ctx, cel_executor *executor)
{
        cel_job job;

        for (;;) {
                if (cel__ctx_must_cancel(ctx))
                        return cel__ctx_bare(ctx, CEL_ECANCELED);
                if (begin_locked(executor, &job)) {
                        run_locked(executor, ctx, &job);
                } else if (executor->closed) {
                        return executor->canceled ? cel__ctx_bare(ctx, CEL_ECANCELED) : 0;
                } else {
                        int r = wait_locked(ctx, executor, &executor->idle, NULL, "job");

                        if (r < 0)
                                return r;
                }
        }
}

int cel_executor_run(cel_ctx *ctx, cel_executor *executor)
{
        hand h = {.ctx = ctx};
        int r = cel__ctx_enter(ctx, "job");

        if (r < 0)
                return r;
        if (executor->kind != CEL_EXECUTOR_BLOCKING)
                return cel_fail(ctx, CEL_EINVAL, "executor \"%s\" runs its jobs by itself", executor->name);
        pthread_mutex_lock(&executor->mutex);
        if (executor->workers == executor->concurrency) {
                pthread_mutex_unlock(&executor->mutex);
                return cel_fail(ctx, CEL_EINVAL, "executor \"%s\" is for %u at once, who run it already",
                                executor->name, executor->concurrency);
        }
        executor->workers++;
        cel__list_append(&executor->hands, &h.node);
        r = work_blocking_locked(ctx, executor);
        cel__list_remove(&h.node);
        if (executor->stats.waiting > 0) /* it may have been woken for that */
                kick_locked(executor);
        leave_locked(executor);
        pthread_mutex_unlock(&executor->mutex);
        return r;
}

/* On the loop's thread. A job that submits another finds itself in here already. */
static void work_inline_locked(cel_executor *executor)
{
        cel_job job;

        if (executor->inlining)
                return;
        executor->inlining = true;
        executor->workers++;
        while (begin_locked(executor, &job))
                run_locked(executor, NULL, &job);
        executor->inlining = false;
        leave_locked(executor);
}

static void deliver_inline(cel__mail *mail)
{
        cel_executor *executor = cel__container(mail, cel_executor, inline_mail);

        pthread_mutex_lock(&executor->mutex);
        executor->inline_sent = false;
        work_inline_locked(executor);
        pthread_mutex_unlock(&executor->mutex);
        unref(executor);
}

/* A job was put into the ring: see to it that somebody takes it.
 * Errors: CEL_ENOMEM, CEL_EFULL when nobody will. */
static int kick_locked(cel_executor *executor)
{
        switch (executor->kind) {
        case CEL_EXECUTOR_GREEN:
                if (executor->workers < executor->concurrency) {
                        int r = cel__task_spawn(executor->scope, NULL, executor->name, work_green, executor,
                                                NULL);
                        if (r < 0)
                                return executor->workers > 0 ? 0 : r;
                        executor->workers++;
                }
                return 0;
        case CEL_EXECUTOR_THREADS:
                pthread_cond_signal(&executor->work);
                return 0;
        case CEL_EXECUTOR_BLOCKING:
                cel__waiters_pick(&executor->idle);
                return 0;
        case CEL_EXECUTOR_INLINE:
                if (cel__loop_is_here(executor->loop))
                        work_inline_locked(executor);
                else
                        send_locked(executor, &executor->inline_sent, &executor->inline_mail);
                return 0;
        }
        return 0;
}

/* --- Intake ----------------------------------------------------------------------------------- */

/* 1: accepted; 0: no room; or an error. */
static int accept_locked(cel_executor *executor, const cel_job *job)
{
        if (executor->closed)
                return CEL_ECLOSED;
        if (!has_room_locked(executor))
                return 0;
        push_locked(executor, job);
        int r = kick_locked(executor);
        if (r < 0) {
                executor->stats.waiting--; /* the only one: with others, a task would be alive */
                return CEL_ENOMEM;
        }
        return 1;
}

int cel_executor_submit(cel_ctx *ctx, cel_executor *executor, const cel_job *job)
{
        int r = cel__ctx_begin(ctx, "executor");

        if (r < 0)
                return r;
        pthread_mutex_lock(&executor->mutex);
        r = cel__ctx_bare(ctx, accept_locked(executor, job));
        if (r == 0) {
                executor->stats.submitters++;
                r = wait_locked(ctx, executor, &executor->submitters, (void *)(uintptr_t)job, "executor");
                executor->stats.submitters--;
                if (r < 0 && r != CEL_ECLOSED)
                        executor->stats.rejected++;
        }
        pthread_mutex_unlock(&executor->mutex);
        return r < 0 ? r : 0;
}

int cel_executor_try_submit(cel_executor *executor, const cel_job *job)
{
        pthread_mutex_lock(&executor->mutex);
        int r = accept_locked(executor, job);
        if (r == 0) {
                executor->stats.rejected++;
                executor->room_owed = executor->on_room != NULL;
        }
        pthread_mutex_unlock(&executor->mutex);
        return r < 0 ? r : r == 0 ? CEL_EAGAIN : 0;
}

static void deliver_room(cel__mail *mail)
{
        cel_executor *executor = cel__container(mail, cel_executor, room_mail);

        pthread_mutex_lock(&executor->mutex);
        executor->room_sent = executor->room_owed = false;
        executor->telling = !executor->closed;
        bool tell = executor->telling;
        pthread_mutex_unlock(&executor->mutex);
        if (tell) {
                executor->on_room(executor->arg);
                pthread_mutex_lock(&executor->mutex);
                executor->telling = false;
                wake_all_locked(&executor->watchers, 0);
                pthread_mutex_unlock(&executor->mutex);
        }
        unref(executor);
}

/* --- The end ---------------------------------------------------------------------------------- */

static void close_locked(cel_executor *executor)
{
        executor->closed = true;
        wake_all_locked(&executor->submitters, CEL_ECLOSED);
        wake_all_locked(&executor->idle, 0);
        pthread_cond_broadcast(&executor->work);
}

int cel_executor_drain(cel_ctx *ctx, cel_executor *executor)
{
        int r = cel__ctx_enter(ctx, "executor drain");

        if (r < 0)
                return r;
        pthread_mutex_lock(&executor->mutex);
        close_locked(executor);
        while (r >= 0 && executor->stats.running + executor->stats.waiting > 0)
                r = wait_locked(ctx, executor, &executor->watchers, NULL, "executor drain");
        pthread_mutex_unlock(&executor->mutex);
        return r < 0 ? r : 0;
}

void cel_executor_cancel(cel_executor *executor)
{
        cel_job job;

        pthread_mutex_lock(&executor->mutex);
        executor->canceled = true;
        close_locked(executor);
        if (executor->scope)
                cel_scope_cancel(executor->scope);
        cel__list_for_each (node, &executor->hands)
                cel_ctx_cancel(cel__container(node, hand, node)->ctx);
        while (pop_locked(executor, &job)) {
                executor->stats.dropped++;
                pthread_mutex_unlock(&executor->mutex);
                if (job.on_dropped)
                        job.on_dropped(job.arg);
                pthread_mutex_lock(&executor->mutex);
        }
        tell_watchers_locked(executor);
        pthread_mutex_unlock(&executor->mutex);
}

void cel_executor_close(cel_ctx *ctx, cel_executor *executor)
{
        cel__ctx_check(ctx, "executor close");
        cel_executor_cancel(executor);
        ctx->shields++;
        pthread_mutex_lock(&executor->mutex);
        while (executor->workers > 0 || executor->telling)
                wait_locked(ctx, executor, &executor->watchers, NULL, "executor close");
        pthread_mutex_unlock(&executor->mutex);
        if (executor->scope)
                cel_scope_close(ctx, executor->scope);
        ctx->shields--;
        unref(executor);
}

cel_executor_stats cel_executor_get_stats(cel_executor *executor)
{
        pthread_mutex_lock(&executor->mutex);
        cel_executor_stats stats = executor->stats;
        pthread_mutex_unlock(&executor->mutex);
        return stats;
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* Start them all, and see them all ready: later, nothing can fail.
 * Errors: CEL_ENOMEM; those that were started have gone. */
static int start_threads(cel_executor *executor)
{
        unsigned n = executor->concurrency;

        pthread_mutex_lock(&executor->mutex);
        for (unsigned i = 0; i < n && executor->not_started == 0; i++) {
                if (cel__thread_start(thread_main, executor, NULL) < 0) {
                        executor->not_started++;
                        break;
                }
                executor->workers++;
                executor->starting++;
                atomic_fetch_add(&executor->refs, 1);
        }
        while (executor->starting > 0)
                pthread_cond_wait(&executor->started, &executor->mutex);
        bool failed = executor->not_started > 0;
        if (failed) {
                close_locked(executor);
                while (executor->workers > 0)
                        pthread_cond_wait(&executor->started, &executor->mutex);
        }
        pthread_mutex_unlock(&executor->mutex);
        return failed ? CEL_ENOMEM : 0;
}

static unsigned concurrency_of(const cel_executor_options *o, unsigned *ret_max)
{
        static const unsigned defaults[] = {64, 8, 1, 1}, maxima[] = {1000000, THREADS_MAX, THREADS_MAX, 1};

        *ret_max = maxima[o->kind];
        return o->concurrency ? o->concurrency : defaults[o->kind];
}

static cel_executor *executor_new(cel_ctx *ctx, const cel_executor_options *o, unsigned concurrency)
{
        size_t capacity = (size_t)concurrency + o->waiting_max;
        cel_executor *executor = calloc(1, sizeof(*executor) + capacity * sizeof(cel_job));

        if (!executor)
                return NULL;
        executor->runtime = cel_ctx_runtime(ctx);
        executor->loop = ctx->loop ? ctx->loop : cel__runtime_loop(executor->runtime);
        executor->kind = o->kind;
        executor->concurrency = concurrency;
        executor->waiting_max = o->waiting_max;
        executor->capacity = capacity;
        executor->on_room = o->on_room;
        executor->arg = o->arg;
        atomic_init(&executor->refs, 1);
        snprintf(executor->name, sizeof(executor->name), "%s", o->name ? o->name : "executor");
        pthread_mutex_init(&executor->mutex, NULL);
        pthread_cond_init(&executor->work, NULL);
        pthread_cond_init(&executor->started, NULL);
        cel__list_init(&executor->hands);
        cel__list_init(&executor->idle);
        cel__list_init(&executor->submitters);
        cel__list_init(&executor->watchers);
        executor->room_mail.deliver = deliver_room;
        executor->inline_mail.deliver = deliver_inline;
        return executor;
}

int cel_executor_open(cel_ctx *ctx, const cel_executor_options *options, cel_executor **ret_executor)
{
        unsigned concurrency_max, concurrency = concurrency_of(options, &concurrency_max);
        int r = cel__ctx_enter(ctx, "executor open");

        if (r < 0)
                return r;
        if (concurrency > concurrency_max || options->waiting_max > WAITING_MAX)
                return cel_fail(ctx, CEL_EINVAL,
                                "an executor of this kind runs at most %u jobs at once, and at "
                                "most %d wait",
                                concurrency_max, WAITING_MAX);
        cel_executor *executor = executor_new(ctx, options, concurrency);
        if (!executor)
                return cel_fail(ctx, CEL_ENOMEM, "%s", cel_error_text(CEL_ENOMEM));
        if (executor->kind == CEL_EXECUTOR_GREEN)
                r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &executor->scope);
        else if (executor->kind == CEL_EXECUTOR_THREADS)
                r = start_threads(executor);
        if (r < 0) {
                r = cel_fail(ctx, r, "executor \"%s\" cannot be opened: %s", executor->name,
                             cel_error_text(r));
                unref(executor);
                return r;
        }
        *ret_executor = executor;
        return 0;
}
