/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/notification.h"

#include <stdio.h>
#include <string.h>

static char why[300];

static const char version_1[] =
        "{\"message_id\": \"44444444-4444-4444-4444-444444444444\", \"publisher_id\": \"compute.h"
        "ost1\", \"event_type\": \"compute.instance.create.start\", \"priority\": \"INFO\", \"pay"
        "load\": {\"instance_id\": 12}, \"timestamp\": \"2026-05-13 12:53:00.123456\", \"_unique_"
        "id\": \"11111111111111111111111111111111\", \"_context_user\": \"alice\", \"_context_req"
        "uest_id\": \"req-1\"}";

static const char version_2[] =
        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"message_id\\\": \\\"44444444-4444-4"
        "444-4444-444444444444\\\", \\\"publisher_id\\\": \\\"compute.host1\\\", \\\"event_type\\"
        "\": \\\"compute.instance.create.start\\\", \\\"priority\\\": \\\"INFO\\\", \\\"payload\\"
        "\": {\\\"instance_id\\\": 12}, \\\"timestamp\\\": \\\"2026-05-13 12:53:00.123456\\\", \\"
        "\"_unique_id\\\": \\\"11111111111111111111111111111111\\\", \\\"_context_user\\\": \\\"a"
        "lice\\\", \\\"_context_request_id\\\": \\\"req-1\\\"}\"}";

static int read_text(const char *body, cel__envelope *envelope, cel_notification *notification)
{
        *why = '\0';
        CHECK_INT(cel__envelope_open(body, strlen(body), envelope, why, sizeof(why)), 0);
        return cel__notification_from_envelope(envelope, NULL, notification, why, sizeof(why));
}

TEST(both_versions_of_a_notification_say_the_same)
{
        static const char *const bodies[] = {version_1, version_2};

        for (size_t i = 0; i < 2; i++) {
                cel_message raw = {.body = bodies[i]};
                cel_notification n;
                cel__envelope envelope;

                CHECK_INT(cel__envelope_open(bodies[i], strlen(bodies[i]), &envelope, why, sizeof(why)), 0);
                CHECK_INT(envelope.version, i + 1);
                CHECK_INT(cel__notification_from_envelope(&envelope, &raw, &n, why, sizeof(why)), 0);
                CHECK_STR(n.publisher_id, "compute.host1");
                CHECK_STR(n.event_type, "compute.instance.create.start");
                CHECK_STR(n.priority, "INFO");
                CHECK_STR(n.message_id, "44444444-4444-4444-4444-444444444444");
                CHECK_STR(n.timestamp, "2026-05-13 12:53:00.123456");
                CHECK_INT(json_integer_value(json_object_get(n.payload, "instance_id")), 12);
                CHECK_STR(json_string_value(json_object_get(n.message, "_context_user")), "alice");
                CHECK_INT(n.text_bytes, strlen(version_1));
                CHECK_BYTES(n.text, version_1, n.text_bytes);
                CHECK(n.raw == &raw);
                cel__envelope_fini(&envelope);
        }
}

TEST(strings_that_were_left_out_or_are_null_are_empty)
{
        cel_notification n;
        cel__envelope envelope;

        CHECK_INT(read_text("{\"publisher_id\": null}", &envelope, &n), 0);
        CHECK_STR(n.publisher_id, "");
        CHECK_STR(n.event_type, "");
        CHECK_STR(n.priority, "");
        CHECK_STR(n.message_id, "");
        CHECK_STR(n.timestamp, "");
        CHECK(!n.payload);
        cel__envelope_fini(&envelope);
}

TEST(payloads_of_any_type_are_passed_on)
{
        cel_notification n;
        cel__envelope envelope;

        CHECK_INT(read_text("{\"payload\": null}", &envelope, &n), 0);
        CHECK(json_is_null(n.payload));
        cel__envelope_fini(&envelope);
        CHECK_INT(read_text("{\"payload\": \"text\"}", &envelope, &n), 0);
        CHECK_STR(json_string_value(n.payload), "text");
        cel__envelope_fini(&envelope);
}

TEST(something_else_in_place_of_a_string_is_refused_by_name)
{
        static const char *const names[] = {"publisher_id", "event_type", "priority", "message_id",
                                            "timestamp"};

        for (size_t i = 0; i < 5; i++) {
                cel_notification n = {.text_bytes = 77};
                char body[100], expected[100];
                cel__envelope envelope;

                snprintf(body, sizeof(body), "{\"%s\": 1}", names[i]);
                snprintf(expected, sizeof(expected), "not a notification: its %s is not a string", names[i]);
                CHECK_INT(read_text(body, &envelope, &n), CEL_EDECODE);
                CHECK_STR(why, expected);
                CHECK_INT(n.text_bytes, 77);
                cel__envelope_fini(&envelope);
        }
}

static void check_encoded(const cel__notification *notification, int version, const char *expected)
{
        cel__buf buf;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__notification_encode(notification, version, &buf), 0);
        CHECK_INT(cel__buf_used(&buf), strlen(expected));
        CHECK_BYTES(cel__buf_head(&buf), expected, strlen(expected));
        cel__buf_fini(&buf);
}

TEST(notifications_are_encoded_byte_for_byte_as_pythons)
{
        json_t *payload = json_pack("{s:i}", "instance_id", 12);
        json_t *context = json_pack("{s:s, s:s}", "user", "alice", "request_id", "req-1");
        const cel__notification notification = {.message_id = "44444444-4444-4444-4444-444444444444",
                                                .publisher_id = "compute.host1",
                                                .event_type = "compute.instance.create.start",
                                                .priority = "INFO",
                                                .payload = payload,
                                                .timestamp = "2026-05-13 12:53:00.123456",
                                                .unique_id = "11111111111111111111111111111111",
                                                .context = context};

        check_encoded(&notification, 1, version_1);
        check_encoded(&notification, 2, version_2);
        json_decref(payload);
        json_decref(context);
}
