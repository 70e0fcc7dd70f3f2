/* SPDX-License-Identifier: Apache-2.0
 *
 * Chance, from the kernel: for jitter and identifiers, not for keys. */
#ifndef CEL_BASE_RANDOM_H
#define CEL_BASE_RANDOM_H

#include <stdint.h>

/* A number from 0 to bound - 1; `bound` is 1 or more. */
uint64_t cel__random_below(uint64_t bound);

#endif
