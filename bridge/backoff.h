/* SPDX-License-Identifier: Apache-2.0
 *
 * How long to wait before the next attempt. */
#ifndef CELADON_BRIDGE_BACKOFF_H
#define CELADON_BRIDGE_BACKOFF_H

#include <stdint.h>

/* The wait after attempt number `n`, from 1 on: `ms_base`, doubled for each attempt but the first, at most
 * `ms_cap`; of that, the first half is fixed and the second is chance. `random` is evenly one of all values:
 * 0 gives the shortest wait, UINT32_MAX the longest. Both limits are 0 to INT32_MAX. */
int64_t bridge_wait_ms(int64_t ms_base, int64_t ms_cap, unsigned n, uint32_t random);

/* A wait of about `ms`: a fifth less or more, by chance. */
int64_t bridge_wait_about_ms(int64_t ms, uint32_t random);

#endif
