/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A child is watched through a pidfd, so there is no SIGCHLD handler, and several parts of one
 * program can have children without knowing of each other. A group may be signalled only as long as its
 * leader was not reaped: afterwards the number may be somebody else's. So whoever kills does it before the
 * leader is reaped, and both happen under the mutex. */
#include "rt/process.h"
#include "base/assert.h"
#include "rt/ctx.h"
#include "rt/fork.h"
#include "rt/poller.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <celadon/log.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        STOP_MS_GRACE_DEFAULT = 5000,
        KILL_MS_MAX = 5000, /* SIGKILL acts at once but for a child that is stuck in the kernel */
        WAIT_BY_PIDFD = 3,  /* P_PIDFD, which glibc 2.36 does not name */
};

extern char **environ;

struct cel_process {
        cel_runtime *runtime; /* borrowed */
        pid_t pid;
        int pidfd; /* owned */
        bool leads_group;
        int64_t stop_ms_grace;
        int pipes[3]; /* owned; our ends, -1: none */
        char *name;   /* owned; argv[0] */

        pthread_mutex_t mutex; /* of all below */
        bool reaped;
        bool unknown; /* somebody else reaped it */
        cel_process_end end;
};

/* --- Descriptors ------------------------------------------------------------------------------ */

static void close_fd(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

/* In a program whose own standard descriptors are closed, a new one may get such a number, and would be
 * overwritten in the child by what belongs there. Returns 0 or an errno. */
static int raise_fd(int *fd)
{
        if (*fd > STDERR_FILENO)
                return 0;
        int raised = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (raised < 0)
                return errno;
        close(*fd);
        *fd = raised;
        return 0;
}

/* The descriptors of one spawn. */
typedef struct spawn_fds {
        int childs[3]; /* what becomes the child's 0, 1, 2; -1: nothing does */
        int ours[3];   /* the other ends; -1: none */
        int reserved;  /* makes sure that there will be one for the pidfd */
} spawn_fds;

static void spawn_fds_close(spawn_fds *fds)
{
        for (int i = 0; i < 3; i++) {
                close_fd(&fds->childs[i]);
                close_fd(&fds->ours[i]);
        }
        close_fd(&fds->reserved);
}

/* The child's end blocks, as programs expect; ours does not. */
static int make_pipe(spawn_fds *fds, int number)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return errno;
        fds->childs[number] = ends[number == STDIN_FILENO ? 0 : 1];
        fds->ours[number] = ends[number == STDIN_FILENO ? 1 : 0];
        int e = raise_fd(&fds->childs[number]);
        if (e == 0)
                e = raise_fd(&fds->ours[number]);
        if (e == 0 && fcntl(fds->ours[number], F_SETFL, O_NONBLOCK) < 0)
                e = errno;
        return e;
}

/* A file in memory, so that nobody has to stand by and write while the child reads. */
static int make_input(spawn_fds *fds, const cel_process_options *options)
{
        const char *bytes = options->input;
        int fd = fds->childs[STDIN_FILENO] = memfd_create("celadon input", MFD_CLOEXEC);

        if (fd < 0)
                return errno;
        for (size_t done = 0; done < options->input_bytes;) {
                ssize_t n = write(fd, bytes + done, options->input_bytes - done);

                if (n < 0 && errno != EINTR)
                        return errno;
                done += n < 0 ? 0 : (size_t)n;
        }
        if (lseek(fd, 0, SEEK_SET) < 0)
                return errno;
        return raise_fd(&fds->childs[STDIN_FILENO]);
}

/* Returns 0 or an errno; what was opened is in `fds` either way. */
static int open_fds(const cel_process_options *options, spawn_fds *fds)
{
        const cel_stdio how[3] = {options->in, options->out, options->err};

        *fds = (spawn_fds){.childs = {-1, -1, -1}, .ours = {-1, -1, -1}};
        fds->reserved = eventfd(0, EFD_CLOEXEC);
        int e = fds->reserved < 0 ? errno : 0;
        if (e == 0 && options->input)
                e = make_input(fds, options);
        for (int i = 0; i < 3 && e == 0; i++)
                if (how[i] == CEL_STDIO_PIPE)
                        e = make_pipe(fds, i);
        return e;
}

