/* SPDX-License-Identifier: Apache-2.0
 *
 * The notifier (oslo-wire sections 6.2, 13.1, 13.2). */
#include "base/uuid.h"
#include "driver/convert.h"
#include "driver/errands.h"
#include "notify/drivers.h"
#include "notify/kept.h"
#include "notify/mask.h"
#include "notify/priority.h"
#include "notify/routing.h"
#include "wire/notification.h"

#include <celadon/log.h>
#include <celadon/notifier.h>
#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
        TOPICS_MAX = 64,
        BODY_BYTES_MAX = 128 << 20,
        TIMESTAMP_BYTES = 32,
};

static const char *const default_topics[] = {"notifications", NULL};
static const char *const default_drivers[] = {"messagingv2", NULL};

/* What prepared notifiers share. */
typedef struct notifier_core {
        _Atomic unsigned refs;
        cel__errands *errands; /* a reference */
        cel__driver_settings settings;
        char *exchange; /* owned */
        unsigned topics_n;
        char *topics[TOPICS_MAX]; /* owned */
        unsigned drivers;         /* a set */
        cel__routing *routing;    /* owned; NULL: none */
        cel_serializer serializer;
        cel__kept kept;
} notifier_core;

struct cel_notifier {
        notifier_core *core; /* a reference */
        char *publisher_id;  /* owned; NULL: none */
        int retry;
};

/* --- One message ------------------------------------------------------------------------------ */

/* As Python prints a time in UTC: without the fraction if that is zero. */
static void print_now(char text[TIMESTAMP_BYTES])
{
        struct timespec now;
        struct tm utc;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        size_t n = strftime(text, TIMESTAMP_BYTES, "%Y-%m-%d %H:%M:%S", &utc);
        if (now.tv_nsec >= 1000)
                snprintf(text + n, TIMESTAMP_BYTES - n, ".%06ld", now.tv_nsec / 1000);
}

/* What is left of a context: oslo.messaging's own list of what may be told. */
static json_t *safe_context(const json_t *context)
{
        static const char *const safe[] = {"user_id",
                                           "project_id",
                                           "domain_id",
                                           "user_domain_id",
                                           "project_domain_id",
                                           "is_admin",
                                           "request_id",
                                           "roles",
                                           "user_name",
                                           "project_name",
                                           "domain_name",
                                           "user_domain_name",
                                           "project_domain_name",
                                           "service_user_id",
                                           "service_user_domain_id",
                                           "service_user_domain_name",
                                           "service_project_id",
                                           "service_project_name",
                                           "service_project_domain_id",
                                           "service_project_domain_name",
                                           "service_roles",
                                           "global_request_id",
                                           "system_scope",
                                           "user",
                                           "domain",
                                           "user_domain",
                                           "project_domain"};
        json_t *left = json_object();

        for (size_t i = 0; left && i < sizeof(safe) / sizeof(safe[0]); i++) {
                json_t *value = json_object_get(context, safe[i]);

                if (value && json_object_set_nocheck(left, safe[i], value) < 0) {
                        json_decref(left);
                        return NULL;
                }
        }
        return left;
}

/* --- The drivers messaging, messagingv2 ------------------------------------------------------- */

static int publish(cel_ctx *ctx, const cel_notifier *notifier, const char *topic, const char *priority,
                   const cel__buf *body)
{
        const notifier_core *core = notifier->core;
        cel_auto(cel_headers) *headers = NULL;
        char key[256];

        if (snprintf(key, sizeof(key), "%s.%s", topic, priority) >= (int)sizeof(key))
                return cel_fail(ctx, CEL_EINVAL, "topic \"%s\" is longer than AMQP allows", topic);
        if (cel_headers_new(&headers) < 0)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel_queue queue = {.name = key,
                           .exchange = core->exchange,
                           .binding_key = key,
                           .durable = core->settings.durable,
                           .auto_delete = core->settings.auto_delete,
                           .arguments = core->settings.arguments};
        cel_message message = {.exchange = core->exchange,
                               .routing_key = key,
                               .content_type = "application/json",
                               .content_encoding = "utf-8",
                               .headers = headers, /* present, and empty */
                               .delivery_mode = 2,
                               .has_priority = true,
                               .body = cel__buf_head(body),
                               .body_bytes = cel__buf_used(body)};
        cel__publishing publishing = {.queue = &queue, .message = &message, .retry = notifier->retry};
        return cel__errands_publish(ctx, core->errands, &publishing);
}

static int cannot_send(cel_ctx *ctx, int r)
{
        return cel_fail(ctx, r, "the notification cannot be sent: %s",
                        r == CEL_EINVAL ? "its payload is nested too deep, or not UTF-8" : cel_error_text(r));
}

