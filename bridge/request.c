/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/request.h"

#include "bridge/member.h"
#include "bridge/random.h"
#include "bridge/trace.h"

#include <celadon/error.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Room for what bridge_request_complete() adds: a part of BRIDGE_OWN_HEADER_BYTES_MAX. */
enum { ATTEMPT_HEADER_BYTES_MAX = 2048, TIME_BYTES = 64 };

/* So none is ever left out, a signature least of all. Beside those of a CloudEvent: Content-Type, Idempotency-Key, three of a
 * signature, X-OpenStack-Request-ID, two of a trace and four of an attempt. */
_Static_assert(BRIDGE_HEADERS_MAX + BRIDGE_CLOUDEVENT_ATTRIBUTES_MAX + 12 <= CEL_HTTP_HEADERS_MAX,
               "too few headers");

struct bridge_request {
        const bridge_route_config *route; /* borrowed */
        bridge_event event;
        bridge_text url; /* owned; empty: the route's, as it is */
        cel_http_header headers[CEL_HTTP_HEADERS_MAX];
        char *values[CEL_HTTP_HEADERS_MAX]; /* owned; of headers whose value is not borrowed */
        size_t headers_n;
        size_t header_bytes;
        char id[BRIDGE_KEY_BYTES_MAX + 1]; /* the key; without one, a random one: see docs/BRIDGE.md */
        char webhook_id[BRIDGE_WEBHOOK_ID_BYTES];
        char openstack_request_id[BRIDGE_KEY_BYTES_MAX + 1];
        char *trace_parent, *trace_state; /* owned; of the event, NULL: none */
        bridge_cloudevent ce;
        char *made; /* owned; the body, unless it is the notification's text */
        const char *body;
        size_t body_bytes;
        int64_t first_ms; /* the first attempt, since 1970; 0: there was none */

