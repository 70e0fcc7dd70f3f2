/* SPDX-License-Identifier: Apache-2.0
 *
 * The serving side (oslo-wire sections 4, 7, 12, 14).
 *
 * Design notes. Deliveries come on the loop's hub, where they are decoded: a parser that recurses over what a
 * stranger sent does not belong on a task's small stack. A request begins, in a task of its own, when the server and
 * its method's lane have a place free; until then it waits unacknowledged in its lane, so the prefetch bounds what
 * waits. Lanes with something to begin take turns.
 *
 * A request is acknowledged when it gets its place, before the handler runs (at most once), or, if its endpoint says
 * so, when its reply is sent (at least once). The place is free again when the handler returns: sending the reply is
 * a matter of the task alone. Only when very many replies are under way, they keep their places.
 *
 * A server that is freed lives on in its keeper, a task of the runtime's own, until the last handler has ended. It
 * holds the transport until then. */
#include "rpc/server.h"
#include "base/assert.h"
#include "rt/runtime.h"
#include "rt/task.h"
#include "wire/body.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        ENDPOINTS_MAX = 64,
        CONCURRENCY_DEFAULT = 1000,
        CONCURRENCY_MAX = 60000,
        AHEAD = 64, /* requests on their way to a server whose places are all taken */
        SEEN_IDS_MAX = 10000,
        SEEN_MS_MAX = 60000,
        MISSING_QUEUES_MAX = 200,
        MISSING_MS_MAX = 60000,
        WAITING_MS_MAX = 5 * 60 * 1000, /* brokers lose patience with whoever keeps a message for long */
        DRAIN_MS = 30000,
        FAILURE_BYTES_MAX = 16 << 20,
        BYTES_MAX_DEFAULT = 256 << 20,
};

/* --- One request ------------------------------------------------------------------------------ */

bool server_settle(cel_request *q, cel__settlement how)
{
        cel_assert(!q->settled);
        q->settled = true;
        if (how == CEL__SETTLE_REQUEUE && q->opened && *q->wire.unique_id)
                cel__seen_remove(q->server->seen,
                                 q->wire.unique_id); /* it is to be handled when it comes again */
        return q->server->driver->settle(&q->delivery, how) >= 0;
}

/* Is there room for `bytes` more? For one request always. */
static bool has_room(const cel_rpc_server *server, size_t bytes)
{
        return server->bytes == 0 ||
               (server->bytes <= server->bytes_max && bytes <= server->bytes_max - server->bytes);
}

static void count(cel_request *q)
{
        q->counted = true;
        q->server->bytes += q->bytes;
}

/* Settle it and be done with it. */
static void drop(cel_request *q, cel__settlement how)
{
        server_settle(q, how);
        request_unref(q);
}

bool server_has_expired(const cel_request *q)
{
        return cel_clock_now(q->server->clock).ns >= q->deadline.ns;
}

/* The caller's timeout has passed since the request came, or more. */
static cel_time deadline_of(const cel_rpc_server *server, const cel_message *message)
{
        char *end = NULL;
        long long ms = message->expiration ? strtoll(message->expiration, &end, 10) : -1;

        if (ms < 0 || !end || end == message->expiration || *end)
                return CEL_TIME_NEVER;
        return cel_time_add_ms(cel_clock_now(server->clock), ms);
}

/* --- Turns ------------------------------------------------------------------------------------ */

static bool has_place(const lane *l)
{
        return l->method->concurrency_max == 0 || l->running < l->method->concurrency_max;
}

/* Let the lane take its turn, if it has something to begin and may. */
static void queue_lane(cel_rpc_server *server, lane *l)
{
        if (!cel__list_empty(&l->waiting) && has_place(l) && cel__list_empty(&l->turn))
                cel__list_append(&server->turns, &l->turn);
}

static void stop_waiting(cel_request *q)
{
        cel__list_remove(&q->lane_node);
        cel__list_remove(&q->waiting_node);
        q->server->stats.waiting--;
}