/* The same notification to one topic, in one version: with a unique id of its own. */
static int send_one(cel_ctx *ctx, const cel_notifier *notifier, const cel__notification *n,
                    const char *priority, const char *topic, int version)
{
        char unique_id[CEL__UUID_BYTES];
        cel__notification message = *n;
        cel__buf body;

        cel__uuid_hex(unique_id);
        message.unique_id = unique_id;
        cel__buf_init(&body, BODY_BYTES_MAX);
        int r = cel__notification_encode(&message, version, &body);
        r = r < 0 ? cannot_send(ctx, r) : publish(ctx, notifier, topic, priority, &body);
        cel__buf_fini(&body);
        return r;
}

/* --- The driver log --------------------------------------------------------------------------- */

/* The level for a priority; false: there is none. */
static bool level_of(const char *priority, cel_log_level *ret_level)
{
        static const struct {
                const char *priority;
                cel_log_level level;
        } levels[] = {{"debug", CEL_LOG_DEBUG},
                      {"info", CEL_LOG_INFO},
                      {"warn", CEL_LOG_WARN},
                      {"error", CEL_LOG_ERROR},
                      {"critical", CEL_LOG_ERROR}};

        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
                if (strcmp(levels[i].priority, priority) == 0) {
                        *ret_level = levels[i].level;
                        return true;
                }
        }
        return false;
}

static int write_log(cel_ctx *ctx, const cel__notification *n, const char *priority)
{
        cel__notification message = *n;
        cel_log_level level;
        json_t *masked;
        cel__buf text;
        char id[256];

        if (!level_of(priority, &level) || level > cel_log_get_level())
                return 0;
        int r = cel__mask_secrets(n->payload, &masked);
        if (r < 0)
                return cannot_send(ctx, r);
        message.payload = masked;
        message.context = NULL;
        message.publisher_id = cel__mask_text(n->publisher_id); /* the others are made here */
        message.event_type = cel__mask_text(n->event_type);
        cel__buf_init(&text, BODY_BYTES_MAX);
        r = cel__notification_encode(&message, 1, &text);
        json_decref(masked);
        if (r < 0) {
                cel__buf_fini(&text);
                return cannot_send(ctx, r);
        }
        snprintf(id, sizeof(id), "oslo.messaging.notification.%s", message.event_type);
        cel_log(level, ctx, id, "%.*s", (int)cel__buf_used(&text), (const char *)cel__buf_head(&text));
        cel__buf_fini(&text);
        return 0;
}

/* --- The driver test -------------------------------------------------------------------------- */

/* A copy of `json` (NULL is null) that its owner does not change. Checked first: copying recurses. */
static int copy_json(const json_t *json, json_t **ret_copy)
{
        cel__buf text;

        cel__buf_init(&text, BODY_BYTES_MAX);
        int r = cel__json_write(json, &text);
        cel__buf_fini(&text);
        if (r < 0)
                return r;
        *ret_copy = json ? json_deep_copy(json) : json_null();
        return *ret_copy ? 0 : CEL_ENOMEM;
}

static int keep(cel_ctx *ctx, const cel_notifier *notifier, const cel__notification *n)
{
        json_t *payload, *context;
        int r = copy_json(n->payload, &payload);

        if (r < 0)
                return cannot_send(ctx, r);
        r = copy_json(n->context, &context);
        if (r < 0) {
                json_decref(payload);
                return cannot_send(ctx, r);
        }
        json_t *message = json_pack("{s:s, s:s?, s:s, s:s, s:o, s:s}", "message_id", n->message_id,
                                    "publisher_id", n->publisher_id, "event_type", n->event_type, "priority",
                                    n->priority, "payload", payload, "timestamp", n->timestamp);
        json_t *entry = json_pack("{s:o, s:o, s:s, s:i}", "context", context, "message", message, "priority",
                                  n->priority, "retry", notifier->retry);
        if (!entry)
                return cannot_send(ctx, CEL_EINVAL);
        r = cel__kept_add(&notifier->core->kept, entry);
        return r < 0 ? cannot_send(ctx, r) : 0;
}

/* --- Drivers ---------------------------------------------------------------------------------- */

/* The first failure of several. */
typedef struct outcome {
        int r;
        char text[512];
} outcome;

static void note(cel_ctx *ctx, outcome *o, int r)
{
        if (r >= 0 || o->r < 0)
                return;
        o->r = r;
        snprintf(o->text, sizeof(o->text), "%s", cel_ctx_error_text(ctx, r));
}

