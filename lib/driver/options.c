/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/options.h"
#include "driver/queue_manager.h"
#include "wire/compress.h"

#include <stdio.h>
#include <string.h>

enum {
        LONG_S_MAX = 86400,
        HEARTBEAT_S_MAX = 3600,
        TRANSIENT_TTL_S_MAX = 2000000, /* it is sent in ms, as a signed number of 32 bits */
};

#define UNUSED SIZE_MAX /* where no field is */

typedef enum option_kind { OPTION_BOOL, OPTION_INT, OPTION_SECONDS, OPTION_TEXT, OPTION_CHOICE } option_kind;

typedef struct option {
        const char *name;
        option_kind kind;
        size_t at;                    /* of its value in rabbit_options; UNUSED: it is only checked */
        int64_t by_default, min, max; /* SECONDS: in ms */
        const char *words[4];         /* CHOICE */
        const char *why_unused;
} option;

#define AT(field) offsetof(rabbit_options, field)

static const char two_connections[] = "a transport has two connections, however much goes over them";
static const char guardian_beats[] = "a thread of its own sends heartbeats, twice in each period";
static const char openssl_decides[] = "OpenSSL's own configuration switches its FIPS provider on";

/* In the order of oslo.messaging's own table. */
static const option table[] = {
        {"amqp_durable_queues", OPTION_BOOL, .at = AT(amqp_durable_queues)},
        {"amqp_auto_delete", OPTION_BOOL, .at = AT(amqp_auto_delete)},
        {"rpc_conn_pool_size", OPTION_INT, .at = UNUSED, .min = 1, .max = INT64_MAX,
         .why_unused = two_connections},
        {"conn_pool_min_size", OPTION_INT, .at = UNUSED, .max = INT64_MAX, .why_unused = two_connections},
        {"conn_pool_ttl", OPTION_INT, .at = UNUSED, .max = INT64_MAX, .why_unused = two_connections},
        {"ssl", OPTION_BOOL, .at = AT(ssl)},
        {"ssl_version", OPTION_TEXT, .at = AT(ssl_version)},
        {"ssl_key_file", OPTION_TEXT, .at = AT(ssl_key_file)},
        {"ssl_cert_file", OPTION_TEXT, .at = AT(ssl_cert_file)},
        {"ssl_ca_file", OPTION_TEXT, .at = AT(ssl_ca_file)},
        {"ssl_enforce_hostname_verification", OPTION_BOOL, .at = AT(ssl_enforce_hostname_verification),
         .by_default = true},
        {"ssl_enforce_fips_mode", OPTION_BOOL, .at = UNUSED, .why_unused = openssl_decides},
        {"heartbeat_in_pthread", OPTION_BOOL, .at = UNUSED, .why_unused = guardian_beats},
        {"kombu_reconnect_delay", OPTION_SECONDS, .at = AT(kombu_reconnect_delay_ms), .by_default = 1000,
         .max = 4500},
        {"kombu_reconnect_splay", OPTION_SECONDS, .at = AT(kombu_reconnect_splay_ms),
         .max = LONG_S_MAX * 1000},
        {"kombu_compression", OPTION_TEXT, .at = AT(kombu_compression)},
        {"kombu_missing_consumer_retry_timeout", OPTION_INT, .at = AT(kombu_missing_consumer_retry_timeout_s),
         .by_default = 60, .max = LONG_S_MAX},
        {"kombu_failover_strategy", OPTION_CHOICE, .at = AT(kombu_failover_strategy),
         .words = {"round-robin", "shuffle"}},
        {"rabbit_login_method", OPTION_CHOICE, .at = AT(rabbit_login_method),
         .words = {"AMQPLAIN", "PLAIN", "EXTERNAL"}},
        {"rabbit_retry_interval", OPTION_INT, .at = AT(rabbit_retry_interval_s), .by_default = 1, .min = 1,
         .max = LONG_S_MAX},
        {"rabbit_retry_backoff", OPTION_INT, .at = AT(rabbit_retry_backoff_s), .by_default = 2,
         .max = LONG_S_MAX},
        {"rabbit_interval_max", OPTION_INT, .at = AT(rabbit_interval_max_s), .by_default = 30, .min = 1,
         .max = LONG_S_MAX},
        {"rabbit_ha_queues", OPTION_BOOL, .at = AT(rabbit_ha_queues)},
        {"rabbit_quorum_queue", OPTION_BOOL, .at = AT(rabbit_quorum_queue)},
        {"rabbit_transient_quorum_queue", OPTION_BOOL, .at = AT(rabbit_transient_quorum_queue)},
        {"rabbit_quorum_delivery_limit", OPTION_INT, .at = AT(rabbit_quorum_delivery_limit),
         .max = INT64_MAX},
        {"rabbit_quorum_max_memory_length", OPTION_INT, .at = AT(rabbit_quorum_max_memory_length),
         .max = INT64_MAX},
        {"rabbit_quorum_max_memory_bytes", OPTION_INT, .at = AT(rabbit_quorum_max_memory_bytes),
         .max = INT64_MAX},
        /* As older releases spell them. */
        {"rabbit_quroum_max_memory_length", OPTION_INT, .at = AT(rabbit_quorum_max_memory_length),
         .max = INT64_MAX},
        {"rabbit_quroum_max_memory_bytes", OPTION_INT, .at = AT(rabbit_quorum_max_memory_bytes),
         .max = INT64_MAX},
        {"rabbit_transient_queues_ttl", OPTION_INT, .at = AT(rabbit_transient_queues_ttl_s),
         .by_default = 1800, .max = TRANSIENT_TTL_S_MAX},
        {"rabbit_qos_prefetch_count", OPTION_INT, .at = AT(rabbit_qos_prefetch_count), .max = UINT16_MAX},
        {"heartbeat_timeout_threshold", OPTION_INT, .at = AT(heartbeat_timeout_threshold_s), .by_default = 60,
         .max = HEARTBEAT_S_MAX},
        {"heartbeat_rate", OPTION_INT, .at = UNUSED, .max = INT64_MAX, .why_unused = guardian_beats},
        {"direct_mandatory_flag", OPTION_BOOL, .at = AT(direct_mandatory_flag), .by_default = true},
        {"enable_cancel_on_failover", OPTION_BOOL, .at = AT(enable_cancel_on_failover)},
        {"use_queue_manager", OPTION_BOOL, .at = AT(use_queue_manager)},
        {"hostname", OPTION_TEXT, .at = AT(hostname)},
        {"processname", OPTION_TEXT, .at = AT(processname)},
        {"rabbit_stream_fanout", OPTION_BOOL, .at = AT(rabbit_stream_fanout)},
};

