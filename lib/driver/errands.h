/* SPDX-License-Identifier: Apache-2.0
 *
 * What has to be at the bus before one can publish, from any ctx.
 *
 * Declaring needs a task on the transport's loop, and may take as long as the bus is away: an errand. Callers wait for
 * it with their own deadline, and when they leave, it goes on: the next one finds it done. */
#ifndef CEL_DRIVER_ERRANDS_H
#define CEL_DRIVER_ERRANDS_H

#include "driver/driver.h"

#include <celadon/task.h>
#include <stdatomic.h>

typedef struct cel__errands cel__errands;

/* For lib/driver's transports.
 * Owns:   *ret_errands is a reference of yours.
 * Errors: CEL_ENOMEM. */
int cel__errands_new(cel_transport *transport, cel__errands **ret_errands);

/* The transport goes: errands under way are cancelled, everybody is told CEL_ECLOSED. On the loop. Takes the
 * reference. */
void cel__errands_close(cel__errands *errands);

cel__errands *cel__errands_ref(cel__errands *errands);
cel__errands *cel__errands_unref(cel__errands *errands);

/* Run `fn(ctx, arg)` as a task on the transport's loop, with the bus held.
 * Owns:   `arg` is the task's, unless this fails; `free_arg` frees it in the end. *ret_task is a reference of yours.
 * Errors: CEL_ECLOSED, CEL_EFULL, CEL_ENOMEM. */
int cel__errands_start(cel__errands *errands, cel_task_fn fn, void *arg, void (*free_arg)(void *arg),
                       cel_task **ret_task);

/* Wait for an errand's task. Takes the reference. Returns whether it has failed, and not only this wait, in
 * *ret_failed.
 * Errors: the task's; CEL_ECLOSED, CEL_ETIMEDOUT, CEL_ECANCELED. */
int cel__errands_await(cel_ctx *ctx, cel__errands *errands, cel_task *task, bool *ret_failed);

/* Has it ended badly? */
bool cel__errand_has_failed(cel_task *task);

/* Wait until `queue` is declared: a fanout exchange each time, since the last queue that leaves takes it along, anything
 * else once.
 * Errors: as driver->declare; CEL_ECLOSED, CEL_EFULL. */
int cel__errands_declare(cel_ctx *ctx, cel__errands *errands, const cel_queue *queue);

/* It turned out not to be there: declare it again when it is needed next. */
void cel__errands_forget(cel__errands *errands, const cel_queue *queue);

/* Wait until the bus is connected; `retry` is how often to try again to connect, below zero: any number.
 * Errors: as driver->await_up(); CEL_ECLOSED. */
int cel__errands_await_bus(cel_ctx *ctx, cel__errands *errands, int retry);

/* A message on its way. */
typedef struct cel__publishing {
        const cel_queue *queue; /* what is declared before; NULL: nothing */
        const cel_message *message;
        unsigned flags; /* as of cel_publish() */
        int retry; /* how often to try again to connect, or to send what may have been lost; below zero: forever */
        bool expires; /* nobody wants it after the ctx's deadline */
        bool patient; /* while no queue takes it, try again until the deadline, which there is then */
        _Atomic uint64_t *sent_again; /* counted here, unless NULL */
} cel__publishing;

/* Publish until it is known to have arrived, or has been tried often enough. A message for a queue that is declared before
 * arrives there, or that is an error: a broker may lose its queues, and not tell. Another one that no queue takes is sent
 * again while the bus is settling.
 * Errors: as cel_publish(), cel__errands_declare(), cel__errands_await_bus(). */
int cel__errands_publish(cel_ctx *ctx, cel__errands *errands, const cel__publishing *publishing);

#endif
