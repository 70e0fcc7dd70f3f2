/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "rt/fork.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cel__scope_new(cel_runtime *runtime, cel__loop *loop, cel_scope_mode mode, cel_scope **ret_scope)
{
        cel_scope *scope = calloc(1, sizeof(*scope));

        if (!scope)
                return CEL_ENOMEM;
        scope->runtime = runtime;
        scope->loop = loop;
        scope->mode = mode;
        pthread_mutex_init(&scope->mutex, NULL);
        cel__list_init(&scope->tasks);
        *ret_scope = scope;
        return 0;
}

void cel__scope_free(cel_scope *scope)
{
        if (!scope)
                return;
        cel_assert(scope->tasks_n == 0);
        pthread_mutex_destroy(&scope->mutex);
        free(scope->failure_text);
        cel__error_detail_unref(scope->failure_detail);
        free(scope);
}

int cel_scope_open(cel_ctx *ctx, cel_scope_mode mode, cel_scope **ret_scope)
{
        cel__loop *loop = ctx->loop ? ctx->loop : cel__runtime_loop(ctx->runtime);
        int r = cel__forked ? CEL_EFORKED : cel__scope_new(ctx->runtime, loop, mode, ret_scope);

        return r < 0 ? cel_fail(ctx, r, "%s", cel_error_text(r)) : 0;
}

static void cancel_tasks_locked(cel_scope *scope)
{
        scope->canceled = true;
        cel__list_for_each (node, &scope->tasks)
                cel_task_cancel(cel__container(node, cel_task, scope_node));
}

void cel__scope_add(cel_scope *scope, cel_task *task)
{
        pthread_mutex_lock(&scope->mutex);
        cel__list_append(&scope->tasks, &task->scope_node);
        scope->tasks_n++;
        if (scope->canceled) /* it runs, and finds itself cancelled at its first wait */
                atomic_store(&task->ctx.canceled, true);
        pthread_mutex_unlock(&scope->mutex);
}

void cel__scope_task_ended(cel_scope *scope, cel_task *task, int result)
{
        pthread_mutex_lock(&scope->mutex);
        cel__list_remove(&task->scope_node);
        scope->tasks_n--;

        bool told_to = result == CEL_ECANCELED && cel_ctx_canceled(&task->ctx);
        if (result < 0 && !told_to && scope->failure == 0) {
                scope->failure = result;
                scope->failure_text = strdup(cel_ctx_error_text(&task->ctx, result));
                scope->failure_detail = cel__error_detail_ref(cel__ctx_error_detail(&task->ctx, result));
                if (scope->mode == CEL_SCOPE_FAIL_FAST)
                        cancel_tasks_locked(scope);
        }
        if (scope->tasks_n == 0 && scope->closer)
                cel__wait_finish(scope->closer, 0);
        pthread_mutex_unlock(&scope->mutex);
}

void cel__scope_revive(cel_scope *scope)
{
        pthread_mutex_lock(&scope->mutex);
        scope->canceled = false;
        pthread_mutex_unlock(&scope->mutex);
}

void cel_scope_cancel(cel_scope *scope)
{
        pthread_mutex_lock(&scope->mutex);
        cancel_tasks_locked(scope);
        pthread_mutex_unlock(&scope->mutex);
}

unsigned cel_scope_tasks(cel_scope *scope)
{
        pthread_mutex_lock(&scope->mutex);
        unsigned n = scope->tasks_n;
        pthread_mutex_unlock(&scope->mutex);
        return n;
}

void cel__scope_check_open(const cel_ctx *ctx, const cel_scope *scope, const char *doing)
{
        if (*scope->closed_by)
                cel__misuse("task \"%s\" %s a scope that task \"%s\" has closed", ctx->name, doing,
                            scope->closed_by);
}

/* The scope is done with. It is kept until some others were closed after it, so that misuse is told. */
static void retire(cel_ctx *ctx, cel_scope *scope)
{
        cel_runtime *runtime = ctx->runtime;

        snprintf(scope->closed_by, sizeof(scope->closed_by), "%s", *ctx->name ? ctx->name : "?");
        pthread_mutex_lock(&runtime->closed_mutex);
        cel_scope **place = &runtime->closed_scopes[runtime->closed_n++ % CEL__SCOPES_KEPT];
        cel_scope *oldest = *place;
        *place = scope;
        pthread_mutex_unlock(&runtime->closed_mutex);
        cel__scope_free(oldest);
}

/* Wait until no task is left, or until the ctx says stop. */
static int wait_for_tasks(cel_ctx *ctx, cel_scope *scope)
{
        cel__wait wait;

        pthread_mutex_lock(&scope->mutex);
        if (scope->tasks_n == 0) {
                pthread_mutex_unlock(&scope->mutex);
                return 0;
        }
        cel__wait_begin(&wait, ctx, "scope");
        scope->closer = &wait;
        pthread_mutex_unlock(&scope->mutex);

        int r = cel__wait_block(&wait);

        pthread_mutex_lock(&scope->mutex);
        scope->closer = NULL;
        pthread_mutex_unlock(&scope->mutex);
        return r;
}

int cel_scope_close(cel_ctx *ctx, cel_scope *scope)
{
        cel__ctx_check(ctx, "scope");
        cel__scope_check_open(ctx, scope, "closed");
        int r = wait_for_tasks(ctx, scope);

        if (r < 0) {
                cel_scope_cancel(scope);
                ctx->shields++;
                wait_for_tasks(ctx, scope);
                ctx->shields--;
        }
        if (scope->failure < 0 && r >= 0) {
                r = cel_fail(ctx, scope->failure, "%s",
                             scope->failure_text ? scope->failure_text : cel_error_text(scope->failure));
                cel__ctx_set_error_detail(ctx, r, CEL_TAKE(scope->failure_detail));
        }
        retire(ctx, scope);
        return r;
}
