/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/copy.h"
#include "bridge/letter.h"
#include "bridge/park.h"
#include "test.h"

#include <string.h>

#define NOON_MS INT64_C(1795521600000) /* 2026-11-24T12:00:00Z */

static cel_headers *headers_of_letter(void)
{
        static const struct {
                const char *name, *value;
        } texts[] = {{"mine", "kept"},
                     {"x-celadon-reason", "http_status"},
                     {"x-celadon-error", "answered 503"},
                     {"x-celadon-route", "instances"},
                     {"x-celadon-method", "POST"},
                     {"x-celadon-url", "http://x/"},
                     {"x-celadon-first-attempt", "2026-11-24T11:00:00.000Z"},
                     {"x-celadon-dead-at", "2026-11-24T12:00:00.250Z"},
                     {"x-celadon-idempotency-key", "id-1"},
                     {"x-celadon-origin-exchange", "nova"},
                     {"x-celadon-origin-routing-key", "notifications.info"},
                     {"x-celadon-origin-queue", "celadon"}};
        cel_headers *headers;

        CHECK_INT(cel_headers_new(&headers), 0);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                CHECK_INT(cel_headers_set_str(headers, texts[i].name, texts[i].value), 0);
        CHECK_INT(cel_headers_set_int(headers, "x-celadon-status", 503), 0);
        CHECK_INT(cel_headers_set_int(headers, "x-celadon-attempts", 12), 0);
        CHECK_INT(cel_headers_set_bool(headers, "x-celadon-maybe-delivered", true), 0);
        CHECK_INT(cel_headers_set_bool(headers, "x-celadon-redelivered", false), 0);
        return headers;
}

TEST(a_letter_says_what_became_of_its_event)
{
        cel_auto(cel_headers) *headers = headers_of_letter();
        bridge_letter letter;

        CHECK_INT(bridge_letter_init(&letter, &(cel_message){.headers = headers}), 0);
        CHECK_STR(letter.reason, "http_status");
        CHECK_STR(letter.route, "instances");
        CHECK_STR(letter.queue, "celadon");
        CHECK_STR(letter.key, "id-1");
        CHECK_STR(letter.run, "");
        CHECK(letter.dead_ms == NOON_MS + 250);
        CHECK_INT(letter.status, 503);
        CHECK_INT(letter.attempts, 12);
        CHECK_INT(letter.replays, 0);
        CHECK(letter.maybe_delivered);
        bridge_letter_fini(&letter);
}

static bool passes(bridge_letter_filter filter)
{
        cel_auto(cel_headers) *headers = headers_of_letter();
        bridge_letter letter;

        CHECK_INT(bridge_letter_init(&letter, &(cel_message){.headers = headers}), 0);
        bool result = bridge_letter_passes(&filter, &letter);
        bridge_letter_fini(&letter);
        return result;
}

TEST(a_filter_wants_all_that_it_names)
{
        CHECK(passes((bridge_letter_filter){0}));
        CHECK(passes((bridge_letter_filter){.route = "instances", .reason = "http_status"}));
        CHECK(!passes((bridge_letter_filter){.route = "instance"}));
        CHECK(!passes((bridge_letter_filter){.route = "instances", .reason = "max_age"}));
        CHECK(passes((bridge_letter_filter){.status_min = 503, .status_max = 503}));
        CHECK(passes((bridge_letter_filter){.status_min = 500, .status_max = 599}));
        CHECK(!passes((bridge_letter_filter){.status_min = 400, .status_max = 499}));
        CHECK(passes((bridge_letter_filter){.since_ms = NOON_MS + 250}));
        CHECK(!passes((bridge_letter_filter){.since_ms = NOON_MS + 251}));
}

TEST(what_is_no_dead_letter_passes_no_filter)
{
        bridge_letter letter;

        CHECK_INT(bridge_letter_init(&letter, &(cel_message){0}), 0);
        CHECK(!bridge_letter_passes(&(bridge_letter_filter){0}, &letter));
        CHECK_INT(letter.dead_ms, 0);
        bridge_letter_fini(&letter);
}

static void check_status(const char *text, int min, int max)
{
        bridge_letter_filter filter = {0};

        CHECK_INT(bridge_letter_read_status(text, &filter), min > 0);
        CHECK_INT(filter.status_min, min);
        CHECK_INT(filter.status_max, max);
}

