/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/task.h"
#include "base/assert.h"
#include "rt/fork.h"
#include "rt/probe.h"
#include "rt/runtime.h"

#include <stdlib.h>
#include <string.h>

enum {
#if defined(CEL__ASAN)
        SPARE_TASKS_MAX = 0, /* so that whoever uses a task after its end is caught */
#else
        SPARE_TASKS_MAX = 256, /* of a loop */
#endif
};

cel_task *cel__ctx_task(const cel_ctx *ctx)
{
        return ctx->loop ? cel__container(ctx, cel_task, ctx) : NULL;
}

/* --- Life -------------------------------------------------------------------------------------- */

/* A task's memory, zeroed, and its stack: those of a task that ended on this loop, if possible. NULL when memory is
 * out. */
static cel_task *get_memory(cel__loop *loop)
{
        cel__list *spare = cel__loop_is_here(loop) ? cel__list_pop(&loop->spare_tasks) : NULL;
        cel_task *task = spare ? cel__task_from_ready_node(spare) : malloc(sizeof(*task));

        if (!task)
                return NULL;
        cel__stack *stack = spare ? task->stack : cel__stack_get(&loop->stacks);
        if (!stack) {
                free(task);
                return NULL;
        }
        if (spare)
                loop->spare_tasks_n--;
        memset(task, 0, sizeof(*task));
        task->stack = stack;
        return task;
}

/* On the loop's thread. Keep the memory of a task that has ended, and its stack, for the next one; false: there are
 * enough. */
static bool keep_memory(cel__loop *loop, cel_task *task)
{
        if (loop->spare_tasks_n == SPARE_TASKS_MAX)
                return false;
        loop->spare_tasks_n++;
        cel__list_append(loop->spare_tasks.next, &task->ready_node); /* to the front: its stack is warm */
        return true;
}

void cel__task_free_spare(cel__loop *loop)
{
        for (cel__list *node; (node = cel__list_pop(&loop->spare_tasks));) {
                cel_task *task = cel__task_from_ready_node(node);

                cel__stack_put(&loop->stacks, task->stack);
                free(task);
        }
        loop->spare_tasks_n = 0;
}

static void task_fini(cel_task *task)
{
        cel__future_fini(&task->future);
        cel__ctx_fini(&task->ctx);
}

static void task_free(cel_task *task)
{
        cel_assert(task->state == CEL__TASK_ENDED && !task->stack);
        task_fini(task);
        free(task);
}

cel_task *cel_task_ref(cel_task *task)
{
        atomic_fetch_add_explicit(&task->refs, 1, memory_order_relaxed);
        return task;
}

cel_task *cel_task_unref(cel_task *task)
{
        if (task && atomic_fetch_sub(&task->refs, 1) == 1)
                task_free(task);
        return NULL;
}

cel_future *cel_task_future(cel_task *task)
{
        return &task->future;
}

/* The first and last thing on a task's stack. */
static void task_main(void *arg)
{
        cel_task *task = arg;
        cel_scope *scope = task->scope;
        int result = task->fn(&task->ctx, task->arg);

        CEL__PROBE3(task_end, task, task->ctx.name, result);
        task->state = CEL__TASK_ENDED;
        task->scope = NULL;
        cel_future_complete(&task->future, result, NULL);
        cel__scope_task_ended(scope, task, result); /* the scope may be gone after this */
        cel__fiber_leave(&task->fiber, &task->ctx.loop->hub);
}

_Noreturn void cel__task_overflowed(const cel_task *task)
{
        CEL__PROBE2(task_overflow, task, task->ctx.name);
        cel__misuse("task \"%s\" overflowed its stack of %zu bytes: cel_runtime_options.stack_bytes sets it",
                    task->ctx.name, task->stack->bytes);
}

/* On the hub: the task has left its stack for good. */
static void task_bury(cel_task *task)
{
        cel__loop *loop = task->ctx.loop;

        if (cel__stack_overflowed(task->stack))
                cel__task_overflowed(task);
        cel__list_remove(&task->roll.node);
        cel__fiber_fini(&task->fiber);
        cel__runtime_task_leave(task->ctx.runtime, loop);
        if (atomic_load_explicit(&task->refs, memory_order_acquire) == 1 && keep_memory(loop, task)) {
                task_fini(task); /* nobody else has it, so nobody will */
                return;
        }
        cel__stack_put(&loop->stacks, task->stack);
        task->stack = NULL;
        cel_task_unref(task);
}

void cel__task_run(cel_task *task)
{
        cel__loop *loop = task->ctx.loop;

        task->state = CEL__TASK_RUNNING;
        loop->running = task;
        cel__count(&loop->counters.switches);
        CEL__PROBE3(task_switch, task, task->ctx.name, loop->number);
        cel__fiber_switch(&loop->hub, &task->fiber);
        loop->running = NULL;
        if (task->state == CEL__TASK_ENDED)
                task_bury(task);
}

void cel__task_park(cel_task *task)
{
        cel__loop *loop = task->ctx.loop;

        /* A wake-up may have come before: then the task is in the ready list already and is run again from
         * there. */
        if (task->state == CEL__TASK_RUNNING)
                task->state = CEL__TASK_PARKED;
        task->parked_ns = atomic_load_explicit(&loop->busy_since_ns, memory_order_relaxed);
        cel__fiber_switch(&task->fiber, &loop->hub);
}

static void make_ready(cel_task *task)
{
        task->state = CEL__TASK_READY;
        cel__list_append(&task->ctx.loop->ready, &task->ready_node);
        cel__loop_rouse(task->ctx.loop);
}

