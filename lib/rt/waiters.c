/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/waiters.h"

cel__waiter *cel__waiters_pick(cel__list *waiters)
{
        for (cel__list *node; (node = cel__list_pop(waiters));) {
                cel__waiter *waiter = cel__container(node, cel__waiter, node);

                if (cel__wait_finish(waiter->wait, waiter->index))
                        return waiter;
        }
        return NULL;
}

int cel__waiters_wait(cel__list *waiters, cel__waiter *waiter, cel_ctx *ctx, pthread_mutex_t *mutex,
                      const char *where)
{
        cel__wait wait;

        cel__wait_begin(&wait, ctx, where);
        waiter->wait = &wait;
        cel__list_append(waiters, &waiter->node);
        pthread_mutex_unlock(mutex);

        int r = cel__wait_block(&wait);

        pthread_mutex_lock(mutex);
        cel__list_remove(&waiter->node);
        pthread_mutex_unlock(mutex);
        return r;
}
