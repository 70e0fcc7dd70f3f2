/* SPDX-License-Identifier: Apache-2.0
 *
 * CloudEvents 1.0: a notification's attributes, and how HTTP carries them (the HTTP protocol binding 1.0.2, binary
 * and structured content mode). */
#ifndef CELADON_BRIDGE_CLOUDEVENTS_H
#define CELADON_BRIDGE_CLOUDEVENTS_H

#include "bridge/template.h"

typedef enum bridge_cloudevents_mode {
        BRIDGE_CLOUDEVENTS_OFF,
        BRIDGE_CLOUDEVENTS_BINARY,     /* attributes in ce-… headers; the body is the data */
        BRIDGE_CLOUDEVENTS_STRUCTURED, /* all in one JSON object */
} bridge_cloudevents_mode;

typedef struct bridge_cloudevents_config {
        bridge_cloudevents_mode mode;
        bool whole_notification;  /* is the data; else its payload is */
        bridge_template *subject; /* owned; NULL: none */
} bridge_cloudevents_config;

enum {
        BRIDGE_CLOUDEVENT_ATTRIBUTES_MAX = 12,
        BRIDGE_CLOUDEVENT_WHY_BYTES = 256,
};

typedef struct bridge_cloudevent {
        struct {
                const char *name; /* static; that of the binary mode's header, "ce-" and the attribute's */
                char *value;      /* owned; no control characters */
        } attributes[BRIDGE_CLOUDEVENT_ATTRIBUTES_MAX];
        size_t attributes_n;
} bridge_cloudevent;

/* Work out an event's attributes. `id` is its id; `exchange` is where it came from if the message does not say.
 * Owns:   what is in *ret is yours; free it with bridge_cloudevent_fini().
 * Errors: CEL_EINVAL, and `why` says why it can be no CloudEvent; CEL_ENOMEM. */
int bridge_cloudevent_make(const bridge_cloudevents_config *config, const bridge_event *event, const char *id,
                           const char *exchange, char why[BRIDGE_CLOUDEVENT_WHY_BYTES],
                           bridge_cloudevent *ret);

void bridge_cloudevent_fini(bridge_cloudevent *ce);

/* Append an attribute's value as the binary mode's header has it: percent-encoded but for what is printable
 * ASCII other than space, `"` and `%`. */
void bridge_cloudevent_put_header(bridge_text *out, const char *value);

/* Append the structured mode's body; `data` is JSON text, NULL: there is none. */
void bridge_cloudevent_put_structured(bridge_text *out, const bridge_cloudevent *ce, const char *data,
                                      size_t data_bytes);

/* oslo.messaging's timestamp, which is UTC without saying so, as RFC 3339. Returns false if it is none. */
bool bridge_rfc3339(const char *timestamp, char ret_text[40]);

#endif
