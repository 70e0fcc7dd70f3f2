/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/fork.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <stdlib.h>

enum { POSTS_MAX = 1000000 }; /* under way at once */

typedef struct post {
        cel__mail mail;
        cel_runtime *runtime;
        cel__loop *loop;
        void (*fn)(void *arg);
        void *arg;
} post;

static void deliver_post(cel__mail *mail)
{
        post *p = cel__container(mail, post, mail);
        post copy = *p;

        free(p);
        atomic_fetch_sub(&copy.runtime->posts, 1);
        cel__count(&copy.loop->counters.posts);
        copy.fn(copy.arg);
}

int cel_post_to(cel_runtime *runtime, unsigned loop, void (*fn)(void *arg), void *arg)
{
        if (cel__forked)
                return CEL_EFORKED;
        if (loop >= runtime->loops_n)
                return CEL_EINVAL;
        if (atomic_fetch_add(&runtime->posts, 1) >= POSTS_MAX) {
                atomic_fetch_sub(&runtime->posts, 1);
                return CEL_EFULL;
        }
        post *p = malloc(sizeof(*p));
        if (!p) {
                atomic_fetch_sub(&runtime->posts, 1);
                return CEL_ENOMEM;
        }
        *p = (post){.mail.deliver = deliver_post,
                    .runtime = runtime,
                    .loop = &runtime->loops[loop],
                    .fn = fn,
                    .arg = arg};
        cel__loop_send(p->loop, &p->mail);
        return 0;
}

int cel_post(cel_runtime *runtime, void (*fn)(void *arg), void *arg)
{
        return cel_post_to(runtime, 0, fn, arg);
}

/* --- Stopping --------------------------------------------------------------------------------- */

cel_future *cel_stop_future(cel_ctx *ctx)
{
        cel_runtime *runtime = cel_ctx_runtime(ctx);

        atomic_store(&runtime->stop_taken, true);
        return runtime->stop;
}

static void stop_here(void *arg)
{
        cel_runtime *runtime = arg;
        cel_task *first = atomic_load(&runtime->first);
        bool again = !cel_future_complete(runtime->stop, 0, NULL);

        if (first && (again || !atomic_load(&runtime->stop_taken)))
                cel_task_cancel(first);
}

void cel_stop(cel_runtime *runtime)
{
        if (cel__loop_is_here(&runtime->loops[0]))
                stop_here(runtime);
        else if (cel_post(runtime, stop_here, runtime) < 0) /* no memory: at least say so to who listens */
                cel_future_complete(runtime->stop, 0, NULL);
}
