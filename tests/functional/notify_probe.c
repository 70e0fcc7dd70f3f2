/* SPDX-License-Identifier: Apache-2.0
 *
 * A listener and a notifier as the functional tests describe them; the public API is all they see.
 *
 *     notify_probe listen URL OPTIONS    prints "ready", then a line for each call of an endpoint, until SIGTERM:
 *                                        {"endpoint": number, "events": [event_type, …]}
 *     notify_probe notify URL OPTIONS    sends, and prints what each came to: ["CEL_OK", …]
 *
 * OPTIONS are an object; of a listener: {"targets": [{"exchange", "topic"}], "pool", "allow_requeue", "batch_size",
 * "batch_timeout", "endpoints": [{"priorities", "filter": {"publisher_id", "event_type", "context", "metadata", "payload"},
 * "requeue": how many calls give back}]}; of a notifier: {"exchange", "topics", "drivers", "publisher_id", "routing_config",
 * "events": [{"priority", "event_type", "payload", "context", "publisher_id"}]}; of both: "serialized": true. */
#include <celadon/celadon.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENDPOINTS_MAX = 8, TARGETS_MAX = 8, LIST_MAX = 16 };

typedef struct endpoint {
        unsigned number;
        int64_t requeue; /* calls that still give back */
        const char *priorities[LIST_MAX];
        cel_notification_filter filter;
        cel_member_pattern members[3][LIST_MAX];
} endpoint;

static const char *text(const json_t *json, const char *key)
{
        return json_string_value(json_object_get(json, key));
}

static const char *const *texts(const json_t *json, const char *key, const char *list[LIST_MAX])
{
        const json_t *array = json_object_get(json, key);

        for (size_t i = 0; i < json_array_size(array) && i + 1 < LIST_MAX; i++)
                list[i] = json_string_value(json_array_get(array, i));
        return array ? list : NULL;
}

static void print_line(json_t *json)
{
        json_dumpf(json, stdout, JSON_COMPACT);
        puts("");
        fflush(stdout);
        json_decref(json);
}

/* --- A serializer, the same as that of parts/notify.py ---------------------------------------- */

static int write_payload(cel_ctx *ctx, void *arg, const json_t *context, json_t *payload,
                         json_t **ret_payload)
{
        (void)ctx, (void)arg;
        *ret_payload =
                json_pack("{s:O, s:O?}", "wrapped", payload, "for", json_object_get(context, "auth_token"));
        return 0;
}

static int write_context(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context)
{
        (void)ctx, (void)arg;
        *ret_context = json_copy(context);
        return json_object_set_new(*ret_context, "mark", json_string("written"));
}

static int read_context(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context)
{
        (void)ctx, (void)arg;
        *ret_context = json_pack("{s:s++}", "mark", text(context, "mark"), "-", "read");
        return 0;
}

static int read_payload(cel_ctx *ctx, void *arg, const json_t *context, json_t *payload, json_t **ret_payload)
{
        (void)ctx, (void)arg;
        *ret_payload = json_pack("{s:O?, s:O?, s:O?}", "state",
                                 json_object_get(json_object_get(payload, "wrapped"), "state"), "for",
                                 json_object_get(payload, "for"), "mark", json_object_get(context, "mark"));
        return 0;
}

static const cel_serializer *serializer_for(const json_t *options)
{
        static const cel_serializer serializer = {.serialize_entity = write_payload,
                                                  .serialize_context = write_context,
                                                  .deserialize_entity = read_payload,
                                                  .deserialize_context = read_context};

        return json_is_true(json_object_get(options, "serialized")) ? &serializer : NULL;
}

/* --- Listener --------------------------------------------------------------------------------- */

static int on_batch(cel_ctx *ctx, const cel_notification *const *notifications, unsigned n, void *arg)
{
        endpoint *e = arg;
        json_t *events = json_array();

        (void)ctx;
        for (unsigned i = 0; i < n; i++)
                json_array_append_new(events, json_string(notifications[i]->event_type));
        print_line(json_pack("{s:i, s:o}", "endpoint", e->number, "events", events));
        return e->requeue > 0 ? (e->requeue--, CEL_REQUEUE) : CEL_HANDLED;
}

static int on_notification(cel_ctx *ctx, const cel_notification *notification, void *arg)
{
        return on_batch(ctx, &notification, 1, arg);
}

static const cel_member_pattern *read_members(const json_t *filter, const char *key,
                                              cel_member_pattern list[LIST_MAX])
{
        json_t *object = json_object_get(filter, key);
        unsigned n = 0;

        for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
                list[n++] = (cel_member_pattern){json_object_iter_key(at),
                                                 json_string_value(json_object_iter_value(at))};
        return n > 0 ? list : NULL;
}