static void send_by(cel_ctx *ctx, const cel_notifier *notifier, unsigned drivers, const cel__notification *n,
                    const char *priority, outcome *o)
{
        const notifier_core *core = notifier->core;

        for (int version = 1; version <= 2; version++) {
                unsigned driver = version == 1 ? CEL__DRIVER_MESSAGING : CEL__DRIVER_MESSAGINGV2;

                for (unsigned t = 0; (drivers & driver) && t < core->topics_n; t++)
                        note(ctx, o, send_one(ctx, notifier, n, priority, core->topics[t], version));
        }
        if (drivers & CEL__DRIVER_LOG)
                note(ctx, o, write_log(ctx, n, priority));
        if (drivers & CEL__DRIVER_TEST)
                note(ctx, o, keep(ctx, notifier, n));
        if (drivers & CEL__DRIVER_ROUTING)
                send_by(ctx, notifier, cel__routing_drivers(core->routing, n->event_type, priority), n,
                        priority, o);
}

/* What is sent of both: the payload is serialized in the whole context, which is then left without its secrets.
 * Owns: both results are yours. */
static int serialize(cel_ctx *ctx, const cel_serializer *serializer, const json_t *payload,
                     const json_t *context, json_t **ret_payload, json_t **ret_context)
{
        json_t *whole = context ? json_incref((json_t *)(uintptr_t)context) : json_object();
        json_t *safe = safe_context(context), *made = NULL, *made_context;
        int r = whole && safe ? cel__convert_entity(ctx, serializer, CEL__TO_SEND, "the payload", whole,
                                                    (json_t *)(uintptr_t)payload, &made)
                              : cel_fail(ctx, CEL_ENOMEM, "out of memory");
        json_decref(whole);
        if (r >= 0)
                r = cel__convert_context(ctx, serializer, CEL__TO_SEND, safe, &made_context);
        json_decref(safe);
        if (r < 0) {
                json_decref(made);
                return r;
        }
        *ret_payload = made;
        *ret_context = made_context;
        return 0;
}

/* The priority as oslo.messaging has it, and in upper case, as it stands in the message; NULL if it is none. */
static const char *read_priority(const char *priority, char upper[16])
{
        if (strcmp(priority, "warning") == 0)
                priority = "warn";
        int number = cel__priority_find(priority);
        if (number < 0 || strcmp(cel__priorities[number], priority) != 0)
                return NULL;
        for (size_t c = 0; c <= strlen(priority); c++)
                upper[c] = (char)toupper((unsigned char)priority[c]);
        return cel__priorities[number];
}

static int notify(cel_ctx *ctx, const cel_notifier *notifier, const char *priority, const char *event_type,
                  const json_t *payload, const json_t *context)
{
        char message_id[CEL__UUID_DASHED_BYTES], timestamp[TIMESTAMP_BYTES], upper[16];
        const char *known = read_priority(priority, upper);
        outcome o = {0};

        if (!event_type)
                return cel_fail(ctx, CEL_EINVAL, "a notification needs an event_type");
        if (!known)
                return cel_fail(ctx, CEL_EINVAL, "there is no priority \"%s\"", priority);
        json_t *made_payload, *made_context;
        int r = serialize(ctx, &notifier->core->serializer, payload, context, &made_payload, &made_context);
        if (r < 0)
                return r;
        cel__uuid_dashed(message_id);
        print_now(timestamp);
        cel__notification n = {.message_id = message_id,
                               .publisher_id = notifier->publisher_id,
                               .event_type = event_type,
                               .priority = upper,
                               .payload = made_payload,
                               .timestamp = timestamp,
                               .context = made_context};
        send_by(ctx, notifier, notifier->core->drivers, &n, known, &o);
        json_decref(made_payload);
        json_decref(made_context);
        return o.r < 0 ? cel_fail(ctx, o.r, "%s", o.text) : 0;
}

int cel_notify(cel_ctx *ctx, cel_notifier *notifier, const char *priority, const char *event_type,
               json_t *payload, const json_t *context)
{
        int r = notify(ctx, notifier, priority, event_type, payload, context);

        json_decref(payload);
        return r;
}

/* --- Notifiers -------------------------------------------------------------------------------- */

static void core_unref(notifier_core *core)
{
        if (!core || atomic_fetch_sub(&core->refs, 1) > 1)
                return;
        cel__errands_unref(core->errands);
        cel__routing_free(core->routing);
        cel__kept_fini(&core->kept);
        free(core->exchange);
        for (unsigned i = 0; i < core->topics_n; i++)
                free(core->topics[i]);
        free(core);
}

