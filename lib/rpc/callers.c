/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A reply goes from the frame handler straight to the caller that waits: it is decoded on the loop's
 * hub, looked up by its message id, and the caller's wait is finished, whatever kind of ctx that has. The calls are
 * under a mutex because their callers may be threads.
 */
#include "rpc/callers.h"
#include "base/buf.h"
#include "rpc/remote.h"
#include "wire/body.h"
#include "wire/reply.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        BUCKETS = 4096, /* a power of two */
        CALLS_MAX = 100000,
};

struct callers {
        cel__transport_part part;
        const cel__driver *driver;
        void *bus;
        cel__errands *errands; /* a reference */
        _Atomic unsigned refs;
        char reply_queue[256]; /* "" before it is made */
        callers_counts counts;
        cel__driver_settings settings;
        void *subscription; /* the driver's, of the reply queue; on the loop */

        pthread_mutex_t mutex; /* of all below */
        _Atomic bool closed;   /* set on the loop, under the mutex */
        cel_task *replies;     /* a reference: of the errand that made the reply queue; NULL: none did */
        unsigned calls_n;
        cel__list calls[BUCKETS];
};

/* --- Life ------------------------------------------------------------------------------------- */

callers *callers_ref(callers *c)
{
        atomic_fetch_add(&c->refs, 1);
        return c;
}

callers *callers_unref(callers *c)
{
        if (c && atomic_fetch_sub(&c->refs, 1) == 1) {
                cel__errands_unref(c->errands);
                pthread_mutex_destroy(&c->mutex);
                free(c);
        }
        return NULL;
}

callers_counts *callers_get_counts(callers *c)
{
        return &c->counts;
}

unsigned callers_waiting(callers *c)
{
        pthread_mutex_lock(&c->mutex);
        unsigned n = c->calls_n;
        pthread_mutex_unlock(&c->mutex);
        return n;
}

const cel__driver_settings *callers_settings(const callers *c)
{
        return &c->settings;
}

const char *callers_reply_queue(const callers *c)
{
        return c->reply_queue;
}

static void finish_locked(pending_call *call, int status)
{
        call->done = true;
        call->status = status;
        if (call->wait)
                cel__wait_finish(call->wait, 0);
        else if (call->sending)
                cel__interrupt_raise(call->sending);
}

/* The transport is being closed: nobody gets a reply any more. */
static void on_close(cel__transport_part *part)
{
        callers *c = cel__container(part, callers, part);

        pthread_mutex_lock(&c->mutex);
        c->closed = true;
        for (unsigned i = 0; i < BUCKETS; i++)
                cel__list_for_each (node, &c->calls[i])
                        finish_locked(cel__container(node, pending_call, node), CEL_ECLOSED);
        c->replies = cel_task_unref(c->replies);
        pthread_mutex_unlock(&c->mutex);
        if (c->subscription) {
                if (!c->settings.transient_kept)
                        c->driver->delete_queue(c->subscription, c->reply_queue);
                c->driver->unsubscribe(c->subscription);
                c->subscription = NULL;
        }
        callers_unref(c);
}

static int callers_new(cel_transport *transport, callers **ret_callers)
{
        callers *c = calloc(1, sizeof(*c));

        if (!c)
                return CEL_ENOMEM;
        c->part.on_close = on_close;
        c->driver = cel__transport_driver(transport);
        c->bus = cel__transport_bus(transport);
        c->settings = *cel__transport_settings(transport);
        c->errands = cel__errands_ref(cel__transport_errands(transport));
        c->refs = 1;
        pthread_mutex_init(&c->mutex, NULL);
        for (unsigned i = 0; i < BUCKETS; i++)
                cel__list_init(&c->calls[i]);
        *ret_callers = c;
        return 0;
}

int callers_of(cel_transport *transport, callers **ret_callers)
{
        cel__transport_part *part = cel__transport_get_part(transport);
        callers *c;

        if (!part) {
                int r = callers_new(transport, &c);

                if (r < 0)
                        return r;
                part = cel__transport_set_part(transport, &c->part);
                if (part != &c->part) /* another was quicker */
                        callers_unref(c);
        }
        *ret_callers = callers_ref(cel__container(part, callers, part));
        return 0;
}

/* --- Replies ---------------------------------------------------------------------------------- */

