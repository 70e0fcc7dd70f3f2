/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/copy.h"
#include "bridge/park.h"
#include "test.h"

#define NOW_MS INT64_C(1780000000000)

static int64_t ladder[] = {10000, 60000, 600000};
static const bridge_park_config park = {.ladder = {.ms = ladder, .n = 3}};

TEST(the_rung_is_the_longest_that_does_not_wait_too_long)
{
        CHECK_INT(bridge_park_rung_ms(&park, 0), 10000);
        CHECK_INT(bridge_park_rung_ms(&park, 9999), 10000);
        CHECK_INT(bridge_park_rung_ms(&park, 59999), 10000);
        CHECK_INT(bridge_park_rung_ms(&park, 60000), 60000);
        CHECK_INT(bridge_park_rung_ms(&park, 599999), 60000);
        CHECK_INT(bridge_park_rung_ms(&park, INT64_MAX), 600000);
}

static cel_headers *parked(int64_t not_before_ms)
{
        cel_headers *headers;

        CHECK_INT(cel_headers_new(&headers), 0);
        CHECK_INT(cel_headers_set_int(headers, BRIDGE_NOT_BEFORE, not_before_ms), 0);
        CHECK_INT(cel_headers_set_int(headers, BRIDGE_FIRST_MS, NOW_MS - 5000), 0);
        CHECK_INT(cel_headers_set_int(headers, BRIDGE_ATTEMPTS, 7), 0);
        CHECK_INT(cel_headers_set_int(headers, BRIDGE_COUNTED, 4), 0);
        CHECK_INT(cel_headers_set_int(headers, BRIDGE_DOUBTED, 2), 0);
        CHECK_INT(cel_headers_set_int(headers, BRIDGE_MAYBE, 1), 0);
        return headers;
}

TEST(what_was_known_of_an_event_comes_back_with_it)
{
        cel_auto(cel_headers) *headers = parked(NOW_MS + 3000);
        bridge_attempts attempts = {0};

        CHECK_INT(bridge_park_restore(&(cel_message){.headers = headers}, NOW_MS, 60000, &attempts), 3000);
        CHECK_INT(attempts.n, 7);
        CHECK_INT(attempts.counted, 4);
        CHECK_INT(attempts.doubted, 2);
        CHECK(attempts.maybe_delivered);
        CHECK(attempts.first_ms == NOW_MS - 5000);
}

TEST(an_event_that_was_not_parked_brings_nothing)
{
        cel_auto(cel_headers) *headers = parked(NOW_MS);
        bridge_attempts attempts = {0};

        cel_headers_remove(headers, BRIDGE_NOT_BEFORE); /* as a dead letter that was published again */
        CHECK_INT(bridge_park_restore(&(cel_message){.headers = headers}, NOW_MS, 60000, &attempts), 0);
        CHECK_INT(bridge_park_restore(&(cel_message){0}, NOW_MS, 60000, &attempts), 0);
        CHECK_INT(attempts.n, 0);
}

TEST(a_clock_that_was_set_makes_no_wait_longer_and_no_event_younger)
{
        cel_auto(cel_headers) *headers = parked(NOW_MS + 3000);
        bridge_attempts attempts = {0};
        cel_message message = {.headers = headers};

        CHECK_INT(bridge_park_restore(&message, NOW_MS - 86400000, 60000, &attempts), 60000);
        CHECK(attempts.first_ms == NOW_MS - 86400000);
        CHECK_INT(bridge_park_restore(&message, NOW_MS + 86400000, 60000, &attempts), 0);
}

TEST(numbers_that_make_no_sense_are_brought_to_sense)
{
        cel_auto(cel_headers) *headers = parked(INT64_MIN);
        bridge_attempts attempts = {0};

        CHECK_INT(cel_headers_set_int(headers, BRIDGE_ATTEMPTS, -1), 0);
        CHECK_INT(cel_headers_set_str(headers, BRIDGE_COUNTED, "many"), 0);
        CHECK_INT(cel_headers_set_int(headers, BRIDGE_DOUBTED, INT64_MAX), 0);
        CHECK_INT(bridge_park_restore(&(cel_message){.headers = headers}, NOW_MS, 60000, &attempts), 0);
        CHECK_INT(attempts.n, 0);
        CHECK_INT(attempts.counted, 0);
        CHECK_INT(attempts.doubted, INT32_MAX);
}

static void check_text(const cel_headers *headers, const char *name, const char *expected)
{
        cel_auto_free char *text = NULL;

        CHECK_INT(cel_headers_get_str(headers, name, &text), expected ? 0 : CEL_ENOTFOUND);
        if (expected)
                CHECK_STR(text, expected);
}

TEST(an_event_that_comes_back_looks_as_it_did_before)
{
        cel_auto(cel_headers) *headers = parked(NOW_MS);
        cel_message message = {.exchange = "", .routing_key = "q", .queue = "q", .headers = headers};
        bridge_origin origin;

        CHECK_INT(cel_headers_set_str(headers, "x-celadon-origin-exchange", "nova"), 0);
        CHECK_INT(bridge_origin_init(&origin, &message), 0);
        CHECK_STR(origin.message.exchange, "nova");
        CHECK_STR(origin.message.routing_key, "");
        CHECK_STR(origin.message.queue, "q");
        bridge_origin_fini(&origin);
}

TEST(a_copy_says_where_its_event_came_from_at_first)
{
        cel_auto(cel_headers) *once = NULL, *twice = NULL, *own = NULL;
        cel_message message = {.exchange = "nova", .routing_key = "key", .queue = "q", .expiration = "5"};

        CHECK_INT(cel_headers_new(&own), 0);
        CHECK_INT(cel_headers_set_str(own, "CC", "elsewhere"), 0);
        CHECK_INT(cel_headers_set_str(own, "mine", "kept"), 0);
        message.headers = own;
        CHECK_INT(bridge_copy_headers(&message, true, &once), 0);
        check_text(once, "mine", "kept");
        check_text(once, "CC", NULL);
        check_text(once, "x-celadon-origin-exchange", "nova");
        check_text(once, "x-celadon-origin-expiration", "5");
        check_text(once, "x-celadon-origin-user-id", NULL);

        CHECK_INT(cel_headers_set_int(once, BRIDGE_NOT_BEFORE, NOW_MS), 0);
        message = (cel_message){.exchange = "", .routing_key = "q", .queue = "q", .headers = once};
        CHECK_INT(bridge_copy_headers(&message, false, &twice), 0);
        check_text(twice, "x-celadon-origin-exchange", "nova");
        check_text(twice, "x-celadon-origin-routing-key", "key");
        check_text(twice, "x-celadon-origin-expiration", "5");
        check_text(twice, "mine", NULL);
}
