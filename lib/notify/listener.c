/* SPDX-License-Identifier: Apache-2.0
 *
 * The notification listener (oslo-wire sections 4, 7, 8, 13, 14).
 *
 * Design notes. Deliveries come on the loop's hub, where they are decoded: a parser that recurses over what a
 * stranger sent does not belong on a task's small stack. At most `concurrency` handlers run; what comes
 * beyond waits in a list, which the prefetch bounds: 2 * queues_n * concurrency deliveries at most. A handler's
 * task goes on with the next delivery when it is done, so a busy listener starts no task for each message.
 * A delivery that has waited for PENDING_MS_MAX goes back to the queue: brokers lose patience with whoever
 * keeps a message for long (RabbitMQ closes the channel, after 30 minutes), and another listener may be idle.
 *
 * Where upstream's rules lose messages, ours do not: a redelivered copy of a handled message is acknowledged
 * (upstream leaves it unsettled, and any other message with that id as well), and the queue alone says which priorities are listened to. */
#include "base/assert.h"
#include "base/list.h"
#include "driver/driver.h"
#include "notify/seen.h"
#include "rt/runtime.h"
#include "rt/task.h"
#include "wire/decompress.h"
#include "wire/notification.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        CONCURRENCY_DEFAULT = 64,
        CONCURRENCY_MAX = 65535,
        QUEUES_MAX = 256,
        SEEN_IDS_MAX = 10000,
        SEEN_MS_MAX = 10 * 60 * 1000,
        PENDING_MS_MAX = 5 * 60 * 1000,
        WHY_BYTES = 256,
        PLAIN_BYTES_MAX = 128 * 1024 *
                          1024, /* of a body when decompressed: as much as uncompressed ones may have */
};

static const char *const all_priorities[] = {"audit", "debug",    "info",   "warn",
                                             "error", "critical", "sample", NULL};
static const char *const default_topics[] = {"notifications", NULL};

struct cel_notification_listener {
        const cel__driver *driver; /* borrowed */
        void *subscription;        /* the driver's; NULL before and after */
        cel__loop *loop;           /* borrowed */
        cel_clock *clock;          /* borrowed */
        cel_scope *scope;          /* owned; of the handlers' tasks */
        seen *handled;             /* owned; unique ids */
        cel_notification_fn on_notification;
        cel_invalid_message_fn on_invalid;
        void *arg; /* borrowed */
        bool allow_requeue;
        unsigned concurrency;
        unsigned running;  /* tasks of handlers */
        bool draining;     /* what is not begun goes back */
        cel__list pending; /* of job, in the order in which they came */
        cel__timer
                impatience; /* set while something is pending: no later than the first one's time is over */
};

/* One message, from delivery to settlement. */
typedef struct job {
        cel__list node;                      /* in listener->pending */
        cel_notification_listener *listener; /* borrowed */
        cel__delivery delivery;
        cel_time pending_until;
        cel__buf plain; /* the decompressed body, if it came compressed */
        cel__envelope envelope;
        cel_notification notification;
        bool valid;
        char why[WHY_BYTES]; /* unless valid */
} job;

/* --- One message ------------------------------------------------------------------------------ */

static const char *unique_id(const job *j)
{
        const char *id = j->valid ? json_string_value(json_object_get(j->notification.message, "_unique_id"))
                                  : NULL;

        return id ? id : "";
}

static void job_end(job *j, cel__settlement how)
{
        cel_notification_listener *listener = j->listener;
        const char *id = unique_id(j);

        /* Remembered even if the acknowledgement comes too late: the copy that follows is not handled again.
         */
        if (how == CEL__SETTLE_ACK && *id)
                seen_add(listener->handled, id, cel_clock_now(listener->clock));
        listener->driver->settle(&j->delivery, how);
        if (j->valid)
                cel__envelope_fini(&j->envelope);
        cel__buf_fini(&j->plain);
        free(j);
}

/* The body as its sender had it before kombu compressed it: borrowed from the job. */
static int plain_body(job *j, const void **ret_body, size_t *ret_n)
{
        const cel_message *message = j->delivery.message;
        cel_auto_free char *compression = NULL;
        int r = cel_headers_get_str(message->headers, "compression", &compression);

        if (r == CEL_ENOMEM)
                return r;
        if (r < 0 || !*compression) {
                *ret_body = message->body;
                *ret_n = message->body_bytes;
                return 0;
        }
        r = cel__decompress(compression, message->body, message->body_bytes, &j->plain, j->why,
                            sizeof(j->why));
        if (r < 0)
                return r;
        *ret_body = cel__buf_head(&j->plain);
        *ret_n = cel__buf_used(&j->plain);
        return 0;
}