/* Give the request a place. Takes it. */
static void begin(cel_request *q)
{
        cel_rpc_server *server = q->server;
        lane *l = q->lane;
        int r = cel__task_spawn(server->scope, NULL, q->wire.method, handle_request, q, NULL);

        if (r < 0) {
                cel_error(NULL, "RPC-NO-TASK", "method %s: the request is given back: %s", q->wire.method,
                          cel_error_text(r));
                drop(q, CEL__SETTLE_REQUEUE);
                return;
        }
        l->running++;
        server->stats.running++;
        cel_event_clear(server->idle);
        if (l->endpoint->ack_late) {
                cel__list_append(&server->late, &q->lane_node);
        } else if (!server_settle(q, CEL__SETTLE_ACK)) {
                /* The connection it came on is gone, and the bus will deliver it again. */
                q->lost = true;
                if (*q->wire.unique_id)
                        cel__seen_remove(server->seen, q->wire.unique_id);
        }
}

static void give_turns(cel_rpc_server *server)
{
        while (server->stats.running < server->concurrency && !cel__list_empty(&server->turns)) {
                lane *l = cel__container(cel__list_pop(&server->turns), lane, turn);

                if (cel__list_empty(&l->waiting) || !has_place(l))
                        continue;
                cel_request *q = cel__container(l->waiting.next, cel_request, lane_node);
                stop_waiting(q);
                begin(q);
                queue_lane(server, l);
        }
}

void server_leave_place(cel_request *q)
{
        q->server->stats.running--;
        q->lane->running--;
        queue_lane(q->server, q->lane);
        give_turns(q->server);
}

void server_tell_idle(cel_rpc_server *server)
{
        if (server->stats.running == 0 && server->stats.replying == 0 && server->monitors == 0)
                cel_event_set(server->idle);
}

static void end_waiting(cel_request *q)
{
        stop_waiting(q);
        if (server_has_expired(q)) {
                q->server->stats.expired_dropped++;
                drop(q, CEL__SETTLE_ACK);
        } else {
                drop(q, CEL__SETTLE_REQUEUE);
        }
}

/* Give back what has waited too long: as far as `now` says. */
static void give_back(cel_rpc_server *server, cel_time now)
{
        while (!cel__list_empty(&server->waiting)) {
                cel_request *first = cel__container(server->waiting.next, cel_request, waiting_node);

                if (first->waits_until.ns > now.ns)
                        return;
                end_waiting(first);
        }
}

static void watch_waiting(cel_rpc_server *server)
{
        if (cel__list_empty(&server->waiting) || cel__timer_is_set(&server->impatience))
                return;
        cel_request *first = cel__container(server->waiting.next, cel_request, waiting_node);
        if (cel__timer_set(&server->loop->timers, &server->impatience, first->waits_until) < 0)
                give_back(server, CEL_TIME_NEVER); /* no memory: too early is better than never */
}

static void on_impatience(cel__timer *timer)
{
        cel_rpc_server *server = cel__container(timer, cel_rpc_server, impatience);

        give_back(server, cel_clock_now(server->clock));
        watch_waiting(server);
}

/* After a reconnect, everything that waits is out of date; without this it would add up. */
static void drop_stale(cel_rpc_server *server)
{
        while (!cel__list_empty(&server->waiting)) {
                cel_request *first = cel__container(server->waiting.next, cel_request, waiting_node);

                if (!server->driver->is_stale(&first->delivery))
                        return;
                stop_waiting(first);
                drop(first, CEL__SETTLE_REQUEUE);
        }
}

/* --- Deliveries ------------------------------------------------------------------------------- */

/* Find out what was asked. On failure, q->why is a sentence. */
static int decode(cel_request *q)
{
        const void *body;
        size_t n;
        int r = cel__body_plain(q->delivery.message, &q->plain, &body, &n, q->why, sizeof(q->why));

        if (r >= 0)
                r = cel__envelope_open(body, n, &q->envelope, q->why, sizeof(q->why));
        if (r < 0)
                return r;
        q->opened = true;
        r = cel__request_decode(&q->envelope, &q->wire, &q->context, q->why, sizeof(q->why));
        if (r >= 0 && q->envelope.version == 2) /* else it is borrowed, and may wait */
                cel__buf_clear(&q->plain, 0);
        return r;
}

static bool is_duplicate(const cel_request *q)
{
        return *q->wire.unique_id &&
               cel__seen_has(q->server->seen, q->wire.unique_id, cel_clock_now(q->server->clock));
}

