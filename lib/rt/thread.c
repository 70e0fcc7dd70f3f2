/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/thread.h"

#include <celadon/error.h>
#include <signal.h>

int cel__thread_start(void *(*fn)(void *arg), void *arg, pthread_t *ret_thread)
{
        static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
        sigset_t blocked, before;
        pthread_attr_t attr;
        pthread_t thread;

        sigfillset(&blocked);
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
                sigdelset(&blocked, faults[i]);
        pthread_attr_init(&attr);
        if (!ret_thread)
                pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_sigmask(SIG_SETMASK, &blocked, &before);
        int r = pthread_create(ret_thread ? ret_thread : &thread, &attr, fn, arg);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
        return r == 0 ? 0 : CEL_ESYSTEM;
}
