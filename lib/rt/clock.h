/* SPDX-License-Identifier: Apache-2.0
 *
 * The clock, as the runtime sees it: who waits for a time is told when a manual clock moves. */
#ifndef CEL_RT_CLOCK_H
#define CEL_RT_CLOCK_H

#include "base/list.h"
#include <celadon/clock.h>
#include <pthread.h>
#include <stdbool.h>

/* Called by cel_clock_advance_ms(), on its thread, under the clock's lock: do no more than wake somebody. */
typedef struct cel__clock_listener {
        cel__list node;
        void (*on_advance)(struct cel__clock_listener *listener);
} cel__clock_listener;

bool cel__clock_manual(const cel_clock *clock);

/* Only a manual clock has listeners; on the system's these do nothing. */
void cel__clock_listen(cel_clock *clock, cel__clock_listener *listener);
void cel__clock_unlisten(cel_clock *clock, cel__clock_listener *listener);

/* A condition variable that cel__clock_wait() can use. */
void cel__clock_cond_init(pthread_cond_t *cond);

/* pthread_cond_timedwait() until `until` on this clock. On a manual clock the caller must be woken by a
 * listener of its own. */
void cel__clock_wait(cel_clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex, cel_time until);

#endif