static void deliver_wake(cel__mail *mail)
{
        make_ready(cel__container(mail, cel_task, wake_mail));
}

/* On the loop's thread, before anything else happens to the task there. */
static void begin(cel_task *task)
{
        cel__loop *loop = task->ctx.loop;

        task->wake_mail.deliver = deliver_wake;
        task->roll.task = task;
        cel__list_append(&loop->roll, &task->roll.node);
        cel__count(&loop->counters.spawned);
        CEL__PROBE3(task_begin, task, task->ctx.name, loop->number);
        make_ready(task);
}

static void deliver_begin(cel__mail *mail)
{
        begin(cel__container(mail, cel_task, wake_mail));
}

void cel__task_wake(cel_task *task)
{
        if (cel__loop_is_here(task->ctx.loop))
                make_ready(task);
        else
                cel__loop_send(task->ctx.loop, &task->wake_mail);
}

/* --- Cancellation ----------------------------------------------------------------------------- */

static void look(cel_task *task)
{
        if (task->ctx.wait && cel__ctx_must_cancel(&task->ctx))
                cel__wait_finish(task->ctx.wait, CEL_ECANCELED);
}

static void deliver_look(cel__mail *mail)
{
        cel_task *task = cel__container(mail, cel_task, look_mail);

        /* Only then: whoever found the letter on its way counts on this look, which is to see what that one did. */
        atomic_exchange(&task->look_sent, false);
        look(task);
        cel_task_unref(task);
}

void cel__task_look(cel_task *task)
{
        if (cel__loop_is_here(task->ctx.loop)) {
                look(task);
        } else if (!atomic_exchange(&task->look_sent, true)) {
                cel_task_ref(task);
                cel__loop_send(task->ctx.loop, &task->look_mail);
        }
}

void cel_task_cancel(cel_task *task)
{
        /* At once, for a task that only looks whether it is; what follows ends its wait. */
        atomic_store(&task->ctx.canceled, true);
        cel__task_look(task);
}

/* --- Spawning --------------------------------------------------------------------------------- */

static int task_new(cel_scope *scope, cel__loop *loop, const cel_ctx *parent, const char *name,
                    cel_task **ret_task)
{
        cel_task *task = get_memory(loop);

        if (!task)
                return CEL_ENOMEM;
        int r = cel__ctx_init(&task->ctx, scope->runtime, loop, name, parent);
        if (r < 0) {
                cel__stack_put(&loop->stacks, task->stack);
                free(task);
                return r;
        }
        cel__future_init(&task->future, task);
        cel__list_init(&task->ready_node);
        cel__list_init(&task->scope_node);
        task->wake_mail.deliver = deliver_begin;
        task->look_mail.deliver = deliver_look;
        cel__fiber_init(&task->fiber, task->stack->lo, task->stack->bytes, task_main, task);
        *ret_task = task;
        return 0;
}

int cel__task_spawn_on(cel_scope *scope, cel__loop *loop, const cel_ctx *parent, const char *name,
                       cel_task_fn fn, void *arg, cel_task **ret_task)
{
        cel_task *task;

        int r = cel__runtime_task_enter(scope->runtime, loop);
        if (r < 0)
                return r;
        r = task_new(scope, loop, parent, name ? name : parent->name, &task);
        if (r < 0) {
                cel__runtime_task_leave(scope->runtime, loop);
                return r;
        }
        task->fn = fn;
        task->arg = arg;
        task->scope = scope;
        atomic_init(&task->refs, ret_task ? 2 : 1); /* one is the running task's own */
        task->state = CEL__TASK_READY;
        cel__scope_add(scope, task);
        if (cel__loop_is_here(loop))
                begin(task);
        else
                cel__loop_send(loop, &task->wake_mail);
        if (ret_task)
                *ret_task = task;
        return 0;
}

int cel__task_spawn(cel_scope *scope, const cel_ctx *parent, const char *name, cel_task_fn fn, void *arg,
                    cel_task **ret_task)
{
        return cel__task_spawn_on(scope, scope->loop, parent, name, fn, arg, ret_task);
}

int cel_spawn(cel_ctx *ctx, cel_scope *scope, const char *name, cel_task_fn fn, void *arg,
              cel_task **ret_task)
{
        return cel_spawn_on(ctx, scope, CEL_LOOP_OF_SCOPE, name, fn, arg, ret_task);
}

int cel_spawn_on(cel_ctx *ctx, cel_scope *scope, int loop, const char *name, cel_task_fn fn, void *arg,
                 cel_task **ret_task)
{
        cel__loop *on = loop == CEL_LOOP_OF_SCOPE ? scope->loop : cel__runtime_loop_at(ctx->runtime, loop);

        if (cel__forked)
                return cel__fork_fail(ctx);
        if (!on)
                return cel_fail(ctx, CEL_EINVAL, "there is no loop %d: this runtime has %u", loop,
                                cel_runtime_loops(ctx->runtime));
        cel__scope_check_open(ctx, scope, "spawned into");
        int r = cel__task_spawn_on(scope, on, ctx, name, fn, arg, ret_task);
        if (r < 0)
                return cel_fail(ctx, r, "task \"%s\" cannot be started: %s", name ? name : ctx->name,
                                cel_error_text(r));
        return 0;
}

int cel_task_await(cel_ctx *ctx, cel_task *task)
{
        return cel_await(ctx, &task->future, NULL);
}
