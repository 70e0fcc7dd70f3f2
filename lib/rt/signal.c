/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. One handler for all watches notes each signal in the watches that are for it and writes to
 * their eventfds. It may run on any thread at any instant, so the list of watches is under a spin lock, and
 * whoever else takes that lock blocks all signals first: the handler never interrupts its holder on the same
 * thread, and on another thread it waits for a few instructions at most.
 *
 * libuv's own signals are not used: they set the handler back to the default when they stop, and do not call
 * one that was there before. */
#include "base/assert.h"
#include "rt/ctx.h"
#include "rt/poller.h"

#include <celadon/signal.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SIGNALS = 65, WATCHES_MAX = 1000 };

struct cel_signal_watch {
        cel__list node;
        uint64_t wanted;           /* bit n - 1: signal n */
        _Atomic uint64_t pending;  /* likewise */
        int fd;                    /* owned; an eventfd that is readable when something may be pending */
        _Atomic(cel_ctx *) waiter; /* borrowed; who waits, or NULL */
};

static atomic_flag lock = ATOMIC_FLAG_INIT;
/* Under the lock: */
static cel__list watches = {&watches, &watches};
static unsigned watches_n;
static unsigned watchers_of[SIGNALS];
static struct sigaction previous[SIGNALS]; /* what was there before us */
static bool installed[SIGNALS];            /* ours was put there, and not taken away by us */

static uint64_t bit(int signal_number)
{
        return UINT64_C(1) << (signal_number - 1);
}

static void take_lock(void)
{
        while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire))
                sched_yield(); /* a system call and nothing else: fine in a handler */
}

static void release_lock(void)
{
        atomic_flag_clear_explicit(&lock, memory_order_release);
}

/* For all but the handler, which has them blocked. */
static void block_and_lock(sigset_t *ret_mask)
{
        sigset_t all;

        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, ret_mask);
        take_lock();
}

static void unlock_and_unblock(const sigset_t *mask)
{
        release_lock();
        pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* --- The handler ------------------------------------------------------------------------------ */

static void on_signal(int signal_number, siginfo_t *info, void *context)
{
        int saved_errno = errno;
        const uint64_t one = 1;

        take_lock();
        struct sigaction before = previous[signal_number];
        cel__list_for_each (node, &watches) {
                cel_signal_watch *watch = cel__container(node, cel_signal_watch, node);

                if (!(watch->wanted & bit(signal_number)))
                        continue;
                atomic_fetch_or(&watch->pending, bit(signal_number));
                ssize_t ignored = write(watch->fd, &one, sizeof(one)); /* fails only when it is readable */
                (void)ignored;
        }
        release_lock();
        if (before.sa_flags & SA_SIGINFO)
                before.sa_sigaction(signal_number, info, context);
        else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
                before.sa_handler(signal_number);
        errno = saved_errno;
}

static bool is_ours(const struct sigaction *action)
{
        return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_signal;
}

/* Returns 0 or an errno. */
static int install_locked(int signal_number)
{
        struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
        struct sigaction current;

        if (sigaction(signal_number, NULL, &current) < 0)
                return errno;
        if (is_ours(&current))
                return 0;
        /* A handler that came after ours may call it. If ours then called that one, they would go round in
         * circles. */
        if (installed[signal_number] && ((current.sa_flags & SA_SIGINFO) ||
                                         (current.sa_handler != SIG_DFL && current.sa_handler != SIG_IGN)))
                return EBUSY;
        sigfillset(&ours.sa_mask);
        previous[signal_number] = current;
        if (sigaction(signal_number, &ours, NULL) < 0)
                return errno;
        installed[signal_number] = true;
        return 0;
}

static void uninstall_locked(int signal_number)
{
        struct sigaction current;

        sigaction(signal_number, NULL, &current);
        if (!is_ours(&current)) /* somebody has put a handler over ours, and may call it */
                return;
        sigaction(signal_number, &previous[signal_number], NULL);
        installed[signal_number] = false;
}

/* --- Watches ---------------------------------------------------------------------------------- */

static bool can_be_watched(int signal_number)
{
        static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                    SIGILL,  SIGABRT, SIGTRAP, SIGSYS};

        for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
                if (signal_number == never[i])
                        return false;
        return (signal_number >= 1 && signal_number < 32) ||
               (signal_number >= SIGRTMIN && signal_number <= SIGRTMAX);
}