enum { OPTIONS_N = sizeof(table) / sizeof(table[0]) };

/* A value on its way into rabbit_options. */
typedef union value {
        bool yes;
        int64_t number;
        unsigned choice;
        const char *text;
} value;

static size_t value_bytes(option_kind kind)
{
        switch (kind) {
        case OPTION_BOOL:
                return sizeof(bool);
        case OPTION_INT:
        case OPTION_SECONDS:
                return sizeof(int64_t);
        case OPTION_TEXT:
                return sizeof(const char *);
        case OPTION_CHOICE:
                return sizeof(unsigned);
        }
        return 0;
}

static value default_of(const option *o)
{
        switch (o->kind) {
        case OPTION_BOOL:
                return (value){.yes = o->by_default != 0};
        case OPTION_INT:
        case OPTION_SECONDS:
                return (value){.number = o->by_default};
        case OPTION_TEXT:
                return (value){.text = NULL};
        case OPTION_CHOICE:
                return (value){.choice = 0};
        }
        return (value){0};
}

/* As cel__url_get_bool(). */
static int get_choice(const cel__url *url, const option *o, unsigned *choice, char *error, size_t error_bytes)
{
        const char *text = cel__url_get(url, o->name);
        char words[128] = "";

        if (!text)
                return 0;
        for (unsigned i = 0; o->words[i]; i++) {
                if (strcmp(text, o->words[i]) == 0) {
                        *choice = i;
                        return 1;
                }
                size_t used = strlen(words);
                snprintf(words + used, sizeof(words) - used, "%s%s", i > 0 ? ", " : "", o->words[i]);
        }
        snprintf(error, error_bytes, "%s \"%.100s\" is not one of %s", o->name, text, words);
        return CEL_EINVAL;
}

static int get(const cel__url *url, const option *o, value *v, char *error, size_t error_bytes)
{
        switch (o->kind) {
        case OPTION_BOOL:
                return cel__url_get_bool(url, o->name, &v->yes, error, error_bytes);
        case OPTION_INT:
                return cel__url_get_int(url, o->name, o->min, o->max, &v->number, error, error_bytes);
        case OPTION_SECONDS:
                return cel__url_get_seconds(url, o->name, o->max, &v->number, error, error_bytes);
        case OPTION_TEXT:
                v->text = cel__url_get(url, o->name);
                return v->text != NULL;
        case OPTION_CHOICE:
                return get_choice(url, o, &v->choice, error, error_bytes);
        }
        return 0;
}

static void put(rabbit_options *options, const option *o, const value *v)
{
        if (o->at != UNUSED)
                memcpy((char *)options + o->at, v, value_bytes(o->kind));
}

static int check_names(const cel__url *url, char *error, size_t error_bytes)
{
        const char *names[OPTIONS_N + 1] = {0};

        for (size_t i = 0; i < OPTIONS_N; i++)
                names[i] = table[i].name;
        return cel__url_check_options(url, names, error, error_bytes);
}

