/* SPDX-License-Identifier: Apache-2.0
 *
 * Templates: text with places that an event fills in.
 *
 *     /servers/{json:/payload/instance_id}/events?type={event_type|lower}
 *
 * A place is a field, see field.h, or `env:NAME`, which is filled in when the template is read; filters follow, each
 * behind a `|`. `{{` and `}}` stand for braces. There are no conditions and no loops: a template always ends, and its text
 * is never longer than BRIDGE_TEMPLATE_BYTES_MAX.
 *
 * In a URL, values cannot leave the place that they were given: scheme, host and port are literal, and each value
 * is percent-encoded, so that it is one segment of the path or one value of the query. */
#ifndef CELADON_BRIDGE_TEMPLATE_H
#define CELADON_BRIDGE_TEMPLATE_H

#include "bridge/field.h"
#include "bridge/text.h"

enum {
        BRIDGE_TEMPLATE_BYTES_MAX = 8192, /* of what it becomes */
        BRIDGE_TEMPLATE_PLACES_MAX = 32,
        BRIDGE_FILTERS_MAX = 8, /* of one place */
        BRIDGE_TEMPLATE_WHY_BYTES = 256,
};

typedef enum bridge_template_kind {
        BRIDGE_TEMPLATE_TEXT, /* values as they are, without control characters */
        BRIDGE_TEMPLATE_URL,  /* values percent-encoded; in the path, each must be there */
        BRIDGE_TEMPLATE_DATA, /* values as they are, whatever they are */
} bridge_template_kind;

typedef struct bridge_template bridge_template;

typedef struct bridge_template_error {
        size_t offset; /* in bytes, of the place that is wrong */
        char text[BRIDGE_TEMPLATE_WHY_BYTES];
} bridge_template_error;

/* Read a template.
 * Owns:   *ret_template is yours; free it with bridge_template_free().
 * Errors: CEL_EINVAL, and *ret_error says what is wrong, where, and what would be right; CEL_ENOMEM. */
int bridge_template_parse(const char *text, bridge_template_kind kind, bridge_template_error *ret_error,
                          bridge_template **ret_template);

/* Is it the same for every event? */
bool bridge_template_is_literal(const bridge_template *t);

/* Is it one place whose last filter is `json`, so that what it becomes is JSON or nothing? */
bool bridge_template_is_json(const bridge_template *t);

/* Where in the text its first place begins; strlen() of the text if it has none. */
size_t bridge_template_first_place(const bridge_template *t);

/* The text with an `x` for each place, for checks of what is literal. Look at out->error. */
void bridge_template_skeleton(const bridge_template *t, bridge_text *out);

/* Fill it in: append to `out`.
 * Errors: CEL_EINVAL, and `why` says why this event cannot fill it: a sentence that quotes no value; CEL_ENOMEM. */
int bridge_template_render(const bridge_template *t, const bridge_event *event, bridge_text *out,
                           char why[BRIDGE_TEMPLATE_WHY_BYTES]);

bridge_template *bridge_template_free(bridge_template *t);

CEL_AUTO_WITH(bridge_template, bridge_template_free)

#endif
