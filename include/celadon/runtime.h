/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime: loops, their threads, the guardian. Most programs need cel_main() only. */
#ifndef CELADON_RUNTIME_H
#define CELADON_RUNTIME_H

#include <celadon/future.h>
#include <celadon/task.h>

/* For cel_runtime_options.watchdog_ms. The watchdog logs the name and the stack of a task that runs for so long
 * without waiting, once, and when it has let go for how long it held its loop. To see the stack it sends the
 * thread a SIGURG; a system call that the task is held up in may return EINTR then. */
enum { CEL_WATCHDOG_OFF = -1 };

typedef struct cel_runtime_options {
        cel_clock *clock;     /* borrowed; NULL: the system's */
        size_t stack_bytes;   /* of each task; 0: 64 KiB (256 KiB under a sanitizer) */
        unsigned tasks_max;   /* alive at once; 0: 1,000,000 */
        unsigned loops;       /* threads that run tasks, 1 to 64; 0: 1 */
        int64_t wedge_ms_max; /* a loop stuck for longer loses its heartbeats; 0: 120,000 */
        int64_t watchdog_ms;  /* a task that holds its loop for as long is named in the log; 0: 50 */
} cel_runtime_options;

CEL_BEGIN

/* Run `fn` as the first task of a runtime of its own, until it and everything it started have ended.
 *
 * The first SIGTERM or SIGINT completes cel_stop_future(); a program that never asked for that future, or a
 * second signal, has its first task cancelled. SIGPIPE is ignored. SIGUSR1, unless the
 * program handles it already, has a dump of all tasks written to standard error; see cel_dump().
 *
 * Returns an exit status: fn's result (0 to 255), or 1 if that was an error, whose text is then logged, or more
 * than 255. */
CEL_API int cel_main(cel_task_fn fn, void *arg);

/* The same with a runtime of these options; NULL: the defaults. */
CEL_API int cel_main_with(const cel_runtime_options *options, cel_task_fn fn, void *arg);

/* The future that completes when the program is asked to stop, by a signal or by cel_stop(). Whoever calls
 * this takes over the duty to end. Borrowed: valid until the runtime runs again or is freed. */
CEL_API cel_future *cel_stop_future(cel_ctx *ctx);

/* Ask the program to stop, as SIGTERM does. Callable from any thread, not from a signal handler. */
CEL_API void cel_stop(cel_runtime *runtime);

/* --- For programs that want the parts of cel_main() one by one -------------------------------- */

/* Owns:   *ret_runtime is yours. `options` is copied; NULL means all defaults.
 * Errors: CEL_ENOMEM, CEL_EINVAL, CEL_ESYSTEM (descriptors or threads ran out). */
CEL_API int cel_runtime_new(const cel_runtime_options *options, cel_runtime **ret_runtime);

/* Free a runtime that does not run. Aborts if a task is alive. */
CEL_API cel_runtime *cel_runtime_free(cel_runtime *runtime);

/* How many loops it has. Callable from any thread. */
CEL_API unsigned cel_runtime_loops(const cel_runtime *runtime);

/* Run `fn` as the first task on the first loop, which is the calling thread, until fn has ended; return its
 * result.
 * Waits:  by blocking the calling thread. It takes no ctx: it is what makes them.
 * Errors: CEL_ENOMEM, CEL_ESYSTEM (no thread for another loop), CEL_EFORKED, or fn's result. */
CEL_API int cel_runtime_run(cel_runtime *runtime, const char *name, cel_task_fn fn, void *arg);

/* Run `fn(arg)` on the first loop's thread, soon; letters of one sender arrive in order. Callable from any
 * thread, callbacks of other libraries included; never waits. `fn` gets no ctx: it cannot wait.
 * Errors: CEL_ENOMEM, CEL_EFULL when 1,000,000 posts are under way, CEL_EFORKED. */
CEL_API int cel_post(cel_runtime *runtime, void (*fn)(void *arg), void *arg);

/* The same on loop number `loop`, 0 to cel_runtime_loops() - 1.
 * Errors: CEL_EINVAL (no such loop) as well. */
CEL_API int cel_post_to(cel_runtime *runtime, unsigned loop, void (*fn)(void *arg), void *arg);

/* --- For programs with an event loop of their own: GLib, asyncio, a GUI -----------------------
 *
 *     cel_runtime_begin(runtime, "agent", agent, NULL);
 *     … whenever cel_runtime_fd() is readable, and once at the start: …
 *     if (cel_runtime_step(runtime) == 0)
 *             result = cel_runtime_end(runtime);
 */

/* Start `fn` as the first task on the first loop, which is the calling thread from now on.
 * Waits:  never.
 * Errors: as cel_runtime_run(), without fn's. */
CEL_API int cel_runtime_begin(cel_runtime *runtime, const char *name, cel_task_fn fn, void *arg);

/* A descriptor that is readable (level-triggered) whenever cel_runtime_step() has something to do: timers, mail
 * and descriptors included. Valid from cel_runtime_begin() to cel_runtime_end(). Borrowed: watch it, never read
 * it.
 * Errors: CEL_ESYSTEM (no descriptor left). */
CEL_API int cel_runtime_fd(cel_runtime *runtime);

/* Do what there is to do, for a while, without waiting. On the thread that began it. Returns 1 while a task
 * lives, 0 when all have ended.
 * Errors: CEL_EFORKED. */
CEL_API int cel_runtime_step(cel_runtime *runtime);

/* Wait for the other loops' threads to end and return fn's result. Aborts if a task is alive. */
CEL_API int cel_runtime_end(cel_runtime *runtime);

CEL_END

CEL_AUTO_WITH(cel_runtime, cel_runtime_free)

#endif
