/* SPDX-License-Identifier: Apache-2.0
 *
 * Retry-After: a wait within its limits, never, or nothing. */
#include "fuzz.h"

#include "bridge/retry_after.h"

#include <string.h>

static void check(bridge_retry_after after)
{
        MUST(!(after.given && after.never));
        MUST(after.given ? after.ms >= 1 && after.ms <= BRIDGE_RETRY_AFTER_MS_MAX : after.ms == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        char text[256];

        n = n < sizeof(text) ? n : sizeof(text) - 1;
        memcpy(text, data, n);
        text[n] = '\0';
        check(bridge_read_retry_after(text, INT64_C(1780000000000)));
        check(bridge_read_rate_limit("0", text, INT64_C(1780000000000)));
        check(bridge_read_rate_limit(text, "10", 0));
        return 0;
}
