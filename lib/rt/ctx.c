/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/ctx.h"
#include "base/assert.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A thread's ctx waits on a condition variable of its own. */
typedef struct thread_ctx {
        cel_ctx ctx;
        pthread_t thread;
        pthread_mutex_t mutex; /* of `woken` */
        pthread_cond_t cond;
        bool woken; /* somebody finished the wait in progress */
        cel__clock_listener clock_listener;
} thread_ctx;

static thread_ctx *as_thread(cel_ctx *ctx)
{
        return cel__container(ctx, thread_ctx, ctx);
}

/* --- Making and freeing ----------------------------------------------------------------------- */

int cel__ctx_init(cel_ctx *ctx, cel_runtime *runtime, cel__loop *loop, const char *name,
                  const cel_ctx *parent)
{
        memset(ctx, 0, sizeof(*ctx));
        ctx->runtime = runtime;
        ctx->loop = loop;
        ctx->deadline = CEL_TIME_NEVER;
        snprintf(ctx->name, sizeof(ctx->name), "%s", name);
        if (parent && parent->request_id) {
                ctx->request_id = strdup(parent->request_id);
                if (!ctx->request_id)
                        return CEL_ENOMEM;
        }
        return 0;
}

void cel__ctx_fini(cel_ctx *ctx)
{
        free(ctx->error_text);
        free(ctx->request_id);
        ctx->error_text = ctx->request_id = NULL;
}

static void wake_thread(thread_ctx *thread)
{
        pthread_mutex_lock(&thread->mutex);
        pthread_cond_signal(&thread->cond);
        pthread_mutex_unlock(&thread->mutex);
}

static void on_clock_advance(cel__clock_listener *listener)
{
        wake_thread(cel__container(listener, thread_ctx, clock_listener));
}

int cel_thread_ctx_new(cel_runtime *runtime, const char *name, cel_ctx **ret_ctx)
{
        thread_ctx *thread = calloc(1, sizeof(*thread));

        if (!thread)
                return CEL_ENOMEM;
        if (cel__loop_is_here(cel__runtime_loop(runtime)))
                cel__misuse("thread ctx \"%s\" was made on a loop's thread, which must not block", name);
        int r = cel__ctx_init(&thread->ctx, runtime, NULL, name, NULL);
        if (r < 0) {
                free(thread);
                return r;
        }
        thread->thread = pthread_self();
        pthread_mutex_init(&thread->mutex, NULL);
        cel__clock_cond_init(&thread->cond);
        thread->clock_listener.on_advance = on_clock_advance;
        cel__clock_listen(cel__runtime_clock(runtime), &thread->clock_listener);
        *ret_ctx = &thread->ctx;
        return 0;
}

cel_ctx *cel_thread_ctx_free(cel_ctx *ctx)
{
        if (!ctx)
                return NULL;
        cel_assert(!ctx->loop);
        thread_ctx *thread = as_thread(ctx);

        cel__clock_unlisten(cel__runtime_clock(ctx->runtime), &thread->clock_listener);
        pthread_cond_destroy(&thread->cond);
        pthread_mutex_destroy(&thread->mutex);
        cel__ctx_fini(ctx);
        free(thread);
        return NULL;
}

/* --- What a ctx knows ------------------------------------------------------------------------- */

cel_runtime *cel_ctx_runtime(const cel_ctx *ctx)
{
        return ctx->runtime;
}

const char *cel_ctx_name(const cel_ctx *ctx)
{
        return ctx->name;
}

const char *cel_ctx_request_id(const cel_ctx *ctx)
{
        return ctx->request_id ? ctx->request_id : "";
}

void cel_ctx_set_request_id(cel_ctx *ctx, const char *request_id)
{
        char *previous = ctx->request_id;

        /* Without memory: a log line less telling. */
        ctx->request_id = strndup(request_id, CEL__REQUEST_ID_BYTES - 1);
        free(previous); /* only now: `request_id` may point into it */
}

cel_time cel_ctx_now(const cel_ctx *ctx)
{
        return cel_clock_now(cel__runtime_clock(ctx->runtime));
}

cel_time cel_ctx_deadline(const cel_ctx *ctx)
{
        return ctx->deadline;
}

bool cel_ctx_canceled(const cel_ctx *ctx)
{
        return atomic_load_explicit(&ctx->canceled, memory_order_relaxed);
}

void cel_ctx_cancel(cel_ctx *ctx)
{
        if (ctx->loop) {
                cel_task_cancel(cel__ctx_task(ctx));
                return;
        }
        atomic_store(&ctx->canceled, true);
        wake_thread(as_thread(ctx));
}

cel_deadline_scope cel_deadline_enter_ms(cel_ctx *ctx, int64_t ms)
{
        cel_deadline_scope scope = {.ctx = ctx, .previous = ctx->deadline};
        cel_time deadline = cel_time_add_ms(cel_ctx_now(ctx), ms);

        if (deadline.ns < ctx->deadline.ns)
                ctx->deadline = deadline;
        return scope;
}

void cel_deadline_leave(cel_deadline_scope *scope)
{
        scope->ctx->deadline = scope->previous;
}

int cel_fail(cel_ctx *ctx, int code, const char *format, ...)
{
        char text[CEL__ERROR_TEXT_BYTES]; /* the arguments may point into the text that is replaced */
        va_list args;

        cel_assert(code < 0);
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);

        ctx->error_code = code;
        if (!ctx->error_text)
                ctx->error_text = malloc(CEL__ERROR_TEXT_BYTES);
        if (ctx->error_text)
                memcpy(ctx->error_text, text, sizeof(text));
        return code;
}

