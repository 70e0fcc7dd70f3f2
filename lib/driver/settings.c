/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/settings.h"

#include <stdio.h>

enum {
        TRANSIENT_TTL_S = 1800,
        TRANSIENT_TTL_S_MAX = 2000000, /* it is sent in ms, as a signed number of 32 bits */
        MISSING_CONSUMER_S = 60,
        MISSING_CONSUMER_S_MAX = 86400,
        LIMITS = 3,
};

typedef struct limit {
        const char *option;
        const char *argument;
        int64_t value; /* 0: none */
} limit;

/* Which arguments are wished for. */
typedef struct wishes {
        bool ha, quorum;
        limit limits[LIMITS]; /* of quorum queues */
} wishes;

static int read_switches(const cel__url *url, cel__driver_settings *settings, wishes *w, char *error,
                         size_t error_bytes)
{
        const struct {
                const char *name;
                bool *value;
        } switches[] = {{"amqp_durable_queues", &settings->durable},
                        {"amqp_auto_delete", &settings->auto_delete},
                        {"direct_mandatory_flag", &settings->reply_mandatory},
                        {"rabbit_ha_queues", &w->ha},
                        {"rabbit_quorum_queue", &w->quorum}};
        int r = 0;

        for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]) && r >= 0; i++)
                r = cel__url_get_bool(url, switches[i].name, switches[i].value, error, error_bytes);
        if (r >= 0 && w->ha && w->quorum) {
                snprintf(error, error_bytes, "rabbit_ha_queues and rabbit_quorum_queue cannot both be true");
                return CEL_EINVAL;
        }
        settings->durable |= w->quorum;
        return r;
}

static int read_numbers(const cel__url *url, cel__driver_settings *settings, wishes *w, char *error,
                        size_t error_bytes)
{
        int64_t transient_s = TRANSIENT_TTL_S, missing_s = MISSING_CONSUMER_S;
        int r = cel__url_get_int(url, "rabbit_transient_queues_ttl", 0, TRANSIENT_TTL_S_MAX, &transient_s,
                                 error, error_bytes);

        if (r >= 0)
                r = cel__url_get_int(url, "kombu_missing_consumer_retry_timeout", 0, MISSING_CONSUMER_S_MAX,
                                     &missing_s, error, error_bytes);
        for (size_t i = 0; i < LIMITS && r >= 0; i++)
                r = cel__url_get_int(url, w->limits[i].option, 0, INT64_MAX, &w->limits[i].value, error,
                                     error_bytes);
        settings->transient_expires_ms = (unsigned)transient_s * 1000;
        settings->missing_reply_queue_ms = missing_s * 1000;
        return r;
}

/* Owns: *ret_arguments is yours; NULL: there are none. */
static int make_arguments(const wishes *w, bool transient, cel_headers **ret_arguments)
{
        bool quorum = w->quorum && !transient;
        cel_auto(cel_headers) *arguments = NULL;
        int r = 0;

        if (!w->ha && !quorum)
                return 0;
        r = cel_headers_new(&arguments);
        if (r >= 0 && w->ha)
                r = cel_headers_set_str(arguments, "x-ha-policy", "all");
        if (r >= 0 && quorum)
                r = cel_headers_set_str(arguments, "x-queue-type", "quorum");
        for (size_t i = 0; i < LIMITS && r >= 0; i++)
                if (quorum && w->limits[i].value > 0)
                        r = cel_headers_set_int(arguments, w->limits[i].argument, w->limits[i].value);
        if (r >= 0)
                *ret_arguments = CEL_TAKE(arguments);
        return r;
}

int settings_read(const cel__url *url, cel__driver_settings *ret_settings, char *error, size_t error_bytes)
{
        cel__driver_settings settings = {.reply_mandatory = true};
        wishes w = {.limits = {{"rabbit_quorum_delivery_limit", "x-delivery-limit", 0},
                               {"rabbit_quorum_max_memory_length", "x-max-in-memory-length", 0},
                               {"rabbit_quorum_max_memory_bytes", "x-max-in-memory-bytes", 0}}};
        cel_auto(cel_headers) *shared = NULL, *transient = NULL;
        int r = read_switches(url, &settings, &w, error, error_bytes);

        if (r >= 0)
                r = read_numbers(url, &settings, &w, error, error_bytes);
        if (r < 0)
                return r;
        r = make_arguments(&w, false, &shared);
        if (r >= 0)
                r = make_arguments(&w, true, &transient);
        if (r < 0) {
                snprintf(error, error_bytes, "out of memory");
                return r;
        }
        settings.arguments = CEL_TAKE(shared);
        settings.transient_arguments = CEL_TAKE(transient);
        *ret_settings = settings;
        return 0;
}

void settings_fini(cel__driver_settings *settings)
{
        settings->arguments = cel_headers_free(settings->arguments);
        settings->transient_arguments = cel_headers_free(settings->transient_arguments);
}