static int open_message(job *j)
{
        const void *body;
        size_t n;
        int r = plain_body(j, &body, &n);

        if (r < 0)
                return r;
        r = cel__envelope_open(body, n, &j->envelope, j->why, sizeof(j->why));
        if (r < 0)
                return r;
        r = cel__notification_from_envelope(&j->envelope, j->delivery.message, &j->notification, j->why,
                                            sizeof(j->why));
        if (r < 0)
                cel__envelope_fini(&j->envelope);
        return r;
}

/* Find out what it is. Errors: CEL_ENOMEM, which says nothing about the message; any other is in j->why. */
static int decode(job *j)
{
        cel__buf_init(&j->plain, PLAIN_BYTES_MAX);
        int r = open_message(j);
        j->valid = r >= 0;
        if (!j->valid && !*j->why)
                snprintf(j->why, sizeof(j->why), "%s", cel_error_text(r));
        /* It may be large, and the job may wait: keep it only for a message of version 1, which borrows it.
         */
        if (!j->valid || j->envelope.version == 2)
                cel__buf_clear(&j->plain, 0);
        return r == CEL_ENOMEM ? r : 0;
}

/* What the handler's result means for the message. */
static cel__settlement verdict(cel_ctx *ctx, const cel_notification_listener *listener, int result)
{
        if (result == CEL_HANDLED)
                return CEL__SETTLE_ACK;
        if (result == CEL_REQUEUE)
                return CEL__SETTLE_REQUEUE;
        cel_assert(result < 0);
        if (result != CEL_ECANCELED)
                cel_warn(ctx, "NOTIFICATION-FAILED", "a handler failed: %s", cel_ctx_error_text(ctx, result));
        /* Cancelled is not handled, whatever the rule for failures. */
        return listener->allow_requeue || result == CEL_ECANCELED ? CEL__SETTLE_REQUEUE : CEL__SETTLE_ACK;
}

static cel__settlement handle(cel_ctx *ctx, job *j)
{
        cel_notification_listener *listener = j->listener;

        if (j->valid)
                return verdict(ctx, listener,
                               listener->on_notification(ctx, &j->notification, listener->arg));
        if (listener->on_invalid)
                return verdict(ctx, listener,
                               listener->on_invalid(ctx, j->delivery.message, j->why, listener->arg));
        cel_error(ctx, "NOTIFICATION-INVALID", "queue %s: a message is no notification and is rejected: %s",
                  j->delivery.message->queue ? j->delivery.message->queue : "?", j->why);
        return CEL__SETTLE_REJECT;
}

/* Is it a copy that the bus brought of a message that was handled lately? What was not delivered before, somebody
 * has sent again on purpose, such as an operator who replays a dead letter. */
static bool was_handled(const job *j)
{
        const char *id = unique_id(j);

        return *id && j->delivery.message->redelivered &&
               seen_has(j->listener->handled, id, cel_clock_now(j->listener->clock));
}

/* The next message that waits. What came before a reconnect is let go: the bus delivers it again. */
static job *next_pending(cel_notification_listener *listener)
{
        for (cel__list *node; (node = cel__list_pop(&listener->pending));) {
                job *j = cel__container(node, job, node);

                if (!listener->driver->is_stale(&j->delivery))
                        return j;
                job_end(j, CEL__SETTLE_REQUEUE);
        }
        return NULL;
}

/* A handler's task: its first message, then whatever waits. */
static int work(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        cel_notification_listener *listener = j->listener;

        while (j) {
                /* Another copy may have been handled while this one waited. */
                job_end(j, was_handled(j) ? CEL__SETTLE_ACK : handle(ctx, j));
                j = next_pending(listener);
        }
        listener->running--;
        return 0;
}

/* --- Deliveries ------------------------------------------------------------------------------- */

/* Give back what is pending and was so for too long: as far as `now` says. */
static void give_back(cel_notification_listener *listener, cel_time now)
{
        while (!cel__list_empty(&listener->pending)) {
                job *first = cel__container(listener->pending.next, job, node);

                if (first->pending_until.ns > now.ns)
                        return;
                cel__list_remove(&first->node);
                job_end(first, CEL__SETTLE_REQUEUE);
        }
}

