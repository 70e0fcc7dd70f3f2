/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. What is always true, under the mutex:
 *   a receiver waits  =>  the ring is empty and no sender waits
 *   a sender waits    =>  the ring is full and no receiver waits
 * An item moves when the wait of the other side is decided: a receiver that timed out a moment before is
 * passed over, so an item is never handed to somebody who has left. */
#include "base/assert.h"
#include "rt/ctx.h"

#include <celadon/channel.h>
#include <stdlib.h>
#include <string.h>

enum { ITEM_BYTES_MAX = 4096, ITEMS_MAX = 1000000 };

struct cel_channel {
        pthread_mutex_t mutex;
        _Atomic unsigned refs;
        size_t item_bytes;
        size_t items_max;
        size_t first, n; /* the ring's items: n of them, from `first` on */
        bool closed;
        cel__list senders;   /* of cel__waiter */
        cel__list receivers; /* likewise */
        char ring[];
};

int cel_channel_new(size_t item_bytes, size_t items_max, cel_channel **ret_channel)
{
        if (item_bytes == 0 || item_bytes > ITEM_BYTES_MAX || items_max > ITEMS_MAX)
                return CEL_EINVAL;
        cel_channel *channel = malloc(sizeof(*channel) + item_bytes * items_max);
        if (!channel)
                return CEL_ENOMEM;
        *channel = (cel_channel){.refs = 1, .item_bytes = item_bytes, .items_max = items_max};
        pthread_mutex_init(&channel->mutex, NULL);
        cel__list_init(&channel->senders);
        cel__list_init(&channel->receivers);
        *ret_channel = channel;
        return 0;
}

cel_channel *cel_channel_ref(cel_channel *channel)
{
        atomic_fetch_add_explicit(&channel->refs, 1, memory_order_relaxed);
        return channel;
}

cel_channel *cel_channel_unref(cel_channel *channel)
{
        if (!channel || atomic_fetch_sub(&channel->refs, 1) > 1)
                return NULL;
        if (!cel__list_empty(&channel->senders) || !cel__list_empty(&channel->receivers))
                cel__misuse(
                        "a channel was freed while somebody waited on it: whoever waits holds a reference");
        pthread_mutex_destroy(&channel->mutex);
        free(channel);
        return NULL;
}

static void *ring_slot(cel_channel *channel, size_t i)
{
        return channel->ring + (channel->first + i) % channel->items_max * channel->item_bytes;
}

/* Take out the first of `waiters` whose wait this call decides; NULL if there is none. Its item is moved by
 * the caller, before it can run: it needs the mutex to leave. */
static cel__waiter *pick_locked(cel__list *waiters)
{
        for (cel__list *node; (node = cel__list_pop(waiters));) {
                cel__waiter *waiter = cel__container(node, cel__waiter, node);

                if (cel__wait_finish(waiter->wait, 0))
                        return waiter;
        }
        return NULL;
}

/* 1: moved; 0: no room; or an error. */
static int send_locked(cel_channel *channel, const void *item)
{
        if (channel->closed)
                return CEL_ECLOSED;
        cel__waiter *receiver = pick_locked(&channel->receivers);
        if (receiver) {
                memcpy(receiver->item, item, channel->item_bytes);
                return 1;
        }
        if (channel->n == channel->items_max)
                return 0;
        memcpy(ring_slot(channel, channel->n++), item, channel->item_bytes);
        return 1;
}

static int receive_locked(cel_channel *channel, void *ret_item)
{
        cel__waiter *sender;

        if (channel->n == 0) { /* with items_max 0, senders wait although the ring is "empty" */
                sender = pick_locked(&channel->senders);
                if (!sender)
                        return channel->closed ? CEL_ECLOSED : 0;
                memcpy(ret_item, sender->item, channel->item_bytes);
                return 1;
        }
        memcpy(ret_item, ring_slot(channel, 0), channel->item_bytes);
        channel->first = (channel->first + 1) % channel->items_max;
        channel->n--;
        sender = pick_locked(&channel->senders);
        if (sender)
                memcpy(ring_slot(channel, channel->n++), sender->item, channel->item_bytes);
        return 1;
}

/* What a call that may wait finds out first: 0, or an error. */
static int enter(cel_ctx *ctx, const char *where)
{
        int r = cel__ctx_enter(ctx, where);

        return r >= 0 && cel__ctx_must_cancel(ctx) ? cel__ctx_bare(ctx, CEL_ECANCELED) : r;
}

/* Wait in `list`, with the mutex held; it is released. */
static int wait_in(cel_ctx *ctx, cel_channel *channel, cel__list *list, void *item, const char *where)
{
        cel__wait wait;
        cel__waiter waiter = {.wait = &wait, .item = item};

        cel__wait_begin(&wait, ctx, where);
        cel__list_append(list, &waiter.node);
        pthread_mutex_unlock(&channel->mutex);

        int r = cel__wait_block(&wait);

        pthread_mutex_lock(&channel->mutex);
        cel__list_remove(&waiter.node);
        pthread_mutex_unlock(&channel->mutex);
        return r;
}

int cel_channel_send(cel_ctx *ctx, cel_channel *channel, const void *item)
{
        int r = enter(ctx, "channel send");

        if (r < 0)
                return r;
        pthread_mutex_lock(&channel->mutex);
        r = send_locked(channel, item);
        if (r != 0) {
                pthread_mutex_unlock(&channel->mutex);
                return r < 0 ? cel__ctx_bare(ctx, r) : 0;
        }
        return wait_in(ctx, channel, &channel->senders, (void *)(uintptr_t)item, "channel send");
}

int cel_channel_receive(cel_ctx *ctx, cel_channel *channel, void *ret_item)
{
        int r = enter(ctx, "channel receive");

        if (r < 0)
                return r;
        pthread_mutex_lock(&channel->mutex);
        r = receive_locked(channel, ret_item);
        if (r != 0) {
                pthread_mutex_unlock(&channel->mutex);
                return r < 0 ? cel__ctx_bare(ctx, r) : 0;
        }
        return wait_in(ctx, channel, &channel->receivers, ret_item, "channel receive");
}

int cel_channel_try_send(cel_channel *channel, const void *item)
{
        pthread_mutex_lock(&channel->mutex);
        int r = send_locked(channel, item);
        pthread_mutex_unlock(&channel->mutex);
        return r < 0 ? r : r == 0 ? CEL_EAGAIN : 0;
}

int cel_channel_try_receive(cel_channel *channel, void *ret_item)
{
        pthread_mutex_lock(&channel->mutex);
        int r = receive_locked(channel, ret_item);
        pthread_mutex_unlock(&channel->mutex);
        return r < 0 ? r : r == 0 ? CEL_EAGAIN : 0;
}

void cel_channel_close(cel_channel *channel)
{
        pthread_mutex_lock(&channel->mutex);
        channel->closed = true;
        cel__list *const lists[] = {&channel->senders, &channel->receivers};
        for (int i = 0; i < 2; i++)
                for (cel__list *node; (node = cel__list_pop(lists[i]));)
                        cel__wait_finish(cel__container(node, cel__waiter, node)->wait, CEL_ECLOSED);
        pthread_mutex_unlock(&channel->mutex);
}

size_t cel_channel_items(cel_channel *channel)
{
        pthread_mutex_lock(&channel->mutex);
        size_t n = channel->n;
        pthread_mutex_unlock(&channel->mutex);
        return n;
}