cel_notifier *cel_notifier_free(cel_notifier *notifier)
{
        if (!notifier)
                return NULL;
        core_unref(notifier->core);
        free(notifier->publisher_id);
        free(notifier);
        return NULL;
}

static int read_drivers(cel_ctx *ctx, notifier_core *core, const cel_notifier_options *o)
{
        char why[512];

        for (const char *const *d = o->drivers ? o->drivers : default_drivers; *d; d++) {
                unsigned driver = cel__driver_find(*d);

                if (driver == 0)
                        return cel_fail(ctx, CEL_ENOSUPPORT,
                                        "there is no notification driver \"%s\"; there are %s", *d,
                                        CEL__DRIVER_NAMES);
                core->drivers |= driver;
        }
        if (!(core->drivers & CEL__DRIVER_ROUTING))
                return 0;
        if (!o->routing_config)
                return cel_fail(ctx, CEL_EINVAL, "the notification driver routing needs routing_config");
        int r = cel__routing_read(o->routing_config, &core->routing, why, sizeof(why));
        return r < 0 ? cel_fail(ctx, r, "%s", why) : 0;
}

static int read_topics(cel_ctx *ctx, notifier_core *core, const cel_notifier_options *o)
{
        for (const char *const *t = o->topics ? o->topics : default_topics; *t; t++) {
                if (core->topics_n == TOPICS_MAX)
                        return cel_fail(ctx, CEL_EINVAL, "a notifier has at most %d topics", TOPICS_MAX);
                core->topics[core->topics_n] = strdup(*t);
                if (!core->topics[core->topics_n])
                        return cel_fail(ctx, CEL_ENOMEM, "out of memory");
                core->topics_n++;
        }
        return 0;
}

static int core_new(cel_ctx *ctx, cel_transport *transport, const cel_notifier_options *o,
                    notifier_core **ret_core)
{
        notifier_core *c = calloc(1, sizeof(*c));

        if (!c)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        c->refs = 1;
        cel__kept_init(&c->kept);
        if (o->serializer)
                c->serializer = *o->serializer;
        c->settings = *cel__transport_settings(transport);
        c->errands = cel__errands_ref(cel__transport_errands(transport));
        c->exchange = strdup(o->exchange ? o->exchange : "openstack");
        int r = c->exchange ? read_drivers(ctx, c, o) : cel_fail(ctx, CEL_ENOMEM, "out of memory");
        if (r >= 0)
                r = read_topics(ctx, c, o);
        if (r < 0) {
                core_unref(c);
                return r;
        }
        *ret_core = c;
        return 0;
}

/* One more for `core`, a reference that this takes, also on failure. */
static int notifier_new(cel_ctx *ctx, notifier_core *core, const char *publisher_id, int retry,
                        cel_notifier **ret_notifier)
{
        cel_notifier *notifier = calloc(1, sizeof(*notifier));

        if (!notifier) {
                core_unref(core);
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        }
        notifier->core = core;
        notifier->retry = retry;
        notifier->publisher_id = publisher_id ? strdup(publisher_id) : NULL;
        if (publisher_id && !notifier->publisher_id) {
                cel_notifier_free(notifier);
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        }
        *ret_notifier = notifier;
        return 0;
}

/* How often to send again: below zero, forever. */
static int read_retry(int option, int otherwise)
{
        return option == 0 ? otherwise : option == CEL_RETRY_NEVER ? 0 : option;
}

int cel_notifier_new(cel_ctx *ctx, cel_transport *transport, const cel_notifier_options *options,
                     cel_notifier **ret_notifier)
{
        notifier_core *core = NULL;
        int r = core_new(ctx, transport, options, &core);

        return r < 0 ? r
                     : notifier_new(ctx, core, options->publisher_id,
                                    read_retry(options->retry, CEL_RETRY_FOREVER), ret_notifier);
}

int cel_notifier_prepare(cel_ctx *ctx, const cel_notifier *notifier, const char *publisher_id, int retry,
                         cel_notifier **ret_notifier)
{
        atomic_fetch_add(&notifier->core->refs, 1);
        return notifier_new(ctx, notifier->core, publisher_id ? publisher_id : notifier->publisher_id,
                            read_retry(retry, notifier->retry), ret_notifier);
}

bool cel_notifier_is_enabled(const cel_notifier *notifier)
{
        return notifier->core->drivers != CEL__DRIVER_NOOP;
}

int cel_notifier_take_sent(cel_ctx *ctx, cel_notifier *notifier, json_t **ret_sent)
{
        json_t *sent = cel__kept_take(&notifier->core->kept);

        if (!sent)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        *ret_sent = sent;
        return 0;
}
