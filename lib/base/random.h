/* SPDX-License-Identifier: Apache-2.0
 *
 * Chance, from the kernel: for jitter and identifiers, not for keys. From any thread; a process that was forked has
 * chances of its own. */
#ifndef CEL_BASE_RANDOM_H
#define CEL_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fill `n` bytes, at most 256. */
void cel__random_bytes(void *to, size_t n);

/* A number from 0 to bound - 1; `bound` is 1 or more. */
uint64_t cel__random_below(uint64_t bound);

#endif
