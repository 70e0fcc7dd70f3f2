/* SPDX-License-Identifier: Apache-2.0
 *
 * Readiness of one descriptor, on a loop. On the loop's thread only. */
#ifndef CEL_RT_POLLER_H
#define CEL_RT_POLLER_H

#include "rt/loop.h"

#include <celadon/ctx.h>

typedef struct cel__poller cel__poller;

enum { CEL__READABLE = CEL_READABLE, CEL__WRITABLE = CEL_WRITABLE };

/* Watch `fd`, at first for nothing. `on_ready` runs on the hub and gets what is ready of what was asked for;
 * an error or a hang-up counts as both: reading or writing will tell.
 * Owns:   *ret_poller is yours; `fd` stays yours and open until the poller is freed.
 * Errors: CEL_ENOMEM, CEL_ESYSTEM. */
int cel__poller_new(cel__loop *loop, int fd, void (*on_ready)(void *arg, int events), void *arg,
                    cel__poller **ret_poller);
cel__poller *cel__poller_free(cel__poller *poller);

/* Ask for `events` from now on, level-triggered: on_ready is called as long as they hold. 0: for nothing. */
void cel__poller_want(cel__poller *poller, int events);

#endif
