/* SPDX-License-Identifier: Apache-2.0
 *
 * The queues of a listener: for each target and priority one, or the pool that is bound for them. */
#ifndef CEL_NOTIFY_TARGETS_H
#define CEL_NOTIFY_TARGETS_H

#include "driver/driver.h"

#include <celadon/notification.h>

enum { CEL__LISTENER_QUEUES_MAX = 256 };

typedef struct cel__queue_list {
        cel_queue queues[CEL__LISTENER_QUEUES_MAX];
        char keys[CEL__LISTENER_QUEUES_MAX][256];
        unsigned n;
} cel__queue_list;

/* Fill in `list`, which is empty, for the options' targets and these priorities. It borrows from `settings` and `options`.
 * Errors: CEL_EINVAL. */
int cel__list_queues(cel_ctx *ctx, const cel__driver_settings *settings,
                     const cel_notification_listener_options *options, const char *const *priorities,
                     cel__queue_list *list);

#endif
