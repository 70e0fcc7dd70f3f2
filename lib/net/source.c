/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A loop that waits for a source watches it from then on: the poller stays, and stays started for
 * what was last waited for, because changing what epoll watches costs more than a wake-up. It is level-triggered,
 * so a callback that finds nobody waiting stops it, and the next wait starts it again. Two loops have a watch
 * each; a watch is made and freed on its loop's thread only. A thread's ctx needs none: it polls. */
#include "net/source.h"
#include "base/assert.h"
#include "rt/fork.h"
#include "rt/runtime.h"

#include <stdlib.h>

typedef struct watch {
        cel__list node; /* in source->watches */
        cel__source *source;
        cel__loop *loop;      /* borrowed */
        cel__poller *poller;  /* owned */
        int wanted;           /* what the poller watches for */
        bool leaving;         /* the letter is on its way */
        cel__mail leave_mail; /* from another thread: free it */
} watch;

void cel__source_init(cel__source *source, int fd, void (*release)(cel__source *source),
                      void (*destroy)(cel__source *source))
{
        *source = (cel__source){.fd = fd, .refs = 1, .release = release, .destroy = destroy};
        pthread_mutex_init(&source->mutex, NULL);
        cel__list_init(&source->waiters);
        cel__list_init(&source->watches);
}

void cel__source_fini(cel__source *source)
{
        pthread_mutex_destroy(&source->mutex);
}

/* --- Ending ----------------------------------------------------------------------------------- */

static void watch_free(watch *w)
{
        cel__poller_free(w->poller);
        cel__list_remove(&w->node);
        free(w);
}

static void drop_watches_locked(cel__source *source)
{
        cel__list_for_each (node, &source->watches) {
                watch *w = cel__container(node, watch, node);

                if (w->leaving) /* the letter is on its way, and needs it */
                        continue;
                w->leaving = !cel__loop_is_here(w->loop);
                if (w->leaving)
                        cel__loop_send(w->loop, &w->leave_mail);
                else
                        watch_free(w);
        }
}

void cel__source_settle_locked(cel__source *source)
{
        if (source->closed && source->users == 0 && !source->released) {
                drop_watches_locked(source);
                if (cel__list_empty(&source->watches)) {
                        source->release(source);
                        source->released = true;
                }
        }
        bool last = source->released && source->refs == 0;
        pthread_mutex_unlock(&source->mutex);
        if (last)
                source->destroy(source);
}

static void deliver_leave(cel__mail *mail)
{
        watch *w = cel__container(mail, watch, leave_mail);
        cel__source *source = w->source;

        pthread_mutex_lock(&source->mutex);
        watch_free(w);
        cel__source_settle_locked(source);
}

void cel__source_close_locked(cel__source *source)
{
        source->closed = true;
        cel__list_for_each (node, &source->waiters)
                cel__wait_finish(&cel__container(node, cel__source_waiter, node)->wait, CEL_ECLOSED);
}

void cel__source_close(cel__source *source)
{
        if (cel__forked) /* it is the parent's, and so is what its pollers know */
                return;
        pthread_mutex_lock(&source->mutex);
        cel__source_close_locked(source);
        cel__source_settle_locked(source);
}

void cel__source_ref(cel__source *source)
{
        if (cel__forked)
                return;
        pthread_mutex_lock(&source->mutex);
        source->refs++;
        pthread_mutex_unlock(&source->mutex);
}

void cel__source_unref(cel__source *source)
{
        if (cel__forked)
                return;
        pthread_mutex_lock(&source->mutex);
        cel_assert(source->refs > 0);
        if (--source->refs == 0)
                cel__source_close_locked(source);
        cel__source_settle_locked(source);
}

int cel__call_begin(cel_ctx *ctx, const char *where)
{
        int r = cel__ctx_enter(ctx, where);

        return r >= 0 && cel__ctx_must_cancel(ctx) ? cel__ctx_bare(ctx, CEL_ECANCELED) : r;
}

int cel__source_enter(cel__source *source, cel_ctx *ctx, const char *where)
{
        int r = cel__call_begin(ctx, where);

        if (r < 0)
                return r;
        pthread_mutex_lock(&source->mutex);
        if (source->closed) {
                pthread_mutex_unlock(&source->mutex);
                return CEL_ECLOSED;
        }
        source->users++;
        return 0;
}

/* --- Watching --------------------------------------------------------------------------------- */

