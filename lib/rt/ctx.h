/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a ctx, and the one way to wait.
 *
 * Whoever waits makes a cel__wait on its stack, tells others about it, and blocks. Whoever finishes it first
 * decides its outcome; everybody later is told so and does nothing. So a wait ends exactly once, whether by
 * what it waited for, by its deadline or by cancellation, and in whichever thread that happens.
 *
 *     cel__wait wait;
 *
 *     pthread_mutex_lock(&thing->mutex);
 *     cel__wait_begin(&wait, ctx, "thing");
 *     … put &wait where the other side finds it …
 *     pthread_mutex_unlock(&thing->mutex);
 *     int r = cel__wait_block(&wait);
 *     pthread_mutex_lock(&thing->mutex);
 *     … take &wait out again, if it is still there …
 *     pthread_mutex_unlock(&thing->mutex);
 *
 * The other side calls cel__wait_finish() only while it holds the same mutex: the wait lives on a stack. */
#ifndef CEL_RT_CTX_H
#define CEL_RT_CTX_H

#include "base/list.h"
#include "rt/loop.h"

#include <celadon/ctx.h>
#include <limits.h>
#include <stdatomic.h>

enum { CEL__NAME_BYTES = 48, CEL__REQUEST_ID_BYTES = 64, CEL__ERROR_TEXT_BYTES = 512 };

/* More about a failure than its text. It does not change, so that all who hear of the failure may share it: the ctx
 * that failed, those that await its task, and the scope of it. Whoever makes one holds the first reference. */
typedef struct cel__error_detail {
        _Atomic unsigned refs;
        void (*free)(struct cel__error_detail *detail);
} cel__error_detail;

struct cel_ctx {
        cel_runtime *runtime; /* borrowed */
        cel__loop *loop;      /* borrowed; NULL: a thread's ctx, see struct thread_ctx in ctx.c */
        cel_time deadline;
        _Atomic bool canceled;
        unsigned shields;                 /* while > 0, waits end by neither deadline nor cancellation */
        unsigned deaf;                    /* while > 0, not by cancellation */
        struct cel__wait *wait;           /* the wait in progress, or NULL; belongs to whoever runs the ctx */
        struct cel__interrupt *interrupt; /* the innermost, or NULL; likewise */
        int error_code;                   /* what error_text is about */
        char *error_text;                 /* owned; made at the first failure, CEL__ERROR_TEXT_BYTES */
        cel__error_detail
                *error_detail; /* a reference; NULL: none. Of error_code, when that is error_detail_code */
        int error_detail_code;
        char *request_id; /* owned; NULL: none */
        char name[CEL__NAME_BYTES];
};

/* The outcome of a wait that nobody has finished yet. */
enum { CEL__WAIT_PENDING = INT_MAX };

typedef struct cel__wait {
        cel_ctx *ctx;      /* borrowed */
        const char *where; /* static; what it waits for, in a word */
        _Atomic int outcome;
        cel_time until; /* then it finishes with until_outcome */
        int until_outcome;
        cel__timer timer;
} cel__wait;

/* A ctx in place; `parent`, unless NULL, hands its request id down.
 * Errors: CEL_ENOMEM. */
int cel__ctx_init(cel_ctx *ctx, cel_runtime *runtime, cel__loop *loop, const char *name,
                  const cel_ctx *parent);
void cel__ctx_fini(cel_ctx *ctx);

/* The task that a task's ctx belongs to, NULL for a thread's. */
cel_task *cel__ctx_task(const cel_ctx *ctx);

/* What cel__ctx_check() does when a glance is not enough. */
void cel__ctx_check_closely(const cel_ctx *ctx, const char *where);

/* Abort, naming the culprit, unless whoever calls is who `ctx` belongs to; `where` says what it was about to wait
 * for. Every call that may wait does this first, in whatever way it ends; cel__wait_begin() does it too. */
static inline void cel__ctx_check(const cel_ctx *ctx, const char *where)
{
        /* A task begins with its ctx. */
        if (!ctx->loop || !cel__loop_is_here(ctx->loop) || (const void *)ctx->loop->running != ctx)
                cel__ctx_check_closely(ctx, where);
}

