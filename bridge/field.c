/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/field.h"

#include "bridge/schema.h"

#include <celadon/error.h>
#include <stdio.h>
#include <string.h>

static const char *const names[BRIDGE_FIELD_NAMES_N] = {
        [BRIDGE_FIELD_EVENT_TYPE] = "event_type",
        [BRIDGE_FIELD_PUBLISHER_ID] = "publisher_id",
        [BRIDGE_FIELD_PRIORITY] = "priority",
        [BRIDGE_FIELD_MESSAGE_ID] = "message_id",
        [BRIDGE_FIELD_TIMESTAMP] = "timestamp",
        [BRIDGE_FIELD_EXCHANGE] = "exchange",
        [BRIDGE_FIELD_ROUTING_KEY] = "routing_key",
        [BRIDGE_FIELD_QUEUE] = "queue",
        [BRIDGE_FIELD_ROUTE] = "route",
        [BRIDGE_FIELD_KEY] = "key",
};

static bool begins_with(const char *text, size_t n, const char *prefix)
{
        return n >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

static int parse_header(const char *name, size_t n, bridge_field *ret_field, char *why, size_t why_bytes)
{
        if (n == 0 || n > 255) {
                snprintf(why, why_bytes, "needs a header's name of 1 to 255 bytes, as in headers.x-tenant");
                return CEL_EINVAL;
        }
        char *header = strndup(name, n);

        if (!header)
                return CEL_ENOMEM;
        *ret_field = (bridge_field){.kind = BRIDGE_FIELD_HEADER, .header = header};
        return 0;
}

static int parse_json(const char *pointer, size_t n, bridge_field *ret_field, char *why, size_t why_bytes)
{
        bridge_field field = {.kind = BRIDGE_FIELD_JSON};
        const char *problem = NULL;
        int r = bridge_pointer_parse(pointer, n, &field.pointer, &problem);

        if (r == CEL_EINVAL)
                snprintf(why, why_bytes, "has a JSON pointer that %s", problem);
        if (r >= 0)
                *ret_field = field;
        return r;
}

static int parse_name(const char *name, size_t n, bridge_field *ret_field, char *why, size_t why_bytes)
{
        char word[64];

        for (unsigned i = 0; i < BRIDGE_FIELD_NAMES_N; i++)
                if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0) {
                        *ret_field = (bridge_field){.kind = (bridge_field_kind)i};
                        return 0;
                }
        snprintf(word, sizeof(word), "%.*s", n < sizeof(word) ? (int)n : 0, name);
        const char *meant = bridge_suggest(word, names, BRIDGE_FIELD_NAMES_N);

        if (meant)
                snprintf(why, why_bytes, "is not known, did you mean %s?", meant);
        else
                snprintf(why, why_bytes,
                         "is not known, write event_type, publisher_id, priority, message_id, timestamp, "
                         "exchange, routing_key, queue, route, key, headers.NAME or json:/POINTER");
        return CEL_EINVAL;
}

int bridge_field_parse(const char *text, size_t n, bridge_field *ret_field, char *why, size_t why_bytes)
{
        if (begins_with(text, n, "headers."))
                return parse_header(text + 8, n - 8, ret_field, why, why_bytes);
        if (begins_with(text, n, "json:"))
                return parse_json(text + 5, n - 5, ret_field, why, why_bytes);
        return parse_name(text, n, ret_field, why, why_bytes);
}

void bridge_field_fini(bridge_field *field)
{
        free(field->header);
        bridge_pointer_fini(&field->pointer);
        *field = (bridge_field){0};
}

static const char *name_value(bridge_field_kind kind, const bridge_event *event)
{
        const cel_notification *n = event->notification;

        switch (kind) {
        case BRIDGE_FIELD_EVENT_TYPE:
                return n->event_type;
        case BRIDGE_FIELD_PUBLISHER_ID:
                return n->publisher_id;
        case BRIDGE_FIELD_PRIORITY:
                return n->priority;
        case BRIDGE_FIELD_MESSAGE_ID:
                return n->message_id;
        case BRIDGE_FIELD_TIMESTAMP:
                return n->timestamp;
        case BRIDGE_FIELD_EXCHANGE:
                return n->raw->exchange;
        case BRIDGE_FIELD_ROUTING_KEY:
                return n->raw->routing_key;
        case BRIDGE_FIELD_QUEUE:
                return n->raw->queue;
        case BRIDGE_FIELD_ROUTE:
                return event->route;
        case BRIDGE_FIELD_KEY:
                return event->key;
        case BRIDGE_FIELD_HEADER:
        case BRIDGE_FIELD_JSON:
                break;
        }
        return NULL;
}

/* Numbers and truth values as JSON writes them; strings without quotes. */
static void take_json(const json_t *json, bridge_value *value)
{
        if (!json || json_is_null(json))
                return;
        value->json = json;
        if (json_is_string(json)) {
                value->text = json_string_value(json);
                value->bytes = json_string_length(json);
        } else if (!json_is_object(json) && !json_is_array(json)) {
                size_t n = json_dumpb(json, value->number, sizeof(value->number), JSON_ENCODE_ANY);

                if (n > 0 && n <= sizeof(value->number)) {
                        value->text = value->number;
                        value->bytes = n;
                }
        }
}

int bridge_field_get(const bridge_field *field, const bridge_event *event, bridge_value *ret_value)
{
        *ret_value = (bridge_value){0};
        if (field->kind == BRIDGE_FIELD_JSON) {
                take_json(bridge_pointer_get(&field->pointer, event->notification->message), ret_value);
        } else if (field->kind == BRIDGE_FIELD_HEADER) {
                int r = cel_headers_get_str(event->notification->raw->headers, field->header,
                                            &ret_value->copy);

                if (r == CEL_ENOMEM)
                        return r;
                ret_value->text = ret_value->copy;
                ret_value->bytes = ret_value->copy ? strlen(ret_value->copy) : 0;
        } else {
                const char *text = name_value(field->kind, event);

                ret_value->text = text && *text ? text : NULL;
                ret_value->bytes = text ? strlen(text) : 0;
        }
        return 0;
}

void bridge_value_fini(bridge_value *value)
{
        free(value->copy);
        *value = (bridge_value){0};
}
