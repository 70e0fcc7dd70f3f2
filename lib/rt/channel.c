/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. What is always true, under the mutex, of waits that nobody has decided yet:
 *   a receiver waits  =>  the ring is empty and no sender waits
 *   a sender waits    =>  the ring is full and no receiver waits
 * but that one cel_select() may wait as both. An item moves when the wait of the other side is decided: a
 * receiver that timed out a moment before is passed over, so an item is never handed to somebody who has
 * left. */
#include "rt/channel.h"
#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { ITEM_BYTES_MAX = 4096, ITEMS_MAX = 1000000 };

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

int cel__channel_send_locked(cel_channel *channel, const void *item)
{
        if (channel->closed)
                return CEL_ECLOSED;
        cel__waiter *receiver = cel__waiters_pick(&channel->receivers);
        if (receiver) {
                memcpy(receiver->item, item, channel->item_bytes);
                return 1;
        }
        if (channel->n == channel->items_max)
                return 0;
        memcpy(ring_slot(channel, channel->n++), item, channel->item_bytes);
        return 1;
}

int cel__channel_receive_locked(cel_channel *channel, void *ret_item)
{
        cel__waiter *sender;

        if (channel->n == 0) { /* with items_max 0, senders wait although the ring is "empty" */
                sender = cel__waiters_pick(&channel->senders);
                if (!sender)
                        return channel->closed ? CEL_ECLOSED : 0;
                memcpy(ret_item, sender->item, channel->item_bytes);
                return 1;
        }
        memcpy(ret_item, ring_slot(channel, 0), channel->item_bytes);
        channel->first = (channel->first + 1) % channel->items_max;
        channel->n--;
        sender = cel__waiters_pick(&channel->senders);
        if (sender)
                memcpy(ring_slot(channel, channel->n++), sender->item, channel->item_bytes);
        return 1;
}

/* Wait in `list`, with the mutex held; it is released. */
static int wait_in(cel_ctx *ctx, cel_channel *channel, cel__list *list, void *item, const char *where)
{
        cel__waiter waiter = {.item = item};
        int r = cel__waiters_wait(list, &waiter, ctx, &channel->mutex, where);

        return r < 0 ? r : waiter.status;
}

int cel_channel_send(cel_ctx *ctx, cel_channel *channel, const void *item)
{
        int begun = cel__ctx_begin(ctx, "channel send");
        if (begun < 0)
                return begun;
        pthread_mutex_lock(&channel->mutex);
        int r = cel__channel_send_locked(channel, item);
        if (r != 0) {
                pthread_mutex_unlock(&channel->mutex);
                return r < 0 ? cel__ctx_bare(ctx, r) : 0;
        }
        return wait_in(ctx, channel, &channel->senders, (void *)(uintptr_t)item, "channel send");
}

int cel_channel_receive(cel_ctx *ctx, cel_channel *channel, void *ret_item)
{
        int begun = cel__ctx_begin(ctx, "channel receive");
        if (begun < 0)
                return begun;
        pthread_mutex_lock(&channel->mutex);
        int r = cel__channel_receive_locked(channel, ret_item);
        if (r != 0) {
                pthread_mutex_unlock(&channel->mutex);
                return r < 0 ? cel__ctx_bare(ctx, r) : 0;
        }
        return wait_in(ctx, channel, &channel->receivers, ret_item, "channel receive");
}

int cel_channel_try_send(cel_channel *channel, const void *item)
{
        pthread_mutex_lock(&channel->mutex);
        int r = cel__channel_send_locked(channel, item);
        pthread_mutex_unlock(&channel->mutex);
        return r < 0 ? r : r == 0 ? CEL_EAGAIN : 0;
}

int cel_channel_try_receive(cel_channel *channel, void *ret_item)
{
        pthread_mutex_lock(&channel->mutex);
        int r = cel__channel_receive_locked(channel, ret_item);
        pthread_mutex_unlock(&channel->mutex);
        return r < 0 ? r : r == 0 ? CEL_EAGAIN : 0;
}

void cel_channel_close(cel_channel *channel)
{
        pthread_mutex_lock(&channel->mutex);
        channel->closed = true;
        cel__list *const lists[] = {&channel->senders, &channel->receivers};
        for (int i = 0; i < 2; i++)
                for (cel__waiter *waiter; (waiter = cel__waiters_pick(lists[i]));)
                        waiter->status = CEL_ECLOSED;
        pthread_mutex_unlock(&channel->mutex);
}

size_t cel_channel_items(cel_channel *channel)
{
        pthread_mutex_lock(&channel->mutex);
        size_t n = channel->n;
        pthread_mutex_unlock(&channel->mutex);
        return n;
}