        /* Of one attempt. */
        size_t attempt_headers_n;
        char attempt[16], first_attempt[TIME_BYTES], timestamp[24], traceparent[BRIDGE_TRACEPARENT_BYTES];
        bridge_text signature; /* owned */
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

/* --- Headers ---------------------------------------------------------------------------------- */

/* `owned` is NULL or where `value` is; it is the request's from here on. */
static void add_header(bridge_request *request, const char *name, const char *value, char *owned)
{
        request->values[request->headers_n] = owned;
        request->headers[request->headers_n++] = (cel_http_header){name, value};
        request->header_bytes += strlen(name) + strlen(value);
}

/* A header whose value is a template. One that comes out empty is left out. */
static int add_from_template(bridge_request *request, const char *name, const bridge_template *value,
                             char *why)
{
        bridge_text text = {.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX};
        char problem[BRIDGE_TEMPLATE_WHY_BYTES];
        int r = bridge_template_render(value, &request->event, &text, problem);

        if (r == CEL_EINVAL)
                snprintf(why, BRIDGE_WHY_BYTES, "header %.64s: %.180s", name, problem);
        if (r < 0 || text.n == 0)
                bridge_text_fini(&text);
        else
                add_header(request, name, text.bytes, text.bytes);
        return r;
}

static int add_configured(bridge_request *request, char *why)
{
        const bridge_target_config *to = &request->route->to;
        int r = 0;

        for (size_t i = 0; i < to->headers_n && r >= 0; i++) {
                const bridge_template *value = to->header_templates ? to->header_templates[i] : NULL;

                if (value)
                        r = add_from_template(request, to->headers[i].name, value, why);
                else if (*to->headers[i].value)
                        add_header(request, to->headers[i].name, to->headers[i].value, NULL);
        }
        return r;
}

/* One of the bridge's own. What the configuration has under that name replaces it, be it nothing. */
static void add_own(bridge_request *request, const char *name, const char *value, char *owned)
{
        const bridge_target_config *to = &request->route->to;

        for (size_t i = 0; i < to->headers_n; i++)
                if (strcasecmp(to->headers[i].name, name) == 0) {
                        free(owned);
                        return;
                }
        add_header(request, name, value, owned);
}

static int add_cloudevents(bridge_request *request)
{
        for (size_t i = 0; i < request->ce.attributes_n; i++) {
                bridge_text value = {.bytes_max = CEL_HTTP_HEADER_BYTES_MAX};

                bridge_cloudevent_put_header(&value, request->ce.attributes[i].value);
                if (value.error == CEL_ENOMEM) {
                        bridge_text_fini(&value);
                        return CEL_ENOMEM;
                }
                add_own(request, request->ce.attributes[i].name, value.bytes, value.bytes);
        }
        return 0;
}

static int make_headers(bridge_request *request, char *why)
{
        bridge_cloudevents_mode mode = request->route->to.cloudevents.mode;
        int r = add_configured(request, why);

        if (r >= 0 && mode == BRIDGE_CLOUDEVENTS_BINARY)
                r = add_cloudevents(request);
        if (r < 0)
                return r;
        add_own(request, "Content-Type",
                mode == BRIDGE_CLOUDEVENTS_STRUCTURED ? "application/cloudevents+json; charset=UTF-8"
                                                      : "application/json",
                NULL);
        if (*request->event.key)
                add_own(request, "Idempotency-Key", request->event.key, NULL);
        if (request->route->to.signing_keys_n > 0)
                add_own(request, "webhook-id", request->webhook_id, NULL);
        add_own(request, "X-OpenStack-Request-ID", request->openstack_request_id, NULL);
        if (request->trace_state)
                add_own(request, "tracestate", request->trace_state, NULL);
        if (request->header_bytes <= CEL_HTTP_HEADER_BYTES_MAX - ATTEMPT_HEADER_BYTES_MAX)
                return 0;
        snprintf(why, BRIDGE_WHY_BYTES, "its headers have %zu bytes, which is too many",
                 request->header_bytes);
        return CEL_EINVAL;
}

/* --- The body --------------------------------------------------------------------------------- */

static int transform_body(bridge_request *request, char *why)
{
        const bridge_transform *transform = &request->route->to.transform;
        const cel_notification *event = request->event.notification;
        char problem[BRIDGE_TRANSFORM_WHY_BYTES];
        json_t *json;

        request->body = event->text;
        request->body_bytes = event->text_bytes;
        if (bridge_transform_is_empty(transform))
                return 0;
        int r = bridge_transform_apply(transform, &request->event, problem, &json);

        if (r == CEL_EINVAL)
                snprintf(why, BRIDGE_WHY_BYTES, "transform: %.240s", problem);
        if (r < 0)
                return r;
        request->made = json_dumps(json, JSON_COMPACT);
        json_decref(json);
        if (!request->made)
                return CEL_ENOMEM;
        request->body = request->made;
        request->body_bytes = strlen(request->made);
        return 0;
}

/* The data of a CloudEvent: what is sent otherwise, or the payload of that. */
static int make_cloudevent(bridge_request *request, char *why)
{
        const bridge_cloudevents_config *config = &request->route->to.cloudevents;
        bridge_text whole = {.bytes_max = SIZE_MAX / 2};
        const char *data = request->body;
        size_t n = request->body_bytes;
        int r = bridge_cloudevent_make(config, &request->event, request->id, request->route->from.exchange,
                                       why, &request->ce);

        if (r < 0)
                return r;
        if (!config->whole_notification &&
            !bridge_member_find(request->body, request->body_bytes, "payload", &data, &n)) {
                data = NULL;
                n = 0;
        }
        if (config->mode == BRIDGE_CLOUDEVENTS_STRUCTURED) {
                bridge_cloudevent_put_structured(&whole, &request->ce, data, n);
                free(request->made);
                request->made = whole.bytes;
                data = whole.bytes;
                n = whole.n;
        }
        request->body = data;
        request->body_bytes = n;
        return whole.error;
}

static int make_body(bridge_request *request, char *why)
{
        int r = transform_body(request, why);

        if (r >= 0 && request->route->to.cloudevents.mode != BRIDGE_CLOUDEVENTS_OFF)
                r = make_cloudevent(request, why);
        return r;
}

/* --- Ids -------------------------------------------------------------------------------------- */

static void make_ids(bridge_request *request)
{
        const char *key = request->event.key, *asked;
        char uuid[BRIDGE_UUID_BYTES] = "";

        asked = json_string_value(
                json_object_get(request->event.notification->message, "_context_request_id"));
        if (asked && (strncmp(asked, "req-", 4) != 0 || strlen(asked) > BRIDGE_KEY_BYTES_MAX ||
                      bridge_has_control(asked, strlen(asked))))
                asked = NULL;
        if (!*key || !asked)
                bridge_random_uuid(uuid);
        snprintf(request->id, sizeof(request->id), "%s", *key ? key : uuid);
        if (request->route->to.signing_keys_n > 0)
                bridge_webhook_id(request->id, request->webhook_id);
        snprintf(request->openstack_request_id, sizeof(request->openstack_request_id), "%s%s",
                 asked ? asked : "req-", asked ? "" : uuid);
}

/* The trace that the event belongs to, as AMQP headers tell. */
static int find_trace(bridge_request *request)
{
        const cel_headers *headers = request->event.notification->raw->headers;
        char child[BRIDGE_TRACEPARENT_BYTES];
        int r = cel_headers_get_str(headers, "traceparent", &request->trace_parent);

        if (r == CEL_ENOMEM)
                return r;
        if (!bridge_trace_child(request->trace_parent, child)) {
                free(request->trace_parent);
                request->trace_parent = NULL;
                return 0; /* a state without its trace means nothing */
        }
        if (cel_headers_get_str(headers, "tracestate", &request->trace_state) == CEL_ENOMEM)
                return CEL_ENOMEM;
        if (!bridge_trace_state_is_good(request->trace_state)) {
                free(request->trace_state);
                request->trace_state = NULL;
        }
        return 0;
}

/* --- The whole -------------------------------------------------------------------------------- */

static int make_url(bridge_request *request, char *why)
{
        const bridge_template *url = request->route->to.url_template;
        char problem[BRIDGE_TEMPLATE_WHY_BYTES];

        request->url.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX;
        if (!url)
                return 0;
        int r = bridge_template_render(url, &request->event, &request->url, problem);

        if (r == CEL_EINVAL)
                snprintf(why, BRIDGE_WHY_BYTES, "url: %.240s", problem);
        return r;
}

int bridge_request_new(const bridge_route_config *route, const cel_notification *event, const char *key,
                       char why[BRIDGE_WHY_BYTES], bridge_request **ret_request)
{
        cel_auto(bridge_request) *request = calloc(1, sizeof(*request));

        if (!request)
                return CEL_ENOMEM;
        request->route = route;
        request->event = (bridge_event){.notification = event, .route = route->name, .key = key};
        make_ids(request);
        int r = find_trace(request);

        if (r >= 0)
                r = make_url(request, why);
        if (r >= 0)
                r = make_body(request, why);
        if (r >= 0)
                r = make_headers(request, why);
        if (r >= 0)
                *ret_request = CEL_TAKE(request);
        return r;
}

/* --- An attempt ------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void format_time(int64_t ms, char ret_text[TIME_BYTES])
{
        time_t seconds = (time_t)(ms / 1000);
        char whole[32];
        struct tm utc;

        gmtime_r(&seconds, &utc);
        strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &utc);
        snprintf(ret_text, TIME_BYTES, "%s.%03dZ", whole, (int)(ms % 1000));
}

static int sign(bridge_request *request, int64_t seconds)
{
        const bridge_target_config *to = &request->route->to;
        int r;

        if (to->signing_keys_n == 0)
                return 0;
        bridge_text_fini(&request->signature);
        request->signature.bytes_max = CEL_HTTP_HEADER_BYTES_MAX;
        r = bridge_sign(to->signing_keys, to->signing_keys_n, request->webhook_id, seconds, request->body,
                        request->body_bytes, &request->signature);
        if (r < 0)
                return r;
        snprintf(request->timestamp, sizeof(request->timestamp), "%lld", (long long)seconds);
        add_own(request, "webhook-timestamp", request->timestamp, NULL);
        add_own(request, "webhook-signature", request->signature.bytes, NULL);
        return 0;
}

static void add_attempt(bridge_request *request, const bridge_attempt *attempt)
{
        snprintf(request->attempt, sizeof(request->attempt), "%u", attempt->n);
        format_time(request->first_ms, request->first_attempt);
        add_own(request, "X-Celadon-Attempt", request->attempt, NULL);
        add_own(request, "X-Celadon-First-Attempt", request->first_attempt, NULL);
        add_own(request, "X-Celadon-Redelivered", attempt->redelivered ? "1" : "0", NULL);
        add_own(request, "X-Celadon-Maybe-Delivered", attempt->maybe_delivered ? "1" : "0", NULL);
        if (bridge_trace_child(request->trace_parent, request->traceparent))
                add_own(request, "traceparent", request->traceparent, NULL);
}

int bridge_request_complete(bridge_request *request, const bridge_attempt *attempt,
                            cel_http_request *ret_http)
{
        int64_t ms = now_ms();

        if (attempt->first_ms != 0 || request->first_ms == 0)
                request->first_ms = attempt->first_ms != 0 ? attempt->first_ms : ms;
        request->headers_n -= request->attempt_headers_n; /* those of the last attempt */
        size_t before = request->headers_n;

        add_attempt(request, attempt);
        int r = sign(request, ms / 1000);

        request->attempt_headers_n = request->headers_n - before;
        if (r < 0)
                return r;
        *ret_http = (cel_http_request){
                .method = request->route->to.method,
                .url = request->url.bytes ? request->url.bytes : request->route->to.url,
                .headers = request->headers,
                .headers_n = request->headers_n,
                .body = request->body,
                .body_bytes = request->body_bytes,
        };
        return 0;
}

bridge_request *bridge_request_free(bridge_request *request)
{
        if (!request)
                return NULL;
        for (size_t i = 0; i < request->headers_n; i++)
                free(request->values[i]);
        bridge_text_fini(&request->url);
        bridge_text_fini(&request->signature);
        bridge_cloudevent_fini(&request->ce);
        free(request->trace_parent);
        free(request->trace_state);
        free(request->made);
        free(request);
        return NULL;
}
