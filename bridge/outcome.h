/* SPDX-License-Identifier: Apache-2.0
 *
 * What came of one attempt. */
#ifndef CELADON_BRIDGE_OUTCOME_H
#define CELADON_BRIDGE_OUTCOME_H

#include "bridge/retry_after.h"
#include "bridge/verdict.h"

typedef struct bridge_outcome {
        int status; /* 0: there was no answer */
        bridge_verdict verdict;
        bridge_retry_after retry_after;
} bridge_outcome;

#endif
