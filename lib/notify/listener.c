/* SPDX-License-Identifier: Apache-2.0
 *
 * The notification listener (oslo-wire sections 4, 7, 8, 13, 14).
 *
 * Design notes. Deliveries come on the loop's hub. They wait in a list until a handler is free, which the prefetch bounds:
 * 2 * queues_n * concurrency * batch_size deliveries at most; those whose bytes there is no room for wait without their message, and are
 * given back when it is their turn. Messages begin on the hub too, because they are decoded there: a parser that recurses
 * over what a stranger sent does not belong on a task's small stack. Each is a task of its own, so that the loop looks at
 * its descriptors between any two. A delivery that has waited for PENDING_MS_MAX goes back to the queue: brokers lose
 * patience with whoever keeps a message for long (RabbitMQ closes the channel, after 30 minutes), and another listener may
 * be idle.
 *
 * What is begun goes through a batch, which a task handles. Without batches, that is one message; with them, a batch is
 * open, on a timer, while a handler is free and messages are to come. Only one is open at a time.
 *
 * When a channel is lost, the bus delivers again what was not settled. A copy of a message that is in a batch is
 * not begun: its ticket goes to the job there, which settles with that one.
 *
 * Where upstream's rules lose messages, ours do not: a redelivered copy of a handled message is acknowledged
 * (upstream leaves it unsettled, and any other message with that id as well), and the queue alone says which priorities are listened to. */
#include "notify/listener.h"
#include "base/hash.h"
#include "notify/deserialize.h"
#include "notify/hub.h"
#include "notify/targets.h"
#include "rt/task.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        CONCURRENCY_DEFAULT = 64,
        CONCURRENCY_MAX = 65535,
        PREFETCH_MAX = 65535,
        BATCH_SIZE_MAX = 10000,
        BYTES_MAX_DEFAULT = 256 * 1024 * 1024,
        SEEN_IDS_MAX = 10000,
        SEEN_MS_MAX = 10 * 60 * 1000,
        PENDING_MS_MAX = 5 * 60 * 1000,
        TURN_MESSAGES_MAX = 64, /* decoded in a row */
};

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
        return &listener->running_by_id[hash % CEL__RUNNING_BUCKETS];
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

static cel_time pending_until(const job *j)
{
        return cel_time_add_ms(j->came, PENDING_MS_MAX);
}

/* --- Batches ---------------------------------------------------------------------------------- */

static void batch_close(cel_notification_listener *listener)
{
        cel__timer_unset(&listener->loop->timers, &listener->window);
        listener->open = (free(listener->open), NULL);
}

/* The open batch will not begin: give back what is in it. */
static void batch_give_back(cel_notification_listener *listener)
{
        for (unsigned i = 0; listener->open && i < listener->open->n; i++)
                job_end(listener->open->jobs[i], CEL__SETTLE_REQUEUE);
        batch_close(listener);
}

/* Open one for what came at the time of `first`. */
static int batch_open(cel_notification_listener *listener, const job *first)
{
        batch *b = calloc(1, sizeof(*b) + listener->batch_size * sizeof(b->jobs[0]));

        if (!b)
                return CEL_ENOMEM;
        b->listener = listener;
        b->until = cel_time_add_ms(first->came, listener->batch_timeout_ms);
        listener->open = b;
        return 0;
}

/* Can no other message join the open batch? */
static bool batch_is_full(const cel_notification_listener *listener)
{
        const batch *b = listener->open;

        return b && (b->n == listener->batch_size || !b->jobs[0]->valid);
}

static bool batch_is_late(const cel_notification_listener *listener)
{
        return listener->open && listener->open->until.ns <= cel_clock_now(listener->clock).ns;
}

/* Let go of what came before a reconnect: the bus delivers it again. */
static void batch_drop_stale(const cel_notification_listener *listener, batch *b)
{
        unsigned kept = 0;

        for (unsigned i = 0; i < b->n; i++) {
                if (listener->driver->is_stale(&b->jobs[i]->delivery))
                        job_end(b->jobs[i], CEL__SETTLE_REQUEUE);
                else
                        b->jobs[kept++] = b->jobs[i];
        }
        b->n = kept;
}

