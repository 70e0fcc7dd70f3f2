/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/hub.h"
#include "rt/ctx.h"
#include "rt/loop.h"

#include <celadon/future.h>

typedef struct errand {
        cel__deferred deferred;
        cel_future *done; /* owned */
        void (*work)(void *arg);
        void *arg; /* borrowed */
} errand;

static void on_hub(cel__deferred *deferred)
{
        errand *e = cel__container(deferred, errand, deferred);

        e->work(e->arg);
        cel_future_complete(e->done, 0, NULL);
}

int cel__run_on_hub(cel_ctx *ctx, void (*work)(void *arg), void *arg)
{
        errand e = {.deferred.run = on_hub, .work = work, .arg = arg};

        if (cel_future_new(&e.done) < 0)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel__list_init(&e.deferred.node);
        cel__loop_defer(ctx->loop, &e.deferred);
        int r = cel_await(ctx, e.done, NULL);
        if (cel_future_done(e.done)) /* even if the ctx was cancelled in the meantime */
                r = 0;
        cel__list_remove(&e.deferred.node);
        cel_future_unref(e.done);
        return r;
}
