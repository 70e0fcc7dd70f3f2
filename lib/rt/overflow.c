/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/overflow.h"
#include "base/assert.h"
#include "rt/task.h"

#include <signal.h>
#include <stdlib.h>

/* Only the fault handler reads this: a signal says which thread faulted, not which loop. */
static _Thread_local cel__loop *watched_loop;
static _Thread_local void *handler_stack;    /* owned; the faulting stack has no room left */
static _Thread_local stack_t previous_stack; /* the thread's own before: a sanitizer's, Python's */

static _Thread_local volatile sig_atomic_t passed_on; /* this fault, to the handler before ours */

static struct sigaction previous;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of installing */

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
        const cel_task *task = watched_loop ? watched_loop->running : NULL;
        const char *address = info->si_addr;

        if (task && task->stack && address >= task->stack->guard_lo && address < task->stack->lo)
                cel__task_overflowed(task);
        if (passed_on) { /* the one before us calls the one before it, which is us */
                signal(SIGSEGV, SIG_DFL);
                return;
        }
        passed_on = true;
        if (previous.sa_flags & SA_SIGINFO) {
                previous.sa_sigaction(signal_number, info, context);
        } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
                previous.sa_handler(signal_number);
        } else {
                /* Back to the default; the instruction faults again and the process dies of it. */
                signal(SIGSEGV, SIG_DFL);
        }
        passed_on = false; /* it has been dealt with */
}

/* Somebody may have put a handler of their own over ours since the last time, which may or may not call ours. */
static void install(void)
{
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        struct sigaction current;

        sigemptyset(&action.sa_mask);
        pthread_mutex_lock(&mutex);
        sigaction(SIGSEGV, NULL, &current);
        if (!(current.sa_flags & SA_SIGINFO) || current.sa_sigaction != on_fault) {
                previous = current;
                sigaction(SIGSEGV, &action, NULL);
        }
        pthread_mutex_unlock(&mutex);
}

void cel__overflow_watch(cel__loop *loop)
{
        size_t bytes = (size_t)SIGSTKSZ < 65536 ? 65536 : (size_t)SIGSTKSZ;

        install();
        watched_loop = loop;
        handler_stack = malloc(bytes);
        if (handler_stack) /* without it an overflow is still fatal, only nameless */
                sigaltstack(&(stack_t){.ss_sp = handler_stack, .ss_size = bytes}, &previous_stack);
}

void cel__overflow_unwatch(void)
{
        watched_loop = NULL;
        if (!handler_stack)
                return;
        sigaltstack(&previous_stack, NULL);
        free(handler_stack);
        handler_stack = NULL;
}
