/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/drivers.h"

#include <stddef.h>
#include <string.h>

unsigned cel__driver_find(const char *name)
{
        static const char *const names[] = {"messaging", "messagingv2", "log", "noop", "test", "routing"};

        for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strcmp(names[i], name) == 0)
                        return 1u << i;
        return 0;
}
