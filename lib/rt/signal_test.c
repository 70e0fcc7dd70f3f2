/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <celadon/signal.h>
#include <signal.h>
#include <unistd.h>

typedef struct rig {
        const int *signals;
        cel_signal_watch *watch;
        int64_t within_ms; /* 0: no deadline */
} rig;

#define SIGNALS(...) ((const int[]){__VA_ARGS__, 0})

static int watch_signals(cel_ctx *ctx, void *arg)
{
        rig *r = arg;

        return cel_signal_watch_new(ctx, r->signals, &r->watch);
}

static int wait_signal(cel_ctx *ctx, void *arg)
{
        rig *r = arg;
        CEL_WITHIN_MS(ctx, r->within_ms ? r->within_ms : INT64_MAX);

        return cel_signal_wait(ctx, r->watch);
}

static rig watched(fixture *f, fixture_kind kind, const int *signals)
{
        rig r = {.signals = signals};

        CHECK_DONE(fixture_act(f, kind, "watch", watch_signals, &r), 0);
        return r;
}

static void send_signal(fixture *f, int signal_number)
{
        CHECK_INT(raise(signal_number), 0); /* to this thread: handled before it returns */
        fixture_settle(f);
}

/* --- Waiting ---------------------------------------------------------------------------------- */

TEST_BOTH(a_signal_wakes_every_watch_that_is_for_it)
{
        fixture f = fixture_new();
        rig one = watched(&f, kind, SIGNALS(SIGUSR1));
        rig two = watched(&f, kind, SIGNALS(SIGUSR1, SIGUSR2));

        fixture_actor *first = fixture_act(&f, kind, "first", wait_signal, &one);
        fixture_actor *second = fixture_act(&f, fixture_other(kind), "second", wait_signal, &two);
        send_signal(&f, SIGUSR2);
        CHECK_WAITS(first);
        CHECK_DONE(second, SIGUSR2);
        second = fixture_act(&f, kind, "second", wait_signal, &two);
        CHECK_WAITS(second);
        send_signal(&f, SIGUSR1);
        CHECK_INT(fixture_actor_wait(&f, first), SIGUSR1);
        CHECK_INT(fixture_actor_wait(&f, second), SIGUSR1);
        cel_signal_watch_free(one.watch);
        cel_signal_watch_free(two.watch);
        fixture_free(&f);
}

TEST_BOTH(signals_that_come_before_the_wait_are_kept_once_each)
{
        fixture f = fixture_new();
        rig r = watched(&f, kind, SIGNALS(SIGUSR2, SIGUSR1));

        send_signal(&f, SIGUSR2);
        send_signal(&f, SIGUSR1);
        send_signal(&f, SIGUSR2);
        CHECK_DONE(fixture_act(&f, kind, "wait", wait_signal, &r), SIGUSR1);
        CHECK_DONE(fixture_act(&f, kind, "wait", wait_signal, &r), SIGUSR2);
        fixture_actor *a = fixture_act(&f, kind, "wait", wait_signal, &r);
        CHECK_WAITS(a);
        fixture_cancel(a);
        cel_signal_watch_free(r.watch);
        fixture_free(&f);
}

TEST_BOTH(a_wait_for_a_signal_ends_by_its_deadline_and_by_cancellation)
{
        fixture f = fixture_new();
        rig r = watched(&f, kind, SIGNALS(SIGUSR1));

        r.within_ms = 50;
        fixture_actor *a = fixture_act(&f, kind, "wait", wait_signal, &r);
        fixture_advance_ms(&f, 49);
        CHECK_WAITS(a);
        fixture_actor *other = fixture_act(&f, kind, "other", wait_signal, &r);
        CHECK_DONE(other, CEL_EBUSY);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(a, CEL_ETIMEDOUT);
        a = fixture_act(&f, kind, "wait", wait_signal, &r);
        fixture_cancel(a);
        CHECK_DONE(a, CEL_ECANCELED);
        send_signal(&f, SIGUSR1); /* nobody has taken it along */
        CHECK_DONE(fixture_act(&f, kind, "wait", wait_signal, &r), SIGUSR1);
        cel_signal_watch_free(r.watch);
        fixture_free(&f);
}

TEST(signals_that_cannot_be_waited_for_are_refused)
{
        static const int wrong[] = {SIGKILL, SIGSTOP, SIGSEGV, 32, -1, 1000};
        fixture f = fixture_new();

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                CHECK_DONE(fixture_act(&f, FIXTURE_TASK, "watch", watch_signals,
                                       &(rig){.signals = SIGNALS(SIGUSR1, wrong[i])}),
                           CEL_EINVAL);
        CHECK_DONE(fixture_act(&f, FIXTURE_TASK, "watch", watch_signals, &(rig){.signals = SIGNALS(0)}),
                   CEL_EINVAL);
        fixture_free(&f);
}

/* --- Other people's handlers ------------------------------------------------------------------ */

static volatile sig_atomic_t heard, heard_later;
static struct sigaction below;

static void on_usr1(int signal_number)
{
        heard += signal_number == SIGUSR1;
}

