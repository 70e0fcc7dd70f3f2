/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a channel, for channel.c and select.c. */
#ifndef CEL_RT_CHANNEL_H
#define CEL_RT_CHANNEL_H

#include "rt/waiters.h"

#include <celadon/channel.h>

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

/* Send or receive if that needs no waiting. Returns 1 when the item has moved, 0 when one would have to wait,
 * or CEL_ECLOSED. */
int cel__channel_send_locked(cel_channel *channel, const void *item);
int cel__channel_receive_locked(cel_channel *channel, void *ret_item);

#endif
