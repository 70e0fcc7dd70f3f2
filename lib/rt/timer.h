/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers of one loop: a heap of deadlines. A timer lives inside whatever it belongs to and costs no
 * allocation of its own beyond its place in the heap. Everything here happens on the loop's thread. */
#ifndef CEL_RT_TIMER_H
#define CEL_RT_TIMER_H

#include <celadon/clock.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cel__timer {
        void (*on_due)(struct cel__timer *timer);
        size_t place; /* in the heap, counted from 1; 0: not set */
} cel__timer;

typedef struct cel__timers {
        struct cel__timers_entry *heap; /* owned */
        size_t n, capacity;
        uint64_t sequence; /* timers of one instant fire in the order they were set */
        int64_t fired_ns; /* the past: a timer set for before this is as late as one set for it, and waits its
                             turn */
} cel__timers;

void cel__timers_init(cel__timers *timers);
void cel__timers_fini(cel__timers *timers);

static inline void cel__timer_init(cel__timer *timer, void (*on_due)(cel__timer *timer))
{
        timer->on_due = on_due;
        timer->place = 0;
}

static inline bool cel__timer_is_set(const cel__timer *timer)
{
        return timer->place != 0;
}

/* Set `timer` to fire at `when`, instead of when it was set to.
 * Errors: CEL_ENOMEM. */
int cel__timer_set(cel__timers *timers, cel__timer *timer, cel_time when);

/* Unset it, if it is set. */
void cel__timer_unset(cel__timers *timers, cel__timer *timer);

/* When the first timer is due; CEL_TIME_NEVER if none is set. */
cel_time cel__timers_next(const cel__timers *timers);

/* Fire the timers due at `now`: those set before the call. Returns how many fired. */
size_t cel__timers_fire(cel__timers *timers, cel_time now);

#endif