static void watch_pending(cel_notification_listener *listener)
{
        if (cel__list_empty(&listener->pending) || cel__timer_is_set(&listener->impatience))
                return;
        job *first = cel__container(listener->pending.next, job, node);
        if (cel__timer_set(&listener->loop->timers, &listener->impatience, first->pending_until) < 0)
                give_back(listener, CEL_TIME_NEVER); /* no memory: too early is better than never */
}

static void on_impatience(cel__timer *timer)
{
        cel_notification_listener *listener = cel__container(timer, cel_notification_listener, impatience);

        give_back(listener, cel_clock_now(listener->clock));
        watch_pending(listener);
}

static void wait_for_handler(cel_notification_listener *listener, job *j)
{
        j->pending_until = cel_time_add_ms(cel_clock_now(listener->clock), PENDING_MS_MAX);
        cel__list_append(&listener->pending, &j->node);
        watch_pending(listener);
}

static void begin(cel_notification_listener *listener, job *j)
{
        if (listener->draining) {
                job_end(j, CEL__SETTLE_REQUEUE);
                return;
        }
        if (listener->running >= listener->concurrency) {
                wait_for_handler(listener, j);
                return;
        }
        int r = cel__task_spawn(listener->scope, NULL, "notification", work, j, NULL);
        if (r >= 0)
                listener->running++;
        else if (listener->running > 0) /* another handler takes it when it is done */
                wait_for_handler(listener, j);
        else
                job_end(j, CEL__SETTLE_REQUEUE);
}

/* After a reconnect, everything that waits is out of date; without this it would add up. */
static void drop_stale(cel_notification_listener *listener)
{
        while (!cel__list_empty(&listener->pending)) {
                job *first = cel__container(listener->pending.next, job, node);

                if (!listener->driver->is_stale(&first->delivery))
                        return;
                cel__list_remove(&first->node);
                job_end(first, CEL__SETTLE_REQUEUE);
        }
}

static void refuse(cel_notification_listener *listener, const cel__delivery *delivery, cel__settlement how)
{
        cel__delivery refused = *delivery;

        if (how == CEL__SETTLE_REJECT)
                cel_error(NULL, "NOTIFICATION-INVALID", "queue %s: a message is rejected unread: %s",
                          delivery->queue, delivery->refused);
        listener->driver->settle(&refused, how);
}

static void on_delivery(void *arg, const cel__delivery *delivery)
{
        cel_notification_listener *listener = arg;

        drop_stale(listener);
        if (!delivery->message) {
                refuse(listener, delivery, CEL__SETTLE_REJECT);
                return;
        }
        job *j = calloc(1, sizeof(*j));
        if (!j) {
                refuse(listener, delivery, CEL__SETTLE_REQUEUE);
                return;
        }
        cel__list_init(&j->node);
        j->listener = listener;
        j->delivery = *delivery;
        if (decode(j) < 0)
                job_end(j, CEL__SETTLE_REQUEUE);
        else if (was_handled(j))
                job_end(j, CEL__SETTLE_ACK);
        else
                begin(listener, j);
}

/* Give back what is not begun, and wait for what is. */
static int finish_work(cel_ctx *ctx, cel_notification_listener *listener)
{
        job *j;

        listener->draining = true;
        while ((j = next_pending(listener)))
                job_end(j, CEL__SETTLE_REQUEUE);
        return cel_scope_close(ctx, listener->scope);
}

/* --- Opening ---------------------------------------------------------------------------------- */

typedef struct queue_list {
        cel_queue queues[QUEUES_MAX];
        char keys[QUEUES_MAX][256];
        unsigned n;
} queue_list;