/* The request that is being handled, and will be acknowledged late, of which this is a copy: its own delivery was lost. */
static cel_request *find_late(const cel_request *copy)
{
        const cel_rpc_server *server = copy->server;

        cel__list_for_each (node, &server->late) {
                cel_request *q = cel__container(node, cel_request, lane_node);

                if (strcmp(q->wire.unique_id, copy->wire.unique_id) == 0 && !q->settled &&
                    server->driver->is_stale(&q->delivery))
                        return q;
        }
        return NULL;
}

static void drop_duplicate(cel_request *copy)
{
        cel_request *q = copy->delivery.message->redelivered ? find_late(copy) : NULL;

        copy->server->stats.duplicates_dropped++;
        if (q) { /* it is settled with the ticket of the copy */
                cel__ticket lost = q->delivery.ticket;

                q->delivery.ticket = copy->delivery.ticket;
                copy->delivery.ticket = lost;
        }
        drop(copy, CEL__SETTLE_ACK);
}

static void wait_for_turn(cel_request *q, cel__list *list)
{
        cel_rpc_server *server = q->server;

        q->waits_until = cel_time_add_ms(cel_clock_now(server->clock), WAITING_MS_MAX);
        cel__list_append(list, &q->lane_node);
        cel__list_append(&server->waiting, &q->waiting_node);
        server->stats.waiting++;
        watch_waiting(server);
}

static void admit(cel_request *q)
{
        cel_rpc_server *server = q->server;

        server->stats.received++;
        if (is_duplicate(q)) {
                drop_duplicate(q);
                return;
        }
        if (*q->wire.unique_id)
                cel__seen_add(server->seen, q->wire.unique_id, cel_clock_now(server->clock));
        q->lane = dispatch_find(server, &q->wire);
        wait_for_turn(q, &q->lane->waiting);
        queue_lane(server, q->lane);
        give_turns(server);
}

/* There is no room for its bytes: it waits without them, and goes back as soon as there is. */
static void starve(cel_request *q)
{
        q->server->driver->drop_message(&q->delivery);
        wait_for_turn(q, &q->server->starved);
}

void server_uncount(cel_request *q)
{
        cel_rpc_server *server = q->server;

        if (!q->counted)
                return;
        q->counted = false;
        server->bytes -= q->bytes;
        if (cel__list_empty(&server->starved))
                return;
        cel_request *first = cel__container(server->starved.next, cel_request, lane_node);
        if (has_room(server, first->bytes))
                end_waiting(first);
}

static void note_invalid(cel_rpc_server *server, const char *queue, const char *why)
{
        server->stats.invalid++;
        cel_error(NULL, "RPC-REQUEST-INVALID", "queue %s: a message is no request and is rejected: %s",
                  queue ? queue : "?", why);
}

static void refuse_unread(cel_rpc_server *server, const cel__delivery *delivery, cel__settlement how)
{
        cel__delivery refused = *delivery;

        if (how == CEL__SETTLE_REJECT)
                note_invalid(server, delivery->queue, delivery->refused);
        server->driver->settle(&refused, how);
}

static void on_delivery(void *arg, const cel__delivery *delivery)
{
        cel_rpc_server *server = arg;

        drop_stale(server);
        if (!delivery->message) {
                refuse_unread(server, delivery, CEL__SETTLE_REJECT);
                return;
        }
        cel_request *q = calloc(1, sizeof(*q));
        if (!q || server->state == SERVER_STOPPED) {
                free(q);
                refuse_unread(server, delivery, CEL__SETTLE_REQUEUE);
                return;
        }
        cel__list_init(&q->lane_node);
        cel__list_init(&q->waiting_node);
        q->refs = 1;
        q->server = server;
        q->delivery = *delivery;
        q->deadline = deadline_of(server, delivery->message);
        q->bytes = delivery->message->body_bytes;
        cel__buf_init(&q->plain, CEL__PLAIN_BYTES_MAX);
        cel__buf_init(&q->failure, FAILURE_BYTES_MAX);
        if (!has_room(server, q->bytes)) {
                starve(q);
                return;
        }
        count(q);
        int r = decode(q);
        if (r >= 0) {
                admit(q);
                return;
        }
        if (r != CEL_ENOMEM)
                note_invalid(server, delivery->queue, *q->why ? q->why : cel_error_text(r));
        q->wire.unique_id = "";
        drop(q, r == CEL_ENOMEM ? CEL__SETTLE_REQUEUE : CEL__SETTLE_REJECT);
}

