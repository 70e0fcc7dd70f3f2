/* SPDX-License-Identifier: Apache-2.0
 *
 * The notification listener (oslo-wire sections 4, 7, 8, 13, 14).
 *
 * Design notes. Deliveries come on the loop's hub. They wait in a list until a handler is free, which the prefetch bounds:
 * 2 * queues_n * concurrency deliveries at most; those whose bytes there is no room for wait without their message, and are
 * given back when it is their turn. Messages begin on the hub too, because they are decoded there: a parser that recurses
 * over what a stranger sent does not belong on a task's small stack. Each is a task of its own, so that the loop looks at
 * its descriptors between any two. A delivery that has waited for PENDING_MS_MAX goes back to the queue: brokers lose
 * patience with whoever keeps a message for long (RabbitMQ closes the channel, after 30 minutes), and another listener may
 * be idle.
 *
 * When a channel is lost, the bus delivers again what was not settled. A copy of a message whose handler still runs is not
 * begun: its ticket goes to the handler's job, which settles with that one.
 *
 * Where upstream's rules lose messages, ours do not: a redelivered copy of a handled message is acknowledged
 * (upstream leaves it unsettled, and any other message with that id as well), and the queue alone says which priorities are listened to. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/seen.h"
#include "notify/job.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        CONCURRENCY_DEFAULT = 64,
        CONCURRENCY_MAX = 65535,
        BYTES_MAX_DEFAULT = 256 * 1024 * 1024,
        QUEUES_MAX = 256,
        SEEN_IDS_MAX = 10000,
        SEEN_MS_MAX = 10 * 60 * 1000,
        PENDING_MS_MAX = 5 * 60 * 1000,
        RUNNING_BUCKETS = 256, /* a power of two */
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
        cel__seen *handled;        /* owned; unique ids */
        cel_notification_fn on_notification;
        cel_invalid_message_fn on_invalid;
        void *arg; /* borrowed */
        bool allow_requeue;
        unsigned concurrency;
        unsigned running; /* tasks of handlers */
        size_t bytes_max;
        size_t bytes;      /* that jobs hold */
        bool draining;     /* what is not begun goes back */
        cel__list pending; /* of job, in the order in which they came */
        cel__timer
                impatience;  /* set while something is pending: no later than the first one's time is over */
        cel__deferred begin; /* on the hub: a handler is free */
        cel__list running_by_id[RUNNING_BUCKETS]; /* of job, those with an id */
};

/* --- One message ------------------------------------------------------------------------------ */

/* How much a job holds is known anew. */
static void hold(job *j, size_t bytes)
{
        j->listener->bytes += bytes - j->held_bytes;
        j->held_bytes = bytes;
}

/* Is there room for `bytes` more? For one message always. */
static bool has_room(const cel_notification_listener *listener, size_t bytes)
{
        return listener->bytes == 0 ||
               (listener->bytes <= listener->bytes_max && bytes <= listener->bytes_max - listener->bytes);
}

static void job_end(job *j, cel__settlement how)
{
        cel_notification_listener *listener = j->listener;

        /* Remembered even if the acknowledgement comes too late: the copy that follows is not handled again.
         */
        if (how == CEL__SETTLE_ACK && *job_id(j))
                cel__seen_add(listener->handled, job_id(j), cel_clock_now(listener->clock));
        hold(j, 0);
        job_free(j, listener->driver, how);
}

