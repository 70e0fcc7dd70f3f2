/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of a rabbit:// URL: all of oslo.messaging's [oslo_messaging_rabbit] group, under their own names (oslo-wire
 * section 1.5). One table, in options.c, knows each name, its kind of value, its limits and its default; and why it says
 * nothing here, where that is so. */
#ifndef CEL_DRIVER_OPTIONS_H
#define CEL_DRIVER_OPTIONS_H

#include "wire/url.h"

typedef enum rabbit_login { RABBIT_LOGIN_AMQPLAIN, RABBIT_LOGIN_PLAIN, RABBIT_LOGIN_EXTERNAL } rabbit_login;
typedef enum rabbit_failover { RABBIT_FAILOVER_ROUND_ROBIN, RABBIT_FAILOVER_SHUFFLE } rabbit_failover;

/* The fields have the options' names; the unit is added where oslo.messaging leaves it out. */
typedef struct rabbit_options {
        bool ssl;
        const char *ssl_ca_file, *ssl_cert_file,
                *ssl_key_file; /* borrowed from the URL, as all text; NULL: not given */
        const char *ssl_version;
        bool ssl_enforce_hostname_verification;
        unsigned rabbit_login_method; /* rabbit_login */
        int64_t heartbeat_timeout_threshold_s;

        int64_t kombu_reconnect_delay_ms, kombu_reconnect_splay_ms;
        unsigned kombu_failover_strategy; /* rabbit_failover */
        int64_t rabbit_retry_interval_s, rabbit_retry_backoff_s, rabbit_interval_max_s;

        const char *kombu_compression;
        int64_t kombu_missing_consumer_retry_timeout_s;
        bool direct_mandatory_flag;

        bool amqp_durable_queues, amqp_auto_delete, rabbit_ha_queues;
        bool rabbit_quorum_queue, rabbit_transient_quorum_queue;
        int64_t rabbit_quorum_delivery_limit, rabbit_quorum_max_memory_length, rabbit_quorum_max_memory_bytes;
        int64_t rabbit_transient_queues_ttl_s;
        bool rabbit_stream_fanout;
        int64_t rabbit_qos_prefetch_count;
        bool enable_cancel_on_failover;
        bool use_queue_manager;
        const char *hostname, *processname;
} rabbit_options;

/* Read what the URL says, or what holds where it says nothing.
 * Errors: CEL_EINVAL, with a sentence in `error`: an unknown name, a value of another kind or out of its limits, choices
 *         that exclude each other, or one that is not to be had. */
int rabbit_options_read(const cel__url *url, rabbit_options *ret_options, char *error, size_t error_bytes);

/* Does the URL say when to connect again? Else it is Celadon's to choose. */
bool rabbit_options_schedule(const cel__url *url);

/* The next option of the URL, from number *at on, that is known and says nothing here, and why; NULL: there is none. */
const char *rabbit_options_unused(const cel__url *url, size_t *at, const char **ret_why);

#endif