/* The ids are ours, and random: any part of them is a hash. */
static cel__list *bucket_of(callers *c, const char *msg_id)
{
        uint64_t bits;

        memcpy(&bits, msg_id, sizeof(bits));
        return &c->calls[(bits * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (BUCKETS - 1)];
}

static pending_call *find_locked(callers *c, const char *msg_id)
{
        if (strlen(msg_id) != CEL__UUID_BYTES - 1)
                return NULL;
        cel__list_for_each (node, bucket_of(c, msg_id)) {
                pending_call *found = cel__container(node, pending_call, node);

                if (strcmp(found->msg_id, msg_id) == 0)
                        return found;
        }
        return NULL;
}

/* What a reply comes to. */
typedef struct outcome {
        int status;
        json_t *result;            /* owned */
        cel__error_detail *detail; /* a reference */
        char why[256];
} outcome;

/* Give the outcome to whoever waits for it, who takes what it owns then. */
static void hand_over(callers *c, const char *msg_id, outcome *o)
{
        pthread_mutex_lock(&c->mutex);
        pending_call *call = find_locked(c, msg_id);
        if (call && !call->done) {
                call->result = CEL_TAKE(o->result);
                call->detail = CEL_TAKE(o->detail);
                memcpy(call->why, o->why, sizeof(call->why));
                finish_locked(call, o->status);
        } else {
                c->counts.replies_late++;
        }
        pthread_mutex_unlock(&c->mutex);
}

/* The method is still at work: whoever waits begins anew. */
static void hand_sign_of_life(callers *c, const char *msg_id)
{
        pthread_mutex_lock(&c->mutex);
        const pending_call *call = find_locked(c, msg_id);
        if (call && call->wait)
                cel__wait_finish(call->wait, 0);
        pthread_mutex_unlock(&c->mutex);
}

static void note_invalid(callers *c, const char *why)
{
        c->counts.replies_invalid++;
        cel_error(NULL, "RPC-REPLY-INVALID", "queue %s: a message is no reply: %s", c->reply_queue, why);
}

/* Nested text may be wrong, too; the caller is told, and not left waiting. */
static void read_failure(callers *c, const cel__reply *reply, outcome *o)
{
        int r = remote_read(reply->failure, reply->failure_bytes, &o->detail, o->why, sizeof(o->why));

        o->status = r < 0 ? r : CEL_EREMOTE;
        if (r == CEL_EDECODE)
                note_invalid(c, o->why);
}

static void take_reply(callers *c, const cel__envelope *envelope)
{
        outcome o = {0};
        cel__reply reply = {.ending = true};
        const char *msg_id;
        int r = cel__reply_decode(envelope, &reply, &msg_id, o.why, sizeof(o.why));

        if (r < 0) {
                note_invalid(c, o.why);
                o.status = r;
        } else if (reply.failure) {
                read_failure(c, &reply, &o);
        } else {
                o.result = json_incref((json_t *)(uintptr_t)reply.result);
                /* It is the caller's alone, on whatever thread that is. */
                json_object_del(envelope->message, "result");
        }
        if (msg_id && reply.ending)
                hand_over(c, msg_id, &o);
        else if (msg_id)
                hand_sign_of_life(c, msg_id);
        json_decref(o.result);
        cel__error_detail_unref(o.detail);
}

static void on_delivery(void *arg, const cel__delivery *arrived)
{
        callers *c = arg;
        cel__delivery delivery = *arrived;
        cel__envelope envelope;
        const void *body;
        char why[256] = "";
        cel__buf plain;
        size_t n;
        int r = delivery.message ? 0 : CEL_EDECODE;

        cel__buf_init(&plain, CEL__PLAIN_BYTES_MAX);
        if (r < 0)
                snprintf(why, sizeof(why), "%s", delivery.refused);
        else
                r = cel__body_plain(delivery.message, &plain, &body, &n, why, sizeof(why));
        if (r >= 0)
                r = cel__envelope_open(body, n, &envelope, why, sizeof(why));
        if (r >= 0) {
                take_reply(c, &envelope);
                cel__envelope_fini(&envelope);
        } else {
                note_invalid(c, *why ? why : cel_error_text(r));
        }
        cel__buf_fini(&plain);
        c->driver->settle(&delivery, r >= 0 ? CEL__SETTLE_ACK : CEL__SETTLE_REJECT);
}

/* --- The reply queue -------------------------------------------------------------------------- */

/* An errand. */
static int subscribe(cel_ctx *ctx, void *arg)
{
        callers *c = arg;
        int r = *c->reply_queue ? 0
                                : cel__driver_name_queue(ctx, c->driver, c->bus, "reply_", c->reply_queue,
                                                         sizeof(c->reply_queue));
        if (r < 0)
                return r;
        cel_queue queue = {.name = c->reply_queue,
                           .durable = c->settings.transient_durable,
                           .expires_ms = c->settings.transient_expires_ms,
                           .arguments = c->settings.transient_arguments};
        cel__subscription_options options = {
                .queues = &queue, .queues_n = 1, .on_delivery = on_delivery, .arg = c};
        void *subscription;

        r = c->driver->subscribe(ctx, c->bus, &options, &subscription);
        if (r < 0)
                return r;
        if (c->closed) { /* while this waited */
                c->driver->unsubscribe(subscription);
                return CEL_ECLOSED;
        }
        c->subscription = subscription;
        return 0;
}

static void unref_callers(void *arg)
{
        callers_unref(arg);
}

static int start_subscribing_locked(callers *c)
{
        int r = cel__errands_start(c->errands, subscribe, callers_ref(c), unref_callers, &c->replies);

        if (r < 0)
                callers_unref(c);
        return r;
}

static int fail(cel_ctx *ctx, int r)
{
        return cel_fail(ctx, r, "%s", r == CEL_ECLOSED ? "the transport is closed" : cel_error_text(r));
}

int callers_await_replies(cel_ctx *ctx, callers *c)
{
        cel_task *task = NULL;
        bool failed;
        int r = 0;

        pthread_mutex_lock(&c->mutex);
        if (c->closed)
                r = CEL_ECLOSED;
        else if (c->replies && cel__errand_has_failed(c->replies)) /* and its callers had left */
                c->replies = cel_task_unref(c->replies);
        if (r >= 0 && !c->replies)
                r = start_subscribing_locked(c);
        if (r >= 0)
                task = cel_task_ref(c->replies);
        pthread_mutex_unlock(&c->mutex);
        if (r < 0)
                return fail(ctx, r);

        r = cel__errands_await(ctx, c->errands, cel_task_ref(task), &failed);
        pthread_mutex_lock(&c->mutex);
        if (failed && c->replies == task) /* the next call tries again */
                c->replies = cel_task_unref(c->replies);
        pthread_mutex_unlock(&c->mutex);
        cel_task_unref(task);
        return r;
}

/* --- Calls ------------------------------------------------------------------------------------ */

cel__errands *callers_errands(const callers *c)
{
        return c->errands;
}

int callers_expect(cel_ctx *ctx, callers *c, const char *const *allowed_modules, pending_call *call)
{
        int r = 0;

        memset(call, 0, sizeof(*call));
        call->allowed_modules = allowed_modules;
        cel__list_init(&call->node);
        cel__uuid_hex(call->msg_id);
        pthread_mutex_lock(&c->mutex);
        if (c->closed)
                r = CEL_ECLOSED;
        else if (c->calls_n == CALLS_MAX)
                r = CEL_EFULL;
        if (r >= 0) {
                c->calls_n++;
                cel__list_append(bucket_of(c, call->msg_id), &call->node);
        }
        pthread_mutex_unlock(&c->mutex);
        if (r == CEL_EFULL)
                return cel_fail(ctx, r, "%d calls wait for replies already", CALLS_MAX);
        return r < 0 ? fail(ctx, r) : 0;
}

void callers_note_sending(callers *c, pending_call *call, cel__interrupt *sending)
{
        pthread_mutex_lock(&c->mutex);
        call->sending = sending;
        pthread_mutex_unlock(&c->mutex);
}

bool callers_is_done(callers *c, const pending_call *call)
{
        pthread_mutex_lock(&c->mutex);
        bool done = call->done;
        pthread_mutex_unlock(&c->mutex);
        return done;
}

/* Wait once: for the reply, a sign of life, or the end of the ctx's patience. With the mutex held on entry and exit;
 * it is released meanwhile. */
static int await_locked(cel_ctx *ctx, callers *c, pending_call *call)
{
        cel__wait wait;

        cel__wait_begin(&wait, ctx, "reply");
        call->wait = &wait;
        pthread_mutex_unlock(&c->mutex);
        int r = cel__wait_block(&wait);
        pthread_mutex_lock(&c->mutex);
        call->wait = NULL;
        return r;
}

int callers_await(cel_ctx *ctx, callers *c, pending_call *call, int64_t monitor_ms)
{
        int r = 0;

        pthread_mutex_lock(&c->mutex);
        while (!call->done && r >= 0) {
                CEL_WITHIN_MS(ctx, monitor_ms > 0 ? monitor_ms : INT64_MAX);

                r = await_locked(ctx, c, call);
        }
        bool done = call->done;
        if (done) /* even if it came at the last moment */
                r = call->status;
        pthread_mutex_unlock(&c->mutex);
        if (r == CEL_EREMOTE)
                remote_fail(ctx, CEL_TAKE(call->detail), call->allowed_modules);
        else if (done && r < 0)
                cel_fail(ctx, r, "%s",
                         r == CEL_ECLOSED ? "the transport is closed"
                         : *call->why     ? call->why
                                          : cel_error_text(r));
        return r;
}

void callers_forget(callers *c, pending_call *call)
{
        pthread_mutex_lock(&c->mutex);
        cel__list_remove(&call->node);
        c->calls_n--;
        pthread_mutex_unlock(&c->mutex);
        json_decref(call->result);
        cel__error_detail_unref(call->detail);
}