/* Start the handler of the open batch. Returns false if none can be started now. */
static bool batch_begin(cel_notification_listener *listener)
{
        batch *b = listener->open;

        batch_drop_stale(listener, b);
        if (b->n == 0) {
                batch_close(listener);
                return true;
        }
        if (cel__task_spawn(listener->scope, NULL, "notification", batch_work, b, NULL) >= 0) {
                listener->running++;
                cel__timer_unset(&listener->loop->timers, &listener->window);
                listener->open = NULL;
                return true;
        }
        if (listener->running > 0) /* when that ends, there may be a task to be had */
                return false;
        batch_give_back(listener);
        return true;
}

/* Who wants it, as far as that can be told now? Returns false if it is settled with that: nobody does, or it is not to be
 * found out. */
static bool is_wanted(cel_notification_listener *listener, job *j)
{
        j->endpoints = cel__endpoints_for(&listener->endpoints, j->notification.priority);
        if (!is_deserializing(listener) &&
            cel__endpoints_filter(&listener->endpoints, j->notification.message, &j->endpoints) < 0) {
                job_end(j, CEL__SETTLE_REQUEUE);
                return false;
        }
        if (j->endpoints)
                return true;
        if (cel__priority_find(j->notification.priority) < 0)
                cel_warn(NULL, "NOTIFICATION-PRIORITY-UNKNOWN",
                         "there is no priority \"%.40s\": a notification is dropped",
                         j->notification.priority);
        job_end(j, CEL__SETTLE_ACK);
        return false;
}

/* Take a pending job into the open batch, or settle it at once. Returns false if it is none for this batch. */
static bool join(cel_notification_listener *listener, job *j)
{
        if (job_decode(j) < 0) {
                job_end(j, CEL__SETTLE_REQUEUE);
                return true;
        }
        if (was_handled(j)) { /* another copy, while this one waited */
                job_end(j, CEL__SETTLE_ACK);
                return true;
        }
        if (!j->valid && listener->open) /* it is handled alone */
                return false;
        if (j->valid && !is_wanted(listener, j))
                return true;
        if (!listener->open && batch_open(listener, j) < 0) {
                job_end(j, CEL__SETTLE_REQUEUE);
                return true;
        }
        hold(j, j->message_bytes + cel__buf_used(&j->plain));
        cel__list_remove(&j->node);
        if (*job_id(j))
                cel__list_append(running_with(listener, job_id(j)), &j->running_node);
        listener->open->jobs[listener->open->n++] = j;
        return true;
}

/* The same, if there is room for it. What came before a reconnect is let go: the bus delivers it again. */
static bool take(cel_notification_listener *listener, job *j)
{
        bool idle = listener->running == 0 && !listener->open;

        if (listener->driver->is_stale(&j->delivery)) {
                job_end(j, CEL__SETTLE_REQUEUE);
                return true;
        }
        if (!j->delivery.message) { /* there was no room for it */
                if (!idle && !has_room(listener, j->message_bytes))
                        return false;
                job_end(j, CEL__SETTLE_REQUEUE);
                return true;
        }
        if (!idle && listener->bytes > listener->bytes_max) /* some grew when they were decompressed */
                return false;
        return join(listener, j);
}

/* Begin as much as there are handlers for. What cannot join the open batch makes that begin. */
static void begin_pending(cel_notification_listener *listener)
{
        for (unsigned taken = 0;; taken++) {
                job *j = first_pending(listener);

                if (listener->paused)
                        j = NULL;
                if ((batch_is_full(listener) || (!j && batch_is_late(listener))) && !batch_begin(listener))
                        return;
                if (!j || (!listener->open && listener->running >= listener->concurrency))
                        return;
                if (taken == TURN_MESSAGES_MAX) {
                        cel__loop_defer(listener->loop, &listener->begin);
                        return;
                }
                if (!take(listener, j) && (!listener->open || !batch_begin(listener)))
                        return;
        }
}

