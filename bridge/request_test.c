/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/request.h"
#include "test.h"

#include <celadon/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char text[] =
        "{\"message_id\": \"id-1\", \"event_type\": \"compute.instance.create.end\", "
        "\"publisher_id\": \"compute.host-1\", \"priority\": \"INFO\", "
        "\"timestamp\": \"2026-11-23 15:00:00.000001\", \"_context_request_id\": \"req-1\", "
        "\"payload\": {\"instance_id\": \"i 1\", \"state\": \"active\", \"line\": \"a\\nb\"}}";

/* A route, an event, and the request that is made of both. */
typedef struct world {
        bridge_config *config;
        cel_headers *headers;
        json_t *message;
        cel_message raw;
        cel_notification event;
        char key[BRIDGE_KEY_BYTES_MAX + 1];
        char why[BRIDGE_WHY_BYTES];
        bridge_request *request;
        cel_http_request http;
} world;

static void on_error(const char *line, void *arg)
{
        (void)arg;
        CHECK_STR(line, "");
}

/* `to` is what a route says there beside its URL; it may have a URL as well, and more of the route behind a `}`. */
static void world_init(world *w, const char *to)
{
        char yaml[4096];

        snprintf(yaml, sizeof(yaml),
                 "transport: rabbit://h/\nroutes: [{name: a, from: {notifications: {}}, to: {%s%s}}]\n",
                 strstr(to, "url:") ? "" : "url: 'http://h/', ", to);
        *w = (world){.message = json_loads(text, 0, NULL)};
        CHECK_INT(bridge_config_parse("f", yaml, strlen(yaml), on_error, NULL, &w->config), 0);
        CHECK_INT(cel_headers_new(&w->headers), 0);
        w->raw = (cel_message){
                .body = text, .body_bytes = strlen(text), .exchange = "nova", .headers = w->headers};
        w->event = (cel_notification){.message_id = "id-1",
                                      .event_type = "compute.instance.create.end",
                                      .publisher_id = "compute.host-1",
                                      .priority = "INFO",
                                      .timestamp = "2026-11-23 15:00:00.000001",
                                      .text = text,
                                      .text_bytes = strlen(text),
                                      .message = w->message,
                                      .payload = json_object_get(w->message, "payload"),
                                      .raw = &w->raw};
}

static int make(world *w)
{
        CHECK_INT(bridge_request_key(&w->event, w->key), 0);
        int r = bridge_request_new(&w->config->routes[0], &w->event, w->key, w->why, &w->request);

        return r < 0 ? r : bridge_request_complete(w->request, &(bridge_attempt){.n = 1}, &w->http);
}

static void world_fini(world *w)
{
        bridge_request_free(w->request);
        bridge_config_free(w->config);
        cel_headers_free(w->headers);
        json_decref(w->message);
}

/* NULL if it is not sent; there must not be two. */
static const char *header(const world *w, const char *name)
{
        const char *value = NULL;

        for (size_t i = 0; i < w->http.headers_n; i++)
                if (strcasecmp(w->http.headers[i].name, name) == 0) {
                        CHECK(!value);
                        value = w->http.headers[i].value;
                }
        return value;
}

static void check_body(const world *w, const char *expected)
{
        CHECK_INT(w->http.body_bytes, strlen(expected));
        CHECK_BYTES(w->http.body, expected, strlen(expected));
}

TEST(without_settings_the_notification_is_sent_as_it_is)
{
        world w;

        world_init(&w, "");
        CHECK_INT(make(&w), 0);
        CHECK_STR(w.http.method, "POST");
        CHECK_STR(w.http.url, "http://h/");
        CHECK_STR(header(&w, "Content-Type"), "application/json");
        CHECK_STR(header(&w, "Idempotency-Key"), "id-1");
        check_body(&w, text);
        world_fini(&w);
}

TEST(url_and_headers_are_filled_in_from_the_event)
{
        world w;

        world_init(&w,
                   "url: 'http://h/servers/{json:/payload/instance_id}?s={json:/payload/state}', "
                   "headers: {X-Type: 'type={event_type}', X-None: '{json:/payload/no}', X-Plain: plain}");
        CHECK_INT(make(&w), 0);
        CHECK_STR(w.http.url, "http://h/servers/i%201?s=active");
        CHECK_STR(header(&w, "X-Type"), "type=compute.instance.create.end");
        CHECK_STR(header(&w, "X-Plain"), "plain");
        CHECK(!header(&w, "X-None")); /* empty */
        world_fini(&w);
}

static void check_refused(const char *to, const char *why)
{
        world w;

        world_init(&w, to);
        CHECK_INT(make(&w), CEL_EINVAL);
        CHECK_STR(w.why, why);
        world_fini(&w);
}

TEST(an_event_that_lacks_what_the_request_needs_is_refused_with_the_reason)
{
        check_refused("url: 'http://h/{json:/payload/no}'", "url: {json:/payload/no} is not there");
        check_refused("headers: {X-A: '{json:/payload/no|required}'}",
                      "header X-A: {json:/payload/no} is not there");
        check_refused("headers: {X-A: '{json:/payload/line}'}",
                      "header X-A: {json:/payload/line} has a value with a control character");
}