/* --- Start and stop --------------------------------------------------------------------------- */

/* Everybody's queue, this server's own, and that for all servers (oslo-wire section 4.2). */
static int subscribe(cel_ctx *ctx, cel_rpc_server *server)
{
        const cel__driver_settings *settings = server->settings;
        char own_queue[512], fanout_exchange[300], uuid[CEL__UUID_BYTES];

        cel__uuid_hex(uuid);
        snprintf(own_queue, sizeof(own_queue), "%s.%s", server->topic, server->server);
        snprintf(fanout_exchange, sizeof(fanout_exchange), "%s_fanout", server->topic);
        snprintf(server->fanout_queue, sizeof(server->fanout_queue), "%s_%s", fanout_exchange, uuid);
        cel_queue queues[] = {{.name = server->topic,
                               .exchange = server->exchange,
                               .binding_key = server->topic,
                               .durable = settings->durable,
                               .auto_delete = settings->auto_delete,
                               .arguments = settings->arguments},
                              {.name = own_queue,
                               .exchange = server->exchange,
                               .binding_key = own_queue,
                               .durable = settings->durable,
                               .auto_delete = settings->auto_delete,
                               .arguments = settings->arguments},
                              {.name = server->fanout_queue,
                               .exchange = fanout_exchange,
                               .binding_key = server->topic,
                               .fanout = true,
                               .expires_ms = settings->transient_expires_ms,
                               .arguments = settings->transient_arguments}};
        cel__subscription_options options = {.queues = queues,
                                             .queues_n = sizeof(queues) / sizeof(queues[0]),
                                             .prefetch = server->concurrency + AHEAD,
                                             .on_delivery = on_delivery,
                                             .arg = server};
        return server->driver->subscribe(ctx, server->bus, &options, &server->subscription);
}

/* Whatever is unsettled goes back; what is this process's own goes away. */
static void unsubscribe(cel_rpc_server *server)
{
        if (!server->subscription)
                return;
        server->driver->delete_queue(server->subscription, server->fanout_queue);
        server->driver->unsubscribe(server->subscription);
        server->subscription = NULL;
}

static void give_back_all(cel_rpc_server *server)
{
        give_back(server, CEL_TIME_NEVER);
        cel__timer_unset(&server->loop->timers, &server->impatience);
}

int cel_rpc_server_start(cel_ctx *ctx, cel_rpc_server *server)
{
        if (server->state == SERVER_STARTING || server->state == SERVER_SERVING)
                return cel_fail(ctx, CEL_EBUSY, "the server is started already");
        unsubscribe(server);
        if (server->scope_canceled) { /* the last drain had to; nothing is left of that time */
                cel_event_wait(ctx, server->idle);
                cel__scope_revive(server->scope);
        }
        server->scope_canceled = false;
        server->state = SERVER_STARTING;
        int r = subscribe(ctx, server);
        if (server->state != SERVER_STARTING) { /* stopped meanwhile */
                unsubscribe(server);
                return r < 0 ? r : cel_fail(ctx, CEL_ECLOSED, "the server was stopped while it started");
        }
        server->state = r < 0 ? SERVER_IDLE : SERVER_SERVING;
        if (r < 0) { /* one queue may have delivered already when the next one was refused */
                server->subscription = NULL;
                give_back_all(server);
        }
        return r;
}

int cel_rpc_server_stop(cel_ctx *ctx, cel_rpc_server *server)
{
        if (server->state != SERVER_STARTING && server->state != SERVER_SERVING)
                return 0;
        server->state = SERVER_STOPPED;
        give_back_all(server);
        if (!server->subscription)
                return 0;
        int r = server->driver->stop(ctx, server->subscription);
        return r == CEL_ETIMEDOUT || r == CEL_ECANCELED
                       ? r
                       : 0; /* else the connection is gone, and intake with it */
}

int cel_rpc_server_wait(cel_ctx *ctx, cel_rpc_server *server)
{
        int r = cel_event_wait(ctx, server->idle);

        if (r >= 0 && server->state == SERVER_STOPPED) {
                unsubscribe(server);
                server->state = SERVER_IDLE;
        }
        return r;
}

