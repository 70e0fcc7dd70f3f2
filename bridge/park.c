/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/park.h"

#include "bridge/copy.h"
#include "bridge/schema.h"
#include "bridge/settle.h"

#include <stdio.h>

/* --- The ladder ------------------------------------------------------------------------------- */

typedef struct rung_name {
        char text[256];
} rung_name;

static rung_name name_rung(const bridge_park_config *config, int64_t ms)
{
        const int64_t hour_ms = INT64_C(3600) * 1000;
        rung_name name;

        if (ms % hour_ms == 0)
                snprintf(name.text, sizeof(name.text), "%s.park.%lldh", config->prefix,
                         (long long)(ms / hour_ms));
        else
                snprintf(name.text, sizeof(name.text), "%s.park.%s", config->prefix,
                         bridge_duration(ms).text);
        return name;
}

/* A quorum queue that dead-letters at least once: what cannot be routed back, because its queue is gone, stays. */
static int make_arguments(int64_t ms, cel_headers **ret_arguments)
{
        cel_auto(cel_headers) *arguments = NULL;
        static const struct {
                const char *name, *value;
        } texts[] = {
                {"x-queue-type", "quorum"},
                {"x-overflow", "reject-publish"},
                {"x-dead-letter-exchange", ""},
                {"x-dead-letter-strategy", "at-least-once"},
        };
        int r = cel_headers_new(&arguments);

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && r >= 0; i++)
                r = cel_headers_set_str(arguments, texts[i].name, texts[i].value);
        if (r >= 0)
                r = cel_headers_set_int(arguments, "x-message-ttl", ms);
        if (r < 0)
                return r;
        *ret_arguments = CEL_TAKE(arguments);
        return 0;
}

static int declare_rung(cel_ctx *ctx, cel_transport *transport, const bridge_park_config *config, int64_t ms)
{
        cel_auto(cel_headers) *arguments = NULL;
        rung_name name = name_rung(config, ms);
        int r = make_arguments(ms, &arguments);

        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        return cel_transport_declare_queue(ctx, transport,
                                           &(cel_queue){.name = name.text,
                                                        .exchange = name.text,
                                                        .binding_key = "#",
                                                        .durable = true,
                                                        .arguments = arguments});
}

int bridge_park_declare(cel_ctx *ctx, cel_transport *transport, const bridge_park_config *config)
{
        int r = 0;

        for (size_t i = 0; i < config->ladder.n && r >= 0; i++)
                r = declare_rung(ctx, transport, config, config->ladder.ms[i]);
        return r;
}

int64_t bridge_park_rung_ms(const bridge_park_config *config, int64_t wait_ms)
{
        int64_t rung = config->ladder.ms[0];

        for (size_t i = 1; i < config->ladder.n && config->ladder.ms[i] <= wait_ms; i++)
                rung = config->ladder.ms[i];
        return rung;
}

/* --- Parking ---------------------------------------------------------------------------------- */

static int make_headers(const bridge_route *route, const cel_message *message, int64_t wait_ms,
                        const bridge_attempts *attempts, cel_headers **ret_headers)
{
        cel_auto(cel_headers) *headers = NULL;
        const struct {
                const char *name;
                int64_t value;
        } numbers[] = {
                {BRIDGE_NOT_BEFORE, bridge_time_of_day_ms() + wait_ms},
                {BRIDGE_FIRST_MS, attempts->first_ms},
                {BRIDGE_ATTEMPTS, attempts->n},
                {BRIDGE_COUNTED, attempts->counted},
                {BRIDGE_DOUBTED, attempts->doubted},
                {BRIDGE_MAYBE, attempts->maybe_delivered},
        };
        int r = bridge_copy_headers(message, true, &headers);

        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && r >= 0; i++)
                r = cel_headers_set_int(headers, numbers[i].name, numbers[i].value);
        if (r >= 0)
                r = cel_headers_set_str(headers, "x-celadon-route", route->config->name);
        if (r < 0)
                return r;
        bridge_forget_deaths(headers);
        *ret_headers = CEL_TAKE(headers);
        return 0;
}

static int try_once(cel_ctx *ctx, bridge_route *route, const cel_message *message, int64_t rung_ms,
                    const cel_headers *headers, bridge_attempts *attempts)
{
        rung_name name = name_rung(route->park, rung_ms);
        cel_message copy = *message;

        copy.exchange = name.text;
        copy.routing_key = message->queue;
        copy.headers = headers;
        int r = bridge_publish_copy(ctx, route, copy, BRIDGE_PROOF_PARKED, attempts);
        if (r >= 0 || r == CEL_ECANCELED)
                return r;
        cel_error(ctx, "BRIDGE-PARK-FAILED",
                  "route=%s queue %s: %s; the event stays unacknowledged, trying again", route->config->name,
                  name.text, cel_ctx_error_text(ctx, r));
        if (r == CEL_EUNROUTABLE || r == CEL_ENOTFOUND) /* somebody deleted it */
                declare_rung(ctx, route->transport, route->park, rung_ms);
        return r;
}

int bridge_park(cel_ctx *ctx, bridge_route *route, const cel_message *message, int64_t wait_ms,
                bridge_attempts *attempts)
{
        cel_auto(cel_headers) *headers = NULL;

        if (!message->queue || !*message->queue)
                return CEL_ETOOBIG;
        int r = make_headers(route, message, wait_ms, attempts, &headers);

        for (unsigned n = 1; r >= 0; n++) {
                r = try_once(ctx, route, message, bridge_park_rung_ms(route->park, wait_ms), headers,
                             attempts);
                if (r >= 0 || r == CEL_ECANCELED || r == CEL_ETOOBIG)
                        return r;
                r = bridge_back_off(ctx, route, n) ? 0 : CEL_ECANCELED;
        }
        return r == CEL_ECANCELED ? r : CEL_ETOOBIG;
}

/* --- Coming back ------------------------------------------------------------------------------ */

static int64_t read_number(const cel_message *message, const char *name, int64_t min, int64_t max)
{
        int64_t number;

        if (cel_headers_get_int(message->headers, name, &number) < 0 || number < min)
                return min;
        return number < max ? number : max;
}

int64_t bridge_park_restore(const cel_message *message, int64_t now_ms, int64_t wait_ms_max,
                            bridge_attempts *attempts)
{
        if (!bridge_is_parked(message))
                return 0;
        attempts->n = (unsigned)read_number(message, BRIDGE_ATTEMPTS, 0, INT32_MAX);
        attempts->counted = (unsigned)read_number(message, BRIDGE_COUNTED, 0, INT32_MAX);
        attempts->doubted = (unsigned)read_number(message, BRIDGE_DOUBTED, 0, INT32_MAX);
        attempts->maybe_delivered = read_number(message, BRIDGE_MAYBE, 0, 1) == 1;
        attempts->first_ms = read_number(message, BRIDGE_FIRST_MS, 0, now_ms);
        int64_t wait_ms = read_number(message, BRIDGE_NOT_BEFORE, now_ms, INT64_MAX) - now_ms;
        return wait_ms < wait_ms_max ? wait_ms : wait_ms_max;
}

void bridge_park_erase(cel_headers *headers)
{
        static const char *const names[] = {BRIDGE_NOT_BEFORE, BRIDGE_FIRST_MS, BRIDGE_COUNTED,
                                            BRIDGE_DOUBTED};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                cel_headers_remove(headers, names[i]);
}
