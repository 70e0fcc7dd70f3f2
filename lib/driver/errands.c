/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/errands.h"
#include "base/list.h"
#include "base/random.h"
#include "rt/ctx.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        ERRANDS_MAX = 512,
        DECLARED_MAX = 1024, /* that are remembered; others are declared each time */
        ATTEMPT_MS = 10000,  /* for one attempt to send, if there is a limit to them */
        MISSING_MAX = 3,     /* how often a queue or an exchange may be gone again at once */
        PAUSE_MS_MIN = 50,
        PAUSE_MS_MAX = 10000,
};

struct cel__errands {
        cel_transport *transport; /* borrowed; not to be used once closed */
        const cel__driver *driver;
        void *bus;
        cel__loop *loop; /* borrowed */
        _Atomic unsigned refs;
        _Atomic bool closed; /* set on the loop, under the mutex */

        pthread_mutex_t mutex; /* of all below */
        cel__list running;     /* of errand */
        unsigned running_n;
        cel__list declared; /* of declared */
        unsigned declared_n;
};

typedef struct errand {
        cel__list node;        /* in errands->running */
        cel__errands *errands; /* a reference */
        cel_task *task;        /* a reference */
        cel_task_fn fn;
        void *arg; /* owned */
        void (*free_arg)(void *arg);
} errand;

/* A copy of a cel_queue, with its strings. Its arguments are the driver's settings, which live as long as the bus. */
typedef struct declaration {
        cel_queue queue;
        cel__errands *errands; /* borrowed, from the errand */
        char text[];
} declaration;

typedef struct declared {
        cel__list node;           /* in errands->declared */
        cel_task *task;           /* a reference: of the errand that declares it, or did */
        declaration *declaration; /* owned */
} declared;

/* --- Life ------------------------------------------------------------------------------------- */

int cel__errands_new(cel_transport *transport, cel__errands **ret_errands)
{
        cel__errands *errands = calloc(1, sizeof(*errands));

        if (!errands)
                return CEL_ENOMEM;
        errands->transport = transport;
        errands->driver = cel__transport_driver(transport);
        errands->bus = cel__transport_bus(transport);
        errands->loop = cel__transport_loop(transport);
        errands->refs = 1;
        pthread_mutex_init(&errands->mutex, NULL);
        cel__list_init(&errands->running);
        cel__list_init(&errands->declared);
        *ret_errands = errands;
        return 0;
}

cel__errands *cel__errands_ref(cel__errands *errands)
{
        atomic_fetch_add(&errands->refs, 1);
        return errands;
}

cel__errands *cel__errands_unref(cel__errands *errands)
{
        if (errands && atomic_fetch_sub(&errands->refs, 1) == 1) {
                pthread_mutex_destroy(&errands->mutex);
                free(errands);
        }
        return NULL;
}

static void forget_locked(cel__errands *errands, declared *d)
{
        cel__list_remove(&d->node);
        errands->declared_n--;
        cel_task_unref(d->task);
        free(d->declaration);
        free(d);
}

void cel__errands_close(cel__errands *errands)
{
        pthread_mutex_lock(&errands->mutex);
        errands->closed = true;
        cel__list_for_each (node, &errands->running)
                cel_task_cancel(cel__container(node, errand, node)->task);
        while (!cel__list_empty(&errands->declared))
                forget_locked(errands, cel__container(errands->declared.next, declared, node));
        pthread_mutex_unlock(&errands->mutex);
        cel__errands_unref(errands);
}

/* --- Errands ---------------------------------------------------------------------------------- */

static int errand_main(cel_ctx *ctx, void *arg)
{
        errand *e = arg;
        cel__errands *errands = e->errands;
        cel_transport *transport = errands->transport;
        bool held = !errands->closed; /* else it may be gone */

        if (held)
                cel__transport_hold(transport);
        int r = held ? e->fn(ctx, e->arg) : CEL_ECLOSED;
        e->free_arg(e->arg);
        pthread_mutex_lock(&errands->mutex); /* which whoever starts it has until e->task is set */
        cel__list_remove(&e->node);
        errands->running_n--;
        pthread_mutex_unlock(&errands->mutex);
        cel_task_unref(e->task);
        free(e);
        cel__errands_unref(errands);
        if (held)
                cel__transport_release(transport);
        return r;
}

