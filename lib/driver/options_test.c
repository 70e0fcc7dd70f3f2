/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/options.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

static char error[512];

static int read_query(const char *query, rabbit_options *ret_options)
{
        cel_auto(cel__url) *url = NULL;
        char text[2048];

        snprintf(text, sizeof(text), "rabbit://h/?%s", query);
        CHECK_INT(cel__url_parse(text, &url, error, sizeof(error)), 0);
        *error = '\0';
        return rabbit_options_read(url, ret_options, error, sizeof(error));
}

/* Text is the URL's, and gone. */
static rabbit_options good(const char *query)
{
        rabbit_options options;

        CHECK_INT(read_query(query, &options), 0);
        CHECK_STR(error, "");
        return options;
}

static void bad(const char *query, const char *why)
{
        rabbit_options options = {.kombu_reconnect_delay_ms = -7};

        CHECK_INT(read_query(query, &options), CEL_EINVAL);
        CHECK_STR(error, why);
        CHECK_INT(options.kombu_reconnect_delay_ms, -7);
}

/* [oslo_messaging_rabbit] of oslo.messaging 14.0.3 and 18.1.0. */
static const struct {
        const char *name, *value;
} all[] = {
        {"amqp_durable_queues", "true"},
        {"amqp_auto_delete", "false"},
        {"rpc_conn_pool_size", "30"},
        {"conn_pool_min_size", "2"},
        {"conn_pool_ttl", "1200"},
        {"ssl", "true"},
        {"ssl_version", "TLSv1_2"},
        {"ssl_key_file", "/k"},
        {"ssl_cert_file", "/c"},
        {"ssl_ca_file", "/a"},
        {"ssl_enforce_hostname_verification", "true"},
        {"ssl_enforce_fips_mode", "false"},
        {"heartbeat_in_pthread", "true"},
        {"kombu_reconnect_delay", "1.0"},
        {"kombu_reconnect_splay", "0.5"},
        {"kombu_compression", "gzip"},
        {"kombu_missing_consumer_retry_timeout", "60"},
        {"kombu_failover_strategy", "shuffle"},
        {"rabbit_login_method", "PLAIN"},
        {"rabbit_retry_interval", "1"},
        {"rabbit_retry_backoff", "2"},
        {"rabbit_interval_max", "30"},
        {"rabbit_ha_queues", "false"},
        {"rabbit_quorum_queue", "true"},
        {"rabbit_transient_quorum_queue", "true"},
        {"rabbit_quorum_delivery_limit", "1"},
        {"rabbit_quorum_max_memory_length", "1"},
        {"rabbit_quorum_max_memory_bytes", "1"},
        {"rabbit_quroum_max_memory_length", "1"},
        {"rabbit_quroum_max_memory_bytes", "1"},
        {"rabbit_transient_queues_ttl", "1800"},
        {"rabbit_qos_prefetch_count", "10"},
        {"heartbeat_timeout_threshold", "60"},
        {"heartbeat_rate", "3"},
        {"direct_mandatory_flag", "true"},
        {"enable_cancel_on_failover", "true"},
        {"use_queue_manager", "true"},
        {"hostname", "host-1"},
        {"processname", "nova-compute"},
        {"rabbit_stream_fanout", "true"},
};
enum { ALL_N = sizeof(all) / sizeof(all[0]) };

TEST(every_option_of_oslo_messaging_is_known_by_its_name)
{
        char query[2048] = "";

        for (size_t i = 0; i < ALL_N; i++) {
                size_t used = strlen(query);
                char one[128];

                snprintf(one, sizeof(one), "%s=%s", all[i].name, all[i].value);
                if (strcmp(all[i].name, "rabbit_stream_fanout") != 0) /* which needs two others */
                        good(one);
                snprintf(query + used, sizeof(query) - used, "%s&", one);
        }
        CHECK(strlen(query) < 2000);
        good(query);
}

TEST(every_misspelt_option_is_an_error_that_names_the_right_one)
{
        for (size_t i = 0; i < ALL_N; i++) {
                char query[128], why[256];

                snprintf(query, sizeof(query), "%sx=1", all[i].name);
                snprintf(why, sizeof(why), "unknown option \"%sx\"; did you mean \"%s\"?", all[i].name,
                         all[i].name);
                bad(query, why);
        }
}

TEST(defaults_are_oslo_messagings)
{
        rabbit_options o = good("x&");

        CHECK(!o.amqp_durable_queues && !o.amqp_auto_delete && !o.ssl && !o.rabbit_ha_queues);
        CHECK(!o.rabbit_quorum_queue && !o.rabbit_transient_quorum_queue && !o.rabbit_stream_fanout);
        CHECK(!o.enable_cancel_on_failover && !o.use_queue_manager);
        CHECK(o.direct_mandatory_flag && o.ssl_enforce_hostname_verification);
        CHECK(!o.kombu_compression && !o.hostname && !o.processname && !o.ssl_ca_file);
        CHECK_INT(o.rabbit_login_method, RABBIT_LOGIN_AMQPLAIN);
        CHECK_INT(o.kombu_failover_strategy, RABBIT_FAILOVER_ROUND_ROBIN);
        CHECK_INT(o.kombu_reconnect_delay_ms, 1000);
        CHECK_INT(o.kombu_reconnect_splay_ms, 0);
        CHECK_INT(o.rabbit_retry_interval_s, 1);
        CHECK_INT(o.rabbit_retry_backoff_s, 2);
        CHECK_INT(o.rabbit_interval_max_s, 30);
        CHECK_INT(o.kombu_missing_consumer_retry_timeout_s, 60);
        CHECK_INT(o.rabbit_transient_queues_ttl_s, 1800);
        CHECK_INT(o.heartbeat_timeout_threshold_s, 60);
        CHECK_INT(o.rabbit_qos_prefetch_count, 0);
        CHECK_INT(o.rabbit_quorum_delivery_limit + o.rabbit_quorum_max_memory_length +
                          o.rabbit_quorum_max_memory_bytes,
                  0);
}

