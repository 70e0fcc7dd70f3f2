/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. The signal is SIGURG: its default is to be ignored, so one that comes late or to a thread of
 * somebody else's harms nobody, and debuggers pass it on without a word. It may interrupt a system call of
 * foreign code that a task is held up in; SA_RESTART continues most. A SIGURG that we have not asked for goes
 * to the handler that was there before.
 *
 * The handler touches only what its own thread writes, and what was asked for belongs to it from the moment
 * it has taken the question until it has put the answer. */
#include "rt/snapshot.h"
#include "rt/loop.h"
#include "rt/task.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum {
        SIGNAL = SIGURG,
        HANDLER_FRAMES_MAX = 16, /* of ours and, in sanitized builds, of theirs, above the interrupted one */
};

enum { IDLE, ASKED, ANSWERING, ANSWERED };

static struct sigaction previous;
static pthread_mutex_t install_mutex = PTHREAD_MUTEX_INITIALIZER;

static void *interrupted_pc(const ucontext_t *context)
{
#if defined(__x86_64__)
        return (void *)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
        return (void *)context->uc_mcontext.pc;
#endif
}

static void answer(const cel__loop *loop, const ucontext_t *context, cel__sight *sight)
{
        const cel_task *task = loop->running;
        void *frames[HANDLER_FRAMES_MAX + CEL__FRAMES_MAX];
        int n = backtrace(frames, HANDLER_FRAMES_MAX + CEL__FRAMES_MAX);
        int first = 0;

        while (first < n && frames[first] != interrupted_pc(context))
                first++;
        if (first == n) /* better with the handler's own than nothing */
                first = 0;
        n = n - first < CEL__FRAMES_MAX ? n - first : CEL__FRAMES_MAX;
        memcpy(sight->frames, &frames[first], (size_t)n * sizeof(*frames));
        sight->frames_n = (unsigned)n;
        sight->task[0] = sight->request_id[0] = '\0';
        if (!task)
                return;
        memcpy(sight->task, task->ctx.name, sizeof(sight->task));
        if (task->ctx.request_id)
                strncat(sight->request_id, task->ctx.request_id, sizeof(sight->request_id) - 1);
}

static void pass_on(int signal_number, siginfo_t *info, void *context)
{
        if (previous.sa_flags & SA_SIGINFO)
                previous.sa_sigaction(signal_number, info, context);
        else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
                previous.sa_handler(signal_number);
}

static void on_signal(int signal_number, siginfo_t *info, void *context)
{
        int saved_errno = errno;
        cel__loop *loop = cel__loop_of_thread;
        int asked = ASKED;

        if (!loop || !atomic_compare_exchange_strong(&loop->snapshot.state, &asked, ANSWERING)) {
                pass_on(signal_number, info, context);
        } else if (cel__counter_get(&loop->counters.switches) == loop->snapshot.switches) {
                answer(loop, context, &loop->snapshot.sight);
                atomic_store(&loop->snapshot.state, ANSWERED);
        } else {
                atomic_store(&loop->snapshot.state, IDLE); /* whoever it was has let go */
        }
        errno = saved_errno;
}

/* Somebody may have put a handler of their own over ours since the last time. */
static void install(void)
{
        struct sigaction action = {.sa_sigaction = on_signal,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
        struct sigaction current;

        sigemptyset(&action.sa_mask);
        pthread_mutex_lock(&install_mutex);
        sigaction(SIGNAL, NULL, &current);
        if (!(current.sa_flags & SA_SIGINFO) || current.sa_sigaction != on_signal) {
                previous = current;
                sigaction(SIGNAL, &action, NULL);
        }
        pthread_mutex_unlock(&install_mutex);
}

void cel__snapshot_init(cel__snapshot *snapshot)
{
        pthread_mutex_init(&snapshot->mutex, NULL);
}

void cel__snapshot_fini(cel__snapshot *snapshot)
{
        pthread_mutex_destroy(&snapshot->mutex);
}

void cel__snapshot_attach(cel__loop *loop)
{
        cel__snapshot *snapshot = &loop->snapshot;
        sigset_t ours, before;

        install();
        sigemptyset(&ours);
        sigaddset(&ours, SIGNAL);
        pthread_sigmask(SIG_UNBLOCK, &ours, &before);
        pthread_mutex_lock(&snapshot->mutex);
        snapshot->thread = pthread_self();
        snapshot->tid = gettid();
        snapshot->was_blocked = sigismember(&before, SIGNAL);
        snapshot->attached = true;
        pthread_mutex_unlock(&snapshot->mutex);
}

void cel__snapshot_detach(cel__loop *loop)
{
        cel__snapshot *snapshot = &loop->snapshot;
        sigset_t ours;

        pthread_mutex_lock(&snapshot->mutex);
        snapshot->attached = false;
        pthread_mutex_unlock(&snapshot->mutex);
        sigemptyset(&ours);
        sigaddset(&ours, SIGNAL);
        if (snapshot->was_blocked)
                pthread_sigmask(SIG_BLOCK, &ours, NULL);
}

void cel__snapshot_ask(cel__loop *loop, uint64_t switches)
{
        cel__snapshot *snapshot = &loop->snapshot;

        pthread_mutex_lock(&snapshot->mutex);
        int state = atomic_load(&snapshot->state);
        if (snapshot->attached && (state == IDLE || state == ANSWERED)) { /* one that nobody took */
                snapshot->switches = switches;
                atomic_store(&snapshot->state, ASKED);
                pthread_kill(snapshot->thread, SIGNAL);
        }
        pthread_mutex_unlock(&snapshot->mutex);
}

bool cel__snapshot_take(cel__loop *loop, cel__sight *ret_sight)
{
        cel__snapshot *snapshot = &loop->snapshot;

        if (atomic_load(&snapshot->state) != ANSWERED)
                return false;
        *ret_sight = snapshot->sight;
        atomic_store(&snapshot->state, IDLE);
        return true;
}

int64_t cel__snapshot_delay_ns(cel__loop *loop)
{
        char path[64], text[128];
        long long delay_ns = 0;

        pthread_mutex_lock(&loop->snapshot.mutex);
        snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", loop->snapshot.tid);
        pthread_mutex_unlock(&loop->snapshot.mutex);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        ssize_t n = read(fd, text, sizeof(text) - 1);
        close(fd);
        if (n <= 0)
                return 0;
        text[n] = '\0'; /* ns on a processor, ns waiting for one, turns */
        return sscanf(text, "%*d %lld", &delay_ns) == 1 ? delay_ns : 0;
}

void cel__snapshot_forget(cel__loop *loop)
{
        int asked = ASKED;

        if (!atomic_compare_exchange_strong(&loop->snapshot.state, &asked, IDLE) && asked == ANSWERED)
                atomic_store(&loop->snapshot.state, IDLE);
}
