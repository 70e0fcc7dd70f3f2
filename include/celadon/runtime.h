/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime: loops, their threads, the guardian. Most programs need cel_main() only. */
#ifndef CELADON_RUNTIME_H
#define CELADON_RUNTIME_H

#include <celadon/future.h>
#include <celadon/task.h>

typedef struct cel_runtime_options {
        cel_clock *clock;     /* borrowed; NULL: the system's */
        size_t stack_bytes;   /* of each task; 0: 64 KiB (256 KiB under a sanitizer) */
        unsigned tasks_max;   /* alive at once; 0: 1,000,000 */
        int64_t wedge_ms_max; /* a loop stuck for longer loses its heartbeats; 0: 120,000 */
} cel_runtime_options;

CEL_BEGIN

/* Run `fn` as the first task of a runtime of its own, until it and everything it started have ended.
 *
 * The first SIGTERM or SIGINT completes cel_stop_future(); a program that never asked for that future, or a
 * second signal, has its first task cancelled. SIGPIPE is ignored.
 *
 * Returns an exit status: fn's result (0 to 255), or 1 if that was an error, whose text is then logged. */
CEL_API int cel_main(cel_task_fn fn, void *arg);

/* The future that completes when the program is asked to stop, by a signal or by cel_stop(). Whoever calls
 * this takes over the duty to end. Borrowed: valid as long as the runtime. */
CEL_API cel_future *cel_stop_future(cel_ctx *ctx);

/* Ask the program to stop, as SIGTERM does. Callable from any thread, not from a signal handler. */
CEL_API void cel_stop(cel_runtime *runtime);

/* --- For programs that want the parts of cel_main() one by one -------------------------------- */

/* Owns:   *ret_runtime is yours. `options` is copied; NULL means all defaults.
 * Errors: CEL_ENOMEM, CEL_EINVAL, CEL_ESYSTEM (descriptors or threads ran out). */
CEL_API int cel_runtime_new(const cel_runtime_options *options, cel_runtime **ret_runtime);

/* Free a runtime that does not run. Aborts if a task is alive. */
CEL_API cel_runtime *cel_runtime_free(cel_runtime *runtime);

/* Run `fn` as the first task on the first loop, which is the calling thread, until fn has ended; return its
 * result.
 * Waits:  by blocking the calling thread. It takes no ctx: it is what makes them.
 * Errors: CEL_ENOMEM, or fn's result. */
CEL_API int cel_runtime_run(cel_runtime *runtime, const char *name, cel_task_fn fn, void *arg);

/* Run `fn(arg)` on the first loop's thread, soon. Callable from any thread; never waits. `fn` gets no ctx: it
 * cannot wait.
 * Errors: CEL_ENOMEM, CEL_EFULL when 1,000,000 posts are under way. */
CEL_API int cel_post(cel_runtime *runtime, void (*fn)(void *arg), void *arg);

CEL_END

CEL_AUTO_WITH(cel_runtime, cel_runtime_free)

#endif
