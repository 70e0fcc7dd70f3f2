/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/clock.h"
#include "base/assert.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct cel_clock {
        bool manual;
        _Atomic int64_t now_ns; /* manual only */
        /* Of listeners; a listener's owner holds no lock of its own while it (un)listens. */
        pthread_mutex_t mutex;
        cel__list listeners;
};

static cel_clock system_clock;

cel_clock *cel_clock_system(void)
{
        return &system_clock;
}

cel_clock *cel_clock_new_manual(void)
{
        cel_clock *clock = calloc(1, sizeof(*clock));

        if (!clock)
                return NULL;
        clock->manual = true;
        atomic_init(&clock->now_ns, CEL_NS_PER_S);
        pthread_mutex_init(&clock->mutex, NULL);
        cel__list_init(&clock->listeners);
        return clock;
}

cel_clock *cel_clock_free(cel_clock *clock)
{
        if (!clock || clock == &system_clock)
                return NULL;
        cel_assert(cel__list_empty(&clock->listeners));
        pthread_mutex_destroy(&clock->mutex);
        free(clock);
        return NULL;
}

cel_time cel_clock_now(cel_clock *clock)
{
        struct timespec now;

        if (clock->manual)
                return (cel_time){atomic_load(&clock->now_ns)};
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (cel_time){now.tv_sec * CEL_NS_PER_S + now.tv_nsec};
}

void cel_clock_advance_ms(cel_clock *clock, int64_t ms)
{
        cel_assert(clock->manual && ms >= 0);
        pthread_mutex_lock(&clock->mutex);
        atomic_store(&clock->now_ns, cel_time_add_ms(cel_clock_now(clock), ms).ns);
        cel__list_for_each (node, &clock->listeners) {
                cel__clock_listener *listener = cel__container(node, cel__clock_listener, node);

                listener->on_advance(listener);
        }
        pthread_mutex_unlock(&clock->mutex);
}

bool cel__clock_manual(const cel_clock *clock)
{
        return clock->manual;
}

void cel__clock_listen(cel_clock *clock, cel__clock_listener *listener)
{
        if (!clock->manual)
                return;
        pthread_mutex_lock(&clock->mutex);
        cel__list_append(&clock->listeners, &listener->node);
        pthread_mutex_unlock(&clock->mutex);
}

void cel__clock_unlisten(cel_clock *clock, cel__clock_listener *listener)
{
        if (!clock->manual)
                return;
        pthread_mutex_lock(&clock->mutex);
        cel__list_remove(&listener->node);
        pthread_mutex_unlock(&clock->mutex);
}

void cel__clock_cond_init(pthread_cond_t *cond)
{
        pthread_condattr_t attr;

        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(cond, &attr);
        pthread_condattr_destroy(&attr);
}

void cel__clock_wait(cel_clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex, cel_time until)
{
        if (clock->manual || until.ns == CEL_TIME_NEVER.ns) {
                pthread_cond_wait(cond, mutex);
                return;
        }
        struct timespec at = {.tv_sec = until.ns / CEL_NS_PER_S, .tv_nsec = until.ns % CEL_NS_PER_S};
        pthread_cond_timedwait(cond, mutex, &at);
}
