/* SPDX-License-Identifier: Apache-2.0
 *
 * oslo.messaging's priorities: lower case in names of queues, upper case in messages. */
#ifndef CEL_NOTIFY_PRIORITY_H
#define CEL_NOTIFY_PRIORITY_H

#include <stdbool.h>

enum { CEL__PRIORITIES_N = 7 };

/* In oslo.messaging's order; NULL-terminated. */
extern const char *const cel__priorities[CEL__PRIORITIES_N + 1];

/* The number of a priority, whatever its case; -1: it is none. */
int cel__priority_find(const char *name);

#endif
