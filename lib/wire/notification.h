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

/* What a notifier sends. */
typedef struct cel__notification {
        const char *message_id;
        const char *publisher_id; /* NULL: none */
        const char *event_type;
        const char *priority;  /* in upper case */
        const json_t *payload; /* NULL: null */
        const char *timestamp;
        const char *unique_id; /* NULL: none, as it is before a driver sends it */
        const json_t *context; /* an object; NULL: empty */
} cel__notification;

/* Append a notification with the bytes that oslo.messaging's drivers messaging (version 1: without an envelope) and
 * messagingv2 (version 2) would send.
 * Errors: as cel__json_write(). */
int cel__notification_encode(const cel__notification *notification, int version, cel__buf *out);

#endif
