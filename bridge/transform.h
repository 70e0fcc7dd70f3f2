/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a notification before it is sent: members picked, dropped, renamed and set, in this order. */
#ifndef CELADON_BRIDGE_TRANSFORM_H
#define CELADON_BRIDGE_TRANSFORM_H

#include "bridge/template.h"

enum {
        BRIDGE_TRANSFORM_STEPS_MAX = 64, /* of each kind */
        BRIDGE_TRANSFORM_WHY_BYTES = 256,
};

typedef struct bridge_rename {
        bridge_pointer from, to;
} bridge_rename;

typedef struct bridge_set {
        bridge_pointer to;
        bridge_template *value; /* owned; of kind DATA */
        json_t *literal;        /* owned; in place of that: a number, a truth value, null */
} bridge_set;

/* No pointer in it is that to the whole document. */
typedef struct bridge_transform {
        bridge_pointer *pick; /* owned, as the others */
        size_t pick_n;        /* 0: everything */
        bridge_pointer *drop;
        size_t drop_n;
        bridge_rename *rename;
        size_t rename_n;
        bridge_set *set;
        size_t set_n;
} bridge_transform;

bool bridge_transform_is_empty(const bridge_transform *t);

/* Make the transformed notification. What the event holds stays as it is, and is shared where it is the same.
 * Owns:   *ret_json is yours; free it before the event goes.
 * Errors: CEL_EINVAL, and `why` says why that is not possible for this event; CEL_ENOMEM. */
int bridge_transform_apply(const bridge_transform *t, const bridge_event *event,
                           char why[BRIDGE_TRANSFORM_WHY_BYTES], json_t **ret_json);

void bridge_transform_fini(bridge_transform *t);

#endif