int cel_rpc_server_drain(cel_ctx *ctx, cel_rpc_server *server)
{
        int r = cel_rpc_server_stop(ctx, server);

        if (r >= 0)
                r = cel_rpc_server_wait(ctx, server);
        if (r >= 0)
                return r;
        server->scope_canceled = true;
        cel_scope_cancel(server->scope);
        ctx->shields++; /* they end, now that they are cancelled */
        cel_rpc_server_wait(ctx, server);
        ctx->shields--;
        return cel_fail(ctx, r, "handlers were cancelled when the time to drain was over");
}

/* Cancelled or not, it ends in good order, for which there is only so much time. */
static int drain_at_end(cel_ctx *ctx, cel_rpc_server *server)
{
        CEL_WITHIN_MS(ctx, DRAIN_MS);

        return cel_rpc_server_drain(ctx, server);
}

int cel_rpc_server_run(cel_ctx *ctx, cel_rpc_server *server)
{
        cel_future *stop = cel_stop_future(ctx);
        int r = 0;

        if (server->state != SERVER_SERVING)
                r = cel_rpc_server_start(ctx, server);
        if (r < 0)
                return r;
        r = cel_await(ctx, stop, NULL);
        int drained = drain_at_end(ctx, server);
        return r < 0 ? r : drained;
}

/* --- Life ------------------------------------------------------------------------------------- */

static void destroy(cel_rpc_server *server)
{
        if (server->scope)
                cel__scope_free(server->scope);
        cel_future_unref(server->freed);
        if (server->idle)
                cel_event_free(server->idle);
        cel__seen_free(server->seen);
        cel__seen_free(server->missing);
        free(server->asked);
        free(server);
}

/* Outlives the owner, until the last handler has ended. */
static int keep(cel_ctx *ctx, void *arg)
{
        cel_rpc_server *server = arg;
        cel_transport *transport = server->transport;

        cel_await(ctx, server->freed, NULL); /* or the runtime ends */
        server->state = SERVER_STOPPED;
        give_back_all(server);
        cel_scope_cancel(server->scope);
        ctx->shields++;
        cel_scope_close(ctx, server->scope);
        ctx->shields--;
        server->scope = NULL;
        server->keeper_ended = true;
        if (cel_future_done(server->freed))
                destroy(server);
        cel__transport_release(transport);
        return 0;
}

cel_rpc_server *cel_rpc_server_free(cel_rpc_server *server)
{
        if (!server)
                return NULL;
        server->state = SERVER_STOPPED;
        give_back_all(server);
        unsubscribe(server);
        if (server->keeper_ended)
                destroy(server);
        else
                cel_future_complete(server->freed, 0, NULL);
        return NULL;
}

static int check(cel_ctx *ctx, cel_transport *transport, const cel_target *target,
                 const cel_rpc_server_options *options)
{
        if (ctx->loop != cel__transport_loop(transport))
                return cel_fail(ctx, CEL_ENOSUPPORT, "a server is for a task of the transport's loop");
        if (!target->topic || !*target->topic || !target->server || !*target->server)
                return cel_fail(ctx, CEL_EINVAL, "a server's target needs a topic and a server");
        if (strlen(target->topic) + strlen(target->server) > 254 ||
            strlen(target->topic) > 255 - sizeof("_fanout_") - CEL__UUID_BYTES ||
            (target->exchange && strlen(target->exchange) > 255))
                return cel_fail(ctx, CEL_EINVAL,
                                "exchange, topic and server are longer than AMQP's names may be");
        if (options->endpoints_n > ENDPOINTS_MAX || options->concurrency > CONCURRENCY_MAX)
                return cel_fail(ctx, CEL_EINVAL, "a server has at most %d endpoints, and a concurrency of %d",
                                ENDPOINTS_MAX, CONCURRENCY_MAX);
        return 0;
}

static void set_target(cel_rpc_server *server, const cel_target *target)
{
        snprintf(server->exchange, sizeof(server->exchange), "%s",
                 target->exchange ? target->exchange : "openstack");
        snprintf(server->topic, sizeof(server->topic), "%s", target->topic);
        snprintf(server->server, sizeof(server->server), "%s", target->server);
}

