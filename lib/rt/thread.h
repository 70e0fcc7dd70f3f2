/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads of the library's own. Signals are for the program's threads: these block all but those that a fault
 * raises on the thread that has it. */
#ifndef CEL_RT_THREAD_H
#define CEL_RT_THREAD_H

#include <pthread.h>

/* Start `fn(arg)` on a new thread; ret_thread NULL: one that nobody joins.
 * Errors: CEL_ESYSTEM. */
int cel__thread_start(void *(*fn)(void *arg), void *arg, pthread_t *ret_thread);

#endif