TEST(a_status_is_one_or_a_hundred)
{
        check_status("503", 503, 503);
        check_status("5xx", 500, 599);
        check_status("4XX", 400, 499);
        check_status("50x", 0, 0);
        check_status("5x", 0, 0);
        check_status("xx5", 0, 0);
        check_status("5030", 0, 0);
        check_status("-03", 0, 0);
        check_status("", 0, 0);
}

static void check_time(const char *text, int64_t expected)
{
        int64_t ms = -1;

        CHECK_INT(bridge_letter_read_time(text, NOON_MS, &ms), expected >= 0);
        CHECK(ms == expected);
}

TEST(a_time_is_a_date_or_so_long_ago)
{
        check_time("2026-11-24T12:00:00Z", NOON_MS);
        check_time("2026-11-24T12:00:00", NOON_MS);
        check_time("2026-11-24T12:00", NOON_MS);
        check_time("2026-11-24", NOON_MS - 12 * 3600000);
        check_time("2026-11-24T12:00:00.25Z", NOON_MS + 250);
        check_time("2026-11-24T12:00:00.1239999Z", NOON_MS + 123);
        check_time("-2h", NOON_MS - 2 * 3600000);
        check_time("-90s", NOON_MS - 90000);
        check_time("2h", -1);
        check_time("-2", -1);
        check_time("yesterday", -1);
        check_time("2026-13-01", -1);
        check_time("2026-11-24T12:00:00+01:00", -1);
        check_time("", -1);
}

static void check_text(const cel_headers *headers, const char *name, const char *expected)
{
        cel_auto_free char *text = NULL;

        CHECK_INT(cel_headers_get_str(headers, name, &text), expected ? 0 : CEL_ENOTFOUND);
        if (expected)
                CHECK_STR(text, expected);
}

TEST(what_is_replayed_is_the_event_that_it_was_with_no_attempts)
{
        cel_auto(cel_headers) *headers = headers_of_letter(), *event = NULL;
        cel_message message = {.exchange = "", .routing_key = "dead", .queue = "dead", .headers = headers};
        bridge_attempts attempts = {0};
        bridge_letter letter;
        bridge_origin origin;

        CHECK_INT(cel_headers_set_str(headers, "x-first-death-queue", "celadon"), 0);
        CHECK_INT(bridge_letter_init(&letter, &message), 0);
        CHECK_INT(bridge_letter_revive(&letter, &message, "run-1", &event), 0);
        check_text(event, "mine", "kept");
        check_text(event, "x-celadon-reason", NULL);
        check_text(event, "x-celadon-dead-at", NULL);
        check_text(event, "x-celadon-url", NULL);
        check_text(event, "x-celadon-attempts", NULL);
        check_text(event, "x-celadon-redelivered", NULL);
        check_text(event, "x-first-death-queue", NULL);
        check_text(event, BRIDGE_REPLAYS, "1");
        check_text(event, BRIDGE_REPLAY_RUN, "run-1");

        message.headers = event;
        CHECK_INT(bridge_origin_init(&origin, &message), 0);
        CHECK_STR(origin.message.exchange, "nova");
        CHECK_STR(origin.message.routing_key, "notifications.info");
        CHECK_INT(bridge_park_restore(&message, NOON_MS, 1000, &attempts), 0);
        CHECK_INT(attempts.n, 0);
        CHECK_INT(attempts.first_ms, 0);
        CHECK(attempts.maybe_delivered); /* of that, nothing has changed */
        bridge_origin_fini(&origin);
        bridge_letter_fini(&letter);
}

TEST(replays_are_counted)
{
        cel_auto(cel_headers) *headers = headers_of_letter(), *event = NULL;
        cel_message message = {.headers = headers};
        bridge_letter letter;

        CHECK_INT(cel_headers_set_int(headers, BRIDGE_REPLAYS, 4), 0);
        CHECK_INT(cel_headers_set_str(headers, BRIDGE_REPLAY_RUN, "run-4"), 0);
        CHECK_INT(bridge_letter_init(&letter, &message), 0);
        CHECK_STR(letter.run, "run-4");
        CHECK_INT(bridge_letter_revive(&letter, &message, "run-5", &event), 0);
        check_text(event, BRIDGE_REPLAYS, "5");
        check_text(event, BRIDGE_REPLAY_RUN, "run-5");
        bridge_letter_fini(&letter);
}
