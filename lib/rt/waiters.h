/* SPDX-License-Identifier: Apache-2.0
 *
 * Queues of those who wait for one thing, first come first served: what channels, mutexes, semaphores,
 * conditions and events share. A queue is a cel__list of cel__waiter under the thing's mutex. */
#ifndef CEL_RT_WAITERS_H
#define CEL_RT_WAITERS_H

#include "rt/ctx.h"

#include <pthread.h>

/* Take out the first of `waiters` whose wait this call decides, with its index; NULL if there is none. Those
 * who are leaving, by their deadline or cancelled, are passed over: nothing is ever handed to them. What the
 * waiter is to find is given to it by the caller, before it can run: it needs the thing's mutex to leave. */
cel__waiter *cel__waiters_pick(cel__list *waiters);

/* Stand at the end of `waiters` and wait, with `mutex` held, which is released. `where` is static, what is
 * waited for, in a word. Returns the outcome. */
int cel__waiters_wait(cel__list *waiters, cel__waiter *waiter, cel_ctx *ctx, pthread_mutex_t *mutex,
                      const char *where);

#endif