static int start_locked(cel__errands *errands, cel_task_fn fn, void *arg, void (*free_arg)(void *arg),
                        cel_task **ret_task)
{
        cel_runtime *runtime = errands->loop->runtime;

        if (errands->closed)
                return CEL_ECLOSED;
        if (errands->running_n == ERRANDS_MAX)
                return CEL_EFULL;
        errand *e = malloc(sizeof(*e));
        if (!e)
                return CEL_ENOMEM;
        *e = (errand){.errands = cel__errands_ref(errands), .fn = fn, .arg = arg, .free_arg = free_arg};
        int r = cel__task_spawn_on(cel__runtime_system_scope(runtime), errands->loop, NULL, "declare",
                                   errand_main, e, &e->task);
        if (r < 0) {
                cel__errands_unref(errands);
                free(e);
                return r;
        }
        cel__list_append(&errands->running, &e->node);
        errands->running_n++;
        *ret_task = cel_task_ref(e->task);
        return 0;
}

int cel__errands_start(cel__errands *errands, cel_task_fn fn, void *arg, void (*free_arg)(void *arg),
                       cel_task **ret_task)
{
        pthread_mutex_lock(&errands->mutex);
        int r = start_locked(errands, fn, arg, free_arg, ret_task);
        pthread_mutex_unlock(&errands->mutex);
        return r;
}

bool cel__errand_has_failed(cel_task *task)
{
        return cel_future_done(cel_task_future(task)) && cel_task_future(task)->status < 0;
}

static int fail(cel_ctx *ctx, int r)
{
        return cel_fail(ctx, r, "%s",
                        r == CEL_ECLOSED ? "the transport is closed"
                        : r == CEL_EFULL ? "too much is being declared"
                                         : cel_error_text(r));
}

int cel__errands_await(cel_ctx *ctx, cel__errands *errands, cel_task *task, bool *ret_failed)
{
        int r = cel_task_await(ctx, task);

        *ret_failed = cel__errand_has_failed(task);
        cel_task_unref(task);
        return *ret_failed && errands->closed ? fail(ctx, CEL_ECLOSED) : r;
}

/* --- Declaring -------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
        return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_queue(const cel_queue *a, const cel_queue *b)
{
        return same_text(a->name, b->name) && same_text(a->exchange, b->exchange) &&
               same_text(a->binding_key, b->binding_key);
}

static declared *find_locked(cel__errands *errands, const cel_queue *queue)
{
        cel__list_for_each (node, &errands->declared) {
                declared *d = cel__container(node, declared, node);

                if (same_queue(&d->declaration->queue, queue))
                        return d;
        }
        return NULL;
}

static const char *put_text(char **to, const char *text)
{
        char *start = *to;

        if (!text)
                return NULL;
        *to = stpcpy(start, text) + 1;
        return start;
}

static size_t text_bytes(const char *text)
{
        return text ? strlen(text) + 1 : 0;
}

static declaration *copy(cel__errands *errands, const cel_queue *queue)
{
        declaration *d = malloc(sizeof(*d) + text_bytes(queue->name) + text_bytes(queue->exchange) +
                                text_bytes(queue->binding_key));
        char *to = d ? d->text : NULL;

        if (!d)
                return NULL;
        d->errands = errands;
        d->queue = *queue;
        d->queue.name = put_text(&to, queue->name);
        d->queue.exchange = put_text(&to, queue->exchange);
        d->queue.binding_key = put_text(&to, queue->binding_key);
        return d;
}

static int declare_as(cel_ctx *ctx, const declaration *d)
{
        return d->errands->driver->declare(ctx, d->errands->bus, &d->queue);
}

/* What exists and is not durable is used as it is (oslo-wire section 15.6). */
static int declare(cel_ctx *ctx, void *arg)
{
        declaration *d = arg;
        int r = declare_as(ctx, d);

        if (r != CEL_ECONFLICT || !d->queue.durable || d->queue.arguments ||
            !strstr(cel_ctx_error_text(ctx, r), "inequivalent arg 'durable'"))
                return r;
        d->queue.durable = false;
        r = declare_as(ctx, d);
        if (r >= 0)
                cel_warn(NULL, "TRANSPORT-NOT-DURABLE",
                         "exchange \"%s\" or queue \"%s\" exists and is not durable: a restart of the broker "
                         "loses "
                         "what is queued",
                         d->queue.exchange, d->queue.name ? d->queue.name : "");
        return r;
}

