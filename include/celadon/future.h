/* SPDX-License-Identifier: Apache-2.0
 *
 * A future: a one-shot result that any thread or callback may complete and any ctx may await. */
#ifndef CELADON_FUTURE_H
#define CELADON_FUTURE_H

#include <celadon/ctx.h>

typedef struct cel_future cel_future;

CEL_BEGIN

/* Owns:   *ret_future is a reference of yours.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_future_new(cel_future **ret_future);
CEL_API cel_future *cel_future_ref(cel_future *future);
CEL_API cel_future *cel_future_unref(cel_future *future);

/* Give the future its result and wake everybody who awaits it. `status` is zero, a count or a CEL_E… code;
 * `value` is passed on as it is. The first completion wins. Callable from any thread; never waits. Returns
 * true if this call completed it, false if it was complete before: `value` is then still yours. */
CEL_API bool cel_future_complete(cel_future *future, int status, void *value);

/* Is it complete? Callable from any thread. */
CEL_API bool cel_future_done(cel_future *future);

/* Wait until `future` is complete; return its status and, unless ret_value is NULL, its value.
 * Owns:   the value belongs to whoever the completer and the waiter agree on; the future never frees it.
 * Waits:  until completion, the ctx's deadline or its cancellation.
 * Errors: the future's status, with the error's text, and the remote error, if it is a task's; CEL_ETIMEDOUT, CEL_ECANCELED;
 *         *ret_value is untouched unless the future is complete. */
CEL_API int cel_await(cel_ctx *ctx, cel_future *future, void **ret_value);

/* Wait until one of `n` futures is complete. Returns the index of a complete one (the lowest, if several
 * are).
 * Waits:  as cel_await().
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_EINVAL when n is 0 or above CEL_AWAIT_MAX. */
#define CEL_AWAIT_MAX 64
CEL_API int cel_await_any(cel_ctx *ctx, cel_future *const futures[], unsigned n);

/* Wait until all of `n` futures are complete, however they end; n may be 0. To have one failure end the others
 * at once, spawn them into a CEL_SCOPE_FAIL_FAST scope instead.
 * Waits:  as cel_await().
 * Errors: the first failure in the order of `futures`; CEL_ETIMEDOUT, CEL_ECANCELED when the wait ended first:
 *         cel_future_done() tells which are complete. */
CEL_API int cel_await_all(cel_ctx *ctx, cel_future *const futures[], unsigned n);

CEL_END

CEL_AUTO_WITH(cel_future, cel_future_unref)

#endif