/* --- Starting --------------------------------------------------------------------------------- */

static int check_options(cel_ctx *ctx, const cel_process_options *o)
{
        struct sigaction child;

        if (!o->argv || !o->argv[0])
                return cel_fail(ctx, CEL_EINVAL, "a program to start needs a name: argv is empty");
        if (o->in == CEL_STDIO_STDOUT || o->out == CEL_STDIO_STDOUT)
                return cel_fail(ctx, CEL_EINVAL, "%s: only stderr can go where stdout goes", o->argv[0]);
        if (o->input && o->in != CEL_STDIO_INHERIT)
                return cel_fail(ctx, CEL_EINVAL, "%s: input was given for a stdin that is something else",
                                o->argv[0]);
        if (o->stop_ms_grace < 0)
                return cel_fail(ctx, CEL_EINVAL, "%s: stop_ms_grace is negative", o->argv[0]);
        sigaction(SIGCHLD, NULL, &child);
        if (child.sa_handler == SIG_IGN || (child.sa_flags & SA_NOCLDWAIT))
                return cel_fail(
                        ctx, CEL_ENOSUPPORT,
                        "%s: SIGCHLD is ignored in this program, so the kernel would throw its status "
                        "away",
                        o->argv[0]);
        return 0;
}

static int fill_actions(const cel_process_options *options, const spawn_fds *fds,
                        posix_spawn_file_actions_t *actions)
{
        const cel_stdio how[3] = {options->in, options->out, options->err};
        int e = 0;

        for (int i = 0; i < 3 && e == 0; i++) {
                if (fds->childs[i] >= 0)
                        e = posix_spawn_file_actions_adddup2(actions, fds->childs[i], i);
                else if (how[i] == CEL_STDIO_NULL)
                        e = posix_spawn_file_actions_addopen(actions, i, "/dev/null", O_RDWR, 0);
                else if (how[i] == CEL_STDIO_STDOUT)
                        e = posix_spawn_file_actions_adddup2(actions, STDOUT_FILENO, i);
        }
        if (e == 0) /* those too that other people opened without O_CLOEXEC */
                e = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
        if (e == 0 && options->cwd)
                e = posix_spawn_file_actions_addchdir_np(actions, options->cwd);
        return e;
}

/* Returns 0 or an errno. */
static int start(const cel_process_options *options, const spawn_fds *fds, pid_t *ret_pid)
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none, all;
        short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
        char **env = options->env ? (char **)(uintptr_t)options->env : environ;

        int e = posix_spawn_file_actions_init(&actions);
        if (e != 0)
                return e;
        posix_spawnattr_init(&attr);
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setsigdefault(&attr, &all);
        if (!options->share_group)
                flags |= POSIX_SPAWN_SETPGROUP; /* 0, the default: one of its own */
        posix_spawnattr_setflags(&attr, flags);
        e = fill_actions(options, fds, &actions);
        if (e == 0)
                e = posix_spawnp(ret_pid, options->argv[0], &actions, &attr,
                                 (char *const *)(uintptr_t)options->argv, env);
        posix_spawnattr_destroy(&attr);
        posix_spawn_file_actions_destroy(&actions);
        return e;
}

