/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of tasks, scopes and futures. They know each other: a scope owns tasks, a task is a future. */
#ifndef CEL_RT_TASK_H
#define CEL_RT_TASK_H

#include "rt/ctx.h"

#include <celadon/task.h>

struct cel_future {
        pthread_mutex_t mutex;
        _Atomic unsigned refs; /* of a future that is no task's */
        cel_task *task;        /* the task it is a part of, or NULL; its references count then */
        cel__list waiters;     /* of cel__waiter; empty once done */
        _Atomic bool done;
        int status;
        void *value; /* the completer's */
};

void cel__future_init(cel_future *future, cel_task *task);
void cel__future_fini(cel_future *future);

typedef enum cel__task_state {
        CEL__TASK_READY,
        CEL__TASK_RUNNING,
        CEL__TASK_PARKED,
        CEL__TASK_ENDED
} cel__task_state;

struct cel_task {
        cel_ctx ctx;
        cel_future future; /* of its result */
        cel__fiber fiber;
        cel__stack *stack;     /* from the loop's pool; NULL once ended */
        cel__task_state state; /* the loop's thread only */
        cel__list ready_node;  /* in loop->ready */
        cel__roll roll;        /* in loop->roll */
        int64_t parked_ns;     /* when the turn began in which it last parked */
        cel__list scope_node;  /* in scope->tasks, under its mutex */
        cel_scope *scope;      /* borrowed; NULL once ended */
        cel_task_fn fn;
        void *arg; /* borrowed */
        _Atomic unsigned refs;
        cel__mail wake_mail; /* one wake-up at a time is under way, so one letter is enough */
        cel__mail look_mail;
        _Atomic bool look_sent; /* look_mail is on its way */
};

struct cel_scope {
        cel_runtime *runtime; /* borrowed */
        cel__loop *loop;      /* borrowed; where its tasks run */
        cel_scope_mode mode;
        pthread_mutex_t mutex; /* of all below */
        cel__list tasks;       /* that have not ended */
        unsigned tasks_n;
        bool canceled;
        int failure;                       /* the first, or 0 */
        char *failure_text;                /* owned; its text, if any */
        cel__error_detail *failure_detail; /* a reference; NULL: none */
        cel__wait *closer;                 /* borrowed; who waits in cel_scope_close() */
        char closed_by[CEL__NAME_BYTES];   /* not "": it is closed, by this task, and kept for a while */
};

/* A scope of `loop`, without a ctx.
 * Errors: CEL_ENOMEM. */
int cel__scope_new(cel_runtime *runtime, cel__loop *loop, cel_scope_mode mode, cel_scope **ret_scope);
void cel__scope_free(cel_scope *scope);
/* Abort, naming both tasks, if the scope was closed not long ago; `doing` says what is being done to it. */
void cel__scope_check_open(const cel_ctx *ctx, const cel_scope *scope, const char *doing);
/* Let a scope without tasks, which was cancelled, be used again. */
void cel__scope_revive(cel_scope *scope);
void cel__scope_add(cel_scope *scope, cel_task *task);
void cel__scope_task_ended(cel_scope *scope, cel_task *task, int result);

/* cel_spawn_on() without a ctx: `parent`, unless NULL, hands its request id down and its name, if `name` is
 * NULL. */
int cel__task_spawn_on(cel_scope *scope, cel__loop *loop, const cel_ctx *parent, const char *name,
                       cel_task_fn fn, void *arg, cel_task **ret_task);

/* The same on the scope's loop. */
int cel__task_spawn(cel_scope *scope, const cel_ctx *parent, const char *name, cel_task_fn fn, void *arg,
                    cel_task **ret_task);

/* Run a ready task until it parks or ends. On the hub. */
void cel__task_run(cel_task *task);

/* Abort: it has left its stack. */
_Noreturn void cel__task_overflowed(const cel_task *task);

/* Free what ended tasks have left for the next ones. */
void cel__task_free_spare(cel__loop *loop);

/* Switch from `task`, which runs, to the hub; returns when somebody wakes it. */
void cel__task_park(cel_task *task);

/* Make a task ready that is parked or about to park. From any thread, exactly once for each park. */
void cel__task_wake(cel_task *task);

/* Have the task end its wait in progress if it has been cancelled or interrupted. From any thread; never waits. */
void cel__task_look(cel_task *task);

static inline cel_task *cel__task_from_ready_node(cel__list *node)
{
        return cel__container(node, cel_task, ready_node);
}

#endif
