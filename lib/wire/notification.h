/* SPDX-License-Identifier: Apache-2.0
 *
 * From an opened envelope to a notification. */
#ifndef CEL_WIRE_NOTIFICATION_H
#define CEL_WIRE_NOTIFICATION_H

#include "wire/envelope.h"

#include <celadon/notification.h>

/* Fill in a notification; on failure, `why` is a sentence. A string that is missing or null is "": a Notifier
 * without a publisher_id sends null.
 * Owns:   everything in *ret_notification is borrowed, from `envelope` and `raw`.
 * Errors: CEL_EDECODE (one of the strings is something else). */
int cel__notification_from_envelope(const cel__envelope *envelope, const cel_message *raw,
                                    cel_notification *ret_notification, char *why, size_t why_bytes);

#endif