/* Say what an errno means for the program. */
static int explain(cel_ctx *ctx, const cel_process_options *options, int e)
{
        const char *program = options->argv[0];

        if (options->cwd && (e == ENOENT || e == ENOTDIR || e == EACCES) && access(options->cwd, X_OK) < 0)
                return cel_fail(ctx, errno == EACCES ? CEL_EACCESS : CEL_ENOTFOUND,
                                "%s cannot be started in \"%s\": %s", program, options->cwd, strerror(errno));
        switch (e) {
        case ENOENT:
        case ENOTDIR:
                return cel_fail(ctx, CEL_ENOTFOUND, "there is no program \"%s\"%s, or no interpreter for it",
                                program, strchr(program, '/') ? "" : " in PATH");
        case EACCES:
        case EPERM:
                return cel_fail(ctx, CEL_EACCESS, "%s cannot be started: %s", program, strerror(e));
        case E2BIG:
                return cel_fail(ctx, CEL_ETOOBIG,
                                "%s cannot be started: its arguments and environment are too "
                                "long",
                                program);
        case ENOMEM:
                return cel_fail(ctx, CEL_ENOMEM, "%s cannot be started: out of memory", program);
        default:
                return cel_fail(ctx, CEL_ESYSTEM, "%s cannot be started: %s", program, strerror(e));
        }
}

static cel_process *process_new(cel_ctx *ctx, const cel_process_options *options)
{
        cel_process *process = calloc(1, sizeof(*process));

        if (!process)
                return NULL;
        process->name = strdup(options->argv[0]);
        if (!process->name) {
                free(process);
                return NULL;
        }
        process->runtime = cel_ctx_runtime(ctx);
        process->pidfd = -1;
        process->leads_group = !options->share_group;
        process->stop_ms_grace = options->stop_ms_grace ? options->stop_ms_grace : STOP_MS_GRACE_DEFAULT;
        for (int i = 0; i < 3; i++)
                process->pipes[i] = -1;
        pthread_mutex_init(&process->mutex, NULL);
        return process;
}

static void destroy(cel_process *process)
{
        cel__process_close_pipes(process);
        close_fd(&process->pidfd);
        pthread_mutex_destroy(&process->mutex);
        free(process->name);
        free(process);
}

/* The child runs: get hold of it, or undo it. Returns 0 or an errno. */
static int hold(cel_process *process, spawn_fds *fds)
{
        close_fd(&fds->reserved);
        process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
        if (process->pidfd < 0) { /* another thread took the reserved place */
                int e = errno;

                kill(process->leads_group ? -process->pid : process->pid, SIGKILL);
                while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
                return e;
        }
        for (int i = 0; i < 3; i++) {
                process->pipes[i] = fds->ours[i];
                fds->ours[i] = -1;
        }
        return 0;
}

int cel_process_spawn(cel_ctx *ctx, const cel_process_options *options, cel_process **ret_process)
{
        spawn_fds fds;
        int r = cel__ctx_enter(ctx, "process");

        if (r >= 0)
                r = check_options(ctx, options);
        if (r < 0)
                return r;
        cel_process *process = process_new(ctx, options);
        if (!process)
                return cel_fail(ctx, CEL_ENOMEM, "%s cannot be started: out of memory", options->argv[0]);
        int e = open_fds(options, &fds);
        if (e == 0)
                e = start(options, &fds, &process->pid);
        if (e == 0)
                e = hold(process, &fds);
        spawn_fds_close(&fds);
        if (e != 0) {
                destroy(process);
                return explain(ctx, options, e);
        }
        *ret_process = process;
        return 0;
}

/* --- Its end ---------------------------------------------------------------------------------- */

/* Reap it if it has ended. Returns whether it was reaped, now or before. */
static bool reap_locked(cel_process *process)
{
        siginfo_t info = {0};

        if (process->reaped)
                return true;
        int r = waitid((idtype_t)WAIT_BY_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG);
        if (r == 0 && info.si_pid == 0)
                return false;
        if (r < 0 && errno != ECHILD)
                return false;
        process->reaped = true;
        process->unknown = r < 0;
        process->end = info.si_code == CLD_EXITED
                               ? (cel_process_end){.exit_status = info.si_status}
                               : (cel_process_end){.exit_status = -1, .signal_number = info.si_status};
        return true;
}