/* An open batch begins when its time has come; when there is no memory for a timer, at once. One that should have begun
 * waits for a task to end. */
static void watch_batch(cel_notification_listener *listener)
{
        if (!listener->open || cel__timer_is_set(&listener->window) || batch_is_full(listener) ||
            batch_is_late(listener))
                return;
        if (cel__timer_set(&listener->loop->timers, &listener->window, listener->open->until) < 0)
                batch_begin(listener);
}

static void begin_what_is_due(cel_notification_listener *listener)
{
        begin_pending(listener);
        watch_batch(listener);
}

static void on_window(cel__timer *timer)
{
        begin_what_is_due(cel__container(timer, cel_notification_listener, window));
}

static void on_begin(cel__deferred *deferred)
{
        begin_what_is_due(cel__container(deferred, cel_notification_listener, begin));
}

/* Have the first that is pending handled although the listener is paused. Returns false if that cannot be. */
static bool begin_overdue(cel_notification_listener *listener)
{
        if (!listener->paused || listener->draining ||
            (!listener->open && listener->running >= listener->concurrency) ||
            !take(listener, first_pending(listener)))
                return false;
        if (batch_is_full(listener))
                batch_begin(listener);
        watch_batch(listener);
        return true;
}

/* Give back what is pending and was so for too long: as far as `now` says. While the listener is paused, have it handled. */
static void give_back(cel_notification_listener *listener, cel_time now)
{
        for (job *j; (j = first_pending(listener)) && pending_until(j).ns <= now.ns;)
                if (!begin_overdue(listener))
                        job_end(j, CEL__SETTLE_REQUEUE);
}

static void watch_pending(cel_notification_listener *listener)
{
        job *first = first_pending(listener);

        if (!first || cel__timer_is_set(&listener->impatience))
                return;
        if (cel__timer_set(&listener->loop->timers, &listener->impatience, pending_until(first)) < 0)
                give_back(listener, CEL_TIME_NEVER); /* no memory: too early is better than never */
}

static void on_impatience(cel__timer *timer)
{
        cel_notification_listener *listener = cel__container(timer, cel_notification_listener, impatience);

        give_back(listener, cel_clock_now(listener->clock));
        watch_pending(listener);
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
        j->came = cel_clock_now(listener->clock);
        cel__list_append(&listener->pending, &j->node);
        begin_what_is_due(listener);
        watch_pending(listener);
}

