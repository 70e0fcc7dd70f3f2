/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals, as something to wait for.
 *
 *     cel_signal_watch *watch;
 *     int r = cel_signal_watch_new(ctx, (const int[]){SIGHUP, SIGUSR1, 0}, &watch);
 *     while (r >= 0 && (r = cel_signal_wait(ctx, watch)) >= 0)
 *             …                                       // r is the signal
 *
 * Any number of watches may be for the same signal; each sees it. A handler that was there before goes on being
 * called, and comes back with the last watch; so cel_main() still stops the program on SIGTERM and SIGINT,
 * whether they are watched or not. What a signal does by default, it does not do while it is watched. */
#ifndef CELADON_SIGNAL_H
#define CELADON_SIGNAL_H

#include <celadon/ctx.h>

typedef struct cel_signal_watch cel_signal_watch;

CEL_BEGIN

/* Watch the signals of a list that ends with 0, from now on.
 * Owns:   *ret_watch is yours.
 * Errors: CEL_EINVAL (no such signal, or one that cannot be waited for: SIGKILL, SIGSTOP, and those that a
 *         faulty instruction raises), CEL_EBUSY (somebody has put a handler over ours that may call it: ours
 *         cannot go on top again), CEL_EFULL (1,000 watches), CEL_ENOMEM, CEL_ESYSTEM (no descriptor is left). */
CEL_API int cel_signal_watch_new(cel_ctx *ctx, const int signals[], cel_signal_watch **ret_watch);

/* Stop watching. Nobody may wait with it. */
CEL_API cel_signal_watch *cel_signal_watch_free(cel_signal_watch *watch);

/* Wait for one of the watch's signals and return its number. One that came before is returned at once, lowest
 * number first; a signal that comes again before it was waited for counts once. One waits with a watch at a
 * time.
 * Waits:  for a signal, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_EBUSY (somebody else waits with it), CEL_ENOMEM, CEL_ESYSTEM. */
CEL_API int cel_signal_wait(cel_ctx *ctx, cel_signal_watch *watch);

CEL_END

CEL_AUTO_WITH(cel_signal_watch, cel_signal_watch_free)

#endif