static int make_parts(cel_rpc_server *server, cel_runtime *runtime)
{
        server->asked = calloc(ENDPOINTS_MAX + 1, sizeof(server->asked[0]));
        if (!server->asked)
                return CEL_ENOMEM;
        int r = cel__scope_new(runtime, server->loop, CEL_SCOPE_COLLECT_ALL, &server->scope);
        if (r >= 0)
                r = cel_future_new(&server->freed);
        if (r >= 0)
                r = cel_event_new(&server->idle);
        if (r >= 0)
                r = cel__seen_new(SEEN_IDS_MAX, SEEN_MS_MAX, &server->seen);
        if (r >= 0)
                r = cel__seen_new(MISSING_QUEUES_MAX, MISSING_MS_MAX, &server->missing);
        if (r >= 0)
                cel_event_set(server->idle);
        return r;
}

static int server_new(cel_runtime *runtime, cel_transport *transport, const cel_target *target,
                      const cel_rpc_server_options *options, unsigned lanes_n, cel_rpc_server **ret_server)
{
        cel_rpc_server *server = calloc(1, sizeof(*server) + lanes_n * sizeof(server->lanes[0]));

        if (!server)
                return CEL_ENOMEM;
        server->transport = transport;
        server->driver = cel__transport_driver(transport);
        server->bus = cel__transport_bus(transport);
        server->settings = cel__transport_settings(transport);
        server->loop = cel__transport_loop(transport);
        server->clock = cel__runtime_clock(runtime);
        server->allows = options->allows;
        server->allows_arg = options->arg;
        server->bytes_max = options->bytes_max ? options->bytes_max : BYTES_MAX_DEFAULT;
        server->concurrency = options->concurrency ? options->concurrency : CONCURRENCY_DEFAULT;
        set_target(server, target);
        cel__list_init(&server->waiting);
        cel__list_init(&server->turns);
        cel__list_init(&server->starved);
        cel__list_init(&server->late);
        cel__timer_init(&server->impatience, on_impatience);
        int r = make_parts(server, runtime);
        if (r >= 0)
                r = cel__task_spawn(cel__runtime_system_scope(runtime), NULL, "rpc-server", keep, server,
                                    NULL);
        if (r < 0) {
                destroy(server);
                return r;
        }
        cel__transport_hold(transport);
        *ret_server = server;
        return 0;
}

int cel_rpc_server_new(cel_ctx *ctx, cel_transport *transport, const cel_target *target,
                       const cel_rpc_server_options *options, cel_rpc_server **ret_server)
{
        cel_rpc_server *server;
        int r = check(ctx, transport, target, options);

        if (r < 0)
                return r;
        r = server_new(cel_ctx_runtime(ctx), transport, target, options,
                       dispatch_count_lanes(options->endpoints, options->endpoints_n), &server);
        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        dispatch_init(server, options->endpoints, options->endpoints_n, options->ping);
        *ret_server = server;
        return 0;
}

int cel_rpc_server_open(cel_ctx *ctx, cel_transport *transport, const cel_target *target,
                        const cel_method *methods, cel_rpc_server **ret_server)
{
        cel_endpoint endpoint = {
                .name_space = target->name_space, .version = target->version, .methods = methods};
        cel_rpc_server_options options = {.endpoints_n = 0};
        cel_rpc_server *server;
        int r = check(ctx, transport, target, &options);

        if (r < 0)
                return r;
        r = server_new(cel_ctx_runtime(ctx), transport, target, &options, dispatch_count_lanes(&endpoint, 1),
                       &server);
        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        server->own_endpoint = endpoint;
        dispatch_init(server, &server->own_endpoint, 1, false);
        r = cel_rpc_server_start(ctx, server);
        if (r < 0) {
                char text[CEL__ERROR_TEXT_BYTES];

                snprintf(text, sizeof(text), "%s", cel_ctx_error_text(ctx, r));
                cel_rpc_server_free(server);
                return cel_fail(ctx, r, "%s", text);
        }
        *ret_server = server;
        return 0;
}

cel_rpc_server_stats cel_rpc_server_get_stats(const cel_rpc_server *server)
{
        return server->stats;
}
