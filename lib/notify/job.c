/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/job.h"
#include "wire/body.h"
#include "wire/notification.h"

#include <stdio.h>
#include <stdlib.h>

int job_new(cel_notification_listener *listener, const cel__delivery *delivery, job **ret_job)
{
        job *j = calloc(1, sizeof(*j));

        if (!j)
                return CEL_ENOMEM;
        cel__list_init(&j->node);
        cel__list_init(&j->running_node);
        cel__buf_init(&j->plain, CEL__PLAIN_BYTES_MAX);
        j->listener = listener;
        j->delivery = *delivery;
        j->message_bytes = delivery->message->body_bytes;
        *ret_job = j;
        return 0;
}

void job_free(job *j, const cel__driver *driver, cel__settlement how)
{
        job_undecode(j);
        driver->settle(&j->delivery, how);
        cel__list_remove(&j->node);
        cel__list_remove(&j->running_node);
        free(j);
}

static int open_message(job *j)
{
        const void *body;
        size_t n;
        int r = cel__body_plain(j->delivery.message, &j->plain, &body, &n, j->why, sizeof(j->why));

        if (r < 0)
                return r;
        r = cel__envelope_open(body, n, &j->envelope, j->why, sizeof(j->why));
        if (r < 0)
                return r;
        r = cel__notification_from_envelope(&j->envelope, j->delivery.message, &j->notification, j->why,
                                            sizeof(j->why));
        if (r < 0)
                cel__envelope_fini(&j->envelope);
        return r;
}

int job_decode(job *j)
{
        if (j->decoded)
                return 0;
        int r = open_message(j);
        j->decoded = r != CEL_ENOMEM;
        j->valid = r >= 0;
        if (!j->valid && !*j->why)
                snprintf(j->why, sizeof(j->why), "%s", cel_error_text(r));
        /* It may be large, and the job may take long: keep it only for a message of version 1, which borrows it.
         */
        if (!j->valid || j->envelope.version == 2)
                cel__buf_clear(&j->plain, 0);
        return r == CEL_ENOMEM ? r : 0;
}

void job_undecode(job *j)
{
        if (j->valid)
                cel__envelope_fini(&j->envelope);
        j->made = (json_decref(j->made), NULL);
        cel__buf_clear(&j->plain, 0);
        j->decoded = j->valid = false;
        j->why[0] = '\0';
}

const char *job_id(const job *j)
{
        const char *id = j->valid ? json_string_value(json_object_get(j->notification.message, "_unique_id"))
                                  : NULL;

        return id ? id : "";
}
