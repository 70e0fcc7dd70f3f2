/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library's parts need of the runtime. */
#ifndef CEL_RT_RUNTIME_H
#define CEL_RT_RUNTIME_H

#include "rt/loop.h"

#include <celadon/offload.h>
#include <celadon/runtime.h>

typedef struct cel__guardian cel__guardian;

enum { CEL__SCOPES_KEPT = 64 };

/* What a layer above this one keeps with the runtime; freed with it, after tasks, pools and loops' mail. */
typedef struct cel__attachment {
        void (*free)(struct cel__attachment *attachment);
} cel__attachment;

typedef enum cel__slot { CEL__SLOT_NAMES, CEL__SLOTS } cel__slot;

/* In the count of tasks: the run has ended, no task may begin. */
#define CEL__TASKS_CLOSED 0x80000000u

/* runtime.c makes it, run.c runs it, post.c hands it functions to run and asks it to stop. */
struct cel_runtime {
        cel__list node;   /* in cel__runtimes */
        cel_clock *clock; /* borrowed */
        cel__loop *loops; /* owned, loops_n of them */
        unsigned loops_n;
        unsigned tasks_max;
        int64_t wedge_ms_max;
        _Atomic unsigned tasks; /* alive; or CEL__TASKS_CLOSED */
        _Atomic unsigned posts;
        cel__guardian *guardian;        /* owned */
        struct cel__watchdog *watchdog; /* owned; NULL: none */
        pthread_mutex_t pools_mutex;
        cel__list pools;   /* offload pools that have not been freed, under pools_mutex */
        cel_scope *system; /* owned */
        _Atomic(cel__attachment *) attached[CEL__SLOTS]; /* owned; NULL until needed */
        cel_future *stop;                                /* owned; what cel_stop_future() gives out */
        _Atomic bool stop_taken;                         /* somebody asked for it, and so will end */
        _Atomic(cel_task *) first; /* owned reference; the program's first task, while it runs */
        cel_scope *first_scope;    /* owned, while it runs */
        bool ending;               /* the first task has ended; the library's own are told to */
        _Atomic bool stopping;     /* no task is left: the other loops' threads may end */
        pthread_t *threads;        /* owned; of the loops after the first, while it runs */
        unsigned threads_n;
        pthread_mutex_t closed_mutex;               /* of the two below */
        cel_scope *closed_scopes[CEL__SCOPES_KEPT]; /* owned; the last to be closed, so that misuse is told */
        unsigned closed_n;
};

/* All runtimes of the process. Nothing here reads it: it is for tools/celadon-gdb.py. */
extern cel__list cel__runtimes;

cel_clock *cel__runtime_clock(const cel_runtime *runtime);

/* The first loop. */
cel__loop *cel__runtime_loop(cel_runtime *runtime);

/* Loop number `i`, or CEL_LOOP_LEAST_BUSY; NULL: there is none. */
cel__loop *cel__runtime_loop_at(cel_runtime *runtime, int i);

/* The library's own tasks live here: connections, mostly. When the program's first task has ended, they are
 * cancelled and waited for. */
cel_scope *cel__runtime_system_scope(cel_runtime *runtime);

cel__guardian *cel__runtime_guardian(cel_runtime *runtime);

/* For how long a loop may be stuck before its connections stop heartbeating. */
int64_t cel__runtime_wedge_ms_max(const cel_runtime *runtime);

/* Count a task of `loop` in or out. The last one out wakes the first loop, which may be waiting for that.
 * Errors: CEL_EFULL, CEL_ECLOSED (the run has ended). */
int cel__runtime_task_enter(cel_runtime *runtime, cel__loop *loop);
void cel__runtime_task_leave(cel_runtime *runtime, cel__loop *loop);

/* What is in `slot`; NULL: nothing yet. From any thread. */
cel__attachment *cel__runtime_attached(cel_runtime *runtime, cel__slot slot);

/* Put `made` there. Returns what is there then: `made`, which the runtime owns now, or another's who was quicker;
 * `made` is then still yours. From any thread. */
cel__attachment *cel__runtime_attach(cel_runtime *runtime, cel__slot slot, cel__attachment *made);

#endif
