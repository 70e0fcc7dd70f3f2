/* SPDX-License-Identifier: Apache-2.0
 *
 * The watchdog: names whoever holds a loop for too long, while it does. */
#ifndef CEL_RT_WATCHDOG_H
#define CEL_RT_WATCHDOG_H

#include "rt/runtime.h"
#include "rt/snapshot.h"

typedef struct cel__watchdog cel__watchdog;

/* What it knows of a loop that is held. */
typedef struct cel__hold {
        cel_time since; /* or a little before */
        cel__sight sight;
} cel__hold;

/* Watch the loops of `runtime`, which has its guardian; a hold of `hold_ms` or more counts.
 * Errors: CEL_ENOMEM. */
int cel__watchdog_new(cel_runtime *runtime, int64_t hold_ms, cel__watchdog **ret_watchdog);

/* After the loops' threads have ended. */
cel__watchdog *cel__watchdog_free(cel__watchdog *watchdog);

/* A loop has begun to be busy, and says so in its stamp. NULL is fine. On the loop's thread. */
void cel__watchdog_arm(cel__watchdog *watchdog);

/* Is loop number `loop` being held, as far as has been found? Callable from any thread. */
bool cel__watchdog_holds(cel__watchdog *watchdog, unsigned loop, cel__hold *ret_hold);

/* Does it look at anything, or will it? For tests. */
bool cel__watchdog_is_armed(const cel__watchdog *watchdog);

#endif
