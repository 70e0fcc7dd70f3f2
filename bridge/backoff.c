/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/backoff.h"

int64_t bridge_wait_ms(int64_t ms_base, int64_t ms_cap, unsigned n, uint32_t random)
{
        int64_t whole = ms_base, fixed, steps;

        for (unsigned i = 1; i < n && whole < ms_cap; i++)
                whole *= 2;
        whole = whole < ms_cap ? whole : ms_cap;
        fixed = whole / 2;
        steps = whole - fixed + 1;
        return fixed + (int64_t)((uint64_t)steps * random >> 32);
}

int64_t bridge_wait_about_ms(int64_t ms, uint32_t random)
{
        int64_t fifth = ms / 5;

        return ms - fifth + (int64_t)((uint64_t)(2 * fifth + 1) * random >> 32);
}
