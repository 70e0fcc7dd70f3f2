/* SPDX-License-Identifier: Apache-2.0
 *
 * A server's life: made, started, stopped, waited for, freed (oslo-wire section 4).
 *
 * Design notes. A server that is freed lives on in its keeper, a task of the runtime's own, until the last handler has
 * ended. It holds the transport until then. */
#include "rpc/server.h"
#include "base/assert.h"
#include "rt/runtime.h"
#include "rt/task.h"

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
        DRAIN_MS = 30000,
        HANG_MS = 30000, /* oslo.messaging's log_after */
        BYTES_MAX_DEFAULT = 256 << 20,
};

void server_tell_idle(cel_rpc_server *server)
{
        if (server->stats.running == 0 && server->stats.replying == 0 && server->monitors == 0)
                cel_event_set(server->idle);
}

/* --- Start and stop --------------------------------------------------------------------------- */

/* One of its own, or the stream that all servers of the topic read. */
static int name_fanout_queue(cel_ctx *ctx, cel_rpc_server *server, const char *fanout_exchange)
{
        char prefix[320];

        if (*server->fanout_queue && server->settings->transient_kept) /* of an earlier start */
                return 0;
        snprintf(prefix, sizeof(prefix), "%s_", fanout_exchange);
        if (!server->settings->fanout_stream)
                return cel__driver_name_queue(ctx, server->driver, server->bus, prefix, server->fanout_queue,
                                              sizeof(server->fanout_queue));
        snprintf(server->fanout_queue, sizeof(server->fanout_queue), "%s", fanout_exchange);
        return 0;
}

/* Everybody's queue, this server's own, and that for all servers (oslo-wire section 4.2). */
static int subscribe(cel_ctx *ctx, cel_rpc_server *server)
{
        const cel__driver_settings *settings = server->settings;
        char own_queue[512], fanout_exchange[300];

        snprintf(own_queue, sizeof(own_queue), "%s.%s", server->topic, server->server);
        snprintf(fanout_exchange, sizeof(fanout_exchange), "%s_fanout", server->topic);
        int r = name_fanout_queue(ctx, server, fanout_exchange);
        if (r < 0)
                return r;
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
                               .durable = settings->transient_durable,
                               .expires_ms = settings->fanout_expires_ms,
                               .arguments = settings->fanout_arguments}};
        cel__subscription_options options = {
                .queues = queues,
                .queues_n = sizeof(queues) / sizeof(queues[0]),
                .prefetch = server->concurrency + AHEAD,
                .sparing = !settings->fanout_stream, /* a channel remembers where in one stream it is */
                .on_delivery = intake_on_delivery,
                .arg = server};
        return server->driver->subscribe(ctx, server->bus, &options, &server->subscription);
}

/* Whatever is unsettled goes back; what is this start's own goes away. */
static void unsubscribe(cel_rpc_server *server)
{
        if (!server->subscription)
                return;
        if (!server->settings->fanout_stream && !server->settings->transient_kept)
                server->driver->delete_queue(server->subscription, server->fanout_queue);
        server->driver->unsubscribe(server->subscription);
        server->subscription = NULL;
}

/* The one door through which a server's state changes: it tells those who wait for that. */
static void enter(cel_rpc_server *server, server_state next)
{
        static const bool may_enter[SERVER_STOPPED + 1][SERVER_STOPPED + 1] = {
                [SERVER_NEW] = {[SERVER_STARTING] = true, [SERVER_STOPPED] = true},
                [SERVER_STARTING] =
                        {[SERVER_SERVING] = true, [SERVER_STOPPING] = true, [SERVER_STOPPED] = true},
                [SERVER_SERVING] = {[SERVER_STOPPING] = true, [SERVER_STOPPED] = true},
                [SERVER_STOPPING] = {[SERVER_STOPPED] = true},
                [SERVER_STOPPED] = {[SERVER_STARTING] = true, [SERVER_STOPPED] = true},
        };

        cel_assert(may_enter[server->state][next]);
        server->state = next;
        cel_event_set(server->moved);
        cel_event_clear(server->moved);
}

/* Has start number `epoch` come to its end, in one way or the other? */
static bool is_started(const cel_rpc_server *server, unsigned epoch)
{
        return server->epoch > epoch || (server->epoch == epoch && server->state > SERVER_STARTING);
}

/* And has it been stopped since? */
static bool is_stopped(const cel_rpc_server *server, unsigned epoch)
{
        return server->epoch > epoch || (server->epoch == epoch && server->state == SERVER_STOPPED);
}

/* The start that a call is about: before the first one, it is that. */
static unsigned epoch_of(const cel_rpc_server *server)
{
        return server->state == SERVER_NEW ? server->epoch + 1 : server->epoch;
}

static int await_move(cel_ctx *ctx, cel_rpc_server *server, int64_t ms)
{
        CEL_WITHIN_MS(ctx, ms);

        return cel_event_wait(ctx, server->moved);
}

