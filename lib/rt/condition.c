/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Whoever waits stands in line before it unlocks the mutex: a change that is made under the
 * mutex, and its signal, come after. A signal decides a wait; one that is being cancelled or has timed out is
 * passed over, so a signal never goes to somebody who reports that none came. */
#include "base/assert.h"
#include "rt/waiters.h"

#include <celadon/sync.h>
#include <stdlib.h>

struct cel_condition {
        pthread_mutex_t mutex; /* of `waiters`; inside of the user's mutex */
        cel__list waiters;
};

int cel_condition_new(cel_condition **ret_condition)
{
        cel_condition *condition = calloc(1, sizeof(*condition));

        if (!condition)
                return CEL_ENOMEM;
        pthread_mutex_init(&condition->mutex, NULL);
        cel__list_init(&condition->waiters);
        *ret_condition = condition;
        return 0;
}

cel_condition *cel_condition_free(cel_condition *condition)
{
        if (!condition)
                return NULL;
        if (!cel__list_empty(&condition->waiters))
                cel__misuse("a condition was freed while somebody waited for it");
        pthread_mutex_destroy(&condition->mutex);
        free(condition);
        return NULL;
}

int cel_condition_wait(cel_ctx *ctx, cel_condition *condition, cel_mutex *mutex)
{
        cel__wait wait;
        cel__waiter waiter = {.wait = &wait};

        int begun = cel__ctx_begin(ctx, "condition");
        if (begun < 0)
                return begun;
        pthread_mutex_lock(&condition->mutex);
        cel__wait_begin(&wait, ctx, "condition");
        cel__list_append(&condition->waiters, &waiter.node);
        pthread_mutex_unlock(&condition->mutex);
        cel_mutex_unlock(ctx, mutex);

        int r = cel__wait_block(&wait);

        pthread_mutex_lock(&condition->mutex);
        cel__list_remove(&waiter.node);
        pthread_mutex_unlock(&condition->mutex);
        ctx->shields++;
        int locked = cel_mutex_lock(ctx, mutex);
        ctx->shields--;
        cel_assert(locked == 0); /* shielded: neither time nor cancellation ends it */
        return r;
}

void cel_condition_signal(cel_condition *condition)
{
        pthread_mutex_lock(&condition->mutex);
        cel__waiters_pick(&condition->waiters);
        pthread_mutex_unlock(&condition->mutex);
}

void cel_condition_broadcast(cel_condition *condition)
{
        pthread_mutex_lock(&condition->mutex);
        while (cel__waiters_pick(&condition->waiters))
                ;
        pthread_mutex_unlock(&condition->mutex);
}
