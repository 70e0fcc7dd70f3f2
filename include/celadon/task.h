/* SPDX-License-Identifier: Apache-2.0
 *
 * Tasks and the scopes that own them.
 *
 * A task is a function with a stack of its own. Tasks of one loop run one at a time and switch only inside
 * calls that take a ctx. Every task belongs to a scope, and a scope does not close before its tasks have
 * ended: there is no fire-and-forget.
 *
 *     cel_scope *scope;
 *     int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
 *     if (r < 0)
 *             return r;
 *     r = cel_spawn(ctx, scope, "left", fetch, &left, NULL);
 *     if (r >= 0)
 *             r = cel_spawn(ctx, scope, "right", fetch, &right, NULL);
 *     if (r < 0)
 *             cel_scope_cancel(scope);
 *     int closed = cel_scope_close(ctx, scope);       // waits for both; the first failure cancels the other
 *     return r < 0 ? r : closed;
 */
#ifndef CELADON_TASK_H
#define CELADON_TASK_H

#include <celadon/ctx.h>
#include <celadon/future.h>

typedef struct cel_task cel_task;
typedef struct cel_scope cel_scope;

/* What a task runs. Its result, zero or a count or a negative CEL_E… code, is the task's result. */
typedef int (*cel_task_fn)(cel_ctx *ctx, void *arg);

typedef enum cel_scope_mode {
        CEL_SCOPE_FAIL_FAST,   /* the first task that fails cancels its siblings; close returns its code */
        CEL_SCOPE_COLLECT_ALL, /* tasks end on their own; close returns the first failure, if any */
} cel_scope_mode;

CEL_BEGIN

/* Open a scope for tasks of the ctx's loop (a thread's ctx: of the runtime's first loop).
 * Owns:   *ret_scope is yours; cel_scope_close() it on every path.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_scope_open(cel_ctx *ctx, cel_scope_mode mode, cel_scope **ret_scope);

/* Wait until every task of `scope` has ended, then free it.
 * Waits:  for the tasks. If the ctx is cancelled or its deadline passes meanwhile, the tasks are cancelled,
 *         and close goes on waiting for them: when it returns, nothing that the scope started still runs.
 * Errors: the first failure of a task (FAIL_FAST: the one that cancelled the others); CEL_ECANCELED or
 *         CEL_ETIMEDOUT when that is what ended the wait. CEL_ECANCELED from a task that was cancelled is not
 *         a failure. */
CEL_API int cel_scope_close(cel_ctx *ctx, cel_scope *scope);

/* Cancel every task of the scope; those spawned into it from now on start cancelled. Never waits. Callable
 * from any thread. */
CEL_API void cel_scope_cancel(cel_scope *scope);

/* Tasks of this scope that have not ended. Callable from any thread. */
CEL_API unsigned cel_scope_tasks(cel_scope *scope);

/* Start `fn(ctx of the new task, arg)` as a task of `scope`. It runs after the caller next waits. The task
 * inherits the request id, not the deadline: its scope says how long it lives. `name` is copied, at most 47
 * bytes; NULL: the spawner's name. Callable by any ctx of the same runtime.
 * Owns:   `arg` is borrowed until the task has ended. *ret_task, unless ret_task is NULL, is a reference of
 *         yours: cel_task_unref() it.
 * Waits:  never.
 * Errors: CEL_ENOMEM, CEL_EFULL when cel_runtime_options.tasks_max are alive, CEL_ECLOSED when the runtime has
 *         ended (from a thread), CEL_EFORKED. */
CEL_API int cel_spawn(cel_ctx *ctx, cel_scope *scope, const char *name, cel_task_fn fn, void *arg,
                      cel_task **ret_task);

/* Which loop a task runs on, for cel_spawn_on(). */
enum {
        CEL_LOOP_OF_SCOPE = -1,   /* where cel_spawn() puts it: the loop of the ctx that opened the scope */
        CEL_LOOP_LEAST_BUSY = -2, /* the one with the fewest tasks */
};

/* cel_spawn() on loop number `loop`, 0 to cel_runtime_loops() - 1, or one of the above. A task stays where it
 * is for its whole life.
 * Errors: CEL_EINVAL (no such loop) as well. */
CEL_API int cel_spawn_on(cel_ctx *ctx, cel_scope *scope, int loop, const char *name, cel_task_fn fn,
                         void *arg, cel_task **ret_task);

/* Cancel one task: its wait in progress, and every later one, returns CEL_ECANCELED. Never waits. Callable
 * from any thread. */
CEL_API void cel_task_cancel(cel_task *task);

/* Wait until `task` has ended and return its result.
 * Waits:  for the task, the ctx's deadline or cancellation; the task itself is left alone.
 * Errors: the task's result, CEL_ETIMEDOUT, CEL_ECANCELED. */
CEL_API int cel_task_await(cel_ctx *ctx, cel_task *task);

/* The task as a future of its result: its status is the task's result. Borrowed: valid as long as the task.
 */
CEL_API cel_future *cel_task_future(cel_task *task);

CEL_API cel_task *cel_task_ref(cel_task *task);
CEL_API cel_task *cel_task_unref(cel_task *task);

CEL_END

CEL_AUTO_WITH(cel_task, cel_task_unref)

#endif
