/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "base/assert.h"

#include <sys/random.h>

uint64_t cel__random_below(uint64_t bound)
{
        uint64_t bits;

        cel_assert(bound > 0);
        while (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
                ;            /* interrupted by a signal before the kernel's pool was first filled */
        return bits % bound; /* the bias is below bound / 2^64 */
}
