/* SPDX-License-Identifier: Apache-2.0
 *
 * oslo.messaging's NotificationFilter, made ready to match. */
#ifndef CEL_NOTIFY_FILTER_H
#define CEL_NOTIFY_FILTER_H

#include <celadon/notification.h>

typedef struct cel__filter cel__filter;

/* Compile the expressions of `rules`; on failure, `why` is a sentence. Needs more stack than a task has to spare: for the
 * loop's hub.
 * Owns:   *ret_filter is yours. `rules` is copied.
 * Errors: CEL_EINVAL (an expression that is none, too many of them), CEL_ENOMEM. */
int cel__filter_new(const cel_notification_filter *rules, cel__filter **ret_filter, char *why,
                    size_t why_bytes);
cel__filter *cel__filter_free(cel__filter *filter);

/* Does `message`, a whole notification, match? From one thread at a time, on the hub. An expression that takes too many
 * steps on a value does not match it, and says so in the log.
 * Errors: CEL_ENOMEM. */
int cel__filter_match(cel__filter *filter, const json_t *message, bool *ret_matches);

#endif
