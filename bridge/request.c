/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/request.h"

#include <celadon/error.h>
#include <stdlib.h>
#include <string.h>

enum { OWN_HEADERS = 2, HEADERS_MAX = 64 + OWN_HEADERS };

struct bridge_request {
        const bridge_route_config *route; /* borrowed */
        const cel_notification *event;    /* borrowed */
        cel_http_header headers[HEADERS_MAX];
        size_t headers_n;
};

static const char *first_of(const char *a, const char *b, const char *c)
{
        if (a && *a)
                return a;
        if (b && *b)
                return b;
        return c ? c : "";
}

int bridge_request_key(const cel_notification *event, char ret_key[BRIDGE_KEY_BYTES_MAX + 1])
{
        const char *unique = json_string_value(json_object_get(event->message, "_unique_id"));
        const char *id = first_of(event->message_id, event->raw->message_id, unique);

        if (strlen(id) > BRIDGE_KEY_BYTES_MAX)
                return CEL_EINVAL;
        for (const char *c = id; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        return CEL_EINVAL;
        strcpy(ret_key, id);
        return 0;
}

static void add_header(bridge_request *request, const char *name, const char *value)
{
        if (request->headers_n < HEADERS_MAX)
                request->headers[request->headers_n++] = (cel_http_header){name, value};
}

int bridge_request_new(const bridge_route_config *route, const cel_notification *event, const char *key,
                       char why[BRIDGE_WHY_BYTES], bridge_request **ret_request)
{
        cel_auto(bridge_request) *request = calloc(1, sizeof(*request));

        (void)why;
        if (!request)
                return CEL_ENOMEM;
        request->route = route;
        request->event = event;
        add_header(request, "Content-Type", "application/json");
        if (*key)
                add_header(request, "Idempotency-Key", key);
        for (size_t i = 0; i < route->to.headers_n; i++)
                add_header(request, route->to.headers[i].name, route->to.headers[i].value);
        *ret_request = CEL_TAKE(request);
        return 0;
}

void bridge_request_complete(bridge_request *request, const bridge_attempt *attempt,
                             cel_http_request *ret_http)
{
        (void)attempt;
        *ret_http = (cel_http_request){
                .method = request->route->to.method,
                .url = request->route->to.url,
                .headers = request->headers,
                .headers_n = request->headers_n,
                .body = request->event->text,
                .body_bytes = request->event->text_bytes,
        };
}

bridge_request *bridge_request_free(bridge_request *request)
{
        free(request);
        return NULL;
}
