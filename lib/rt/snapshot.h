/* SPDX-License-Identifier: Apache-2.0
 *
 * Who runs on a loop's thread right now, and where: asked for by another thread, answered by a signal handler
 * on the loop's. */
#ifndef CEL_RT_SNAPSHOT_H
#define CEL_RT_SNAPSHOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cel__loop;

enum { CEL__FRAMES_MAX = 32 };

/* What was seen. */
typedef struct cel__sight {
        char task[48];       /* "": no task, but code of the loop itself */
        char request_id[64]; /* of the task; "": none */
        unsigned frames_n;   /* 0: the thread did not answer */
        void *frames[CEL__FRAMES_MAX];
} cel__sight;

/* Part of a loop. */
typedef struct cel__snapshot {
        pthread_mutex_t mutex; /* of the next four */
        bool attached;         /* `thread` runs the loop and takes the signal */
        bool was_blocked;      /* the signal, on that thread, before */
        pthread_t thread;
        int tid; /* the same, as the kernel calls it */
        _Atomic int state;
        uint64_t switches; /* asked for: what runs while the loop's counter stands there */
        cel__sight sight;
} cel__snapshot;

void cel__snapshot_init(cel__snapshot *snapshot);
void cel__snapshot_fini(cel__snapshot *snapshot);

/* The calling thread runs `loop` and can be asked, until detached. */
void cel__snapshot_attach(struct cel__loop *loop);
void cel__snapshot_detach(struct cel__loop *loop);

/* Ask what runs on the loop's thread, provided that its counter of switches still stands at `switches` when it
 * answers. By one thread at a time; never waits. */
void cel__snapshot_ask(struct cel__loop *loop, uint64_t switches);

/* The answer, if it has come. On the thread that asked. */
bool cel__snapshot_take(struct cel__loop *loop, cel__sight *ret_sight);

/* For how long the loop's thread has wanted to run and was not let, since it began; 0 where the kernel does not
 * say. It says so only of what is over: a thread that is still not let has to answer first. */
int64_t cel__snapshot_delay_ns(struct cel__loop *loop);

/* Ask no more: an answer that comes later is dropped. */
void cel__snapshot_forget(struct cel__loop *loop);

#endif
