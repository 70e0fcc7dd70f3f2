/* SPDX-License-Identifier: Apache-2.0
 *
 * oslo.messaging's routing_config: which notification goes to which drivers.
 *
 *     group_1:
 *       messagingv2:
 *         accepted_events: ["compute.instance.*"]
 *         accepted_priorities: [info, "err*"]
 *       log: {}
 *
 * A driver gets what passes each list that it has, in any group. */
#ifndef CEL_NOTIFY_ROUTING_H
#define CEL_NOTIFY_ROUTING_H

#include <stddef.h>

typedef struct cel__routing cel__routing;

/* Read the text of a file; on failure, `why` is a sentence that begins with name:line:column.
 * Owns:   *ret_routing is yours.
 * Errors: CEL_EINVAL, CEL_ENOMEM. */
int cel__routing_parse(const char *text, size_t n, const char *name, cel__routing **ret_routing, char *why,
                       size_t why_bytes);

/* The same for a file, which is read at once. */
int cel__routing_read(const char *path, cel__routing **ret_routing, char *why, size_t why_bytes);

cel__routing *cel__routing_free(cel__routing *routing);

/* The set of drivers for a notification; `priority` in lower case. */
unsigned cel__routing_drivers(const cel__routing *routing, const char *event_type, const char *priority);

#endif
