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

/* One thing that cel_select() may do. */
typedef struct cel_select_case {
        cel_channel *channel;  /* borrowed; NULL: this case never happens */
        const void *send_item; /* the item to send; or … */
        void *ret_item;        /* … where the item that is received goes: exactly one of the two */
        int status;            /* set for the case that happened: 0, or CEL_ECLOSED */
} cel_select_case;

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

/* Do exactly one of `n` sends and receives: the first that can go ahead, the lowest if several can at once.
 * Returns its index; its status says whether the item moved (0) or the channel is closed (CEL_ECLOSED: a send
 * to it, or a receive when nothing is left inside). Set the channel of a case that is over to NULL and select
 * again. A channel may be named in several cases, for both directions too; a select never meets itself.
 *
 *     cel_select_case cases[] = {
 *             {.channel = jobs, .ret_item = &job},
 *             {.channel = results, .send_item = &result},
 *     };
 *     int r = cel_select(ctx, cases, 2);
 *
 * Owns:   `cases`, their channels and items are borrowed until this call returns. Only the item of the case
 *         that happened was sent or written to.
 * Waits:  until one can go ahead, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_EINVAL: no case with a channel, more than CEL_SELECT_MAX, or one
 *         that neither sends nor receives. No item has moved then. */
#define CEL_SELECT_MAX 32 /* the locks of all their channels are held at once, for a moment */
CEL_API int cel_select(cel_ctx *ctx, cel_select_case cases[], unsigned n);

/* The same without waiting, from any thread.
 * Errors: CEL_EAGAIN when none can go ahead now, CEL_EINVAL. */
CEL_API int cel_try_select(cel_select_case cases[], unsigned n);

/* No more items go in; what is inside can still be received. Wakes everybody who waits. Callable from any
 * thread, twice too. */
CEL_API void cel_channel_close(cel_channel *channel);

/* Items inside now. Callable from any thread. */
CEL_API size_t cel_channel_items(cel_channel *channel);

CEL_END

CEL_AUTO_WITH(cel_channel, cel_channel_unref)

#endif