/* Its status once it has ended: 1; 0: it runs; or an error. */
static int look(cel_ctx *ctx, cel_process *process, cel_process_end *ret_end)
{
        pthread_mutex_lock(&process->mutex);
        bool ended = reap_locked(process);
        cel_process_end end = process->end;
        bool unknown = process->unknown;
        pthread_mutex_unlock(&process->mutex);

        if (!ended)
                return 0;
        if (unknown)
                return cel_fail(ctx, CEL_EUNKNOWN,
                                "%s has ended, but somebody else in this program took its "
                                "status",
                                process->name);
        *ret_end = end;
        return 1;
}

static int status_of(cel_process_end end)
{
        return end.signal_number ? 128 + end.signal_number : end.exit_status;
}

/* Wait until it has ended; do not reap it. */
static int wait_ended(cel_ctx *ctx, cel_process *process, cel_time until)
{
        /* A loop watches a descriptor for one only; so each who waits has one. */
        int fd = fcntl(process->pidfd, F_DUPFD_CLOEXEC, 0);
        cel__wait wait;

        if (fd < 0)
                return cel_fail(ctx, CEL_ESYSTEM, "%s cannot be waited for: %s", process->name,
                                strerror(errno));
        cel__wait_begin(&wait, ctx, "process");
        if (until.ns < wait.until.ns) /* counts even while the ctx is shielded */
                wait.until = until;
        int r = cel__wait_block_fd(&wait, fd, CEL__READABLE);
        close(fd);
        return r < 0 ? r : 0;
}

