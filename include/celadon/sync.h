/* SPDX-License-Identifier: Apache-2.0
 *
 * What else to wait with: mutex, semaphore, condition, event, rate limiter. Each works between tasks of one
 * loop, between loops, and between tasks and threads. All are fair: first come, first served, and what
 * becomes free is handed to the first who waits, so nobody who comes later can snatch it. Whoever gives up,
 * by deadline or cancellation, takes nothing along.
 *
 * Tasks of one loop switch only inside calls that take a ctx: what they change between two such calls needs
 * no mutex.
 *
 * Each is freed by its owner, when nobody uses it any more; freeing one on which somebody waits aborts. */
#ifndef CELADON_SYNC_H
#define CELADON_SYNC_H

#include <celadon/ctx.h>

typedef struct cel_mutex cel_mutex;
typedef struct cel_semaphore cel_semaphore;
typedef struct cel_condition cel_condition;
typedef struct cel_event cel_event;
typedef struct cel_rate cel_rate;

CEL_BEGIN

/* --- Mutex: one at a time, across waits ------------------------------------------------------- */

/* Owns:   *ret_mutex is yours; free it unlocked.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_mutex_new(cel_mutex **ret_mutex);
CEL_API cel_mutex *cel_mutex_free(cel_mutex *mutex);

/* Lock the mutex for this ctx. Locking it again before unlocking it aborts: it would wait for itself.
 * Waits:  until it is free, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED; the mutex is then not yours. */
CEL_API int cel_mutex_lock(cel_ctx *ctx, cel_mutex *mutex);

/* The same, but never waits.
 * Errors: CEL_EAGAIN when somebody else holds it, CEL_ECANCELED. */
CEL_API int cel_mutex_try_lock(cel_ctx *ctx, cel_mutex *mutex);

/* Unlock it; the first who waits holds it next. Never waits, and works on a cancelled ctx. Only whoever locked
 * it may: anybody else aborts. */
CEL_API void cel_mutex_unlock(cel_ctx *ctx, cel_mutex *mutex);

/* --- Semaphore: at most so many at a time ----------------------------------------------------- */

/* `permits` are free at first, never more than `permits_max` (1 to 1,000,000).
 * Owns:   *ret_semaphore is yours.
 * Errors: CEL_ENOMEM, CEL_EINVAL. */
CEL_API int cel_semaphore_new(unsigned permits, unsigned permits_max, cel_semaphore **ret_semaphore);
CEL_API cel_semaphore *cel_semaphore_free(cel_semaphore *semaphore);

/* Take one permit.
 * Waits:  until one is free, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED; no permit was taken then. */
CEL_API int cel_semaphore_acquire(cel_ctx *ctx, cel_semaphore *semaphore);

/* The same without waiting, from any thread.
 * Errors: CEL_EAGAIN when none is free. */
CEL_API int cel_semaphore_try_acquire(cel_semaphore *semaphore);

/* Give one permit back, or add one; the first who waits gets it. Never waits. Callable from any thread.
 * Errors: CEL_EFULL when permits_max are free already. */
CEL_API int cel_semaphore_release(cel_semaphore *semaphore);

/* Permits that are free now. Callable from any thread. */
CEL_API unsigned cel_semaphore_permits(cel_semaphore *semaphore);

/* --- Condition: wait for what a mutex protects ------------------------------------------------ */

/* Owns:   *ret_condition is yours.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_condition_new(cel_condition **ret_condition);
CEL_API cel_condition *cel_condition_free(cel_condition *condition);

/* Unlock `mutex`, which this ctx holds, wait for a signal, and lock it again. What you wait for may be gone
 * again when you are back, so look:
 *
 *     while (queue_empty(q) && r >= 0)
 *             r = cel_condition_wait(ctx, q->filled, q->mutex);
 *
 * Waits:  until a signal, the deadline or cancellation; then, in every case, until the mutex is this ctx's
 *         again, which nothing cuts short.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED; the mutex is held then too, and no signal was used up. */
CEL_API int cel_condition_wait(cel_ctx *ctx, cel_condition *condition, cel_mutex *mutex);

/* Wake the first who waits, or all who wait now. If nobody does, nothing happens. Never waits. Callable from
 * any thread; change what is waited for under the mutex, then nobody misses it. */
CEL_API void cel_condition_signal(cel_condition *condition);
CEL_API void cel_condition_broadcast(cel_condition *condition);

/* --- Event: on or off ------------------------------------------------------------------------- */

/* An event that is not set. For what happens once, a cel_future is enough.
 * Owns:   *ret_event is yours.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_event_new(cel_event **ret_event);
CEL_API cel_event *cel_event_free(cel_event *event);

/* Set it and wake all who wait, even if it is cleared before they run; or clear it. Callable from any thread.
 */
CEL_API void cel_event_set(cel_event *event);
CEL_API void cel_event_clear(cel_event *event);
CEL_API bool cel_event_is_set(cel_event *event);

/* Waits:  until the event is set, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED. */
CEL_API int cel_event_wait(cel_ctx *ctx, cel_event *event);

/* --- Rate limiter: so many turns a second ----------------------------------------------------- */

/* At most `turns` (1 to 1,000,000) in every `per_ms` milliseconds (1 to 3,600,000), evenly spread: 50 a second
 * are (50, 1000), one a minute is (1, 60000). Turns that nobody took are kept, up to `burst` (1 to 1,000,000),
 * and it starts with that many; never are more than burst + turns taken in `per_ms`. A turn that is taken late
 * is lost unless `burst` has room for it: a loop's timers are 1 ms coarse, so keep `burst` above the turns of
 * a few milliseconds. Time is the runtime's clock.
 * Owns:   *ret_rate is yours; free it before the runtime.
 * Errors: CEL_ENOMEM, CEL_EINVAL. */
CEL_API int cel_rate_new(cel_runtime *runtime, unsigned turns, int64_t per_ms, unsigned burst,
                         cel_rate **ret_rate);
CEL_API cel_rate *cel_rate_free(cel_rate *rate);

/* Take a turn.
 * Waits:  until its turn has come, first come first served, the deadline or cancellation; the turn then goes
 *         to the next.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED; no turn was taken then. */
CEL_API int cel_rate_wait(cel_ctx *ctx, cel_rate *rate);

/* The same without waiting, from any thread.
 * Errors: CEL_EAGAIN when no turn is free, or others wait for it. */
CEL_API int cel_rate_try(cel_rate *rate);

CEL_END

CEL_AUTO_WITH(cel_mutex, cel_mutex_free)
CEL_AUTO_WITH(cel_semaphore, cel_semaphore_free)
CEL_AUTO_WITH(cel_condition, cel_condition_free)
CEL_AUTO_WITH(cel_event, cel_event_free)
CEL_AUTO_WITH(cel_rate, cel_rate_free)

#endif
