/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/guardian.h"
#include "base/assert.h"
#include "rt/thread.h"

#include <stdlib.h>

struct cel__guardian {
        cel_clock *clock; /* borrowed */
        pthread_mutex_t mutex;
        pthread_cond_t cond; /* wards changed, a manual clock moved, or stop */
        cel__list wards;     /* a handful: connections */
        pthread_t thread;
        bool started, stop;
        cel__clock_listener clock_listener;
};

static void nudge(cel__guardian *guardian)
{
        pthread_mutex_lock(&guardian->mutex);
        pthread_cond_broadcast(&guardian->cond);
        pthread_mutex_unlock(&guardian->mutex);
}

static void on_clock_advance(cel__clock_listener *listener)
{
        nudge(cel__container(listener, cel__guardian, clock_listener));
}

int cel__guardian_new(cel_runtime *runtime, cel__guardian **ret_guardian)
{
        cel__guardian *guardian = calloc(1, sizeof(*guardian));

        if (!guardian)
                return CEL_ENOMEM;
        guardian->clock = cel__runtime_clock(runtime);
        pthread_mutex_init(&guardian->mutex, NULL);
        cel__clock_cond_init(&guardian->cond);
        cel__list_init(&guardian->wards);
        guardian->clock_listener.on_advance = on_clock_advance;
        cel__clock_listen(guardian->clock, &guardian->clock_listener);
        *ret_guardian = guardian;
        return 0;
}

cel__guardian *cel__guardian_free(cel__guardian *guardian)
{
        if (!guardian)
                return NULL;
        cel__clock_unlisten(guardian->clock, &guardian->clock_listener);
        cel_assert(cel__list_empty(&guardian->wards));
        if (guardian->started) {
                pthread_mutex_lock(&guardian->mutex);
                guardian->stop = true;
                pthread_cond_broadcast(&guardian->cond);
                pthread_mutex_unlock(&guardian->mutex);
                pthread_join(guardian->thread, NULL);
        }
        pthread_cond_destroy(&guardian->cond);
        pthread_mutex_destroy(&guardian->mutex);
        free(guardian);
        return NULL;
}

/* Call every ward that is due; returns when the next one is. */
static cel_time look_after_locked(cel__guardian *guardian)
{
        cel_time now = cel_clock_now(guardian->clock);
        cel_time next = CEL_TIME_NEVER;

        cel__list_for_each (node, &guardian->wards) {
                cel__ward *ward = cel__container(node, cel__ward, node);

                if (ward->due.ns <= now.ns)
                        ward->due = ward->on_due(ward, now);
                cel_assert(ward->due.ns > now.ns);
                if (ward->due.ns < next.ns)
                        next = ward->due;
        }
        return next;
}

static void *guardian_main(void *arg)
{
        cel__guardian *guardian = arg;

        pthread_setname_np(pthread_self(), "cel-guardian");
        pthread_mutex_lock(&guardian->mutex);
        while (!guardian->stop) {
                cel_time next = look_after_locked(guardian);

                if (next.ns > cel_clock_now(guardian->clock).ns)
                        cel__clock_wait(guardian->clock, &guardian->cond, &guardian->mutex, next);
        }
        pthread_mutex_unlock(&guardian->mutex);
        return NULL;
}

static int start_locked(cel__guardian *guardian)
{
        if (guardian->started)
                return 0;
        int r = cel__thread_start(guardian_main, guardian, &guardian->thread);
        guardian->started = r >= 0;
        return r;
}

int cel__guardian_set_due(cel__guardian *guardian, cel__ward *ward, cel_time due)
{
        pthread_mutex_lock(&guardian->mutex);
        int r = start_locked(guardian);
        if (r >= 0) {
                ward->due = due;
                if (cel__list_empty(&ward->node))
                        cel__list_append(&guardian->wards, &ward->node);
                pthread_cond_broadcast(&guardian->cond);
        }
        pthread_mutex_unlock(&guardian->mutex);
        return r;
}

int cel__guardian_watch(cel__guardian *guardian, cel__ward *ward)
{
        cel__list_init(&ward->node); /* whoever fails to watch may still unwatch */
        return cel__guardian_set_due(guardian, ward, ward->due);
}

void cel__guardian_unwatch(cel__guardian *guardian, cel__ward *ward)
{
        pthread_mutex_lock(&guardian->mutex);
        cel__list_remove(&ward->node);
        pthread_mutex_unlock(&guardian->mutex);
}
