/* SPDX-License-Identifier: Apache-2.0
 *
 * A job: one message of a listener, from its delivery to its settlement. */
#ifndef CEL_NOTIFY_JOB_H
#define CEL_NOTIFY_JOB_H

#include "base/buf.h"
#include "base/list.h"
#include "driver/driver.h"
#include "notify/endpoints.h"
#include "wire/envelope.h"

#include <celadon/notification.h>

enum { JOB_WHY_BYTES = 256 };

typedef struct job {
        cel__list node;                      /* in listener->pending */
        cel__list running_node;              /* in listener->running_by_id */
        cel_notification_listener *listener; /* borrowed */
        cel__delivery delivery;
        size_t message_bytes; /* of the body, as it came */
        size_t held_bytes;    /* what the job holds of the listener's limit */
        cel_time came;
        cel__endpoint_set endpoints; /* who wants it, once that is found out */

        bool decoded;
        cel__buf plain; /* the decompressed body, if it came compressed */
        cel__envelope envelope;
        cel_notification notification;
        json_t *made; /* owned; what a serializer has made of the message; NULL: nothing */
        bool valid;
        bool passed_on;          /* the handler returned CEL_PASSED_ON */
        char why[JOB_WHY_BYTES]; /* unless valid */
} job;

/* Owns: *ret_job takes what `delivery` holds; it has a message. Errors: CEL_ENOMEM: `delivery` is still yours. */
int job_new(cel_notification_listener *listener, const cel__delivery *delivery, job **ret_job);

/* Settle it and free it. */
void job_free(job *j, const cel__driver *driver, cel__settlement how);

/* Find out what it is. Recurses over what a stranger sent: for the loop's hub, not for a task's small stack.
 * Errors: CEL_ENOMEM, which says nothing about the message; any other is in j->why. */
int job_decode(job *j);

/* Keep what came and forget what was made of it, which may be ten times as large. */
void job_undecode(job *j);

/* Its `_unique_id`, once it is decoded; "" if it has none. */
const char *job_id(const job *j);

#endif
