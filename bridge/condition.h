/* SPDX-License-Identifier: Apache-2.0
 *
 * Conditions on an event: `FIELD OPERATOR VALUE`, with the fields of field.h.
 *
 *     event_type glob compute.instance.*, compute.metrics.*
 *     json:/payload/state in active, "shut, off"
 *     json:/payload/memory_mb gt 4096
 *     headers.x-tenant exists
 *
 * A field that is not there meets `ne` and `exists false`, and nothing else. The field `priority` compares without
 * case, as oslo.messaging sends it in upper case. */
#ifndef CELADON_BRIDGE_CONDITION_H
#define CELADON_BRIDGE_CONDITION_H

#include "bridge/field.h"

enum {
        BRIDGE_CONDITION_VALUES_MAX = 256,
        BRIDGE_CONDITION_WHY_BYTES = 256,
        BRIDGE_REGEX_BYTES_MAX = 256,        /* of a pattern */
        BRIDGE_REGEX_VALUE_BYTES_MAX = 4096, /* a longer value does not match */
        BRIDGE_REGEX_COST_MAX = 2000, /* characters of a pattern when all its repetitions are written out */
};

typedef struct bridge_condition bridge_condition;

/* Read a condition.
 * Owns:   *ret_condition is yours; free it with bridge_condition_free().
 * Errors: CEL_EINVAL, and `why` says what is wrong and what would be right, *ret_offset where, in bytes; CEL_ENOMEM. */
int bridge_condition_parse(const char *text, size_t *ret_offset, char why[BRIDGE_CONDITION_WHY_BYTES],
                           bridge_condition **ret_condition);

/* Does the event meet it? Returns 1 or 0.
 * Errors: CEL_ENOMEM. */
int bridge_condition_holds(const bridge_condition *condition, const bridge_event *event);

bridge_condition *bridge_condition_free(bridge_condition *condition);

CEL_AUTO_WITH(bridge_condition, bridge_condition_free)

#endif