/* The same, and CEL_EFORKED in a fork's child. */
int cel__ctx_enter(cel_ctx *ctx, const char *where);

/* The same, and CEL_ECANCELED if it has been cancelled: for calls that may go on without waiting. */
int cel__ctx_begin(cel_ctx *ctx, const char *where);

/* Has it been cancelled or interrupted, and is nothing shielding it? */
bool cel__ctx_must_cancel(const cel_ctx *ctx);

/* A part of what a ctx does that others can end early. It is a cancellation with an end: while it is entered and has
 * been raised, whatever waits returns CEL_ECANCELED; a shield inside it holds it off.
 *
 *     cel__interrupt_enter(&interrupt, ctx);
 *     … put &interrupt where the other side finds it, under a mutex …
 *     r = …wait, as often as need be…;
 *     … take it out again, under that mutex …
 *     cel__interrupt_leave(&interrupt);
 *
 * The other side raises it only while it holds the same mutex: it lives on a stack. */
typedef struct cel__interrupt {
        cel_ctx *ctx;
        struct cel__interrupt *outer; /* borrowed */
        unsigned shields;             /* of the ctx when this was entered */
        _Atomic bool raised;
} cel__interrupt;

void cel__interrupt_enter(cel__interrupt *interrupt, cel_ctx *ctx);
void cel__interrupt_leave(cel__interrupt *interrupt);

/* From any thread; never waits. */
void cel__interrupt_raise(cel__interrupt *interrupt);

/* NULL stays NULL. Unref returns NULL. From any thread. */
cel__error_detail *cel__error_detail_ref(cel__error_detail *detail);
cel__error_detail *cel__error_detail_unref(cel__error_detail *detail);

/* Keep `detail`, or none if it is NULL, with the failure `code`, which cel_fail() has recorded, until the next one.
 * Takes the reference. */
void cel__ctx_set_error_detail(cel_ctx *ctx, int code, cel__error_detail *detail);

/* The detail of the last failure; NULL: there is none, or that failure was not `code`. Borrowed. */
cel__error_detail *cel__ctx_error_detail(const cel_ctx *ctx, int code);

/* `code`, and if it is an error, its general text and not that of an earlier one. */
int cel__ctx_bare(cel_ctx *ctx, int code);

void cel__wait_begin(cel__wait *wait, cel_ctx *ctx, const char *where);

/* Decide the outcome, if nobody has, and wake the waiter. Returns whether this call decided it. From any
 * thread. */
bool cel__wait_finish(cel__wait *wait, int outcome);

/* Wait until it is finished; returns the outcome, or CEL_EFORKED at once. */
int cel__wait_block(cel__wait *wait);

/* Does this thread's ctx wait now, with nothing to end its wait: no outcome, no deadline that has passed, no
 * cancellation, no descriptor that is ready? Callable from any thread; for tests. */
bool cel__thread_waits(cel_ctx *ctx);

/* Wait until `fd` is ready for any of `events`, CEL__READABLE and CEL__WRITABLE; `where` is static, what it
 * waits for, in a word. Returns what it is ready for; a descriptor that is broken is ready for everything.
 * With a task's ctx a poller is made for this one wait: whoever waits often keeps one of its own.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM, CEL_ESYSTEM. */
int cel__fd_wait(cel_ctx *ctx, int fd, int events, const char *where);

/* The same for a wait that others may finish too, as in cel__wait_block(). */
int cel__wait_block_fd(cel__wait *wait, int fd, int events);

/* A place in a list of waiters, as futures, channels and the like keep it. */
typedef struct cel__waiter {
        cel__list node;
        cel__wait *wait; /* borrowed */
        int index;       /* the outcome when this one is what finishes the wait */
        void *item;      /* channels: where the item comes from or goes to */
        int status;      /* channels: CEL_ECLOSED when closing is what finished the wait */
} cel__waiter;

#endif