const char *cel_ctx_error_text(const cel_ctx *ctx, int code)
{
        return ctx->error_text && ctx->error_code == code ? ctx->error_text : cel_error_text(code);
}

/* --- Waiting ---------------------------------------------------------------------------------- */

static void on_due(cel__timer *timer)
{
        cel__wait *wait = cel__container(timer, cel__wait, timer);

        cel__wait_finish(wait, wait->until_outcome);
}

void cel__wait_begin(cel__wait *wait, cel_ctx *ctx, const char *where)
{
        wait->ctx = ctx;
        wait->where = where;
        atomic_init(&wait->outcome, CEL__WAIT_PENDING);
        wait->until = ctx->shields > 0 ? CEL_TIME_NEVER : ctx->deadline;
        wait->until_outcome = CEL_ETIMEDOUT;
        cel__timer_init(&wait->timer, on_due);
}

static bool decide(cel__wait *wait, int outcome)
{
        int pending = CEL__WAIT_PENDING;

        return atomic_compare_exchange_strong(&wait->outcome, &pending, outcome);
}

bool cel__wait_finish(cel__wait *wait, int outcome)
{
        cel_ctx *ctx = wait->ctx;

        if (!decide(wait, outcome))
                return false;
        if (ctx->loop) {
                cel__task_wake(cel__ctx_task(ctx));
        } else {
                thread_ctx *thread = as_thread(ctx);

                pthread_mutex_lock(&thread->mutex);
                thread->woken = true;
                pthread_cond_signal(&thread->cond);
                pthread_mutex_unlock(&thread->mutex);
        }
        return true;
}

static bool must_cancel(const cel_ctx *ctx)
{
        return ctx->shields == 0 && atomic_load_explicit(&ctx->canceled, memory_order_relaxed);
}

static int block_task(cel__wait *wait)
{
        cel_ctx *ctx = wait->ctx;
        cel__loop *loop = ctx->loop;

        if (!cel__loop_is_here(loop) || loop->running != cel__ctx_task(ctx))
                cel__misuse("the ctx of task \"%s\" was used to wait for \"%s\" by somebody else (%s): a ctx "
                            "belongs to "
                            "one task",
                            ctx->name, wait->where,
                            cel__loop_is_here(loop) ? "on its loop" : "on another thread");
        if (must_cancel(ctx) && decide(wait, CEL_ECANCELED))
                return CEL_ECANCELED;
        if (wait->until.ns != CEL_TIME_NEVER.ns) {
                if (cel_ctx_now(ctx).ns >= wait->until.ns && decide(wait, wait->until_outcome))
                        return wait->until_outcome;
                int r = cel__timer_set(&loop->timers, &wait->timer, wait->until);
                if (r < 0 && decide(wait, r))
                        return r;
        }
        /* Whoever decides now also wakes this task, exactly once; so it parks exactly once. */
        ctx->wait = wait;
        cel__task_park(cel__ctx_task(ctx));
        ctx->wait = NULL;
        cel__timer_unset(&loop->timers, &wait->timer);
        return atomic_load(&wait->outcome);
}

static int block_thread(cel__wait *wait)
{
        cel_ctx *ctx = wait->ctx;
        thread_ctx *thread = as_thread(ctx);
        cel_clock *clock = cel__runtime_clock(ctx->runtime);

        if (!pthread_equal(thread->thread, pthread_self()))
                cel__misuse("the ctx of thread \"%s\" was used to wait for \"%s\" on another thread",
                            ctx->name, wait->where);
        pthread_mutex_lock(&thread->mutex);
        ctx->wait = wait;
        while (!thread->woken) {
                if (must_cancel(ctx) && decide(wait, CEL_ECANCELED))
                        break;
                if (wait->until.ns != CEL_TIME_NEVER.ns && cel_clock_now(clock).ns >= wait->until.ns &&
                    decide(wait, wait->until_outcome))
                        break;
                cel__clock_wait(clock, &thread->cond, &thread->mutex, wait->until);
        }
        thread->woken = false;
        ctx->wait = NULL;
        pthread_mutex_unlock(&thread->mutex);
        return atomic_load(&wait->outcome);
}

int cel__wait_block(cel__wait *wait)
{
        return wait->ctx->loop ? block_task(wait) : block_thread(wait);
}

int cel_sleep_ms(cel_ctx *ctx, int64_t ms)
{
        cel_time morning = cel_time_add_ms(cel_ctx_now(ctx), ms);
        cel__wait wait;

        cel__wait_begin(&wait, ctx, "sleep");
        if (morning.ns <= wait.until.ns) {
                wait.until = morning;
                wait.until_outcome = 0;
        }
        return cel__wait_block(&wait);
}

int cel_yield(cel_ctx *ctx)
{
        cel__wait wait;

        if (!ctx->loop) {
                sched_yield();
                return must_cancel(ctx) ? CEL_ECANCELED : 0;
        }
        cel__wait_begin(&wait, ctx, "yield");
        wait.until = CEL_TIME_NEVER;
        if (must_cancel(ctx))
                return CEL_ECANCELED;
        cel__wait_finish(&wait, 0); /* puts this task behind those that are ready */
        return cel__wait_block(&wait);
}