TEST(values_are_read)
{
        rabbit_options o =
                good("kombu_reconnect_delay=0.25&kombu_reconnect_splay=12.5&rabbit_retry_interval=2&"
                     "rabbit_retry_backoff=0&rabbit_interval_max=9&kombu_failover_strategy=shuffle&"
                     "rabbit_login_method=EXTERNAL&rabbit_quroum_max_memory_length=5&"
                     "rabbit_quorum_max_memory_bytes=6&heartbeat_timeout_threshold=0&"
                     "enable_cancel_on_failover=yes&direct_mandatory_flag=no");

        CHECK_INT(o.kombu_reconnect_delay_ms, 250);
        CHECK_INT(o.kombu_reconnect_splay_ms, 12500);
        CHECK_INT(o.rabbit_retry_interval_s, 2);
        CHECK_INT(o.rabbit_retry_backoff_s, 0);
        CHECK_INT(o.rabbit_interval_max_s, 9);
        CHECK_INT(o.kombu_failover_strategy, RABBIT_FAILOVER_SHUFFLE);
        CHECK_INT(o.rabbit_login_method, RABBIT_LOGIN_EXTERNAL);
        CHECK_INT(o.rabbit_quorum_max_memory_length, 5);
        CHECK_INT(o.rabbit_quorum_max_memory_bytes, 6);
        CHECK_INT(o.heartbeat_timeout_threshold_s, 0);
        CHECK(o.enable_cancel_on_failover && !o.direct_mandatory_flag);
}

TEST(values_of_another_kind_or_out_of_their_limits_are_refused)
{
        bad("ssl=maybe", "option ssl: \"maybe\" is neither true nor false");
        bad("heartbeat_in_pthread=7", "option heartbeat_in_pthread: \"7\" is neither true nor false");
        bad("rpc_conn_pool_size=0",
            "option rpc_conn_pool_size: \"0\" is not a number from 1 to 9223372036854775807");
        bad("rabbit_retry_interval=0", "option rabbit_retry_interval: \"0\" is not a number from 1 to 86400");
        bad("rabbit_qos_prefetch_count=65536",
            "option rabbit_qos_prefetch_count: \"65536\" is not a number from 0 to 65535");
        bad("kombu_reconnect_delay=4.6",
            "option kombu_reconnect_delay: \"4.6\" is not a number of seconds from 0 to 4.5");
        bad("kombu_failover_strategy=random",
            "kombu_failover_strategy \"random\" is not one of round-robin, shuffle");
        bad("rabbit_login_method=RABBIT-CR-DEMO",
            "rabbit_login_method \"RABBIT-CR-DEMO\" is not one of AMQPLAIN, PLAIN, EXTERNAL");
        bad("kombu_compression=brotli", "kombu_compression \"brotli\" is not one of gzip, bzip2, lzma, zstd");
        bad("hostname=a%2Fb", "hostname \"a/b\" is longer than 64 bytes, or has a \"/\"");
}

TEST(less_tls_than_there_is_cannot_be_asked_for)
{
        good("ssl_version=SSLv23");
        good("ssl_version=TLSv1_2");
        bad("ssl_version=TLSv1",
            "ssl_version \"TLSv1\" cannot be had: TLS 1.2 is the least that is spoken; leave it out");
        bad("ssl_enforce_hostname_verification=false",
            "ssl_enforce_hostname_verification cannot be false: the broker's name is always verified");
}

TEST(choices_that_exclude_or_need_each_other_are_checked)
{
        static const char stream[] = "rabbit_stream_fanout needs rabbit_transient_quorum_queue=true and a "
                                     "rabbit_qos_prefetch_count above 0";

        bad("rabbit_ha_queues=true&rabbit_quorum_queue=true",
            "rabbit_ha_queues and rabbit_quorum_queue cannot both be true");
        bad("rabbit_ha_queues=true&rabbit_transient_quorum_queue=true",
            "rabbit_ha_queues and rabbit_transient_quorum_queue cannot both be true");
        bad("rabbit_stream_fanout=true", stream);
        bad("rabbit_stream_fanout=true&rabbit_transient_quorum_queue=true", stream);
        bad("rabbit_stream_fanout=true&rabbit_qos_prefetch_count=1", stream);
        good("rabbit_stream_fanout=true&rabbit_transient_quorum_queue=true&rabbit_qos_prefetch_count=1");
}

TEST(options_that_change_nothing_are_told_with_the_reason)
{
        cel_auto(cel__url) *url = NULL;
        const char *why = NULL;
        size_t at = 0;

        CHECK_INT(cel__url_parse("rabbit://h/?ssl=0&heartbeat_rate=2&hostname=h&rpc_conn_pool_size=3", &url,
                                 error, sizeof(error)),
                  0);
        CHECK_STR(rabbit_options_unused(url, &at, &why), "heartbeat_rate");
        CHECK_STR(why, "a thread of its own sends heartbeats, twice in each period");
        CHECK_STR(rabbit_options_unused(url, &at, &why), "rpc_conn_pool_size");
        CHECK(!rabbit_options_unused(url, &at, &why));
        CHECK(!rabbit_options_schedule(url));
}