/* Remember it, unless there is no room: then it is declared again next time. */
static void remember_locked(cel__errands *errands, const cel_queue *queue, cel_task *task)
{
        declared *d = errands->declared_n < DECLARED_MAX ? calloc(1, sizeof(*d)) : NULL;
        declaration *kept = d ? copy(errands, queue) : NULL;

        if (!kept) {
                free(d);
                return;
        }
        d->declaration = kept;
        d->task = cel_task_ref(task);
        cel__list_append(&errands->declared, &d->node);
        errands->declared_n++;
}

static int start_declaring_locked(cel__errands *errands, const cel_queue *queue, cel_task **ret_task)
{
        declaration *d = copy(errands, queue);

        if (!d)
                return CEL_ENOMEM;
        int r = start_locked(errands, declare, d, free, ret_task);
        if (r < 0)
                free(d);
        else
                remember_locked(errands, queue, *ret_task);
        return r;
}

/* Find or start what declares it. Returns 1 when it is declared already. */
static int begin(cel__errands *errands, const cel_queue *queue, cel_task **ret_task)
{
        int r = 0;

        pthread_mutex_lock(&errands->mutex);
        declared *d = find_locked(errands, queue);
        bool done = d && cel_future_done(cel_task_future(d->task));
        if (done && (queue->fanout || cel__errand_has_failed(d->task))) {
                forget_locked(errands, d);
                d = NULL;
        }
        if (errands->closed)
                r = CEL_ECLOSED;
        else if (!d)
                r = start_declaring_locked(errands, queue, ret_task);
        else if (done)
                r = 1;
        else
                *ret_task = cel_task_ref(d->task);
        pthread_mutex_unlock(&errands->mutex);
        return r;
}

int cel__errands_declare(cel_ctx *ctx, cel__errands *errands, const cel_queue *queue)
{
        cel_task *task;
        bool failed;
        int r = begin(errands, queue, &task);

        if (r != 0)
                return r < 0 ? fail(ctx, r) : 0;
        r = cel__errands_await(ctx, errands, task, &failed);
        if (failed)
                cel__errands_forget(errands, queue);
        return r;
}

void cel__errands_forget(cel__errands *errands, const cel_queue *queue)
{
        pthread_mutex_lock(&errands->mutex);
        declared *d = find_locked(errands, queue);
        if (d && cel_future_done(cel_task_future(d->task)))
                forget_locked(errands, d);
        pthread_mutex_unlock(&errands->mutex);
}

/* --- Publishing ------------------------------------------------------------------------------- */

/* Is it to be known whether a queue takes it? */
static bool wants_taker(const cel__errands *errands, const cel__publishing *p)
{
        if (p->patient || (p->queue && p->queue->name))
                return true;
        return p->queue && !p->queue->fanout && errands->driver->is_settling &&
               errands->driver->is_settling(errands->bus);
}

static int publish_once(cel_ctx *ctx, cel__errands *errands, const cel__publishing *p)
{
        cel_message message = *p->message;
        char expiration[24];

        if (errands->closed)
                return fail(ctx, CEL_ECLOSED);
        if (p->expires) {
                int64_t left_ns = cel_ctx_deadline(ctx).ns - cel_ctx_now(ctx).ns;

                snprintf(expiration, sizeof(expiration), "%lld",
                         left_ns > 0 ? (long long)((left_ns + CEL_NS_PER_MS - 1) / CEL_NS_PER_MS) : 0);
                message.expiration = expiration;
        }
        return cel__driver_publish(ctx, errands->driver, errands->bus, &message,
                                   p->flags | (wants_taker(errands, p) ? CEL_PUBLISH_MANDATORY : 0));
}

