/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/priority.h"

#include <stddef.h>
#include <strings.h>

const char *const cel__priorities[CEL__PRIORITIES_N + 1] = {"audit", "debug",    "info",   "warn",
                                                            "error", "critical", "sample", NULL};

int cel__priority_find(const char *name)
{
        for (int i = 0; i < CEL__PRIORITIES_N; i++)
                if (strcasecmp(cel__priorities[i], name) == 0)
                        return i;
        return -1;
}
