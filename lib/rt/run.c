/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. The first loop runs on the thread that begins the runtime, the others on threads of their own.
 * They differ in one thing only: the first knows when the program has ended. That is when its first task has
 * ended and then, told to, what the library runs for itself, and no task is left anywhere. */
#include "base/assert.h"
#include "rt/fork.h"
#include "rt/overflow.h"
#include "rt/runtime.h"
#include "rt/task.h"
#include "rt/thread.h"

#include <stdio.h>
#include <stdlib.h>

/* --- The loops after the first ---------------------------------------------------------------- */

static void *loop_main(void *arg)
{
        cel__loop *loop = arg;
        char name[16];

        snprintf(name, sizeof(name), "cel-loop-%u", loop->number);
        pthread_setname_np(pthread_self(), name);
        cel__loop_adopt(loop);
        cel__overflow_watch(loop);
        while (!atomic_load(&loop->runtime->stopping))
                cel__loop_turn(loop, true);
        while (cel__loop_turn(loop, false))
                ; /* deliver what is still in the mail */
        cel__overflow_unwatch();
        cel__loop_leave(loop);
        return NULL;
}

static void stop_threads(cel_runtime *runtime)
{
        atomic_store(&runtime->stopping, true);
        for (unsigned i = 0; i < runtime->threads_n; i++)
                cel__loop_wake(&runtime->loops[i + 1]);
        for (unsigned i = 0; i < runtime->threads_n; i++)
                pthread_join(runtime->threads[i], NULL);
        free(runtime->threads);
        runtime->threads = NULL;
        runtime->threads_n = 0;
}

static int start_threads(cel_runtime *runtime)
{
        int r = 0;

        atomic_store(&runtime->stopping, false);
        if (runtime->loops_n == 1)
                return 0;
        runtime->threads = calloc(runtime->loops_n - 1, sizeof(*runtime->threads));
        if (!runtime->threads)
                return CEL_ENOMEM;
        while (runtime->threads_n < runtime->loops_n - 1 && r >= 0) {
                r = cel__thread_start(loop_main, &runtime->loops[runtime->threads_n + 1],
                                      &runtime->threads[runtime->threads_n]);
                runtime->threads_n += r >= 0;
        }
        if (r < 0)
                stop_threads(runtime);
        return r;
}

/* --- Begin, turn, end ------------------------------------------------------------------------- */

static void leave(cel_runtime *runtime)
{
        cel__overflow_unwatch();
        cel__scope_free(runtime->first_scope);
        runtime->first_scope = NULL;
        cel__loop_leave(&runtime->loops[0]);
}

/* A runtime may run again, and is then asked to stop anew. */
static int forget_last_run(cel_runtime *runtime)
{
        cel_future *stop;

        atomic_store(&runtime->stop_taken, false);
        if (cel_future_done(runtime->stop)) {
                if (cel_future_new(&stop) < 0)
                        return CEL_ENOMEM;
                cel_future_unref(runtime->stop);
                runtime->stop = stop;
        }
        atomic_fetch_and(&runtime->tasks, ~CEL__TASKS_CLOSED);
        return 0;
}

int cel_runtime_begin(cel_runtime *runtime, const char *name, cel_task_fn fn, void *arg)
{
        cel__loop *loop = &runtime->loops[0];
        cel_task *first;

        if (cel__forked)
                return CEL_EFORKED;
        if (runtime->first_scope || cel__loop_of_thread)
                cel__misuse("a runtime was begun %s",
                            runtime->first_scope ? "twice" : "on a thread that runs another's loop");
        int r = forget_last_run(runtime);
        if (r < 0)
                return r;
        r = cel__scope_new(runtime, loop, CEL_SCOPE_COLLECT_ALL, &runtime->first_scope);
        if (r < 0)
                return r;
        cel__loop_adopt(loop);
        cel__overflow_watch(loop);
        r = start_threads(runtime);
        if (r >= 0) {
                r = cel__task_spawn(runtime->first_scope, NULL, name, fn, arg, &first);
                if (r < 0)
                        stop_threads(runtime);
        }
        if (r < 0) {
                leave(runtime);
                return r;
        }
        runtime->ending = false;
        atomic_store(&runtime->first, first);
        return 0;
}

/* One turn of the first loop. Returns what that returned. */
static bool turn(cel_runtime *runtime, bool may_wait)
{
        bool busy = cel__loop_turn(&runtime->loops[0], may_wait);

        if (!runtime->ending && cel_future_done(cel_task_future(atomic_load(&runtime->first)))) {
                runtime->ending = true;
                cel_scope_cancel(
                        runtime->system); /* what the library runs for itself ends with the program */
                busy = true;
        }
        return busy;
}

/* Has the program ended? From then on no task can begin. */
static bool has_ended(cel_runtime *runtime)
{
        unsigned none = 0;

        return runtime->ending && atomic_compare_exchange_strong(&runtime->tasks, &none, CEL__TASKS_CLOSED);
}

int cel_runtime_end(cel_runtime *runtime)
{
        cel_task *first = atomic_exchange(&runtime->first, NULL);

        if (atomic_load(&runtime->tasks) != CEL__TASKS_CLOSED)
                cel__misuse("a runtime was ended while %u tasks were alive", atomic_load(&runtime->tasks));
        stop_threads(runtime);
        while (cel__loop_turn(&runtime->loops[0], false))
                ; /* deliver what is still in the mail */
        int r = cel_task_future(first)->status;
        cel_task_unref(first);
        cel__scope_revive(runtime->system); /* a runtime may run again */
        cel__loop_detach(&runtime->loops[0]);
        leave(runtime);
        return r;
}

int cel_runtime_run(cel_runtime *runtime, const char *name, cel_task_fn fn, void *arg)
{
        int r = cel_runtime_begin(runtime, name, fn, arg);

        if (r < 0)
                return r;
        while (!has_ended(runtime)) {
                turn(runtime, true);
                if (cel__forked) /* a child that came back here instead of calling exec */
                        return CEL_EFORKED;
        }
        return cel_runtime_end(runtime);
}

/* --- Driven by a foreign loop ----------------------------------------------------------------- */

int cel_runtime_fd(cel_runtime *runtime)
{
        return cel__forked ? CEL_EFORKED : cel__loop_fd(&runtime->loops[0]);
}

int cel_runtime_step(cel_runtime *runtime)
{
        enum { TURNS_MAX = 16 }; /* then the foreign loop has its turn */
        bool busy = true;

        if (cel__forked)
                return CEL_EFORKED;
        if (!cel__loop_is_here(&runtime->loops[0]))
                cel__misuse("a runtime was stepped on another thread than the one that began it");
        for (int i = 0; i < TURNS_MAX && busy; i++)
                busy = turn(runtime, false);
        if (cel__forked)
                return CEL_EFORKED;
        if (has_ended(runtime))
                return 0;
        if (busy)
                cel__loop_wake(&runtime->loops[0]); /* the descriptor stays readable */
        else
                cel__loop_arm_fd(&runtime->loops[0]);
        return 1;
}