static void on_usr1_later(int signal_number, siginfo_t *info, void *context)
{
        heard_later++;
        if (below.sa_flags & SA_SIGINFO)
                below.sa_sigaction(signal_number, info, context);
}

static bool handler_is(void (*handler)(int))
{
        struct sigaction current;

        sigaction(SIGUSR1, NULL, &current);
        return current.sa_handler == handler;
}

TEST(a_handler_that_was_there_before_is_called_too_and_comes_back)
{
        fixture f = fixture_new();

        heard = 0;
        signal(SIGUSR1, on_usr1);
        rig one = watched(&f, FIXTURE_TASK, SIGNALS(SIGUSR1));
        rig two = watched(&f, FIXTURE_TASK, SIGNALS(SIGUSR1));
        send_signal(&f, SIGUSR1);
        CHECK_INT(heard, 1);
        CHECK_DONE(fixture_act(&f, FIXTURE_TASK, "wait", wait_signal, &one), SIGUSR1);
        cel_signal_watch_free(one.watch);
        CHECK(!handler_is(on_usr1));
        cel_signal_watch_free(two.watch);
        CHECK(handler_is(on_usr1));
        signal(SIGUSR1, SIG_DFL);
        fixture_free(&f);
}

TEST(a_handler_that_came_after_ours_stays_and_no_circle_is_made)
{
        fixture f = fixture_new();
        struct sigaction later = {.sa_sigaction = on_usr1_later, .sa_flags = SA_SIGINFO};
        rig r = watched(&f, FIXTURE_TASK, SIGNALS(SIGUSR1));

        heard_later = 0;
        sigaction(SIGUSR1, &later, &below);
        send_signal(&f, SIGUSR1);
        CHECK_INT(heard_later, 1);
        CHECK_DONE(fixture_act(&f, FIXTURE_TASK, "wait", wait_signal, &r), SIGUSR1);
        cel_signal_watch_free(r.watch);
        send_signal(&f, SIGUSR1); /* theirs is still there, and calls ours, which has nothing to do */
        CHECK_INT(heard_later, 2);
        rig again = {.signals = SIGNALS(SIGUSR1)};
        CHECK_DONE(fixture_act(&f, FIXTURE_TASK, "watch", watch_signals, &again), CEL_EBUSY);
        sigaction(SIGUSR1, &below, NULL); /* they leave, as they should: ours is on top again */
        again = watched(&f, FIXTURE_TASK, SIGNALS(SIGUSR1));
        cel_signal_watch_free(again.watch);
        CHECK(handler_is(SIG_DFL));
        fixture_free(&f);
}

/* --- Beside cel_main() ------------------------------------------------------------------------ */

static int watch_sigterm(cel_ctx *ctx, void *arg)
{
        cel_auto(cel_signal_watch) *watch = NULL;
        cel_future *stop = cel_stop_future(ctx);
        int r = cel_signal_watch_new(ctx, SIGNALS(SIGTERM), &watch);

        (void)arg;
        if (r < 0)
                return r;
        kill(getpid(), SIGTERM);
        r = cel_signal_wait(ctx, watch);
        if (r != SIGTERM)
                return CEL_EPROTO;
        return cel_await(ctx, stop, NULL) < 0 ? CEL_EPROTO : 42;
}

TEST(cel_main_stops_on_sigterm_though_it_is_watched)
{
        CHECK_INT(cel_main(watch_sigterm, NULL), 42);
}

/* --- Threads ---------------------------------------------------------------------------------- */

enum { STORM = 2000 };

static void *send_many(void *arg)
{
        for (int i = 0; i < STORM; i++)
                kill(getpid(), SIGUSR1);
        *(_Atomic bool *)arg = true;
        return NULL;
}

static int come_and_go(cel_ctx *ctx, void *arg)
{
        const _Atomic bool *done = arg;
        int seen = 0;

        while (!*done) {
                cel_auto(cel_signal_watch) *watch = NULL;
                int r = cel_signal_watch_new(ctx, SIGNALS(SIGUSR1, SIGUSR2), &watch);

                if (r < 0)
                        return r;
                CEL_WITHIN_MS(ctx, 0); /* whatever has come by now */
                r = cel_signal_wait(ctx, watch);
                if (r < 0 && r != CEL_ETIMEDOUT)
                        return r;
                seen += r == SIGUSR1;
                cel_yield(ctx);
        }
        return seen;
}

TEST(watches_come_and_go_while_signals_come_on_other_threads)
{
        fixture f = fixture_new();
        rig always = watched(&f, FIXTURE_TASK, SIGNALS(SIGUSR1));
        _Atomic bool done = false;
        pthread_t thread;

        CHECK_INT(pthread_create(&thread, NULL, send_many, &done), 0);
        /* The actors end only when the storm does; so does the wait for them to settle. */
        fixture_actor *a = fixture_act(&f, FIXTURE_TASK, "task", come_and_go, &done);
        CHECK(fixture_actor_wait(&f, a) >= 0);
        pthread_join(thread, NULL);
        fixture_settle(&f);
        CHECK_DONE(fixture_act(&f, FIXTURE_TASK, "wait", wait_signal, &always), SIGUSR1);
        cel_signal_watch_free(always.watch);
        fixture_free(&f);
}