/* What a message is waited for with, and what was tried. */
typedef struct trial {
        unsigned attempts; /* to connect or to send that may fail yet */
        unsigned missing;
        int64_t pause_ms; /* the last one */
} trial;

/* A queue was declared, and it is not there; or its exchange. */
static bool is_gone(const cel__publishing *p, int r)
{
        return p->queue && (r == CEL_ENOTFOUND || (r == CEL_EUNROUTABLE && p->queue->name));
}

static int await_up(cel_ctx *ctx, cel__errands *errands, unsigned *attempts)
{
        if (errands->closed)
                return fail(ctx, CEL_ECLOSED);
        return errands->driver->await_up ? errands->driver->await_up(ctx, errands->bus, attempts) : 0;
}

static int attempt(cel_ctx *ctx, cel__errands *errands, const cel__publishing *p, trial *t)
{
        int r = await_up(ctx, errands, p->retry < 0 ? NULL : &t->attempts);
        cel_time deadline = cel_ctx_deadline(ctx);
        CEL_WITHIN_MS(ctx, p->retry < 0 ? INT64_MAX : ATTEMPT_MS);

        if (r >= 0 && p->queue)
                r = cel__errands_declare(ctx, errands, p->queue);
        if (r < 0)
                return r;
        r = publish_once(ctx, errands, p);
        if (r == CEL_ETIMEDOUT && cel_ctx_now(ctx).ns < deadline.ns)
                return cel_fail(ctx, CEL_EUNKNOWN, "the bus has not confirmed the message within %d s",
                                ATTEMPT_MS / 1000);
        return r;
}

/* Nobody takes it now; whoever should may be connecting again. Each pause is about as long as all before: it is found soon
 * who comes soon, and few messages are sent for one who does not. */
static int await_taker(cel_ctx *ctx, trial *t)
{
        char why[CEL__ERROR_TEXT_BYTES];

        snprintf(why, sizeof(why), "%s", cel_ctx_error_text(ctx, CEL_EUNROUTABLE));
        t->pause_ms = t->pause_ms == 0                 ? PAUSE_MS_MIN
                      : t->pause_ms < PAUSE_MS_MAX / 2 ? t->pause_ms * 2
                                                       : PAUSE_MS_MAX;
        int r = cel_sleep_ms(ctx,
                             t->pause_ms * 3 / 4 + (int64_t)cel__random_below((uint64_t)t->pause_ms / 2));
        return r == CEL_ETIMEDOUT ? cel_fail(ctx, r, "%s", why) : r;
}

/* What to do about `r`. Returns 0: try again. */
static int respond(cel_ctx *ctx, cel__errands *errands, const cel__publishing *p, trial *t, int r)
{
        if (is_gone(p, r) && t->missing++ < MISSING_MAX) {
                cel__errands_forget(errands, p->queue);
                return 0;
        }
        if (r == CEL_EUNKNOWN && (p->retry < 0 || --t->attempts > 0)) {
                if (p->sent_again)
                        atomic_fetch_add(p->sent_again, 1);
                return 0;
        }
        /* Unless its sender wants to know: then it is sent again, until it is as well not to know. */
        bool asked = p->flags & CEL_PUBLISH_MANDATORY || (p->queue && p->queue->name);
        return r == CEL_EUNROUTABLE && !asked ? await_taker(ctx, t) : r;
}

int cel__errands_publish(cel_ctx *ctx, cel__errands *errands, const cel__publishing *p)
{
        trial t = {.attempts = (unsigned)p->retry + 1};

        for (;;) {
                int r = attempt(ctx, errands, p, &t);

                if (r >= 0)
                        return r;
                r = respond(ctx, errands, p, &t, r);
                if (r < 0)
                        return r;
        }
}

int cel__errands_await_bus(cel_ctx *ctx, cel__errands *errands, int retry)
{
        unsigned attempts = (unsigned)retry + 1;

        return await_up(ctx, errands, retry < 0 ? NULL : &attempts);
}
