/* SPDX-License-Identifier: Apache-2.0
 *
 * A roll call: a loop writes down what its tasks do, on its own thread and a bit at a time, for somebody else
 * to read. */
#ifndef CEL_RT_ROLL_H
#define CEL_RT_ROLL_H

#include "rt/task.h"

enum {
        CEL__ROLL_TASKS_MAX = 200, /* described one by one; of the others, … */
        CEL__ROLL_KINDS_MAX = 128, /* … so many kinds are counted, and then what is left */
        CEL__ROLL_FRAMES_MAX = 24,
};

/* One task, as it was. */
typedef struct cel__roll_task {
        char name[CEL__NAME_BYTES];
        char request_id[CEL__REQUEST_ID_BYTES];
        cel__task_state state;
        const char *where; /* static; what it waits for, NULL: it does not */
        int64_t waited_ns;
        size_t depth_bytes;   /* of its stack, that it uses now; 0: it runs */
        size_t touched_bytes; /* of its stack, that are in memory */
        size_t stack_bytes;
        unsigned frames_n;
        void *frames[CEL__ROLL_FRAMES_MAX];
} cel__roll_task;

/* So many tasks of one name that wait for the same. */
typedef struct cel__roll_kind {
        char name[CEL__NAME_BYTES];
        const char *where; /* static; NULL: they do not wait */
        uint64_t n;        /* 0: no such kind */
} cel__roll_kind;

/* A roll call under way; it belongs to who asked and to the loop, until both have let go. */
typedef struct cel__roll_call {
        cel__mail mail;
        cel__loop *loop; /* borrowed */
        cel__roll mark;  /* how far it has got */
        _Atomic unsigned holders;
        pthread_mutex_t mutex; /* of the next two */
        bool done;
        cel__wait *wait; /* borrowed; who waits for it, or NULL */
        bool begun;

        /* The answer, once done. */
        unsigned tasks_n;
        cel__roll_task tasks[CEL__ROLL_TASKS_MAX];
        uint64_t others_n; /* tasks that are in `kinds` or in `rest_n` */
        cel__roll_kind kinds[CEL__ROLL_KINDS_MAX];
        uint64_t rest_n; /* tasks of yet other kinds */
} cel__roll_call;

/* Ask `loop`; it answers when it next turns.
 * Owns:   *ret_call is yours; let go of it.
 * Errors: CEL_ENOMEM. */
int cel__roll_call_begin(cel__loop *loop, cel__roll_call **ret_call);

/* Wait until it is done, or until `until`. Returns whether it is done.
 * Waits:  for the loop, the ctx's deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED. */
int cel__roll_call_await(cel_ctx *ctx, cel__roll_call *call, cel_time until);

cel__roll_call *cel__roll_call_let_go(cel__roll_call *call);

#endif
