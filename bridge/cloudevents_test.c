/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/cloudevents.h"
#include "test.h"

#include <celadon/error.h>
#include <string.h>

static void check_header(const char *value, const char *expected)
{
        bridge_text text = {.bytes_max = 1000};

        bridge_cloudevent_put_header(&text, value);
        CHECK_STR(text.bytes, expected);
        bridge_text_fini(&text);
}

/* Section 3.1.3.2 of the HTTP protocol binding, and its example. */
TEST(header_values_are_percent_encoded_as_the_binding_says)
{
        char printable[2] = "";

        check_header("Euro \xE2\x82\xAC \xF0\x9F\x98\x80", "Euro%20%E2%82%AC%20%F0%9F%98%80");
        check_header(" \"%", "%20%22%25");
        for (char c = 0x21; c <= 0x7E; c++) { /* all the others stay */
                *printable = c;
                if (c != '"' && c != '%')
                        check_header(printable, printable);
        }
        check_header("\x01\x7F\x80\xFF", "%01%7F%80%FF");
        check_header("//nova/compute.h%C3%A9", "//nova/compute.h%25C3%25A9");
}

TEST(oslos_timestamps_become_those_of_rfc_3339)
{
        static const char *const pairs[][2] = {
                {"2026-11-23 15:00:00.000001", "2026-11-23T15:00:00.000001Z"},
                {"2026-11-23 15:00:00", "2026-11-23T15:00:00Z"},
                {"2026-11-23T15:00:00Z", "2026-11-23T15:00:00Z"},
                {"2026-11-23T23:59:60.5z", "2026-11-23T23:59:60.5Z"},
                {"2026-11-23T15:00:00.123456+01:00", "2026-11-23T15:00:00.123456+01:00"},
        };
        static const char *const bad[] = {"",
                                          "now",
                                          "2026-11-23",
                                          "2026-11-23 15:00",
                                          "2026-13-23 15:00:00",
                                          "2026-00-23 15:00:00",
                                          "2026-11-32 15:00:00",
                                          "2026-11-23 24:00:00",
                                          "2026-11-23 15:60:00",
                                          "2026-11-23 15:00:61",
                                          "2026-11-23 15:00:00.",
                                          "2026-11-23 15:00:00.0123456789",
                                          "2026-11-23 15:00:00x",
                                          "2026-11-23 15:00:00+1:00",
                                          "2026-11-23 15:00:00+99:00"};
        char text[40];

        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                CHECK(bridge_rfc3339(pairs[i][0], text));
                CHECK_STR(text, pairs[i][1]);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                CHECK(!bridge_rfc3339(bad[i], text));
        CHECK(!bridge_rfc3339(NULL, text));
}

typedef struct world {
        json_t *message;
        cel_message raw;
        cel_notification notification;
        bridge_event event;
} world;

static void world_init(world *w)
{
        *w = (world){
                .message = json_loads(
                        "{\"_context_project_id\": \"p-1\", \"_context_request_id\": \"req-1\"}", 0, NULL),
                .raw = {.exchange = "nova"}};
        w->notification = (cel_notification){.event_type = "compute.instance.create.end",
                                             .publisher_id = "compute.h\xC3\xA9/1",
                                             .priority = "INFO",
                                             .timestamp = "2026-11-23 15:00:00.000001",
                                             .message = w->message,
                                             .raw = &w->raw};
        w->event = (bridge_event){.notification = &w->notification, .route = "r"};
}

TEST(a_structured_event_is_one_object_with_the_data_as_it_was)
{
        bridge_text text = {.bytes_max = 4096};
        char why[BRIDGE_CLOUDEVENT_WHY_BYTES];
        bridge_cloudevent ce;
        world w;

        world_init(&w);
        CHECK_INT(bridge_cloudevent_make(&(bridge_cloudevents_config){0}, &w.event, "id-1", "x", why, &ce),
                  0);
        bridge_cloudevent_put_structured(&text, &ce, "{\"n\" : 1.50}", 12);
        CHECK_STR(text.bytes,
                  "{\"specversion\":\"1.0\",\"id\":\"id-1\",\"source\":\"//nova/compute.h%C3%A9%2F1\","
                  "\"type\":\"compute.instance.create.end\",\"time\":\"2026-11-23T15:00:00.000001Z\","
                  "\"openstackproject\":\"p-1\",\"openstackrequestid\":\"req-1\",\"openstackpriority\":"
                  "\"info\","
                  "\"datacontenttype\":\"application/json\",\"data\":{\"n\" : 1.50}}");
        bridge_text_fini(&text);
        bridge_cloudevent_put_structured(&text, &ce, NULL, 0);
        CHECK(!strstr(text.bytes, "data"));
        bridge_text_fini(&text);
        bridge_cloudevent_fini(&ce);
        json_decref(w.message);
}

TEST(attributes_that_are_not_there_are_left_out_and_the_exchange_is_the_routes)
{
        char why[BRIDGE_CLOUDEVENT_WHY_BYTES];
        bridge_cloudevent ce;
        world w;

        world_init(&w);
        json_object_clear(w.message);
        w.raw.exchange = "";
        w.notification.publisher_id = w.notification.priority = "";
        w.notification.timestamp = "yesterday";
        CHECK_INT(bridge_cloudevent_make(&(bridge_cloudevents_config){0}, &w.event, "id-1", "x", why, &ce),
                  0);
        CHECK_INT(ce.attributes_n, 4);
        CHECK_STR(ce.attributes[2].name, "ce-source");
        CHECK_STR(ce.attributes[2].value, "//x");
        bridge_cloudevent_fini(&ce);
        json_decref(w.message);
}

TEST(what_can_be_no_cloudevent_is_refused)
{
        char why[BRIDGE_CLOUDEVENT_WHY_BYTES];
        bridge_cloudevent ce;
        world w;

        world_init(&w);
        w.notification.event_type = "";
        CHECK_INT(bridge_cloudevent_make(&(bridge_cloudevents_config){0}, &w.event, "id-1", "x", why, &ce),
                  CEL_EINVAL);
        CHECK_STR(why, "it has no event_type, which is a CloudEvent's type");
        w.notification.event_type = "a\nb";
        CHECK_INT(bridge_cloudevent_make(&(bridge_cloudevents_config){0}, &w.event, "id-1", "x", why, &ce),
                  CEL_EINVAL);
        CHECK_STR(why, "its CloudEvents type would have a control character");
        json_decref(w.message);
}
