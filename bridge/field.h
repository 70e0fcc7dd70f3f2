/* SPDX-License-Identifier: Apache-2.0
 *
 * Where in an event a value is, as templates and conditions write it: `event_type` and other names, `headers.x`
 * for a header of the AMQP message, `json:/payload/x` for what is in the notification. */
#ifndef CELADON_BRIDGE_FIELD_H
#define CELADON_BRIDGE_FIELD_H

#include "bridge/pointer.h"

#include <celadon/notification.h>

/* An event, as far as fields can see it. All borrowed. */
typedef struct bridge_event {
        const cel_notification *notification;
        const char *route; /* its name */
        const char *key;   /* Idempotency-Key; NULL or "": none */
} bridge_event;

typedef enum bridge_field_kind {
        BRIDGE_FIELD_EVENT_TYPE,
        BRIDGE_FIELD_PUBLISHER_ID,
        BRIDGE_FIELD_PRIORITY,
        BRIDGE_FIELD_MESSAGE_ID,
        BRIDGE_FIELD_TIMESTAMP,
        BRIDGE_FIELD_EXCHANGE,
        BRIDGE_FIELD_ROUTING_KEY,
        BRIDGE_FIELD_QUEUE,
        BRIDGE_FIELD_ROUTE,
        BRIDGE_FIELD_KEY,
        BRIDGE_FIELD_NAMES_N, /* those above are a word each */
        BRIDGE_FIELD_HEADER = BRIDGE_FIELD_NAMES_N,
        BRIDGE_FIELD_JSON,
} bridge_field_kind;

typedef struct bridge_field {
        bridge_field_kind kind;
        char *header;           /* owned; HEADER only */
        bridge_pointer pointer; /* JSON only */
} bridge_field;

/* What is there. */
typedef struct bridge_value {
        const char *text;   /* borrowed; NULL: nothing, or what has no text of its own: an object, an array */
        size_t bytes;       /* of the text, which may hold NULs */
        const json_t *json; /* borrowed; of a JSON field only, NULL: nothing */
        char *copy;         /* owned; where the text is, if nowhere else */
        char number[32];    /* likewise: so do not copy the struct */
} bridge_value;

/* Read the `n` bytes of `text`, which have no NUL.
 * Owns:   what is in *ret_field is yours; free it with bridge_field_fini().
 * Errors: CEL_EINVAL, and `why` says what is wrong and what would be right: the end of a
 *         sentence, which does not quote the text; CEL_ENOMEM. */
int bridge_field_parse(const char *text, size_t n, bridge_field *ret_field, char *why, size_t why_bytes);

void bridge_field_fini(bridge_field *field);

/* Look it up. An empty name, a header that is no text or number, and JSON's null count as nothing.
 * Owns:   what is in *ret_value is yours; free it with bridge_value_fini().
 * Errors: CEL_ENOMEM. */
int bridge_field_get(const bridge_field *field, const bridge_event *event, bridge_value *ret_value);

void bridge_value_fini(bridge_value *value);

#endif
