/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "rt/task.h"

#include <stdlib.h>

void cel__future_init(cel_future *future, cel_task *task)
{
        *future = (cel_future){.task = task, .refs = 1};
        pthread_mutex_init(&future->mutex, NULL);
        cel__list_init(&future->waiters);
}

void cel__future_fini(cel_future *future)
{
        if (!cel__list_empty(&future->waiters))
                cel__misuse("a future was freed while it was awaited: whoever awaits holds a reference");
        pthread_mutex_destroy(&future->mutex);
}

int cel_future_new(cel_future **ret_future)
{
        cel_future *future = malloc(sizeof(*future));

        if (!future)
                return CEL_ENOMEM;
        cel__future_init(future, NULL);
        *ret_future = future;
        return 0;
}

cel_future *cel_future_ref(cel_future *future)
{
        if (future->task)
                cel_task_ref(future->task);
        else
                atomic_fetch_add_explicit(&future->refs, 1, memory_order_relaxed);
        return future;
}

cel_future *cel_future_unref(cel_future *future)
{
        if (!future)
                return NULL;
        if (future->task) {
                cel_task_unref(future->task);
        } else if (atomic_fetch_sub(&future->refs, 1) == 1) {
                cel__future_fini(future);
                free(future);
        }
        return NULL;
}

bool cel_future_complete(cel_future *future, int status, void *value)
{
        pthread_mutex_lock(&future->mutex);
        bool first = !atomic_load(&future->done);
        if (first) {
                future->status = status;
                future->value = value;
                atomic_store(&future->done, true);
                for (cel__list *node; (node = cel__list_pop(&future->waiters));) {
                        cel__waiter *waiter = cel__container(node, cel__waiter, node);

                        cel__wait_finish(waiter->wait, waiter->index);
                }
        }
        pthread_mutex_unlock(&future->mutex);
        return first;
}

bool cel_future_done(cel_future *future)
{
        if (!atomic_load(&future->done))
                return false;
        /* Whoever hears "done" may free the future: not before the completer has let go of it. */
        pthread_mutex_lock(&future->mutex);
        pthread_mutex_unlock(&future->mutex);
        return true;
}

/* Stand in the future's list; false if there is nothing to wait for any more. */
static bool enlist(cel_future *future, cel__waiter *waiter, cel__wait *wait, int index)
{
        *waiter = (cel__waiter){.wait = wait, .index = index};
        cel__list_init(&waiter->node);
        pthread_mutex_lock(&future->mutex);
        bool pending = !atomic_load(&future->done);
        if (pending)
                cel__list_append(&future->waiters, &waiter->node);
        pthread_mutex_unlock(&future->mutex);
        return pending;
}

static void delist(cel_future *future, cel__waiter *waiter)
{
        pthread_mutex_lock(&future->mutex);
        cel__list_remove(&waiter->node);
        pthread_mutex_unlock(&future->mutex);
}

/* Wait until `future` is complete, whatever its status.
 * Errors: what ended the wait first. */
static int wait_until_done(cel_ctx *ctx, cel_future *future)
{
        cel__waiter waiter;
        cel__wait wait;
        int r = cel__ctx_enter(ctx, "future");

        if (r < 0 || cel_future_done(future))
                return r;
        if (future->task && &future->task->ctx == ctx)
                cel__misuse("task \"%s\" awaited its own end: it would wait for itself", ctx->name);
        cel__wait_begin(&wait, ctx, "future");
        if (!enlist(future, &waiter, &wait, 0))
                return 0;
        r = cel__wait_block(&wait);
        delist(future, &waiter);
        return r;
}

/* The status of a future that is done; a task's failure comes with all that the task said about it. */
static int status_for(cel_ctx *ctx, const cel_future *future)
{
        const cel_ctx *task = future->task ? &future->task->ctx : NULL;
        int status = future->status;

        if (status >= 0 || !task || !task->error_text || task->error_code != status)
                return cel__ctx_bare(ctx, status);
        cel_fail(ctx, status, "%s", task->error_text);
        cel__ctx_set_error_detail(ctx, status, cel__error_detail_ref(cel__ctx_error_detail(task, status)));
        return status;
}

int cel_await(cel_ctx *ctx, cel_future *future, void **ret_value)
{
        int r = wait_until_done(ctx, future);

        if (r < 0)
                return r;
        if (ret_value)
                *ret_value = future->value;
        return status_for(ctx, future);
}

int cel_await_all(cel_ctx *ctx, cel_future *const futures[], unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                int r = wait_until_done(ctx, futures[i]);

                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; i < n; i++) {
                int r = status_for(ctx, futures[i]);

                if (r < 0)
                        return cel_fail(ctx, r, "future %u of %u: %s", i + 1, n, cel_ctx_error_text(ctx, r));
        }
        return 0;
}

int cel_await_any(cel_ctx *ctx, cel_future *const futures[], unsigned n)
{
        cel__waiter waiters[CEL_AWAIT_MAX];
        cel__wait wait;
        unsigned enlisted = 0;
        int r;

        if (n == 0 || n > CEL_AWAIT_MAX)
                return cel_fail(ctx, CEL_EINVAL, "cel_await_any() takes 1 to %d futures, not %u",
                                CEL_AWAIT_MAX, n);
        r = cel__ctx_enter(ctx, "futures");
        if (r < 0)
                return r;
        for (unsigned i = 0; i < n; i++)
                if (cel_future_done(futures[i]))
                        return (int)i;

        cel__wait_begin(&wait, ctx, "futures");
        while (enlisted < n && enlist(futures[enlisted], &waiters[enlisted], &wait, (int)enlisted))
                enlisted++;
        if (enlisted < n) /* that one was completed by another thread just now */
                cel__wait_finish(&wait, (int)enlisted);
        r = cel__wait_block(&wait);
        for (unsigned i = 0; i < enlisted; i++)
                delist(futures[i], &waiters[i]);
        for (int i = 0; i < r; i++) /* one before it may have been completed since */
                if (cel_future_done(futures[i]))
                        return i;
        return r;
}