TEST(headers_that_would_be_too_many_bytes_together_are_refused)
{
        cel_auto_free char *big = malloc(9000);
        world w;

        world_init(&w,
                   "headers: {A: '{json:/payload/big}', B: '{json:/payload/big}', C: '{json:/payload/big}', "
                   "D: '{json:/payload/big}', E: '{json:/payload/big}', F: '{json:/payload/big}', "
                   "G: '{json:/payload/big}', H: '{json:/payload/big}'}");
        memset(big, 'x', 8000);
        big[8000] = '\0';
        json_object_set_new(json_object_get(w.message, "payload"), "big", json_string(big));
        CHECK_INT(make(&w), CEL_EINVAL);
        CHECK(strstr(w.why, "which is too many"));
        world_fini(&w);
}

TEST(a_cloudevent_in_binary_mode_is_the_payload_with_headers)
{
        world w;

        world_init(&w, "cloudevents: {mode: binary, subject: '{json:/payload/instance_id}'}");
        CHECK_INT(make(&w), 0);
        CHECK_STR(header(&w, "ce-specversion"), "1.0");
        CHECK_STR(header(&w, "ce-id"), "id-1");
        CHECK_STR(header(&w, "ce-source"), "//nova/compute.host-1");
        CHECK_STR(header(&w, "ce-type"), "compute.instance.create.end");
        CHECK_STR(header(&w, "ce-time"), "2026-11-23T15:00:00.000001Z");
        CHECK_STR(header(&w, "ce-subject"), "i%201");
        CHECK_STR(header(&w, "ce-openstackrequestid"), "req-1");
        CHECK_STR(header(&w, "ce-openstackpriority"), "info");
        CHECK_STR(header(&w, "Content-Type"), "application/json");
        CHECK(!header(&w, "ce-openstackproject"));
        CHECK(!header(&w, "ce-datacontenttype"));
        check_body(&w, "{\"instance_id\": \"i 1\", \"state\": \"active\", \"line\": \"a\\nb\"}");
        world_fini(&w);
}

TEST(a_cloudevent_in_structured_mode_is_one_object)
{
        world w;

        world_init(&w, "cloudevents: structured, transform: {pick: [/payload/state]}");
        CHECK_INT(make(&w), 0);
        CHECK_STR(header(&w, "Content-Type"), "application/cloudevents+json; charset=UTF-8");
        CHECK(!header(&w, "ce-id"));
        check_body(&w, "{\"specversion\":\"1.0\",\"id\":\"id-1\",\"source\":\"//nova/compute.host-1\","
                       "\"type\":\"compute.instance.create.end\",\"time\":\"2026-11-23T15:00:00.000001Z\","
                       "\"openstackrequestid\":\"req-1\",\"openstackpriority\":\"info\","
                       "\"datacontenttype\":\"application/json\",\"data\":{\"state\":\"active\"}}");
        world_fini(&w);
}

TEST(the_data_of_a_cloudevent_may_be_the_whole_notification)
{
        world w;

        world_init(&w, "cloudevents: {mode: binary, data: notification}");
        CHECK_INT(make(&w), 0);
        check_body(&w, text);
        world_fini(&w);
}

TEST(a_cloudevent_without_a_message_id_gets_one_that_is_the_same_for_each_attempt)
{
        char id[BRIDGE_KEY_BYTES_MAX + 1];
        world w;

        world_init(&w, "cloudevents: binary");
        w.event.message_id = "";
        CHECK_INT(make(&w), 0);
        CHECK(!header(&w, "Idempotency-Key"));
        snprintf(id, sizeof(id), "%s", header(&w, "ce-id"));
        CHECK_INT(strlen(id), 36);
        CHECK_INT(bridge_request_complete(w.request, &(bridge_attempt){.n = 2}, &w.http), 0);
        CHECK_STR(header(&w, "ce-id"), id);
        world_fini(&w);
}

TEST(each_attempt_tells_its_number_and_what_is_known_of_those_before)
{
        char first[64];
        world w;

        world_init(&w, "");
        CHECK_INT(make(&w), 0);
        CHECK_STR(header(&w, "X-Celadon-Attempt"), "1");
        CHECK_STR(header(&w, "X-Celadon-Redelivered"), "0");
        CHECK_STR(header(&w, "X-Celadon-Maybe-Delivered"), "0");
        snprintf(first, sizeof(first), "%s", header(&w, "X-Celadon-First-Attempt"));
        CHECK_INT(strlen(first), 24);
        bridge_attempt second = {.n = 2, .redelivered = true, .maybe_delivered = true};

        CHECK_INT(bridge_request_complete(w.request, &second, &w.http), 0);
        CHECK_STR(header(&w, "X-Celadon-Attempt"), "2");
        CHECK_STR(header(&w, "X-Celadon-Redelivered"), "1");
        CHECK_STR(header(&w, "X-Celadon-Maybe-Delivered"), "1");
        CHECK_STR(header(&w, "X-Celadon-First-Attempt"), first);
        second.first_ms = 1764000000123; /* as another process remembers it */
        CHECK_INT(bridge_request_complete(w.request, &second, &w.http), 0);
        CHECK_STR(header(&w, "X-Celadon-First-Attempt"), "2025-11-24T16:00:00.123Z");
        world_fini(&w);
}