/* Wait for what has to come before. Whoever is to do that may have forgotten it: say so, once, as upstream does. */
static int await_step(cel_ctx *ctx, cel_rpc_server *server, unsigned epoch,
                      bool (*is_over)(const cel_rpc_server *server, unsigned epoch), const char *what)
{
        bool told = false;

        while (!is_over(server, epoch)) {
                int r = await_move(ctx, server, told ? INT64_MAX : HANG_MS);

                if (r == CEL_ETIMEDOUT && cel_ctx_now(ctx).ns < cel_ctx_deadline(ctx).ns) {
                        told = true;
                        cel_warn(ctx, "RPC-SERVER-HANGS",
                                 "%d s have passed in waiting for the server of topic \"%s\" to %s",
                                 HANG_MS / 1000, server->topic, what);
                } else if (r < 0) {
                        return cel_fail(ctx, r, "waiting for the server of topic \"%s\" to %s: %s",
                                        server->topic, what, cel_error_text(r));
                }
        }
        return 0;
}

/* The last drain had to cancel what ran: nothing is left of that time. */
static int forget_cancellation(cel_ctx *ctx, cel_rpc_server *server)
{
        int r = server->scope_canceled ? cel_event_wait(ctx, server->idle) : 0;

        if (r < 0)
                return r;
        if (server->scope_canceled)
                cel__scope_revive(server->scope);
        server->scope_canceled = false;
        return 0;
}

/* Whoever stops the server meanwhile ends this. */
static int start(cel_ctx *ctx, cel_rpc_server *server)
{
        cel__interrupt starting;

        cel__interrupt_enter(&starting, ctx);
        server->starting = &starting;
        int r = forget_cancellation(ctx, server);
        if (r >= 0)
                r = subscribe(ctx, server);
        server->starting = NULL;
        cel__interrupt_leave(&starting);
        return r;
}

int cel_rpc_server_start(cel_ctx *ctx, cel_rpc_server *server)
{
        int r = server->state == SERVER_STOPPING ? await_step(ctx, server, server->epoch, is_stopped, "stop")
                                                 : 0;

        if (r < 0)
                return r;
        if (server->state != SERVER_NEW && server->state != SERVER_STOPPED)
                return cel_fail(ctx, CEL_EBUSY, "the server is started already");
        unsubscribe(server);
        server->epoch++;
        enter(server, SERVER_STARTING);
        r = start(ctx, server);
        if (server->state == SERVER_STARTING && r >= 0) {
                enter(server, SERVER_SERVING);
                return 0;
        }
        bool stopped = server->state != SERVER_STARTING;
        if (r >= 0)
                unsubscribe(server);
        server->subscription = NULL;
        turns_give_back_all(server); /* one queue may have delivered already when the next one was refused */
        enter(server, SERVER_STOPPED);
        return stopped ? cel_fail(ctx, CEL_ECLOSED, "the server was stopped while it started") : r;
}

/* The bus has agreed, or its connection is gone, and intake with it. */
static int stop(cel_ctx *ctx, cel_rpc_server *server)
{
        turns_give_back_all(server);
        int r = server->driver->stop(ctx, server->subscription);
        return r == CEL_ETIMEDOUT || r == CEL_ECANCELED ? r : 0;
}

int cel_rpc_server_stop(cel_ctx *ctx, cel_rpc_server *server)
{
        unsigned epoch = epoch_of(server);
        int r = server->state == SERVER_NEW ? await_step(ctx, server, epoch, is_started, "start") : 0;

        if (r < 0 || is_stopped(server, epoch))
                return r;
        if (server->state != SERVER_SERVING) { /* somebody else stops it, or it is not yet started */
                if (server->state == SERVER_STARTING) {
                        enter(server, SERVER_STOPPING);
                        cel__interrupt_raise(server->starting);
                }
                return await_step(ctx, server, epoch, is_stopped, "stop");
        }
        enter(server, SERVER_STOPPING);
        r = stop(ctx, server);
        if (server->state == SERVER_STOPPING)
                enter(server, SERVER_STOPPED);
        return r;
}

int cel_rpc_server_wait(cel_ctx *ctx, cel_rpc_server *server)
{
        unsigned epoch = epoch_of(server);
        int r = await_step(ctx, server, epoch, is_stopped, "be stopped");

        if (r >= 0 && server->epoch == epoch)
                r = cel_event_wait(ctx, server->idle);
        if (r >= 0 && server->epoch == epoch)
                unsubscribe(server);
        return r;
}

int cel_rpc_server_drain(cel_ctx *ctx, cel_rpc_server *server)
{
        if (server->state == SERVER_NEW)
                return 0;
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

void cel_rpc_server_reset(cel_rpc_server *server)
{
        cel__seen_clear(server->missing);
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
        cel_event_free(server->idle);
        cel_event_free(server->moved);
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
        enter(server, SERVER_STOPPED);
        turns_give_back_all(server);
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
        enter(server, SERVER_STOPPED);
        turns_give_back_all(server);
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
                r = cel_event_new(&server->moved);
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
        server->access_policy = options->access_policy ? options->access_policy : cel_rpc_access_default;
        server->access_policy_arg = options->arg;
        if (options->serializer)
                server->serializer = *options->serializer;
        server->bytes_max = options->bytes_max ? options->bytes_max : BYTES_MAX_DEFAULT;
        server->concurrency = options->concurrency ? options->concurrency : CONCURRENCY_DEFAULT;
        set_target(server, target);
        cel__list_init(&server->waiting);
        cel__list_init(&server->turns);
        cel__list_init(&server->starved);
        cel__list_init(&server->late);
        cel__timer_init(&server->impatience, turns_on_impatience);
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
