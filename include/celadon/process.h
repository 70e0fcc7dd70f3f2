/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs that this one starts.
 *
 *     int status = cel_process_run(ctx, (const char *[]){"virsh", "reboot", domain, NULL});
 *     if (status < 0)                         // deadline, cancelled, no such program
 *             return status;
 *
 * A status is what the shell's $? is: the exit status, 0 to 255, or 128 + the signal that ended the program.
 *
 * A program starts with the default signal handlers, no signal blocked, and no descriptor but the standard
 * three. It leads a process group of its own, so that signals reach what it has started too. Nothing here
 * handles SIGCHLD or waits for other people's children. */
#ifndef CELADON_PROCESS_H
#define CELADON_PROCESS_H

#include <celadon/ctx.h>
#include <stddef.h>

typedef struct cel_process cel_process;

/* What a standard descriptor of the program is. */
typedef enum cel_stdio {
        CEL_STDIO_INHERIT, /* ours */
        CEL_STDIO_NULL,    /* /dev/null */
        CEL_STDIO_PIPE,    /* a pipe: its other end from cel_process_take_pipe() */
        CEL_STDIO_STDOUT,  /* stderr only: where stdout goes */
} cel_stdio;

/* All borrowed during the call. */
typedef struct cel_process_options {
        const char *const *argv; /* ends with NULL; argv[0] is looked up in our PATH unless it has a slash */
        const char *const *env;  /* of "NAME=value", ends with NULL; NULL: ours */
        const char *cwd;         /* NULL: ours */
        cel_stdio in, out, err;
        const void *input; /* what it reads on stdin, then the end; unless NULL, `in` must be left alone */
        size_t input_bytes;
        bool share_group;      /* stay in our process group: reached by the terminal's keys, and signals from
                                  here reach the program alone */
        int64_t stop_ms_grace; /* between SIGTERM and SIGKILL when it is stopped; 0: 5,000 */
} cel_process_options;

/* How a program ended, for those whom its status does not tell enough. */
typedef struct cel_process_end {
        int exit_status;   /* 0 to 255; -1 if a signal ended it */
        int signal_number; /* that signal, or 0 */
} cel_process_end;

CEL_BEGIN

/* Start a program and do not wait for its end.
 * Owns:   *ret_process is yours; free it after its last wait.
 * Waits:  never with the ctx; the thread is held until the kernel has loaded the program, for about a
 *         millisecond.
 * Errors: CEL_ENOTFOUND (no such program or cwd: the text names it), CEL_EACCESS, CEL_ETOOBIG (argv and env),
 *         CEL_EINVAL, CEL_ENOSUPPORT (this program ignores SIGCHLD, so that no status could be read),
 *         CEL_ENOMEM, CEL_ESYSTEM. Nothing was started then. */
CEL_API int cel_process_spawn(cel_ctx *ctx, const cel_process_options *options, cel_process **ret_process);

/* Free a process. Never waits: a program that still runs is killed with SIGKILL, and reaped when it has
 * ended. Off the loops, where waiting is allowed, that is waited for, up to five seconds. */
CEL_API cel_process *cel_process_free(cel_process *process);

/* Its process id, which is its group's too. Another process may have it once this one was waited for. */
CEL_API int cel_process_pid(const cel_process *process);

/* Take our end of the pipe that is the program's descriptor `number` (0, 1, 2): a non-blocking descriptor,
 * made for a stream. Each can be taken once; those that are not taken are closed with the process.
 * Owns:   the descriptor is yours to close.
 * Errors: CEL_ENOTFOUND when it is no pipe or was taken. */
CEL_API int cel_process_take_pipe(cel_process *process, int number);

/* Wait until the program has ended; return its status and, unless ret_end is NULL, say how it ended. Several
 * may wait, and again afterwards.
 * Waits:  for its end, the ctx's deadline or cancellation; the program is left alone.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED, CEL_EUNKNOWN (somebody else took its status), CEL_ENOMEM,
 *         CEL_ESYSTEM. */
CEL_API int cel_process_wait(cel_ctx *ctx, cel_process *process, cel_process_end *ret_end);

/* Send a signal to the program and its group. Callable from any thread; never waits.
 * Errors: CEL_ENOTFOUND when it was waited for, CEL_EACCESS, CEL_EINVAL. */
CEL_API int cel_process_kill(cel_process *process, int signal_number);

/* End the program: SIGTERM; SIGKILL for its group when it has ended or stop_ms_grace has passed. Returns its
 * status.
 * Waits:  for its end, whatever the ctx's deadline and cancellation, but no longer than the grace and then five
 *         seconds.
 * Errors: CEL_ETIMEDOUT (even SIGKILL did not end it in time), and those of cel_process_wait() otherwise. */
CEL_API int cel_process_stop(cel_ctx *ctx, cel_process *process);

/* Wait until the program has ended and return its status; on the ctx's deadline or cancellation, stop it
 * first: whatever comes back, it does not run any more.
 * Waits:  for its end, the deadline or cancellation; then as cel_process_stop().
 * Errors: as cel_process_wait(). */
CEL_API int cel_process_finish(cel_ctx *ctx, cel_process *process);

/* Run a program to its end and return its status: spawn, finish, free. Its stdin is /dev/null; stdout and
 * stderr are ours.
 * Waits:  as cel_process_finish().
 * Errors: as cel_process_spawn() and cel_process_finish(). */
CEL_API int cel_process_run(cel_ctx *ctx, const char *const argv[]);

/* --- What it prints --------------------------------------------------------------------------- */

typedef struct cel_capture {
        char *out; /* owned; what came on stdout, and a 0 byte */
        char *err; /* owned; likewise on stderr */
        size_t out_bytes, err_bytes;
        bool out_cut, err_cut; /* there was more than was kept */
} cel_capture;

/* Run a program to its end, as cel_process_run(), and keep what it prints: up to `bytes_max` (1 to 1 GiB) of
 * stdout and as much of stderr. What comes beyond is read and dropped, so that a chatty program ends as it
 * would have. Of the options, `out` must be left alone, and `err` too, or be CEL_STDIO_STDOUT. Without
 * `input`, its stdin is /dev/null.
 *
 * The program's end is the end: what it leaves running in the background may keep the pipes, and is not
 * waited for.
 * Owns:   *ret_capture is yours.
 * Waits:  as cel_process_finish().
 * Errors: as cel_process_run(). */
CEL_API int cel_process_capture(cel_ctx *ctx, const cel_process_options *options, size_t bytes_max,
                                cel_capture **ret_capture);
CEL_API cel_capture *cel_capture_free(cel_capture *capture);

CEL_END

CEL_AUTO_WITH(cel_process, cel_process_free)
CEL_AUTO_WITH(cel_capture, cel_capture_free)

#endif