TEST(the_request_is_a_child_of_the_events_trace_and_each_attempt_another)
{
        static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        char first[64];
        world w;

        world_init(&w, "");
        cel_headers_set_str(w.headers, "traceparent", parent);
        cel_headers_set_str(w.headers, "tracestate", "a=b");
        CHECK_INT(make(&w), 0);
        snprintf(first, sizeof(first), "%s", header(&w, "traceparent"));
        CHECK_BYTES(first, parent, 36);
        CHECK(strcmp(first, parent) != 0);
        CHECK_STR(header(&w, "tracestate"), "a=b");
        CHECK_INT(bridge_request_complete(w.request, &(bridge_attempt){.n = 2}, &w.http), 0);
        CHECK(strcmp(header(&w, "traceparent"), first) != 0);
        world_fini(&w);
}

TEST(without_a_trace_none_is_begun_and_a_state_alone_is_not_passed_on)
{
        world w;

        world_init(&w, "");
        cel_headers_set_str(w.headers, "tracestate", "a=b");
        CHECK_INT(make(&w), 0);
        CHECK(!header(&w, "traceparent"));
        CHECK(!header(&w, "tracestate"));
        world_fini(&w);
}

TEST(the_openstack_request_id_is_that_of_the_context_or_a_new_one)
{
        static const char *const bad[] = {"", "id", "req-a\nX: y"};
        world w;

        world_init(&w, "");
        CHECK_INT(make(&w), 0);
        CHECK_STR(header(&w, "X-OpenStack-Request-ID"), "req-1");
        world_fini(&w);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                world_init(&w, "");
                json_object_set_new(w.message, "_context_request_id", json_string(bad[i]));
                CHECK_INT(make(&w), 0);
                CHECK_INT(strlen(header(&w, "X-OpenStack-Request-ID")), 40);
                world_fini(&w);
        }
}

TEST(a_signature_is_made_anew_for_each_attempt_with_the_same_id)
{
        world w;

        setenv("CELADON_TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1);
        world_init(&w, "signature: {secrets: ['env:CELADON_TEST_SECRET', 'env:CELADON_TEST_SECRET']}");
        unsetenv("CELADON_TEST_SECRET");
        CHECK_INT(make(&w), 0);
        for (unsigned n = 1; n <= 2; n++) {
                CHECK_STR(header(&w, "webhook-id"), "id-1");
                CHECK(strtoll(header(&w, "webhook-timestamp"), NULL, 10) > 1700000000);
                CHECK_INT(strlen(header(&w, "webhook-signature")), 95);
                CHECK_INT(bridge_request_complete(w.request, &(bridge_attempt){.n = n + 1}, &w.http), 0);
        }
        world_fini(&w);
}

TEST(the_most_headers_there_can_be_are_all_sent)
{
        char to[2048] = "cloudevents: {mode: binary, subject: s}, signature: {secrets: "
                        "'env:CELADON_TEST_SECRET'}, headers: {";
        world w;

        for (unsigned i = 0; i < BRIDGE_HEADERS_MAX; i++)
                snprintf(to + strlen(to), sizeof(to) - strlen(to), "X-%u: x, ", i);
        strcat(to, "}");
        setenv("CELADON_TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1);
        world_init(&w, to);
        unsetenv("CELADON_TEST_SECRET");
        json_object_set_new(w.message, "_context_project_id", json_string("p"));
        cel_headers_set_str(w.headers, "traceparent",
                            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        cel_headers_set_str(w.headers, "tracestate", "a=b");
        CHECK_INT(make(&w), 0);
        CHECK_INT(w.http.headers_n, BRIDGE_HEADERS_MAX + 9 + 12);
        CHECK(header(&w, "X-63"));
        CHECK(header(&w, "webhook-signature"));
        world_fini(&w);
}

TEST(a_configured_header_replaces_the_bridges_own_and_an_empty_one_removes_it)
{
        world w;

        world_init(&w, "cloudevents: binary, headers: {CE-Source: '//other', ce-openstackpriority: '', "
                       "X-Celadon-Attempt: '', "
                       "x-openstack-request-id: mine}");
        CHECK_INT(make(&w), 0);
        CHECK_STR(header(&w, "ce-source"), "//other");
        CHECK(!header(&w, "ce-openstackpriority"));
        CHECK(!header(&w, "X-Celadon-Attempt"));
        CHECK_STR(header(&w, "X-OpenStack-Request-ID"), "mine");
        world_fini(&w);
}
