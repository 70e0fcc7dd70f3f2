/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/fork.h"

#include <pthread.h>
#include <stdatomic.h>

bool cel__forked;

static _Atomic int runtimes;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
        cel__forked = atomic_load(&runtimes) > 0;
}

static void install(void)
{
        pthread_atfork(NULL, NULL, in_child);
}

void cel__fork_count_runtime(int change)
{
        pthread_once(&once, install);
        atomic_fetch_add(&runtimes, change);
}

int cel__fork_fail(cel_ctx *ctx)
{
        return cel_fail(ctx, CEL_EFORKED,
                        "this process was forked while a runtime was alive; all it may do is exec");
}
