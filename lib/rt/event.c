/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "rt/waiters.h"

#include <celadon/sync.h>
#include <stdlib.h>

struct cel_event {
        pthread_mutex_t mutex; /* of all below */
        bool set;
        cel__list waiters; /* only while not set */
};

int cel_event_new(cel_event **ret_event)
{
        cel_event *event = calloc(1, sizeof(*event));

        if (!event)
                return CEL_ENOMEM;
        pthread_mutex_init(&event->mutex, NULL);
        cel__list_init(&event->waiters);
        *ret_event = event;
        return 0;
}

cel_event *cel_event_free(cel_event *event)
{
        if (!event)
                return NULL;
        if (!cel__list_empty(&event->waiters))
                cel__misuse("an event was freed while somebody waited for it");
        pthread_mutex_destroy(&event->mutex);
        free(event);
        return NULL;
}

void cel_event_set(cel_event *event)
{
        pthread_mutex_lock(&event->mutex);
        event->set = true;
        while (cel__waiters_pick(&event->waiters))
                ;
        pthread_mutex_unlock(&event->mutex);
}

void cel_event_clear(cel_event *event)
{
        pthread_mutex_lock(&event->mutex);
        event->set = false;
        pthread_mutex_unlock(&event->mutex);
}

bool cel_event_is_set(cel_event *event)
{
        pthread_mutex_lock(&event->mutex);
        bool set = event->set;
        pthread_mutex_unlock(&event->mutex);
        return set;
}

int cel_event_wait(cel_ctx *ctx, cel_event *event)
{
        cel__waiter waiter = {0};

        int begun = cel__ctx_begin(ctx, "event");
        if (begun < 0)
                return begun;
        pthread_mutex_lock(&event->mutex);
        if (event->set) {
                pthread_mutex_unlock(&event->mutex);
                return 0;
        }
        return cel__waiters_wait(&event->waiters, &waiter, ctx, &event->mutex, "event");
}
