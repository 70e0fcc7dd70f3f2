/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/bridge.h"
#include "bridge/gate.h"
#include "bridge/park.h"

typedef struct bridge {
        const bridge_config *config; /* borrowed */
        cel_transport *transport;    /* owned */
        bridge_route *routes;        /* owned; config->routes_n of them */
        cel_scope *keepers;          /* owned; of each route's bridge_gate_keep() */
} bridge;

/* --- Starting --------------------------------------------------------------------------------- */

static int start_route(cel_ctx *ctx, bridge_route *route)
{
        const bridge_source_config *from = &route->config->from;
        cel_http_client_options http = {.connections_max = route->config->concurrency,
                                        .ca_file = route->config->to.ca_file};
        cel_notification_listener_options listen = {.exchange = from->exchange,
                                                    .topics = (const char *const *)from->topics,
                                                    .priorities = (const char *const *)from->priorities,
                                                    .pool = from->pool,
                                                    .durable = from->durable,
                                                    .auto_delete = from->auto_delete,
                                                    .allow_requeue = true,
                                                    .concurrency = route->config->concurrency,
                                                    .on_notification = bridge_deliver,
                                                    .on_invalid = bridge_deliver_invalid,
                                                    .arg = route};

        int r = cel_http_client_open(ctx, &http, &route->http);
        if (r >= 0)
                r = bridge_dead_letter_declare(ctx, route);
        if (r >= 0)
                r = cel_notification_listener_open(ctx, route->transport, &listen, &route->listener);
        if (r < 0)
                return cel_fail(ctx, r, "route \"%s\": %s", route->config->name, cel_ctx_error_text(ctx, r));
        bridge_gate_listens(route);
        if (!from->durable && !cel_transport_is_durable(route->transport))
                cel_warn(NULL, "BRIDGE-NOT-DURABLE",
                         "route=%s a restart of the broker loses what is queued; for durable queues set "
                         "\"durable: true\" "
                         "here and amqp_durable_queues at the senders",
                         route->config->name);
        return 0;
}

/* A task of its own, so that a request to stop can end it while it waits for a broker that is down. */
static int start(cel_ctx *ctx, void *arg)
{
        bridge *b = arg;
        int r = cel_transport_ready(ctx, b->transport);

        if (r >= 0)
                r = bridge_park_declare(ctx, b->transport, &b->config->park);
        for (size_t i = 0; i < b->config->routes_n && r >= 0; i++)
                r = start_route(ctx, &b->routes[i]);
        for (size_t i = 0; i < b->config->routes_n && r >= 0; i++)
                r = cel_spawn(ctx, b->keepers, b->config->routes[i].name, bridge_gate_keep, &b->routes[i],
                              NULL);
        if (r >= 0)
                cel_info(NULL, "BRIDGE-READY", "%zu route%s consume%s", b->config->routes_n,
                         b->config->routes_n == 1 ? "" : "s", b->config->routes_n == 1 ? "s" : "");
        return r;
}

/* Start, unless asked to stop before that is done. */
static int start_or_stop(cel_ctx *ctx, bridge *b)
{
        cel_auto(cel_task) *starting = NULL;
        cel_scope *scope;

        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);
        if (r < 0)
                return r;
        r = cel_spawn(ctx, scope, "start", start, b, &starting);
        if (r >= 0)
                r = cel_await_any(ctx, (cel_future *[]){cel_task_future(starting), cel_stop_future(ctx)}, 2);
        if (r != 0) /* not started: asked to stop, or cancelled */
                cel_scope_cancel(scope);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

/* --- Stopping --------------------------------------------------------------------------------- */

static int drain_route(cel_ctx *ctx, void *arg)
{
        bridge_route *route = arg;
        CEL_WITHIN_MS(ctx, route->drain_ms);

        return cel_notification_listener_close(ctx, CEL_TAKE(route->listener));
}

/* All routes at once, each at most as long as its requests may take. */
static void drain(cel_ctx *ctx, bridge *b)
{
        cel_scope *scope;
        unsigned in_flight = 0;

        for (size_t i = 0; i < b->config->routes_n; i++)
                if (b->routes[i].listener)
                        in_flight += cel_notification_listener_running(b->routes[i].listener);
        cel_info(NULL, "BRIDGE-DRAINING", "%u events in hand, at most %lld ms for them", in_flight,
                 (long long)b->config->drain_ms);
        for (size_t i = 0; i < b->config->routes_n; i++)
                bridge_gate_wake(&b->routes[i]);
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        if (r >= 0) {
                for (size_t i = 0; i < b->config->routes_n; i++)
                        if (b->routes[i].listener)
                                cel_spawn(ctx, scope, "drain", drain_route, &b->routes[i], NULL);
                cel_scope_close(ctx, scope);
        }
        for (size_t i = 0; i < b->config->routes_n; i++) /* for which there was no memory */
                if (b->routes[i].listener)
                        drain_route(ctx, &b->routes[i]);
}

static void tell_totals(const bridge *b)
{
        uint64_t delivered = 0, unmatched = 0, parked = 0, dead = 0;

        for (size_t i = 0; i < b->config->routes_n; i++) {
                delivered += b->routes[i].delivered;
                unmatched += b->routes[i].unmatched;
                parked += b->routes[i].parked;
                dead += b->routes[i].dead;
        }
        cel_info(NULL, "BRIDGE-STOPPED",
                 "%llu events delivered, %llu not matched, %llu dead letters, %llu times parked",
                 (unsigned long long)delivered, (unsigned long long)unmatched, (unsigned long long)dead,
                 (unsigned long long)parked);
}

/* --- Running ---------------------------------------------------------------------------------- */

static int bridge_new(cel_ctx *ctx, const bridge_config *config, bridge *b)
{
        *b = (bridge){.config = config};
        b->routes = calloc(config->routes_n, sizeof(*b->routes));
        if (!b->routes)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        int r = cel_transport_open(ctx, config->transport, &b->transport);
        if (r < 0)
                return r;
        for (size_t i = 0; i < config->routes_n && r >= 0; i++) {
                bridge_route *route = &b->routes[i];

                *route = (bridge_route){.config = &config->routes[i],
                                        .transport = b->transport,
                                        .park = &config->park,
                                        .stop = cel_stop_future(ctx),
                                        .drain_ms = config->drain_ms};
                bridge_breaker_init(&route->breaker, route->config->open_ms_base, route->config->open_ms_cap,
                                    route->config->concurrency);
                r = cel_event_new(&route->changed);
        }
        return r < 0 ? r : cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &b->keepers);
}

static void bridge_fini(cel_ctx *ctx, bridge *b)
{
        if (b->keepers) {
                cel_scope_cancel(b->keepers);
                cel_scope_close(ctx, b->keepers);
        }
        for (size_t i = 0; b->transport && i < b->config->routes_n; i++) {
                cel_http_client_free(b->routes[i].http);
                cel_event_free(b->routes[i].changed);
        }
        if (b->transport)
                cel_transport_close(ctx, b->transport);
        free(b->routes);
}

int bridge_run(cel_ctx *ctx, const bridge_config *config)
{
        bridge b;
        int r = bridge_new(ctx, config, &b);

        if (r >= 0)
                r = start_or_stop(ctx, &b);
        if (r < 0)
                cel_error(NULL, "BRIDGE-FAILED", "%s", cel_ctx_error_text(ctx, r));
        else
                cel_await(ctx, cel_stop_future(ctx), NULL);
        if (b.transport) {
                drain(ctx, &b);
                tell_totals(&b);
        }
        bridge_fini(ctx, &b);
        return r;
}
