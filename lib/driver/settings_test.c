/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/settings.h"
#include "test.h"
#include "wire/headers.h"

#include <stdio.h>

static cel__driver_settings read_text(const char *query)
{
        cel_auto(cel__url) *url = NULL;
        char text[512], error[256];
        rabbit_options options;
        cel__driver_settings settings;

        snprintf(text, sizeof(text), "rabbit://h/?%s", query);
        CHECK_INT(cel__url_parse(text, &url, error, sizeof(error)), 0);
        CHECK_INT(rabbit_options_read(url, &options, error, sizeof(error)), 0);
        CHECK_INT(settings_make(&options, &settings), 0);
        return settings;
}

static void check_bytes(const cel_headers *arguments, const void *expected, size_t n)
{
        size_t got_n = 0;
        const uint8_t *got = arguments ? cel__headers_bytes(arguments, &got_n) : NULL;

        CHECK_INT(got_n, n);
        if (n > 0)
                CHECK_BYTES(got, expected, n);
}

static void check(const char *query, bool durable, bool auto_delete, const void *arguments, size_t n)
{
        cel__driver_settings t = read_text(query);

        CHECK_INT(t.durable, durable);
        CHECK_INT(t.auto_delete, auto_delete);
        check_bytes(t.arguments, arguments, n);
        settings_fini(&t);
}

TEST(by_default_queues_are_declared_without_arguments)
{
        check("ssl=false", false, false, NULL, 0);
        check("amqp_durable_queues=true", true, false, NULL, 0);
        check("amqp_auto_delete=yes&rabbit_quorum_delivery_limit=3", false, true, NULL, 0);
}

TEST(quorum_queues_are_durable_and_have_oslos_arguments_in_its_order)
{
        static const char plain[] = "\014x-queue-typeS\0\0\0\006quorum";
        static const char limited[] = "\014x-queue-typeS\0\0\0\006quorum"
                                      "\020x-delivery-limitI\0\0\0\003"
                                      "\025x-max-in-memory-bytesl\0\0\0\001\0\0\0\0";

        check("rabbit_quorum_queue=true", true, false, plain, sizeof(plain) - 1);
        check("rabbit_quorum_max_memory_bytes=4294967296&rabbit_quorum_delivery_limit=3&rabbit_quorum_queue="
              "1&"
              "rabbit_quorum_max_memory_length=0",
              true, false, limited, sizeof(limited) - 1);
}

TEST(mirrored_queues_have_their_policy)
{
        static const char arguments[] = "\013x-ha-policyS\0\0\0\003all";

        check("rabbit_ha_queues=true", false, false, arguments, sizeof(arguments) - 1);
}

static void check_transient(const char *query, bool durable, unsigned expires_ms, const void *arguments,
                            size_t n)
{
        cel__driver_settings t = read_text(query);

        CHECK_INT(t.transient_durable, durable);
        CHECK_INT(t.transient_expires_ms, expires_ms);
        CHECK_INT(t.fanout_expires_ms, expires_ms);
        CHECK(!t.fanout_stream);
        check_bytes(t.transient_arguments, arguments, n);
        check_bytes(t.fanout_arguments, arguments, n);
        settings_fini(&t);
}

TEST(transient_queues_are_quorum_queues_by_an_option_of_their_own)
{
        static const char ha[] = "\013x-ha-policyS\0\0\0\003all";
        static const char quorum[] = "\014x-queue-typeS\0\0\0\006quorum"
                                     "\020x-delivery-limitI\0\0\0\003";

        check_transient("rabbit_quorum_queue=true&rabbit_quorum_delivery_limit=3", false, 1800000, NULL, 0);
        check_transient("rabbit_ha_queues=true&rabbit_transient_queues_ttl=7", false, 7000, ha,
                        sizeof(ha) - 1);
        check_transient("rabbit_transient_quorum_queue=true&rabbit_quorum_delivery_limit=3&"
                        "rabbit_transient_queues_ttl=0",
                        true, 0, quorum, sizeof(quorum) - 1);
        check("rabbit_transient_quorum_queue=true", false, false, NULL, 0);
}

TEST(a_stream_for_fanout_has_an_age_instead_of_an_expiry)
{
        static const char stream[] = "\014x-queue-typeS\0\0\0\006stream"
                                     "\011x-max-ageS\0\0\0\0051800s";
        static const char ageless[] = "\014x-queue-typeS\0\0\0\006stream";
        static const char quorum[] = "\014x-queue-typeS\0\0\0\006quorum";
#define STREAM "rabbit_stream_fanout=1&rabbit_transient_quorum_queue=1&rabbit_qos_prefetch_count=5"
        cel__driver_settings t = read_text(STREAM);

        CHECK(t.fanout_stream && t.transient_durable);
        CHECK_INT(t.prefetch, 5);
        CHECK_INT(t.fanout_expires_ms, 0);
        CHECK_INT(t.transient_expires_ms, 1800000);
        check_bytes(t.fanout_arguments, stream, sizeof(stream) - 1);
        check_bytes(t.transient_arguments, quorum, sizeof(quorum) - 1);
        settings_fini(&t);
        t = read_text(STREAM "&rabbit_transient_queues_ttl=0");
        check_bytes(t.fanout_arguments, ageless, sizeof(ageless) - 1);
        settings_fini(&t);
}

TEST(what_concerns_replies_and_messages_is_passed_on)
{
        cel__driver_settings t = read_text("x&");

        CHECK(t.reply_mandatory && !t.compression && !t.transient_kept);
        CHECK_INT(t.missing_reply_queue_ms, 60000);
        CHECK_INT(t.prefetch, 0);
        settings_fini(&t);
        t = read_text("direct_mandatory_flag=0&kombu_compression=bz2&use_queue_manager=1&"
                      "kombu_missing_consumer_retry_timeout=7&rabbit_qos_prefetch_count=9");
        CHECK(!t.reply_mandatory && t.compression && t.transient_kept);
        CHECK_INT(t.missing_reply_queue_ms, 7000);
        CHECK_INT(t.prefetch, 9);
        settings_fini(&t);
}