/* For each topic and priority: the queue "topic.priority", or the pool bound to that key. */
static int list_queues(cel_ctx *ctx, const cel_notification_listener_options *o, queue_list *list)
{
        const char *const *topics = o->topics ? o->topics : default_topics;
        const char *const *priorities = o->priorities ? o->priorities : all_priorities;

        for (const char *const *t = topics; *t; t++) {
                for (const char *const *p = priorities; *p; p++) {
                        if (list->n == QUEUES_MAX)
                                return cel_fail(ctx, CEL_EINVAL, "topics times priorities exceeds %d",
                                                QUEUES_MAX);
                        char *key = list->keys[list->n];
                        if (snprintf(key, sizeof(list->keys[0]), "%s.%s", *t, *p) >=
                            (int)sizeof(list->keys[0]))
                                return cel_fail(ctx, CEL_EINVAL, "topic \"%s\" is longer than AMQP allows",
                                                *t);
                        list->queues[list->n++] =
                                (cel_queue){.name = o->pool ? o->pool : key,
                                            .exchange = o->exchange ? o->exchange : "openstack",
                                            .binding_key = key,
                                            .durable = o->durable,
                                            .auto_delete = o->auto_delete};
                }
        }
        return list->n > 0 ? 0 : cel_fail(ctx, CEL_EINVAL, "no topics or no priorities to listen to");
}

static void listener_free(cel_notification_listener *listener)
{
        cel__timer_unset(&listener->loop->timers, &listener->impatience);
        seen_free(listener->handled);
        free(listener);
}

static int listener_new(cel_ctx *ctx, cel_transport *transport, const cel_notification_listener_options *o,
                        cel_notification_listener **ret_listener)
{
        cel_notification_listener *listener = calloc(1, sizeof(*listener));

        if (!listener)
                return CEL_ENOMEM;
        listener->driver = cel__transport_driver(transport);
        listener->loop = ctx->loop;
        listener->clock = cel__runtime_clock(cel_ctx_runtime(ctx));
        listener->on_notification = o->on_notification;
        listener->on_invalid = o->on_invalid;
        listener->arg = o->arg;
        listener->allow_requeue = o->allow_requeue;
        listener->concurrency = o->concurrency ? o->concurrency : CONCURRENCY_DEFAULT;
        cel__list_init(&listener->pending);
        cel__timer_init(&listener->impatience, on_impatience);
        int r = seen_new(SEEN_IDS_MAX, SEEN_MS_MAX, &listener->handled);
        if (r >= 0)
                r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &listener->scope);
        if (r < 0) {
                listener_free(listener);
                return r;
        }
        *ret_listener = listener;
        return 0;
}

/* While handlers run, the next messages are on their way already: a handler that is done finds work at hand. */
static unsigned prefetch_for(unsigned concurrency)
{
        return concurrency > CONCURRENCY_MAX / 2 ? CONCURRENCY_MAX : 2 * concurrency;
}

int cel_notification_listener_open(cel_ctx *ctx, cel_transport *transport,
                                   const cel_notification_listener_options *options,
                                   cel_notification_listener **ret_listener)
{
        cel_auto_free queue_list *list = calloc(1, sizeof(*list));
        cel_notification_listener *listener;

        if (!list)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        if (!options->on_notification || options->concurrency > CONCURRENCY_MAX)
                return cel_fail(ctx, CEL_EINVAL,
                                "a listener needs on_notification, and a concurrency of at most %d",
                                CONCURRENCY_MAX);
        int r = list_queues(ctx, options, list);
        if (r < 0)
                return r;
        r = listener_new(ctx, transport, options, &listener);
        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));

        cel__subscription_options subscription = {.queues = list->queues,
                                                  .queues_n = list->n,
                                                  .prefetch = prefetch_for(listener->concurrency),
                                                  .on_delivery = on_delivery,
                                                  .arg = listener};
        r = listener->driver->subscribe(ctx, cel__transport_bus(transport), &subscription,
                                        &listener->subscription);
        if (r < 0) { /* one queue may have delivered already when the next one was refused */
                char text[512];

                snprintf(text, sizeof(text), "%s", cel_ctx_error_text(ctx, r));
                cel_scope_cancel(listener->scope);
                finish_work(ctx, listener);
                listener_free(listener);
                return cel_fail(ctx, r, "%s", text);
        }
        *ret_listener = listener;
        return 0;
}

/* --- Closing ---------------------------------------------------------------------------------- */

int cel_notification_listener_close(cel_ctx *ctx, cel_notification_listener *listener)
{
        listener->draining = true;
        listener->driver->stop(
                ctx, listener->subscription); /* if this fails, the connection is lost, and so is intake */
        int r = finish_work(ctx, listener);
        listener->driver->unsubscribe(listener->subscription);
        listener_free(listener);
        return r;
}

unsigned cel_notification_listener_running(const cel_notification_listener *listener)
{
        return listener->running;
}