static cel_notification_endpoint read_endpoint(const json_t *from, endpoint *e, bool batches)
{
        const json_t *filter = json_object_get(from, "filter");

        e->requeue = json_integer_value(json_object_get(from, "requeue"));
        e->filter = (cel_notification_filter){.publisher_id = text(filter, "publisher_id"),
                                              .event_type = text(filter, "event_type"),
                                              .context = read_members(filter, "context", e->members[0]),
                                              .metadata = read_members(filter, "metadata", e->members[1]),
                                              .payload = read_members(filter, "payload", e->members[2])};
        return (cel_notification_endpoint){.priorities = texts(from, "priorities", e->priorities),
                                           .filter = filter ? &e->filter : NULL,
                                           .on_notification = batches ? NULL : on_notification,
                                           .on_batch = batches ? on_batch : NULL,
                                           .arg = e};
}

static int open_listener(cel_ctx *ctx, cel_transport *bus, const json_t *o, endpoint *endpoints,
                         cel_notification_listener **ret_listener)
{
        cel_notification_endpoint list[ENDPOINTS_MAX];
        cel_notification_target targets[TARGETS_MAX];
        const json_t *from = json_object_get(o, "endpoints"), *to = json_object_get(o, "targets");
        cel_notification_listener_options options = {
                .targets = targets,
                .targets_n = (unsigned)json_array_size(to),
                .pool = text(o, "pool"),
                .serializer = serializer_for(o),
                .allow_requeue = json_is_true(json_object_get(o, "allow_requeue")),
                .batch_size = (unsigned)json_integer_value(json_object_get(o, "batch_size")),
                .batch_timeout_ms = (int64_t)(1000 * json_number_value(json_object_get(o, "batch_timeout"))),
                .endpoints = list,
                .endpoints_n = (unsigned)json_array_size(from)};

        for (unsigned i = 0; i < options.targets_n; i++)
                targets[i] = (cel_notification_target){text(json_array_get(to, i), "exchange"),
                                                       text(json_array_get(to, i), "topic")};
        for (unsigned i = 0; i < options.endpoints_n; i++) {
                endpoints[i].number = i;
                list[i] = read_endpoint(json_array_get(from, i), &endpoints[i], options.batch_size > 0);
        }
        return cel_notification_listener_open(ctx, bus, &options, ret_listener);
}

static int listen(cel_ctx *ctx, const char *url, const json_t *options)
{
        cel_auto_free endpoint *endpoints = calloc(ENDPOINTS_MAX, sizeof(*endpoints));
        cel_auto(cel_transport) *bus = NULL;
        cel_notification_listener *listener;

        int r = cel_transport_open(ctx, url, &bus);
        if (r >= 0)
                r = open_listener(ctx, bus, options, endpoints, &listener);
        if (r < 0)
                return r;
        puts("ready");
        fflush(stdout);
        cel_await(ctx, cel_stop_future(ctx), NULL);
        return cel_notification_listener_close(ctx, listener);
}

/* --- Notifier --------------------------------------------------------------------------------- */

static int send_one(cel_ctx *ctx, cel_notifier *notifier, const json_t *event)
{
        cel_auto(cel_notifier) *prepared = NULL;
        int r = cel_notifier_prepare(ctx, notifier, text(event, "publisher_id"), 0, &prepared);

        return r < 0 ? r
                     : cel_notify(ctx, prepared, text(event, "priority"), text(event, "event_type"),
                                  json_incref(json_object_get(event, "payload")),
                                  json_object_get(event, "context"));
}

static int send_all(cel_ctx *ctx, const char *url, const json_t *o)
{
        const char *topics[LIST_MAX] = {0}, *drivers[LIST_MAX] = {0};
        const json_t *events = json_object_get(o, "events");
        cel_notifier_options options = {.exchange = text(o, "exchange"),
                                        .topics = texts(o, "topics", topics),
                                        .drivers = texts(o, "drivers", drivers),
                                        .routing_config = text(o, "routing_config"),
                                        .publisher_id = text(o, "publisher_id"),
                                        .serializer = serializer_for(o)};
        cel_auto(cel_transport) *bus = NULL;
        cel_auto(cel_notifier) *notifier = NULL;

        int r = cel_transport_open(ctx, url, &bus);
        if (r >= 0)
                r = cel_notifier_new(ctx, bus, &options, &notifier);
        if (r < 0)
                return r;
        json_t *outcomes = json_array();
        for (size_t i = 0; i < json_array_size(events); i++)
                json_array_append_new(outcomes, json_string(cel_error_name(
                                                        send_one(ctx, notifier, json_array_get(events, i)))));
        print_line(outcomes);
        return 0;
}

static int run(cel_ctx *ctx, void *arg)
{
        char **argv = arg;
        json_t *options = json_loads(argv[3], 0, NULL);
        int r = strcmp(argv[1], "listen") == 0 ? listen(ctx, argv[2], options)
                                               : send_all(ctx, argv[2], options);

        json_decref(options);
        return r;
}

int main(int argc, char **argv)
{
        if (argc == 4 && (strcmp(argv[1], "listen") == 0 || strcmp(argv[1], "notify") == 0))
                return cel_main(run, argv);
        fputs("usage: see the top of notify_probe.c\n", stderr);
        return 64;
}
