/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/settings.h"
#include "test.h"
#include "wire/headers.h"

#include <stdio.h>

static int read_text(const char *text, cel__driver_settings *ret_settings, char error[256])
{
        cel_auto(cel__url) *url = NULL;

        CHECK_INT(cel__url_parse(text, &url, error, 256), 0);
        return settings_read(url, ret_settings, error, 256);
}

static void check(const char *query, bool durable, bool auto_delete, const void *arguments, size_t n)
{
        char text[512], error[256];
        cel__driver_settings t;
        size_t got_n = 0;

        snprintf(text, sizeof(text), "rabbit://h/?%s", query);
        CHECK_INT(read_text(text, &t, error), 0);
        CHECK_INT(t.durable, durable);
        CHECK_INT(t.auto_delete, auto_delete);
        const uint8_t *got = t.arguments ? cel__headers_bytes(t.arguments, &got_n) : NULL;
        CHECK_INT(got_n, n);
        if (n > 0)
                CHECK_BYTES(got, arguments, n);
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

TEST(transient_queues_are_never_quorum_queues)
{
        char error[256];
        cel__driver_settings t;

        CHECK_INT(read_text("rabbit://h/?rabbit_quorum_queue=true", &t, error), 0);
        CHECK(t.arguments && !t.transient_arguments);
        settings_fini(&t);
        CHECK_INT(read_text("rabbit://h/?rabbit_ha_queues=true", &t, error), 0);
        CHECK(t.arguments && t.transient_arguments);
        settings_fini(&t);
}

TEST(choices_that_exclude_each_other_are_refused)
{
        char error[256];
        cel__driver_settings t;

        CHECK_INT(read_text("rabbit://h/?rabbit_ha_queues=true&rabbit_quorum_queue=true", &t, error),
                  CEL_EINVAL);
        CHECK_STR(error, "rabbit_ha_queues and rabbit_quorum_queue cannot both be true");
        CHECK_INT(read_text("rabbit://h/?rabbit_quorum_delivery_limit=-1", &t, error), CEL_EINVAL);
}
