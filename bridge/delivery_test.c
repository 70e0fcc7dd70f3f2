/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/gate.h"
#include "fixture.h"
#include "test.h"

/* An event of a route to a server that is not there. */
typedef struct world {
        fixture f;
        bridge_route_config config;
        bridge_park_config park;
        int64_t ladder[1];
        bridge_route route;
} world;

static void world_init(world *w, const cel_http_header *header)
{
        *w = (world){.f = fixture_new(),
                     .config = {.name = (char *)"a",
                                .to = {.url = (char *)"http://127.0.0.1:1/",
                                       .method = (char *)"POST",
                                       .timeout_ms = 1000,
                                       .headers = (cel_http_header *)header,
                                       .headers_n = 1},
                                .concurrency = 16,
                                .hold_ms_max = 60000,
                                .attempts_max = 3,
                                .age_ms_max = 3600 * 1000,
                                .backoff_ms_base = 1000,
                                .backoff_ms_cap = 1000,
                                .message_bytes_max = 1000}};
        w->ladder[0] = 10000;
        w->park = (bridge_park_config){.prefix = (char *)"test", .ladder = {.ms = w->ladder, .n = 1}};
        w->route.config = &w->config;
        w->route.park = &w->park;
        bridge_breaker_init(&w->route.breaker, 5000, 60000, 16);
        CHECK_INT(cel_event_new(&w->route.changed), 0);
        CHECK_INT(cel_future_new(&w->route.stop), 0);
}

static void world_fini(world *w)
{
        cel_future_unref(w->route.stop);
        cel_event_free(w->route.changed);
        fixture_free(&w->f);
}

static int deliver(cel_ctx *ctx, void *arg)
{
        world *w = arg;
        cel_message raw = {.body = "{}", .body_bytes = 2};
        cel_notification n = {.message_id = "id", .text = "{}", .text_bytes = 2, .raw = &raw};

        int r = cel_http_client_open(ctx, NULL, &w->route.http);
        if (r < 0)
                return r;
        r = bridge_deliver(ctx, &n, &w->route);
        cel_http_client_free(w->route.http);
        return r;
}

TEST(half_of_the_wait_before_another_attempt_is_fixed)
{
        world w;

        world_init(&w, &(cel_http_header){"X-Source", "test"});
        cel_task *task = fixture_spawn(&w.f, "event", deliver, &w);
        CHECK_PENDING(task);
        CHECK_INT(w.route.failures, 1);
        CHECK(w.route.failing);
        fixture_advance_ms(&w.f, 499); /* half of a wait is fixed */
        CHECK_INT(w.route.failures, 1);
        fixture_advance_ms(&w.f, 501);
        CHECK_PENDING(task);
        CHECK_INT(w.route.failures, 2);
        cel_future_complete(w.route.stop, 0, NULL);
        bridge_gate_wake(&w.route);
        fixture_settle(&w.f);
        CHECK_RESULT(task, CEL_REQUEUE);
        world_fini(&w);
}
