/* SPDX-License-Identifier: Apache-2.0
 *
 * A task that overflows its stack is named before the process dies. */
#ifndef CEL_RT_OVERFLOW_H
#define CEL_RT_OVERFLOW_H

#include "rt/loop.h"

/* Watch the calling thread, which runs `loop`, until cel__overflow_unwatch() on the same thread. Other faults
 * go to whoever handled them before. */
void cel__overflow_watch(cel__loop *loop);
void cel__overflow_unwatch(void);

#endif
