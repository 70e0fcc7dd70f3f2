/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/notification.h"
#include "wire/members.h"

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

static int put_notification(const cel__notification *n, cel__buf *out)
{
        int r = cel__put_member_string(out, "message_id", n->message_id);

        if (r >= 0)
                r = cel__put_member_string(out, "publisher_id", n->publisher_id);
        if (r >= 0)
                r = cel__put_member_string(out, "event_type", n->event_type);
        if (r >= 0)
                r = cel__put_member_string(out, "priority", n->priority);
        if (r >= 0)
                r = cel__put_member(out, "payload", n->payload);
        if (r >= 0)
                r = cel__put_member_string(out, "timestamp", n->timestamp);
        if (r >= 0 && n->unique_id)
                r = cel__put_member_string(out, "_unique_id", n->unique_id);
        if (r >= 0 && n->context)
                r = cel__put_context(out, n->context);
        return r < 0 ? r : cel__put_members_end(out);
}

int cel__notification_encode(const cel__notification *notification, int version, cel__buf *out)
{
        cel__buf inner;

        if (notification->context && !json_is_object(notification->context))
                return CEL_EINVAL;
        cel__buf_init(&inner, out->bytes_max);
        int r = put_notification(notification, &inner);
        if (r >= 0 && version == 2)
                r = cel__envelope_wrap((const char *)cel__buf_head(&inner), cel__buf_used(&inner), out);
        else if (r >= 0)
                r = cel__buf_append(out, cel__buf_head(&inner), cel__buf_used(&inner));
        cel__buf_fini(&inner);
        return r;
}
