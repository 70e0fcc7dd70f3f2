/* SPDX-License-Identifier: Apache-2.0
 *
 * A loop: one thread's run queue, timers, mailbox and descriptors. */
#ifndef CEL_RT_LOOP_H
#define CEL_RT_LOOP_H

#include "base/list.h"
#include "rt/clock.h"
#include "rt/counters.h"
#include "rt/fiber.h"
#include "rt/snapshot.h"
#include "rt/stack.h"
#include "rt/timer.h"

#include <celadon/runtime.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

/* A letter to a loop's thread, from any thread. It lives inside whatever it is about and may be sent again
 * once it was delivered. */
typedef struct cel__mail {
        struct cel__mail *next;
        void (*deliver)(struct cel__mail *mail);
} cel__mail;

/* A place in a loop's list of its tasks. Others mark theirs in it while they walk, a bit at a time. */
typedef struct cel__roll {
        cel__list node;
        cel_task *task; /* borrowed; NULL: a mark */
} cel__roll;

/* Work to be done once, before the loop next waits: many small causes, one effect (such as one write for many
 * frames). */
typedef struct cel__deferred {
        cel__list node; /* in the loop's list while it is due */
        void (*run)(struct cel__deferred *deferred);
} cel__deferred;

typedef struct cel__loop {
        uv_loop_t uv;
        int wake_fd;          /* owned; an eventfd: somebody sent mail, or a manual clock moved */
        uv_poll_t wake;       /* watches it */
        uv_timer_t alarm;     /* the first timer is due */
        cel_runtime *runtime; /* borrowed */
        unsigned number;      /* 0: the first */

        cel__fiber hub;    /* what runs when no task does */
        cel_task *running; /* borrowed; NULL while the hub runs */
        cel__list ready;   /* tasks whose turn has come, first come first served */
        cel__list roll;    /* of cel__roll: all tasks, the oldest first */
        cel__timers timers;
        cel__list deferred;
        cel__stack_pool stacks;
        cel__list spare_tasks; /* owned; ended tasks, whose memory and stacks the next ones get */
        unsigned spare_tasks_n;
        int64_t turn_ns;     /* when this turn began; 0: it has ended */
        int64_t alarm_ms;    /* what `alarm` is set to, on uv's clock; 0: not set */
        bool at_rest;        /* a foreign loop waits until our descriptor is readable */
        int timer_fd;        /* owned; the alarm when a foreign loop waits for us; -1: none does */
        int64_t timer_fd_ns; /* what it is set to; CEL_TIME_NEVER: not set */
        struct cel__poller *timer_poller; /* owned */

        _Atomic(cel__mail *) mailbox; /* newest first */
        cel__mail *letters;           /* taken out of it, oldest first */
        _Atomic unsigned
                senders;        /* threads that are inside cel__loop_send(), which end before the loop does */
        _Atomic unsigned tasks; /* alive on this loop */
        cel__clock_listener clock_listener;

        /* For others, from their own threads. */
        _Atomic int64_t busy_since_ns; /* when this turn began; 0 while it waits */
        cel__counters counters;
        cel__snapshot snapshot;
} cel__loop;

int cel__loop_init(cel__loop *loop, cel_runtime *runtime, unsigned number, size_t stack_bytes);
void cel__loop_fini(cel__loop *loop);

/* Deliver what was sent after the last turn, which still belongs to somebody, and wait for those who are sending.
 * Returns whether there was anything. From the thread that frees the runtime. */
bool cel__loop_drain(cel__loop *loop);

/* The calling thread is this loop's from now on, until cel__loop_leave() or cel__loop_fini(). */
void cel__loop_adopt(cel__loop *loop);
void cel__loop_leave(cel__loop *loop);

/* The loop that the calling thread runs, or NULL. Of the thread and not of the loop, because others ask while
 * it changes. */
extern _Thread_local cel__loop *cel__loop_of_thread;

/* Is the calling thread the one that runs this loop? */
static inline bool cel__loop_is_here(const cel__loop *loop)
{
        return cel__loop_of_thread == loop;
}

/* The loop has stopped waiting: its descriptors have news. */
void cel__loop_awake(cel__loop *loop);

/* One turn: look at the descriptors, with `may_wait` wait if there is nothing to do; then deliver mail, fire
 * timers, run ready tasks and what is deferred. Never waits after it has run something. Returns false when
 * the turn found nothing to do. */
bool cel__loop_turn(cel__loop *loop, bool may_wait);

/* Send `mail`; it is delivered on the loop's thread. Callable from any thread; letters of one sender arrive
 * in order. */
void cel__loop_send(cel__loop *loop, cel__mail *mail);

/* Have the loop make a turn, if it waits. Callable from any thread. */
void cel__loop_wake(cel__loop *loop);

/* There is something to do now. On the loop's thread; a foreign loop may be running its own things there. */
static inline void cel__loop_rouse(cel__loop *loop)
{
        if (!loop->at_rest)
                return;
        loop->at_rest = false;
        cel__loop_wake(loop);
}

/* A descriptor that is readable when a turn would find something to do, provided that the last turn found
 * nothing and cel__loop_arm_fd() was called since. Until cel__loop_detach().
 * Errors: CEL_ESYSTEM, CEL_ENOMEM. */
int cel__loop_fd(cel__loop *loop);
void cel__loop_arm_fd(cel__loop *loop);
void cel__loop_detach(cel__loop *loop);

/* Run `deferred` before the loop next waits; it is fine to say so many times. On the loop's thread. */
void cel__loop_defer(cel__loop *loop, cel__deferred *deferred);

/* For how long the loop has been busy without a look at its descriptors, in ms. Callable from any thread. */
int64_t cel__loop_busy_ms(const cel__loop *loop, cel_time now);

#endif