/* Wake who waits for `events` on this loop; returns those that somebody waits for. */
static int wake_locked(watch *w, int events)
{
        int awaited = 0;

        cel__list_for_each (node, &w->source->waiters) {
                cel__source_waiter *waiter = cel__container(node, cel__source_waiter, node);

                if (waiter->watcher != w || !(waiter->needs & events))
                        continue;
                awaited |= waiter->needs & events;
                if (cel__wait_finish(&waiter->wait, 0) && w->source->one_by_one)
                        break;
        }
        return awaited;
}

static void on_ready(void *arg, int events)
{
        watch *w = arg;
        cel__source *source = w->source;

        pthread_mutex_lock(&source->mutex);
        int unwanted = events & ~wake_locked(w, events);
        if (unwanted) {
                w->wanted &= ~unwanted;
                cel__poller_want(w->poller, w->wanted);
        }
        pthread_mutex_unlock(&source->mutex);
}

static int find_watch_locked(cel__source *source, cel__loop *loop, watch **ret_watch)
{
        cel__list_for_each (node, &source->watches) {
                watch *w = cel__container(node, watch, node);

                if (w->loop == loop) {
                        *ret_watch = w;
                        return 0;
                }
        }
        watch *w = calloc(1, sizeof(*w));
        if (!w)
                return CEL_ENOMEM;
        *w = (watch){.source = source, .loop = loop, .leave_mail.deliver = deliver_leave};
        int r = cel__poller_new(loop, source->fd, on_ready, w, &w->poller);
        if (r < 0) {
                free(w);
                return r;
        }
        cel__list_append(&source->watches, &w->node);
        *ret_watch = w;
        return 0;
}

/* --- Waiting ---------------------------------------------------------------------------------- */

static int watch_for_locked(cel__source *source, cel_ctx *ctx, cel__source_waiter *waiter)
{
        watch *w;
        int r = find_watch_locked(source, ctx->loop, &w);

        if (r < 0)
                return cel_fail(ctx, r, "descriptor %d cannot be watched: %s", source->fd, cel_error_text(r));
        waiter->watcher = w;
        if (waiter->needs & ~w->wanted) {
                w->wanted |= waiter->needs;
                cel__poller_want(w->poller, w->wanted);
        }
        return 0;
}

static int block(cel__source *source, cel__source_waiter *waiter)
{
        cel__waiter below = {.wait = &waiter->wait};

        if (source->fd >= 0)
                return waiter->watcher ? cel__wait_block(&waiter->wait)
                                       : cel__wait_block_fd(&waiter->wait, source->fd, waiter->needs);
        source->below->ops->watch(source->below, waiter->needs, &below);
        int r = cel__wait_block(&waiter->wait);
        source->below->ops->unwatch(source->below, &below);
        return r;
}

int cel__source_wait_locked(cel__source *source, cel_ctx *ctx, cel__source_waiter *waiter, int needs,
                            const char *where)
{
        int r = 0;

        waiter->needs = needs;
        waiter->watcher = NULL;
        if (ctx->loop && source->fd >= 0)
                r = watch_for_locked(source, ctx, waiter);
        if (r < 0)
                return r;
        cel__wait_begin(&waiter->wait, ctx, where);
        cel__list_append(&source->waiters, &waiter->node);
        pthread_mutex_unlock(&source->mutex);

        r = block(source, waiter);

        pthread_mutex_lock(&source->mutex);
        cel__list_remove(&waiter->node);
        return source->closed ? CEL_ECLOSED : r < 0 ? r : 0;
}

/* --- Taking turns ----------------------------------------------------------------------------- */

typedef struct turn {
        cel__deferred deferred;
        cel__wait wait;
} turn;

/* At the end of a turn of the loop: the next one begins with the descriptors, then runs who was woken here. */
static void on_turn(cel__deferred *deferred)
{
        cel__wait_finish(&cel__container(deferred, turn, deferred)->wait, 0);
}

int cel__source_take_turn_locked(cel__source *source, cel_ctx *ctx)
{
        turn t = {.deferred.run = on_turn};
        int r = 0;

        pthread_mutex_unlock(&source->mutex);
        cel__wait_begin(&t.wait, ctx, "its turn");
        if (ctx->loop) {
                cel__list_init(&t.deferred.node);
                cel__loop_defer(ctx->loop, &t.deferred);
                r = cel__wait_block(&t.wait);
                cel__list_remove(&t.deferred.node);
        } else if (cel__ctx_must_cancel(ctx)) {
                r = CEL_ECANCELED;
        } else if (t.wait.until.ns != CEL_TIME_NEVER.ns && cel_ctx_now(ctx).ns >= t.wait.until.ns) {
                r = CEL_ETIMEDOUT;
        }
        pthread_mutex_lock(&source->mutex);
        return source->closed ? CEL_ECLOSED : r;
}
