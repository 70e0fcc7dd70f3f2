/* SPDX-License-Identifier: Apache-2.0
 *
 * The notifier (oslo-wire sections 6.2, 13.1, 13.2). */
#include "base/uuid.h"
#include "driver/errands.h"
#include "wire/notification.h"

#include <celadon/notifier.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
        TOPICS_MAX = 64,
        DRIVERS_MAX = 8,
        BODY_BYTES_MAX = 128 << 20,
        TIMESTAMP_BYTES = 32,
};

static const char *const default_topics[] = {"notifications", NULL};
static const char *const default_drivers[] = {"messagingv2", NULL};
static const char *const priorities[] = {"audit", "debug", "info", "warn", "error", "critical", "sample"};

struct cel_notifier {
        cel__errands *errands; /* a reference */
        cel__driver_settings settings;
        char *exchange;     /* owned */
        char *publisher_id; /* owned; NULL: none */
        int retry;
        unsigned topics_n;
        char *topics[TOPICS_MAX]; /* owned */
        unsigned versions_n;
        int versions[DRIVERS_MAX]; /* of the messages to send: 1 or 2 */
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

static int publish(cel_ctx *ctx, const cel_notifier *notifier, const char *topic, const char *priority,
                   const cel__buf *body)
{
        cel_auto(cel_headers) *headers = NULL;
        char key[256];

        if (snprintf(key, sizeof(key), "%s.%s", topic, priority) >= (int)sizeof(key))
                return cel_fail(ctx, CEL_EINVAL, "topic \"%s\" is longer than AMQP allows", topic);
        if (cel_headers_new(&headers) < 0)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel_queue queue = {.name = key,
                           .exchange = notifier->exchange,
                           .binding_key = key,
                           .durable = notifier->settings.durable,
                           .auto_delete = notifier->settings.auto_delete,
                           .arguments = notifier->settings.arguments};
        cel_message message = {.exchange = notifier->exchange,
                               .routing_key = key,
                               .content_type = "application/json",
                               .content_encoding = "utf-8",
                               .headers = headers, /* present, and empty */
                               .delivery_mode = 2,
                               .has_priority = true,
                               .body = cel__buf_head(body),
                               .body_bytes = cel__buf_used(body)};
        cel__publishing publishing = {.queue = &queue, .message = &message, .retry = notifier->retry};
        return cel__errands_publish(ctx, notifier->errands, &publishing);
}

/* The same notification to one topic, in one version: with a unique id of its own. */
static int send_one(cel_ctx *ctx, const cel_notifier *notifier, cel__notification *n, const char *priority,
                    const char *topic, int version)
{
        char unique_id[CEL__UUID_BYTES];
        cel__buf body;

        cel__uuid_hex(unique_id);
        n->unique_id = unique_id;
        cel__buf_init(&body, BODY_BYTES_MAX);
        int r = cel__notification_encode(n, version, &body);
        if (r < 0)
                cel_fail(ctx, r, "the notification cannot be sent: %s",
                         r == CEL_EINVAL ? "its payload is nested too deep, or not UTF-8"
                                         : cel_error_text(r));
        else
                r = publish(ctx, notifier, topic, priority, &body);
        cel__buf_fini(&body);
        return r;
}

static int send_all(cel_ctx *ctx, const cel_notifier *notifier, cel__notification *n, const char *priority)
{
        char text[512] = "";
        int failure = 0;

        for (unsigned v = 0; v < notifier->versions_n; v++) {
                for (unsigned t = 0; t < notifier->topics_n; t++) {
                        int r = send_one(ctx, notifier, n, priority, notifier->topics[t],
                                         notifier->versions[v]);

                        if (r < 0 && failure == 0) {
                                failure = r;
                                snprintf(text, sizeof(text), "%s", cel_ctx_error_text(ctx, r));
                        }
                }
        }
        return failure < 0 ? cel_fail(ctx, failure, "%s", text) : 0;
}

/* The priority in upper case, as it stands in the message; false if it is none. */
static bool read_priority(const char *priority, char upper[16])
{
        for (size_t i = 0; i < sizeof(priorities) / sizeof(priorities[0]); i++) {
                if (strcmp(priorities[i], priority) != 0)
                        continue;
                for (size_t c = 0; c <= strlen(priority); c++)
                        upper[c] = (char)toupper((unsigned char)priority[c]);
                return true;
        }
        return false;
}

static int notify(cel_ctx *ctx, const cel_notifier *notifier, const char *priority, const char *event_type,
                  const json_t *payload, const json_t *context)
{
        char message_id[CEL__UUID_DASHED_BYTES], timestamp[TIMESTAMP_BYTES], upper[16];

        if (!read_priority(priority, upper))
                return cel_fail(ctx, CEL_EINVAL, "there is no priority \"%s\"", priority);
        json_t *safe = safe_context(context);
        if (!safe)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel__uuid_dashed(message_id);
        print_now(timestamp);
        cel__notification n = {.message_id = message_id,
                               .publisher_id = notifier->publisher_id,
                               .event_type = event_type,
                               .priority = upper,
                               .payload = payload,
                               .timestamp = timestamp,
                               .context = safe};
        int r = send_all(ctx, notifier, &n, priority);
        json_decref(safe);
        return r;
}

int cel_notify(cel_ctx *ctx, cel_notifier *notifier, const char *priority, const char *event_type,
               json_t *payload, const json_t *context)
{
        int r = notify(ctx, notifier, priority, event_type, payload, context);

        json_decref(payload);
        return r;
}

/* --- Notifiers -------------------------------------------------------------------------------- */

cel_notifier *cel_notifier_free(cel_notifier *notifier)
{
        if (!notifier)
                return NULL;
        cel__errands_unref(notifier->errands);
        free(notifier->exchange);
        free(notifier->publisher_id);
        for (unsigned i = 0; i < notifier->topics_n; i++)
                free(notifier->topics[i]);
        free(notifier);
        return NULL;
}

static int read_drivers(cel_ctx *ctx, cel_notifier *notifier, const char *const *drivers)
{
        for (const char *const *d = drivers; *d; d++) {
                int version = strcmp(*d, "messaging") == 0 ? 1 : strcmp(*d, "messagingv2") == 0 ? 2 : 0;

                if (version == 0 && strcmp(*d, "noop") != 0)
                        return cel_fail(
                                ctx, CEL_ENOSUPPORT,
                                "there is no notification driver \"%s\"; there are messaging, messagingv2, "
                                "noop",
                                *d);
                if (version == 0)
                        continue;
                if (notifier->versions_n == DRIVERS_MAX)
                        return cel_fail(ctx, CEL_EINVAL, "a notifier has at most %d drivers", DRIVERS_MAX);
                notifier->versions[notifier->versions_n++] = version;
        }
        return 0;
}

static int copy_options(cel_ctx *ctx, cel_notifier *notifier, const cel_notifier_options *o)
{
        int r = read_drivers(ctx, notifier, o->drivers ? o->drivers : default_drivers);

        if (r < 0)
                return r;
        notifier->exchange = strdup(o->exchange ? o->exchange : "openstack");
        notifier->publisher_id = o->publisher_id ? strdup(o->publisher_id) : NULL;
        if (!notifier->exchange || (o->publisher_id && !notifier->publisher_id))
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        for (const char *const *t = o->topics ? o->topics : default_topics; *t; t++) {
                if (notifier->topics_n == TOPICS_MAX)
                        return cel_fail(ctx, CEL_EINVAL, "a notifier has at most %d topics", TOPICS_MAX);
                notifier->topics[notifier->topics_n] = strdup(*t);
                if (!notifier->topics[notifier->topics_n])
                        return cel_fail(ctx, CEL_ENOMEM, "out of memory");
                notifier->topics_n++;
        }
        return 0;
}

int cel_notifier_new(cel_ctx *ctx, cel_transport *transport, const cel_notifier_options *options,
                     cel_notifier **ret_notifier)
{
        cel_notifier *notifier = calloc(1, sizeof(*notifier));

        if (!notifier)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        notifier->settings = *cel__transport_settings(transport);
        notifier->errands = cel__errands_ref(cel__transport_errands(transport));
        notifier->retry = options->retry == 0                 ? CEL_RETRY_FOREVER
                          : options->retry == CEL_RETRY_NEVER ? 0
                                                              : options->retry;
        int r = copy_options(ctx, notifier, options);
        if (r < 0) {
                cel_notifier_free(notifier);
                return r;
        }
        *ret_notifier = notifier;
        return 0;
}

bool cel_notifier_is_enabled(const cel_notifier *notifier)
{
        return notifier->versions_n > 0;
}
