/* SPDX-License-Identifier: Apache-2.0
 *
 * The guardian: one thread for what must happen on time even while every loop is busy. It sleeps until the
 * first ward is due; there is no tick. */
#ifndef CEL_RT_GUARDIAN_H
#define CEL_RT_GUARDIAN_H

#include "base/list.h"
#include "rt/runtime.h"

/* Something that is looked after. Lives inside whatever it is about. */
typedef struct cel__ward {
        cel__list node;
        cel_time due;
        /* Called on the guardian's thread when due; returns when next, which is later than now. Must not wait, and must not take a
         * lock that is held around cel__guardian_watch() or cel__guardian_unwatch(). */
        cel_time (*on_due)(struct cel__ward *ward, cel_time now);
} cel__ward;

int cel__guardian_new(cel_runtime *runtime, cel__guardian **ret_guardian);
cel__guardian *cel__guardian_free(cel__guardian *guardian);

/* Look after `ward` from now on; the thread starts with the first one. Callable from any thread.
 * Errors: CEL_ESYSTEM (no thread to be had). */
int cel__guardian_watch(cel__guardian *guardian, cel__ward *ward);

/* Have `ward` called at `due`, instead of when it said; it is looked after from now on, if it was not (a ward whose
 * node is in no list). Callable from any thread.
 * Errors: CEL_ESYSTEM (no thread to be had). */
int cel__guardian_set_due(cel__guardian *guardian, cel__ward *ward, cel_time due);

/* No more. When this returns, on_due is not running and will not run. */
void cel__guardian_unwatch(cel__guardian *guardian, cel__ward *ward);

#endif
