/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/copy.h"

#include "bridge/park.h"

#include <stdlib.h>

bool bridge_is_parked(const cel_message *message)
{
        int64_t not_before_ms;

        return cel_headers_get_int(message->headers, BRIDGE_NOT_BEFORE, &not_before_ms) == 0;
}

/* One header: as it is for an event that comes from its sender, as it was written down for one that was parked. */
static int set_origin(cel_headers *headers, const cel_message *message, const char *name, const char *value)
{
        cel_auto_free char *written = NULL;
        int r = 0;

        if (bridge_is_parked(message)) {
                r = cel_headers_get_str(message->headers, name, &written);
                if (r == CEL_ENOMEM)
                        return r;
                value = written;
        }
        return value && *value ? cel_headers_set_str(headers, name, value) : 0;
}

static int set_origins(cel_headers *headers, const cel_message *message)
{
        const struct {
                const char *name, *value;
        } origins[] = {
                {"x-celadon-origin-exchange", message->exchange},
                {"x-celadon-origin-routing-key", message->routing_key},
                {"x-celadon-origin-queue", message->queue},
                {"x-celadon-origin-expiration", message->expiration},
                {"x-celadon-origin-user-id", message->user_id},
        };
        int r = 0;

        for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]) && r >= 0; i++)
                r = set_origin(headers, message, origins[i].name, origins[i].value);
        return r;
}

void bridge_forget_deaths(cel_headers *headers)
{
        static const char *const names[] = {"x-death",
                                            "x-first-death-queue",
                                            "x-first-death-reason",
                                            "x-first-death-exchange",
                                            "x-last-death-queue",
                                            "x-last-death-reason",
                                            "x-last-death-exchange"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                cel_headers_remove(headers, names[i]);
}

int bridge_copy_headers(const cel_message *message, bool with_original, cel_headers **ret_headers)
{
        cel_auto(cel_headers) *headers = NULL;
        int r = cel_headers_copy(with_original ? message->headers : NULL, &headers);

        if (r < 0)
                return r;
        /* RabbitMQ would route copies to wherever these say. */
        cel_headers_remove(headers, "CC");
        cel_headers_remove(headers, "BCC");
        r = set_origins(headers, message);
        if (r < 0)
                return r;
        *ret_headers = CEL_TAKE(headers);
        return 0;
}

static int read_text(const cel_message *message, const char *name, char **ret_text)
{
        int r = cel_headers_get_str(message->headers, name, ret_text);

        return r == CEL_ENOMEM ? r : 0;
}

int bridge_origin_init(bridge_origin *origin, const cel_message *parked)
{
        *origin = (bridge_origin){.message = *parked};
        int r = read_text(parked, "x-celadon-origin-exchange", &origin->exchange);

        if (r >= 0)
                r = read_text(parked, "x-celadon-origin-routing-key", &origin->routing_key);
        if (r < 0) {
                bridge_origin_fini(origin);
                return r;
        }
        origin->message.exchange = origin->exchange ? origin->exchange : "";
        origin->message.routing_key = origin->routing_key ? origin->routing_key : "";
        return 0;
}

void bridge_origin_fini(bridge_origin *origin)
{
        free(origin->exchange);
        free(origin->routing_key);
}