/* What the handler's result means for the message. */
static cel__settlement verdict(cel_ctx *ctx, const cel_notification_listener *listener, int result)
{
        if (result == CEL_HANDLED)
                return CEL__SETTLE_ACK;
        if (result == CEL_REQUEUE && !listener->allow_requeue)
                cel_warn(ctx, "NOTIFICATION-NOT-REQUEUED",
                         "a handler gives a message back, but this listener does not allow it: the message "
                         "is dropped");
        cel_assert(result < 0 || result == CEL_REQUEUE);
        if (result < 0 && result != CEL_ECANCELED)
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

/* A handler's task. */
static int work(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        cel_notification_listener *listener = j->listener;

        job_end(j, handle(ctx, j));
        listener->running--;
        if (!cel__list_empty(&listener->pending))
                cel__loop_defer(listener->loop, &listener->begin);
        return 0;
}

/* --- Copies ----------------------------------------------------------------------------------- */

/* Is it a copy that the bus brought of a message that was handled lately? What was not delivered before, somebody
 * has sent again on purpose, such as an operator who replays a dead letter. */
static bool was_handled(const job *j)
{
        return *job_id(j) && j->delivery.message->redelivered &&
               cel__seen_has(j->listener->handled, job_id(j), cel_clock_now(j->listener->clock));
}

static cel__list *running_with(cel_notification_listener *listener, const char *id)
{
        uint64_t hash = CEL__HASH_NONE;

        for (; *id; id++)
                hash = cel__hash_add(hash, (unsigned char)*id);
        return &listener->running_by_id[hash % RUNNING_BUCKETS];
}

/* The job that still handles the message which this is a copy of, after its own delivery was lost. */
static job *find_running(const job *copy)
{
        cel_notification_listener *listener = copy->listener;
        const char *id = job_id(copy);

        cel__list_for_each (node, running_with(listener, id)) {
                job *j = cel__container(node, job, running_node);

                if (strcmp(job_id(j), id) == 0 && listener->driver->is_stale(&j->delivery))
                        return j;
        }
        return NULL;
}

/* Take care of a redelivered message that is handled already, or just now. Returns whether it is one; `j` is then gone. */
static bool is_copy(job *j)
{
        if (!j->delivery.message->redelivered)
                return false;
        if (job_decode(j) < 0) {
                job_end(j, CEL__SETTLE_REQUEUE);
                return true;
        }
        job *running = *job_id(j) ? find_running(j) : NULL;
        if (running) {
                cel__ticket lost = running->delivery.ticket;

                running->delivery.ticket = j->delivery.ticket;
                j->delivery.ticket = lost;
                job_end(j, CEL__SETTLE_REQUEUE);
                return true;
        }
        if (was_handled(j)) {
                job_end(j, CEL__SETTLE_ACK);
                return true;
        }
        job_undecode(j);
        return false;
}

/* --- Waiting for a handler -------------------------------------------------------------------- */

static job *first_pending(cel_notification_listener *listener)
{
        return cel__list_empty(&listener->pending) ? NULL : cel__container(listener->pending.next, job, node);
}

/* Give back what is pending and was so for too long: as far as `now` says. */
static void give_back(cel_notification_listener *listener, cel_time now)
{
        for (job *j; (j = first_pending(listener)) && j->pending_until.ns <= now.ns;)
                job_end(j, CEL__SETTLE_REQUEUE);
}

static void watch_pending(cel_notification_listener *listener)
{
        job *first = first_pending(listener);

        if (!first || cel__timer_is_set(&listener->impatience))
                return;
        if (cel__timer_set(&listener->loop->timers, &listener->impatience, first->pending_until) < 0)
                give_back(listener, CEL_TIME_NEVER); /* no memory: too early is better than never */
}

static void on_impatience(cel__timer *timer)
{
        cel_notification_listener *listener = cel__container(timer, cel_notification_listener, impatience);

        give_back(listener, cel_clock_now(listener->clock));
        watch_pending(listener);
}

/* Start a handler. Returns false if none can be started now. */
static bool begin(cel_notification_listener *listener, job *j)
{
        cel__list_remove(&j->node);
        if (job_decode(j) < 0) {
                job_end(j, CEL__SETTLE_REQUEUE);
                return true;
        }
        if (was_handled(j)) { /* another copy, while this one waited */
                job_end(j, CEL__SETTLE_ACK);
                return true;
        }
        if (cel__task_spawn(listener->scope, NULL, "notification", work, j, NULL) >= 0) {
                listener->running++;
                hold(j, j->message_bytes + cel__buf_used(&j->plain));
                if (*job_id(j))
                        cel__list_append(running_with(listener, job_id(j)), &j->running_node);
                return true;
        }
        if (listener->running == 0) { /* nobody would come back to it */
                job_end(j, CEL__SETTLE_REQUEUE);
                return true;
        }
        job_undecode(j);
        cel__list_append(listener->pending.next, &j->node); /* the first again */
        return false;
}

/* Begin as much as there are handlers for. What came before a reconnect is let go: the bus delivers it again. */
static void begin_pending(cel_notification_listener *listener)
{
        job *j;

        while (listener->running < listener->concurrency && (j = first_pending(listener))) {
                bool idle = listener->running == 0;

                if (listener->driver->is_stale(&j->delivery)) {
                        job_end(j, CEL__SETTLE_REQUEUE);
                } else if (!j->delivery.message) { /* there was no room for it */
                        if (!idle && !has_room(listener, j->message_bytes))
                                return;
                        job_end(j, CEL__SETTLE_REQUEUE);
                } else if ((!idle && listener->bytes > listener->bytes_max) || !begin(listener, j)) {
                        return; /* some grew when they were decompressed, or there is no task to be had */
                }
        }
}

static void on_begin(cel__deferred *deferred)
{
        begin_pending(cel__container(deferred, cel_notification_listener, begin));
}

/* --- Deliveries ------------------------------------------------------------------------------- */

/* After a reconnect, everything that waits is out of date; without this it would add up. */
static void drop_stale(cel_notification_listener *listener)
{
        for (job *j; (j = first_pending(listener)) && listener->driver->is_stale(&j->delivery);)
                job_end(j, CEL__SETTLE_REQUEUE);
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
        job *j;

        drop_stale(listener);
        if (!delivery->message) {
                refuse(listener, delivery, CEL__SETTLE_REJECT);
                return;
        }
        if (job_new(listener, delivery, &j) < 0) {
                refuse(listener, delivery, CEL__SETTLE_REQUEUE);
                return;
        }
        if (is_copy(j))
                return;
        if (listener->draining) {
                job_end(j, CEL__SETTLE_REQUEUE);
                return;
        }
        if (has_room(listener, j->message_bytes))
                hold(j, j->message_bytes);
        else
                listener->driver->drop_message(&j->delivery);
        j->pending_until = cel_time_add_ms(cel_clock_now(listener->clock), PENDING_MS_MAX);
        cel__list_append(&listener->pending, &j->node);
        begin_pending(listener);
        watch_pending(listener);
}

/* Give back what is not begun, and wait for what is. */
static int finish_work(cel_ctx *ctx, cel_notification_listener *listener)
{
        listener->draining = true;
        give_back(listener, CEL_TIME_NEVER);
        return cel_scope_close(ctx, listener->scope);
}

/* --- Opening ---------------------------------------------------------------------------------- */

typedef struct queue_list {
        cel_queue queues[QUEUES_MAX];
        char keys[QUEUES_MAX][256];
        unsigned n;
} queue_list;

/* For each topic and priority: the queue "topic.priority", or the pool bound to that key. */
static int list_queues(cel_ctx *ctx, const cel__driver_settings *settings,
                       const cel_notification_listener_options *o, queue_list *list)
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
                                            .durable = o->durable || settings->durable,
                                            .auto_delete = o->auto_delete || settings->auto_delete,
                                            .arguments = settings->arguments};
                }
        }
        return list->n > 0 ? 0 : cel_fail(ctx, CEL_EINVAL, "no topics or no priorities to listen to");
}

static void listener_free(cel_notification_listener *listener)
{
        cel__timer_unset(&listener->loop->timers, &listener->impatience);
        cel__list_remove(&listener->begin.node);
        cel__seen_free(listener->handled);
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
        listener->bytes_max = o->bytes_max ? o->bytes_max : BYTES_MAX_DEFAULT;
        cel__list_init(&listener->pending);
        cel__timer_init(&listener->impatience, on_impatience);
        cel__list_init(&listener->begin.node);
        listener->begin.run = on_begin;
        for (size_t i = 0; i < RUNNING_BUCKETS; i++)
                cel__list_init(&listener->running_by_id[i]);
        int r = cel__seen_new(SEEN_IDS_MAX, SEEN_MS_MAX, &listener->handled);
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
        int r = list_queues(ctx, cel__transport_settings(transport), options, list);
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
        if (ctx->loop != listener->loop)
                return cel_fail(ctx, CEL_ENOSUPPORT,
                                "a listener is closed by a task of the loop that it was opened on");
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