static void unwatch_locked(uint64_t which)
{
        for (int n = 1; n < SIGNALS; n++)
                if ((which & bit(n)) && --watchers_of[n] == 0)
                        uninstall_locked(n);
}

static int watch_locked(cel_signal_watch *watch)
{
        uint64_t done = 0;

        if (watches_n == WATCHES_MAX)
                return CEL_EFULL;
        for (int n = 1; n < SIGNALS; n++) {
                if (!(watch->wanted & bit(n)))
                        continue;
                int e = install_locked(n);
                if (e != 0) {
                        unwatch_locked(done);
                        return e == EBUSY ? CEL_EBUSY : CEL_EINVAL;
                }
                watchers_of[n]++;
                done |= bit(n);
        }
        watches_n++;
        cel__list_append(&watches, &watch->node);
        return 0;
}

int cel_signal_watch_new(cel_ctx *ctx, const int signals[], cel_signal_watch **ret_watch)
{
        uint64_t wanted = 0;
        sigset_t mask;
        int r = cel__ctx_enter(ctx, "signal");

        if (r < 0)
                return r;
        for (; *signals; signals++) {
                if (!can_be_watched(*signals))
                        return cel_fail(ctx, CEL_EINVAL, "signal %d cannot be waited for", *signals);
                wanted |= bit(*signals);
        }
        if (wanted == 0)
                return cel_fail(ctx, CEL_EINVAL, "a watch is for one signal at least");
        cel_signal_watch *watch = calloc(1, sizeof(*watch));
        if (!watch)
                return cel_fail(ctx, CEL_ENOMEM, "%s", cel_error_text(CEL_ENOMEM));
        watch->wanted = wanted;
        cel__list_init(&watch->node);
        watch->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (watch->fd < 0) {
                free(watch);
                return cel_fail(ctx, CEL_ESYSTEM, "signals cannot be watched: %s", strerror(errno));
        }
        block_and_lock(&mask);
        r = watch_locked(watch);
        unlock_and_unblock(&mask);
        if (r < 0) {
                close(watch->fd);
                free(watch);
                return cel_fail(ctx, r, "signals cannot be watched: %s",
                                r == CEL_EBUSY ? "somebody has put a handler over ours" : cel_error_text(r));
        }
        *ret_watch = watch;
        return 0;
}

cel_signal_watch *cel_signal_watch_free(cel_signal_watch *watch)
{
        sigset_t mask;

        if (!watch)
                return NULL;
        if (atomic_load(&watch->waiter))
                cel__misuse("a watch for signals was freed while somebody waited with it");
        block_and_lock(&mask);
        cel__list_remove(&watch->node);
        watches_n--;
        unwatch_locked(watch->wanted);
        unlock_and_unblock(&mask);
        close(watch->fd);
        free(watch);
        return NULL;
}

/* The lowest signal that has come, or 0. */
static int take_pending(cel_signal_watch *watch)
{
        uint64_t pending = atomic_load(&watch->pending);

        if (pending == 0)
                return 0;
        int signal_number = __builtin_ctzll(pending) + 1;
        atomic_fetch_and(&watch->pending, ~bit(signal_number));
        return signal_number;
}

static int wait_alone(cel_ctx *ctx, cel_signal_watch *watch)
{
        eventfd_t ignored;
        int signal_number;

        while ((signal_number = take_pending(watch)) == 0) {
                int r = cel__fd_wait(ctx, watch->fd, CEL__READABLE, "signal");

                if (r < 0)
                        return r;
                eventfd_read(watch->fd,
                             &ignored); /* before looking: what comes now makes it readable again */
        }
        return signal_number;
}

int cel_signal_wait(cel_ctx *ctx, cel_signal_watch *watch)
{
        cel_ctx *nobody = NULL;
        int r = cel__ctx_enter(ctx, "signal");

        if (r < 0)
                return r;
        if (!atomic_compare_exchange_strong(&watch->waiter, &nobody, ctx))
                return cel_fail(ctx, CEL_EBUSY, "another waits with this watch for signals already");
        r = wait_alone(ctx, watch);
        atomic_store(&watch->waiter, NULL);
        return r;
}
