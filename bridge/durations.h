/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CELADON_BRIDGE_DURATIONS_H
#define CELADON_BRIDGE_DURATIONS_H

#include <stddef.h>
#include <stdint.h>

/* Some times, in ms. */
typedef struct bridge_durations {
        int64_t *ms; /* owned */
        size_t n;
} bridge_durations;

#endif