/* --- What goes together ----------------------------------------------------------------------- */

static int refuse(char *error, size_t error_bytes, const char *why)
{
        snprintf(error, error_bytes, "%s", why);
        return CEL_EINVAL;
}

/* Whoever asks for less TLS than there is shall know. */
static int check_tls(const rabbit_options *o, char *error, size_t error_bytes)
{
        const char *version = o->ssl_version;

        if (!o->ssl_enforce_hostname_verification)
                return refuse(error, error_bytes,
                              "ssl_enforce_hostname_verification cannot be false: the broker's name is "
                              "always verified");
        if (!version || strcmp(version, "SSLv23") == 0 || strcmp(version, "TLSv1_2") == 0)
                return 0; /* "the best of both sides", and what is the least that is spoken here */
        snprintf(error, error_bytes,
                 "ssl_version \"%.32s\" cannot be had: TLS 1.2 is the least that is spoken; leave it out",
                 version);
        return CEL_EINVAL;
}

static int check_queues(const rabbit_options *o, char *error, size_t error_bytes)
{
        if (o->rabbit_ha_queues && o->rabbit_quorum_queue)
                return refuse(error, error_bytes,
                              "rabbit_ha_queues and rabbit_quorum_queue cannot both be true");
        if (o->rabbit_ha_queues && o->rabbit_transient_quorum_queue)
                return refuse(error, error_bytes,
                              "rabbit_ha_queues and rabbit_transient_quorum_queue cannot both be true");
        if (o->rabbit_stream_fanout &&
            (!o->rabbit_transient_quorum_queue || o->rabbit_qos_prefetch_count == 0))
                return refuse(error, error_bytes,
                              "rabbit_stream_fanout needs rabbit_transient_quorum_queue=true and a "
                              "rabbit_qos_prefetch_count above 0");
        return 0;
}

/* A part of a queue's name, and of a file's. */
static int check_name_part(const char *name, const char *text, char *error, size_t error_bytes)
{
        if (!text || (strlen(text) <= QUEUE_MANAGER_NAME_BYTES_MAX && !strchr(text, '/')))
                return 0;
        snprintf(error, error_bytes, "%s \"%.80s\" is longer than %d bytes, or has a \"/\"", name, text,
                 QUEUE_MANAGER_NAME_BYTES_MAX);
        return CEL_EINVAL;
}

static int check_compression(const char *name, char *error, size_t error_bytes)
{
        if (!name || cel__compression_find(name))
                return 0;
        snprintf(error, error_bytes, "kombu_compression \"%.32s\" is not one of gzip, bzip2, lzma, zstd",
                 name);
        return CEL_EINVAL;
}

/* --- Reading ---------------------------------------------------------------------------------- */

int rabbit_options_read(const cel__url *url, rabbit_options *ret_options, char *error, size_t error_bytes)
{
        rabbit_options options = {0};
        int r = check_names(url, error, error_bytes);

        for (size_t i = 0; i < OPTIONS_N; i++) {
                value v = default_of(&table[i]);

                put(&options, &table[i], &v);
        }
        for (size_t i = 0; i < OPTIONS_N && r >= 0; i++) {
                value v;

                r = get(url, &table[i], &v, error, error_bytes);
                if (r > 0)
                        put(&options, &table[i], &v);
        }
        if (r >= 0)
                r = check_tls(&options, error, error_bytes);
        if (r >= 0)
                r = check_queues(&options, error, error_bytes);
        if (r >= 0)
                r = check_name_part("hostname", options.hostname, error, error_bytes);
        if (r >= 0)
                r = check_name_part("processname", options.processname, error, error_bytes);
        if (r >= 0)
                r = check_compression(options.kombu_compression, error, error_bytes);
        if (r < 0)
                return r;
        *ret_options = options;
        return 0;
}

bool rabbit_options_schedule(const cel__url *url)
{
        return cel__url_get(url, "kombu_reconnect_delay") || cel__url_get(url, "rabbit_retry_interval") ||
               cel__url_get(url, "rabbit_retry_backoff") || cel__url_get(url, "rabbit_interval_max");
}

static const char *why_unused(const char *name)
{
        for (size_t i = 0; i < OPTIONS_N; i++)
                if (strcmp(table[i].name, name) == 0)
                        return table[i].why_unused;
        return NULL;
}

const char *rabbit_options_unused(const cel__url *url, size_t *at, const char **ret_why)
{
        while (*at < url->query_n) {
                const char *name = url->query[(*at)++].name, *why = why_unused(name);

                if (why) {
                        *ret_why = why;
                        return name;
                }
        }
        return NULL;
}
