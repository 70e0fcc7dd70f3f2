/* SPDX-License-Identifier: Apache-2.0
 *
 * cel_ctx: who may wait, until when, and on whose behalf.
 *
 * Every call that can wait takes a ctx as its first argument; a function that takes none cannot suspend. A
 * ctx belongs to exactly one task or one thread and is used there only. It carries a deadline, cancellation,
 * a name and a request id for the logs, and the text of the last error.
 *
 * There are two kinds behind one API. A task's ctx waits by switching to another task; a thread's ctx, from
 * cel_thread_ctx_new(), waits by blocking its thread. */
#ifndef CELADON_CTX_H
#define CELADON_CTX_H

#include <celadon/clock.h>
#include <celadon/error.h>
#include <stdbool.h>

typedef struct cel_ctx cel_ctx;
typedef struct cel_runtime cel_runtime;

CEL_BEGIN

/* Make a ctx for the calling thread, which must not be a loop's thread. `name` is copied.
 * Owns:   *ret_ctx is yours; free it on the same thread.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_thread_ctx_new(cel_runtime *runtime, const char *name, cel_ctx **ret_ctx);
CEL_API cel_ctx *cel_thread_ctx_free(cel_ctx *ctx);

/* The runtime this ctx belongs to. Borrowed. */
CEL_API cel_runtime *cel_ctx_runtime(const cel_ctx *ctx);

/* The number of the loop that the task runs on; -1 for a thread's ctx. */
CEL_API int cel_ctx_loop(const cel_ctx *ctx);

/* The name of the task or thread. Borrowed; valid as long as the ctx. */
CEL_API const char *cel_ctx_name(const cel_ctx *ctx);

/* The request id: set for one request, inherited by the tasks spawned on its behalf, printed with every log
 * line. At most 63 bytes are kept. "" when there is none; NULL takes it away. */
CEL_API const char *cel_ctx_request_id(const cel_ctx *ctx);
CEL_API void cel_ctx_set_request_id(cel_ctx *ctx, const char *request_id);

/* Now, on the runtime's clock. */
CEL_API cel_time cel_ctx_now(const cel_ctx *ctx);

/* The deadline of every wait made with this ctx. CEL_TIME_NEVER when there is none. */
CEL_API cel_time cel_ctx_deadline(const cel_ctx *ctx);

/* Has this ctx been cancelled? Every call that would have to wait then returns CEL_ECANCELED at once. */
CEL_API bool cel_ctx_canceled(const cel_ctx *ctx);

/* Cancel: the wait in progress, and every later one, returns CEL_ECANCELED. Callable from any thread, as long
 * as the ctx lives. For a task, prefer cel_task_cancel(), which holds a reference. */
CEL_API void cel_ctx_cancel(cel_ctx *ctx);

/* Wait until `ms` milliseconds have passed.
 * Waits:  for that time, the ctx's deadline or its cancellation, whichever comes first.
 * Errors: CEL_ETIMEDOUT when the ctx's deadline came first, CEL_ECANCELED. */
CEL_API int cel_sleep_ms(cel_ctx *ctx, int64_t ms);

/* Let the other tasks of this loop run. On a thread's ctx this is sched_yield().
 * Waits:  until the other ready tasks had their turn.
 * Errors: CEL_ECANCELED. */
CEL_API int cel_yield(cel_ctx *ctx);

/* Record why something failed and return `code`, so that a failing function ends with one line:
 *     return cel_fail(ctx, CEL_EPROTO, "frame of %u bytes, at most %u are allowed", n, max);
 * At most 511 bytes of text are kept. */
CEL_API int cel_fail(cel_ctx *ctx, int code, const char *format, ...) CEL_PRINTF(3, 4);

/* The text recorded with the last failure `code`; the code's general text if none was recorded for it.
 * Borrowed: valid until the next failure on this ctx. */
CEL_API const char *cel_ctx_error_text(const cel_ctx *ctx, int code);

/* --- Deadlines that nest ---------------------------------------------------------------------- */

/* What to restore when a block with a deadline of its own ends. */
typedef struct cel_deadline_scope {
        cel_ctx *ctx; /* borrowed */
        cel_time previous;
} cel_deadline_scope;

/* Tighten the ctx's deadline to at most `ms` milliseconds from now; a tighter one that is already set stays.
 * Used through CEL_WITHIN_MS(). */
CEL_API cel_deadline_scope cel_deadline_enter_ms(cel_ctx *ctx, int64_t ms);
CEL_API void cel_deadline_leave(cel_deadline_scope *scope);

/* --- Cleaning up that must wait --------------------------------------------------------------- */

/* What to restore when a shielded block ends. */
typedef struct cel_shield_scope {
        cel_ctx *ctx; /* borrowed */
        cel_time previous;
} cel_shield_scope;

/* Used through CEL_SHIELDED_MS(). */
CEL_API cel_shield_scope cel_shield_enter_ms(cel_ctx *ctx, int64_t ms);
CEL_API void cel_shield_leave(cel_shield_scope *shield);

/* --- Descriptors of others ------------------------------------------------------------------- */

enum { CEL_READABLE = 1, CEL_WRITABLE = 2 };

/* Wait until the descriptor of some other library is ready for any of `events`. Returns what it is ready for; one
 * that is broken is ready for everything. For streams of ours see <celadon/stream.h>.
 * Owns:   `fd` stays yours, and open until this returns.
 * Waits:  for the descriptor, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM, CEL_ESYSTEM (it cannot be watched: a file, or one that another
 *         task of this loop waits for). */
CEL_API int cel_fd_wait(cel_ctx *ctx, int fd, int events);

CEL_END

/* From here to the end of the block, waits with `ctx` end neither by its cancellation nor by its deadline, but at
 * the latest `ms` milliseconds from now: for a goodbye that a cancelled task still has to say. */
#define CEL_SHIELDED_MS(ctx, ms)                                                                        \
        __attribute__((cleanup(cel_shield_leave), unused)) cel_shield_scope CEL_WITHIN_NAME(__LINE__) = \
                cel_shield_enter_ms(ctx, ms)

/* From here to the end of the block, every wait with `ctx` ends at the latest `ms` milliseconds from now. */
#define CEL_WITHIN_MS(ctx, ms)                                                                              \
        __attribute__((cleanup(cel_deadline_leave), unused)) cel_deadline_scope CEL_WITHIN_NAME(__LINE__) = \
                cel_deadline_enter_ms(ctx, ms)
#define CEL_WITHIN_NAME(line)   CEL_WITHIN_NAME_2(line)
#define CEL_WITHIN_NAME_2(line) cel_within_##line

CEL_AUTO_WITH(cel_ctx, cel_thread_ctx_free)

#endif