/* Give back what is not begun, and wait for what is. */
static int finish_work(cel_ctx *ctx, cel_notification_listener *listener)
{
        listener->draining = true;
        batch_give_back(listener);
        give_back(listener, CEL_TIME_NEVER);
        return cel_scope_close(ctx, listener->scope);
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* Endpoints, as they are read on the hub while a task waits. */
typedef struct endpoint_reading {
        cel__endpoints *endpoints;
        const cel_notification_listener_options *options;
        int r;
        char why[256];
} endpoint_reading;

static void on_read(void *arg)
{
        endpoint_reading *reading = arg;

        reading->r =
                cel__endpoints_init(reading->endpoints, reading->options, reading->why, sizeof(reading->why));
}

static int read_endpoints(cel_ctx *ctx, cel_notification_listener *listener,
                          const cel_notification_listener_options *options)
{
        endpoint_reading reading = {.endpoints = &listener->endpoints, .options = options};
        int r = cel__run_on_hub(ctx, on_read, &reading);

        return r < 0 ? r : reading.r < 0 ? cel_fail(ctx, reading.r, "%s", reading.why) : 0;
}

static void listener_free(cel_notification_listener *listener)
{
        cel__timer_unset(&listener->loop->timers, &listener->impatience);
        cel__list_remove(&listener->begin.node);
        cel__seen_free(listener->handled);
        cel__endpoints_fini(&listener->endpoints);
        free(listener);
}

static void read_limits(cel_notification_listener *listener, const cel_notification_listener_options *o)
{
        bool batches = o->batch_size > 0,
             short_window = o->batch_timeout_ms > 0 && o->batch_timeout_ms < PENDING_MS_MAX;

        listener->allow_requeue = o->allow_requeue;
        listener->concurrency = o->concurrency ? o->concurrency : batches ? 1 : CONCURRENCY_DEFAULT;
        listener->batch_size = batches ? o->batch_size : 1;
        listener->batch_timeout_ms = short_window ? o->batch_timeout_ms : PENDING_MS_MAX;
        listener->bytes_max = o->bytes_max ? o->bytes_max : BYTES_MAX_DEFAULT;
}

static int listener_new(cel_ctx *ctx, cel_transport *transport, const cel_notification_listener_options *o,
                        cel_notification_listener **ret_listener)
{
        cel_notification_listener *listener = calloc(1, sizeof(*listener));

        if (!listener)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        listener->driver = cel__transport_driver(transport);
        listener->loop = ctx->loop;
        listener->clock = cel__runtime_clock(cel_ctx_runtime(ctx));
        listener->on_invalid = o->on_invalid;
        listener->arg = o->arg;
        if (o->serializer)
                listener->serializer = *o->serializer;
        read_limits(listener, o);
        cel__list_init(&listener->pending);
        cel__timer_init(&listener->window, on_window);
        cel__timer_init(&listener->impatience, on_impatience);
        cel__list_init(&listener->begin.node);
        listener->begin.run = on_begin;
        for (size_t i = 0; i < CEL__RUNNING_BUCKETS; i++)
                cel__list_init(&listener->running_by_id[i]);
        int r = read_endpoints(ctx, listener, o);
        if (r >= 0 && (r = cel__seen_new(SEEN_IDS_MAX, SEEN_MS_MAX, &listener->handled)) < 0)
                r = cel_fail(ctx, r, "%s", cel_error_text(r));
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
static unsigned prefetch_for(const cel_notification_listener *listener)
{
        uint64_t ahead = (uint64_t)2 * listener->concurrency * listener->batch_size;

        return ahead > PREFETCH_MAX ? PREFETCH_MAX : (unsigned)ahead;
}

static int subscribe(cel_ctx *ctx, cel_transport *transport, const cel_notification_listener_options *options,
                     cel_notification_listener *listener)
{
        cel_auto_free cel__queue_list *list = calloc(1, sizeof(*list));
        const char *wanted[CEL__PRIORITIES_N + 1];

        if (!list)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel__endpoints_priorities(&listener->endpoints, wanted);
        int r = cel__list_queues(ctx, cel__transport_settings(transport), options,
                                 options->priorities ? options->priorities : wanted, list);
        if (r < 0)
                return r;
        cel__subscription_options subscription = {.queues = list->queues,
                                                  .queues_n = list->n,
                                                  .prefetch = prefetch_for(listener),
                                                  .on_delivery = on_delivery,
                                                  .arg = listener};
        return listener->driver->subscribe(ctx, cel__transport_bus(transport), &subscription,
                                           &listener->subscription);
}

int cel_notification_listener_open(cel_ctx *ctx, cel_transport *transport,
                                   const cel_notification_listener_options *options,
                                   cel_notification_listener **ret_listener)
{
        cel_notification_listener *listener = NULL;

        if (!ctx->loop)
                return cel_fail(ctx, CEL_ENOSUPPORT,
                                "a listener is opened by a task of the transport's loop");
        if (options->concurrency > CONCURRENCY_MAX || options->batch_size > BATCH_SIZE_MAX)
                return cel_fail(ctx, CEL_EINVAL, "a listener's concurrency is at most %d, its batch_size %d",
                                CONCURRENCY_MAX, BATCH_SIZE_MAX);
        int r = listener_new(ctx, transport, options, &listener);
        if (r < 0)
                return r;
        r = subscribe(ctx, transport, options, listener);
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

void cel_notification_listener_pause(cel_notification_listener *listener)
{
        listener->paused = true;
}

void cel_notification_listener_resume(cel_notification_listener *listener)
{
        listener->paused = false;
        if (!cel__list_empty(&listener->pending))
                cel__loop_defer(listener->loop, &listener->begin);
}

unsigned cel_notification_listener_running(const cel_notification_listener *listener)
{
        return listener->running;
}
