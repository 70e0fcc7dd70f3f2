/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdlib.h>

bool cli_read_seconds(const char *text, int64_t *ret_ms)
{
        char *end;
        double seconds = strtod(text, &end);

        if (end == text || *end || !(seconds > 0 && seconds <= 1e9))
                return false;
        *ret_ms = (int64_t)(seconds * 1000 + 0.5);
        return true;
}
