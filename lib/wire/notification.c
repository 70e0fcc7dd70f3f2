/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/notification.h"

#include <stdio.h>

/* The string `key` of `message`; "" if it is missing or null, NULL if it is something else. */
static const char *string_of(const json_t *message, const char *key)
{
        const json_t *value = json_object_get(message, key);

        return !value || json_is_null(value) ? "" : json_string_value(value);
}

int cel__notification_from_envelope(const cel__envelope *envelope, const cel_message *raw,
                                    cel_notification *ret_notification, char *why, size_t why_bytes)
{
        cel_notification notification = {
                .payload = json_object_get(envelope->message, "payload"),
                .message = envelope->message,
                .text = envelope->text,
                .text_bytes = envelope->text_bytes,
                .raw = raw,
        };
        const struct {
                const char *key;
                const char **value;
        } strings[] = {
                {"publisher_id", &notification.publisher_id}, {"event_type", &notification.event_type},
                {"priority", &notification.priority},         {"message_id", &notification.message_id},
                {"timestamp", &notification.timestamp},
        };

        for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
                *strings[i].value = string_of(envelope->message, strings[i].key);
                if (!*strings[i].value) {
                        snprintf(why, why_bytes, "not a notification: its %s is not a string",
                                 strings[i].key);
                        return CEL_EDECODE;
                }
        }
        *ret_notification = notification;
        return 0;
}
