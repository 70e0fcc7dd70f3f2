/* SPDX-License-Identifier: Apache-2.0
 *
 * oslo.messaging's queue manager (its option use_queue_manager, oslo-wire section 18): transient queues are named
 * host:process:number, and the numbers begin at 1 with each start of a service, so that it finds its queues again. All
 * processes of a process group draw from one counter, in a file of /dev/shm, Python's and C's alike. */
#ifndef CEL_DRIVER_QUEUE_MANAGER_H
#define CEL_DRIVER_QUEUE_MANAGER_H

#include <celadon/offload.h>

enum { QUEUE_MANAGER_NAME_BYTES_MAX = 64 };

typedef struct queue_manager {
        char hostname[QUEUE_MANAGER_NAME_BYTES_MAX + 1], processname[QUEUE_MANAGER_NAME_BYTES_MAX + 1];
        cel_pool *pool; /* owned; NULL until it is needed */
} queue_manager;

/* NULL: this host's name, this program's. */
void queue_manager_init(queue_manager *m, const char *hostname, const char *processname);
void queue_manager_fini(queue_manager *m);

/* Name a queue: `prefix` and what this process has drawn. As cel__driver_name_queue(), for tasks of one loop. */
int queue_manager_name(cel_ctx *ctx, queue_manager *m, const char *prefix, char *name, size_t name_bytes);

/* One draw, for the pool. */
typedef struct queue_manager_draw {
        const char *folder; /* static; of the counter */
        char hostname[QUEUE_MANAGER_NAME_BYTES_MAX + 1], processname[QUEUE_MANAGER_NAME_BYTES_MAX + 1];
        long long number; /* the outcome; so is: */
        char error[256];
} queue_manager_draw;

/* Draw the next number. `arg` is a queue_manager_draw. Blocks while another process draws.
 * Errors: CEL_ESYSTEM, with a sentence. */
int queue_manager_run(void *arg);

#endif
