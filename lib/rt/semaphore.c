/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Somebody waits => no permit is free: a permit that comes back is handed on, not laid down. */
#include "base/assert.h"
#include "rt/waiters.h"

#include <celadon/sync.h>
#include <stdlib.h>

enum { PERMITS_MAX = 1000000 };

struct cel_semaphore {
        pthread_mutex_t mutex; /* of all below */
        unsigned permits, permits_max;
        cel__list waiters;
};

int cel_semaphore_new(unsigned permits, unsigned permits_max, cel_semaphore **ret_semaphore)
{
        if (permits_max == 0 || permits_max > PERMITS_MAX || permits > permits_max)
                return CEL_EINVAL;
        cel_semaphore *semaphore = calloc(1, sizeof(*semaphore));
        if (!semaphore)
                return CEL_ENOMEM;
        semaphore->permits = permits;
        semaphore->permits_max = permits_max;
        pthread_mutex_init(&semaphore->mutex, NULL);
        cel__list_init(&semaphore->waiters);
        *ret_semaphore = semaphore;
        return 0;
}

cel_semaphore *cel_semaphore_free(cel_semaphore *semaphore)
{
        if (!semaphore)
                return NULL;
        if (!cel__list_empty(&semaphore->waiters))
                cel__misuse("a semaphore was freed while somebody waited for a permit");
        pthread_mutex_destroy(&semaphore->mutex);
        free(semaphore);
        return NULL;
}

static bool take_locked(cel_semaphore *semaphore)
{
        if (semaphore->permits == 0)
                return false;
        semaphore->permits--;
        return true;
}

int cel_semaphore_acquire(cel_ctx *ctx, cel_semaphore *semaphore)
{
        cel__waiter waiter = {0};

        int begun = cel__ctx_begin(ctx, "semaphore");
        if (begun < 0)
                return begun;
        pthread_mutex_lock(&semaphore->mutex);
        if (take_locked(semaphore)) {
                pthread_mutex_unlock(&semaphore->mutex);
                return 0;
        }
        return cel__waiters_wait(&semaphore->waiters, &waiter, ctx, &semaphore->mutex, "semaphore");
}

int cel_semaphore_try_acquire(cel_semaphore *semaphore)
{
        pthread_mutex_lock(&semaphore->mutex);
        bool taken = take_locked(semaphore);
        pthread_mutex_unlock(&semaphore->mutex);
        return taken ? 0 : CEL_EAGAIN;
}

int cel_semaphore_release(cel_semaphore *semaphore)
{
        int r = 0;

        pthread_mutex_lock(&semaphore->mutex);
        if (semaphore->permits == semaphore->permits_max)
                r = CEL_EFULL;
        else if (!cel__waiters_pick(&semaphore->waiters))
                semaphore->permits++;
        pthread_mutex_unlock(&semaphore->mutex);
        return r;
}

unsigned cel_semaphore_permits(cel_semaphore *semaphore)
{
        pthread_mutex_lock(&semaphore->mutex);
        unsigned permits = semaphore->permits;
        pthread_mutex_unlock(&semaphore->mutex);
        return permits;
}
