/* SPDX-License-Identifier: Apache-2.0
 *
 * A listener's serializer at work, in the handler's task. */
#ifndef CEL_NOTIFY_DESERIALIZE_H
#define CEL_NOTIFY_DESERIALIZE_H

#include "notify/listener.h"

/* Is there anything to do? Then filters have not seen the messages of a batch yet. */
bool is_deserializing(const cel_notification_listener *listener);

/* Make of the notification what filters and handlers are to see.
 * Errors: the serializer's; CEL_EINVAL (a context that is no object), CEL_ENOMEM. */
int job_deserialize(cel_ctx *ctx, job *j);

/* Have all filters look at `n` jobs: those that nobody wants have no endpoints then.
 * Waits:  for the hub, on which filters run.
 * Errors: as cel_await(); CEL_ENOMEM. */
int jobs_filter(cel_ctx *ctx, job *const *jobs, unsigned n);

#endif