int cel_process_wait(cel_ctx *ctx, cel_process *process, cel_process_end *ret_end)
{
        cel_process_end end;
        int r = cel__ctx_enter(ctx, "process");

        if (r < 0)
                return r;
        while ((r = look(ctx, process, &end)) == 0) {
                r = wait_ended(ctx, process, CEL_TIME_NEVER);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (ret_end)
                *ret_end = end;
        return status_of(end);
}

/* --- Signals ---------------------------------------------------------------------------------- */

int cel_process_kill(cel_process *process, int signal_number)
{
        if (cel__forked) /* it is our parent's child */
                return CEL_EFORKED;
        pthread_mutex_lock(&process->mutex);
        int r = -1, e = ESRCH;
        if (!process->reaped) {
                r = process->leads_group
                            ? kill(-process->pid, signal_number)
                            : (int)syscall(SYS_pidfd_send_signal, process->pidfd, signal_number, NULL, 0);
                e = errno;
        }
        pthread_mutex_unlock(&process->mutex);
        if (r == 0)
                return 0;
        return e == EPERM ? CEL_EACCESS : e == EINVAL ? CEL_EINVAL : CEL_ENOTFOUND;
}

int cel_process_stop(cel_ctx *ctx, cel_process *process)
{
        cel_process_end end;
        int r = cel__ctx_enter(ctx, "process");

        if (r >= 0)
                r = look(ctx, process, &end);
        if (r != 0)
                return r < 0 ? r : status_of(end);
        ctx->shields++;
        cel_process_kill(process, SIGTERM);
        cel_process_kill(process, SIGCONT); /* one that is stopped does not hear the first */
        wait_ended(ctx, process, cel_time_add_ms(cel_ctx_now(ctx), process->stop_ms_grace));
        cel_process_kill(process, SIGKILL); /* what is left of the group, too: its leader is not reaped yet */
        r = wait_ended(ctx, process, cel_time_add_ms(cel_ctx_now(ctx), KILL_MS_MAX));
        ctx->shields--;
        if (r == CEL_ETIMEDOUT)
                return cel_fail(ctx, r, "%s (process %d) hangs in the kernel: SIGKILL does not end it",
                                process->name, (int)process->pid);
        return r < 0 ? r : cel_process_wait(ctx, process, NULL);
}

/* --- Running to the end ----------------------------------------------------------------------- */

int cel__process_may_begin(cel_ctx *ctx)
{
        int r = cel__ctx_begin(ctx, "process");

        if (r >= 0 && ctx->shields == 0 && cel_ctx_now(ctx).ns >= ctx->deadline.ns)
                return cel__ctx_bare(ctx, CEL_ETIMEDOUT);
        return r;
}

int cel__process_give_up(cel_ctx *ctx, cel_process *process, int code)
{
        char text[CEL__ERROR_TEXT_BYTES];

        snprintf(text, sizeof(text), "%s", cel_ctx_error_text(ctx, code));
        cel__process_close_pipes(process); /* one that is stuck writing hears of it */
        int status = cel_process_stop(ctx, process);
        return cel_fail(ctx, code, "%s did not end and was stopped%s: %s", process->name,
                        status < 0 ? ", without success" : "", text);
}

int cel_process_finish(cel_ctx *ctx, cel_process *process)
{
        int r = cel_process_wait(ctx, process, NULL);

        return r >= 0 || r == CEL_EUNKNOWN ? r : cel__process_give_up(ctx, process, r);
}

int cel_process_run(cel_ctx *ctx, const char *const argv[])
{
        cel_auto(cel_process) *process = NULL;
        int r = cel__process_may_begin(ctx);

        if (r >= 0)
                r = cel_process_spawn(ctx, &(cel_process_options){.argv = argv, .in = CEL_STDIO_NULL},
                                      &process);
        return r < 0 ? r : cel_process_finish(ctx, process);
}

/* --- Parts and freeing ------------------------------------------------------------------------ */

int cel__process_pidfd(const cel_process *process)
{
        return process->pidfd;
}

int cel_process_pid(const cel_process *process)
{
        return process->pid;
}

int cel_process_take_pipe(cel_process *process, int number)
{
        if (number < 0 || number > 2 || process->pipes[number] < 0)
                return CEL_ENOTFOUND;
        int fd = process->pipes[number];
        process->pipes[number] = -1;
        return fd;
}

void cel__process_close_pipes(cel_process *process)
{
        for (int i = 0; i < 3; i++)
                close_fd(&process->pipes[i]);
}

static bool reap(cel_process *process)
{
        pthread_mutex_lock(&process->mutex);
        bool reaped = reap_locked(process);
        pthread_mutex_unlock(&process->mutex);
        return reaped;
}

/* Reap and free, or say that it cannot be done: the kernel then leaves it to init when this program ends. */
static void bury(cel_process *process)
{
        if (!reap(process))
                cel_warn(NULL, "PROCESS-STUCK",
                         "%s (process %d) hangs in the kernel: SIGKILL does not end it", process->name,
                         (int)process->pid);
        destroy(process);
}

/* A task of the library's own, for a killed child that nobody holds any more. */
static int bury_when_ended(cel_ctx *ctx, void *arg)
{
        cel_process *process = arg;

        if (wait_ended(ctx, process, CEL_TIME_NEVER) < 0) { /* the program ends; the child is about to */
                ctx->shields++;
                wait_ended(ctx, process, cel_time_add_ms(cel_ctx_now(ctx), KILL_MS_MAX));
                ctx->shields--;
        }
        bury(process);
        return 0;
}

cel_process *cel_process_free(cel_process *process)
{
        if (!process)
                return NULL;
        cel__process_close_pipes(process);
        if (cel__forked || reap(process)) { /* in a fork's child it is our parent's to reap */
                destroy(process);
                return NULL;
        }
        cel_process_kill(process, SIGKILL);
        if (cel__loop_of_thread && cel__task_spawn(cel__runtime_system_scope(process->runtime), NULL,
                                                   "process end", bury_when_ended, process, NULL) >= 0)
                return NULL;
        struct pollfd end = {.fd = process->pidfd, .events = POLLIN};
        while (poll(&end, 1, KILL_MS_MAX) < 0 && errno == EINTR)
                ;
        bury(process);
        return NULL;
}
