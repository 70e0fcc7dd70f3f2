/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/timer.h"
#include "base/assert.h"

#include <celadon/error.h>
#include <stdlib.h>

/* The deadline is kept in the heap, beside the pointer, so that sifting does not touch the timers' memory for
 * it. */
typedef struct cel__timers_entry {
        int64_t when_ns;
        uint64_t sequence;
        cel__timer *timer; /* borrowed */
} entry;

void cel__timers_init(cel__timers *timers)
{
        *timers = (cel__timers){0};
}

void cel__timers_fini(cel__timers *timers)
{
        free(timers->heap);
        *timers = (cel__timers){0};
}

static bool before(const entry *a, const entry *b)
{
        return a->when_ns != b->when_ns ? a->when_ns < b->when_ns : a->sequence < b->sequence;
}

/* heap[0] is the first; children of i are 2i+1 and 2i+2. */
static void put(cel__timers *timers, size_t i, entry e)
{
        timers->heap[i] = e;
        e.timer->place = i + 1;
}

static void sift_up(cel__timers *timers, size_t i, entry e)
{
        while (i > 0 && before(&e, &timers->heap[(i - 1) / 2])) {
                put(timers, i, timers->heap[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
        put(timers, i, e);
}

static void sift_down(cel__timers *timers, size_t i, entry e)
{
        for (;;) {
                size_t child = 2 * i + 1;

                if (child >= timers->n)
                        break;
                if (child + 1 < timers->n && before(&timers->heap[child + 1], &timers->heap[child]))
                        child++;
                if (!before(&timers->heap[child], &e))
                        break;
                put(timers, i, timers->heap[child]);
                i = child;
        }
        put(timers, i, e);
}

int cel__timer_set(cel__timers *timers, cel__timer *timer, cel_time when)
{
        cel__timer_unset(timers, timer);
        if (timers->n == timers->capacity) {
                size_t capacity = timers->capacity ? timers->capacity * 2 : 64;
                entry *heap = realloc(timers->heap, capacity * sizeof(*heap));

                if (!heap)
                        return CEL_ENOMEM;
                timers->heap = heap;
                timers->capacity = capacity;
        }
        timers->n++;
        sift_up(timers, timers->n - 1,
                (entry){.when_ns = when.ns < timers->fired_ns ? timers->fired_ns : when.ns,
                        .sequence = timers->sequence++,
                        .timer = timer});
        return 0;
}

void cel__timer_unset(cel__timers *timers, cel__timer *timer)
{
        if (!cel__timer_is_set(timer))
                return;
        size_t i = timer->place - 1;
        cel_assert(i < timers->n && timers->heap[i].timer == timer);
        timer->place = 0;

        entry last = timers->heap[--timers->n];
        if (i == timers->n)
                return;
        if (i > 0 && before(&last, &timers->heap[(i - 1) / 2]))
                sift_up(timers, i, last);
        else
                sift_down(timers, i, last);
}

cel_time cel__timers_next(const cel__timers *timers)
{
        return timers->n == 0 ? CEL_TIME_NEVER : (cel_time){timers->heap[0].when_ns};
}

size_t cel__timers_fire(cel__timers *timers, cel_time now)
{
        uint64_t set_before = timers->sequence;
        size_t fired = 0;

        timers->fired_ns = now.ns;
        while (timers->n > 0 && timers->heap[0].when_ns <= now.ns && timers->heap[0].sequence < set_before) {
                cel__timer *timer = timers->heap[0].timer;

                cel__timer_unset(timers, timer);
                timer->on_due(timer);
                fired++;
        }
        return fired;
}
