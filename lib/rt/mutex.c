/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Whoever unlocks makes the first waiter the owner, in one step: the mutex is never free while
 * somebody waits for it. The owner's name is a copy, because an owner that forgot to unlock may be gone. */
#include "base/assert.h"
#include "rt/waiters.h"

#include <celadon/sync.h>
#include <stdlib.h>
#include <string.h>

struct cel_mutex {
        pthread_mutex_t mutex; /* of all below */
        cel_ctx *owner;        /* borrowed; NULL: free */
        const char *owner_kind;
        char owner_name[CEL__NAME_BYTES];
        cel__list waiters;
};

int cel_mutex_new(cel_mutex **ret_mutex)
{
        cel_mutex *mutex = calloc(1, sizeof(*mutex));

        if (!mutex)
                return CEL_ENOMEM;
        pthread_mutex_init(&mutex->mutex, NULL);
        cel__list_init(&mutex->waiters);
        *ret_mutex = mutex;
        return 0;
}

cel_mutex *cel_mutex_free(cel_mutex *mutex)
{
        if (!mutex)
                return NULL;
        if (mutex->owner)
                cel__misuse("a mutex was freed while %s \"%s\" held it", mutex->owner_kind,
                            mutex->owner_name);
        cel_assert(cel__list_empty(&mutex->waiters));
        pthread_mutex_destroy(&mutex->mutex);
        free(mutex);
        return NULL;
}

static const char *kind_of(const cel_ctx *ctx)
{
        return ctx->loop ? "task" : "thread";
}

static void set_owner_locked(cel_mutex *mutex, cel_ctx *owner)
{
        mutex->owner = owner;
        if (!owner)
                return;
        mutex->owner_kind = kind_of(owner);
        memcpy(mutex->owner_name, owner->name, sizeof(mutex->owner_name));
}

/* Make a free mutex this ctx's own. Returns whether it was free. */
static bool seize_locked(cel_ctx *ctx, cel_mutex *mutex)
{
        if (mutex->owner == ctx)
                cel__misuse("%s \"%s\" locked a mutex that it holds already: it would wait for itself",
                            kind_of(ctx), ctx->name);
        if (mutex->owner)
                return false;
        set_owner_locked(mutex, ctx);
        return true;
}

int cel_mutex_lock(cel_ctx *ctx, cel_mutex *mutex)
{
        cel__waiter waiter = {0};

        int begun = cel__ctx_begin(ctx, "mutex");
        if (begun < 0)
                return begun;
        pthread_mutex_lock(&mutex->mutex);
        if (seize_locked(ctx, mutex)) {
                pthread_mutex_unlock(&mutex->mutex);
                return 0;
        }
        return cel__waiters_wait(&mutex->waiters, &waiter, ctx, &mutex->mutex, "mutex");
}

int cel_mutex_try_lock(cel_ctx *ctx, cel_mutex *mutex)
{
        int begun = cel__ctx_begin(ctx, "mutex");
        if (begun < 0)
                return begun;
        pthread_mutex_lock(&mutex->mutex);
        bool seized = seize_locked(ctx, mutex);
        pthread_mutex_unlock(&mutex->mutex);
        return seized ? 0 : CEL_EAGAIN;
}

void cel_mutex_unlock(cel_ctx *ctx, cel_mutex *mutex)
{
        pthread_mutex_lock(&mutex->mutex);
        if (!mutex->owner)
                cel__misuse("%s \"%s\" unlocked a mutex that nobody holds", kind_of(ctx), ctx->name);
        if (mutex->owner != ctx)
                cel__misuse("%s \"%s\" unlocked a mutex that %s \"%s\" holds", kind_of(ctx), ctx->name,
                            mutex->owner_kind, mutex->owner_name);
        cel__waiter *next = cel__waiters_pick(&mutex->waiters);
        set_owner_locked(mutex, next ? next->wait->ctx : NULL);
        pthread_mutex_unlock(&mutex->mutex);
}
