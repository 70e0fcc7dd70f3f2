/* SPDX-License-Identifier: Apache-2.0
 *
 * A channel: a bounded queue of fixed-size items between tasks, between loops, and between tasks and threads.
 * First come, first served; an item is handed straight to a receiver that waits, and a receiver that gave up
 * never takes one with it. */
#ifndef CELADON_CHANNEL_H
#define CELADON_CHANNEL_H

#include <celadon/ctx.h>
#include <stddef.h>

typedef struct cel_channel cel_channel;

CEL_BEGIN

/* A channel for items of `item_bytes` (1 to 4096), holding at most `items_max` of them (0 to 1,000,000; with
 * 0 every send waits for its receiver).
 * Owns:   *ret_channel is a reference of yours.
 * Errors: CEL_ENOMEM, CEL_EINVAL. */
CEL_API int cel_channel_new(size_t item_bytes, size_t items_max, cel_channel **ret_channel);
CEL_API cel_channel *cel_channel_ref(cel_channel *channel);

/* Drop a reference. With the last one, items still in the channel are forgotten: what they point to is the
 * caller's. */
CEL_API cel_channel *cel_channel_unref(cel_channel *channel);

/* Put a copy of *item into the channel.
 * Waits:  until there is room, the deadline or cancellation.
 * Errors: CEL_ECLOSED, CEL_ETIMEDOUT, CEL_ECANCELED; the item was then not sent. */
CEL_API int cel_channel_send(cel_ctx *ctx, cel_channel *channel, const void *item);

/* The same without waiting, from any thread.
 * Errors: CEL_EAGAIN when there is no room, CEL_ECLOSED. */
CEL_API int cel_channel_try_send(cel_channel *channel, const void *item);

/* Take the oldest item out of the channel into *ret_item.
 * Waits:  until there is one, the deadline or cancellation.
 * Errors: CEL_ECLOSED when the channel is closed and empty, CEL_ETIMEDOUT, CEL_ECANCELED. */
CEL_API int cel_channel_receive(cel_ctx *ctx, cel_channel *channel, void *ret_item);

/* The same without waiting, from any thread.
 * Errors: CEL_EAGAIN when there is none, CEL_ECLOSED. */
CEL_API int cel_channel_try_receive(cel_channel *channel, void *ret_item);

/* No more items go in; what is inside can still be received. Wakes everybody who waits. Callable from any
 * thread, twice too. */
CEL_API void cel_channel_close(cel_channel *channel);

/* Items inside now. Callable from any thread. */
CEL_API size_t cel_channel_items(cel_channel *channel);

CEL_END

CEL_AUTO_WITH(cel_channel, cel_channel_unref)

#endif
