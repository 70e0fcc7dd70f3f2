/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/breaker.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { CONCURRENCY = 16 };

#define LONGEST UINT32_MAX

/* A breaker and its clock. */
typedef struct world {
        bridge_breaker b;
        cel_time now;
        bridge_class judged; /* the last verdict, after the breaker has looked at it */
        bool doubted;
} world;

static world world_new(void)
{
        world w = {.now = {1000 * CEL_NS_PER_S}};

        bridge_breaker_init(&w.b, 5000, 60000, CONCURRENCY);
        return w;
}

static void pass_ms(world *w, int64_t ms)
{
        w->now = cel_time_add_ms(w->now, ms);
        bridge_breaker_tick(&w->b, w->now);
}

static bridge_outcome of_status(int status)
{
        static const bridge_verdict_config defaults;

        return (bridge_outcome){.status = status, .verdict = bridge_verdict_of_status(&defaults, status)};
}

static void end_outcome(world *w, unsigned era, const char *event, bridge_outcome outcome,
                        int64_t route_wait_ms)
{
        bridge_breaker_judge(&w->b, w->now, event, &outcome);
        w->judged = outcome.verdict.class;
        w->doubted = outcome.verdict.doubted;
        bridge_breaker_report(&w->b, w->now, era, &outcome, route_wait_ms, LONGEST);
}

/* A request that ends at once. */
static void request(world *w, const char *event, int status)
{
        unsigned era = 0;

        CHECK(bridge_breaker_admit(&w->b, &era));
        end_outcome(w, era, event, of_status(status), 0);
}

/* `n` requests of as many events. */
static void requests(world *w, unsigned n, int status)
{
        static unsigned event;
        char name[16];

        for (unsigned i = 0; i < n; i++) {
                snprintf(name, sizeof(name), "%u", event++);
                request(w, name, status);
        }
}

static void request_without_connection(world *w)
{
        unsigned era = 0;

        CHECK(bridge_breaker_admit(&w->b, &era));
        end_outcome(
                w, era, "event",
                (bridge_outcome){.verdict = {.class = BRIDGE_RETRY, .no_connection = true, .why = "connect"}},
                0);
}

#define CHECK_STATE(w, expected) CHECK_INT((w).b.state, BRIDGE_BREAKER_##expected)

/* --- Opening ---------------------------------------------------------------------------------- */

TEST(a_route_that_works_stays_closed)
{
        world w = world_new();

        for (unsigned i = 0; i < 100; i++) {
                requests(&w, 100, 200);
                pass_ms(&w, 100);
        }
        CHECK_STATE(w, CLOSED);
        CHECK_INT(w.b.era, 0);
}

TEST(half_of_twenty_requests_that_fail_open_it)
{
        static const int statuses[] = {500, 503, 429, 408};

        for (unsigned i = 0; i < 4; i++) {
                world w = world_new();

                requests(&w, 10, 200);
                requests(&w, 9, statuses[i]);
                CHECK_STATE(w, CLOSED);
                requests(&w, 1, statuses[i]);
                CHECK_STATE(w, OPEN);
                CHECK(strstr(w.b.why, "half of the requests fail") != NULL);
        }
}

TEST(less_than_half_do_not)
{
        world w = world_new();

        requests(&w, 101, 200);
        requests(&w, 100, 500);
        CHECK_STATE(w, CLOSED);
}

TEST(what_an_api_thinks_of_an_event_is_no_failure_of_the_api)
{
        static const int statuses[] = {400, 409, 422, 423, 425};

        for (unsigned i = 0; i < 5; i++) {
                world w = world_new();

                requests(&w, 100, statuses[i]);
                CHECK_STATE(w, CLOSED);
        }
}

TEST(one_event_that_fails_again_and_again_opens_nothing)
{
        world w = world_new();

        for (unsigned i = 0; i < 100; i++)
                request(&w, i % 2 ? "one" : "two", 500);
        CHECK_STATE(w, CLOSED);
}

TEST(where_one_event_goes_at_a_time_one_is_enough)
{
        world w = world_new();

        w.b.requests_max = 1;
        for (unsigned i = 0; i < 20; i++)
                request(&w, "one", 500);
        CHECK_STATE(w, OPEN);
}

TEST(what_was_half_a_minute_ago_is_forgotten)
{
        world w = world_new();

        requests(&w, 19, 500);
        pass_ms(&w, BRIDGE_BREAKER_WINDOW_S * 1000);
        requests(&w, 19, 500);
        CHECK_STATE(w, CLOSED);
        pass_ms(&w, BRIDGE_BREAKER_WINDOW_S * 1000 - 1000);
        requests(&w, 1, 500);
        CHECK_STATE(w, OPEN);
}

TEST(an_api_that_is_not_reached_five_times_in_a_row_opens_it)
{
        world w = world_new();

        for (unsigned i = 0; i < 4; i++)
                request_without_connection(&w);
        request(&w, "other", 404); /* was reached */
        for (unsigned i = 0; i < 4; i++)
                request_without_connection(&w);
        CHECK_STATE(w, CLOSED);
        request_without_connection(&w);
        CHECK_STATE(w, OPEN);
        CHECK_STR(w.b.why, "not reached 5 times in a row: connect");
}

TEST(a_fault_of_the_route_opens_it_at_once)
{
        static const int statuses[] = {401, 407, 511};

        for (unsigned i = 0; i < 3; i++) {
                world w = world_new();

                requests(&w, 100, 200);
                requests(&w, 1, statuses[i]);
                CHECK_STATE(w, OPEN);
        }
}

TEST(an_api_that_says_how_long_opens_it_for_so_long)
{
        world w = world_new();
        unsigned era = 0;

        CHECK(bridge_breaker_admit(&w.b, &era));
        end_outcome(&w, era, "event", of_status(429), 90000);
        CHECK_STATE(w, OPEN);
        CHECK_STR(w.b.why, "answered 429 with Retry-After");
        pass_ms(&w, 89999);
        CHECK_STATE(w, OPEN);
        pass_ms(&w, 1);
        CHECK_STATE(w, HALF_OPEN);
        requests(&w, 1, 500);
        pass_ms(&w, 4999); /* that was no failure: the first one comes now */
        CHECK_STATE(w, OPEN);
        pass_ms(&w, 1);
        CHECK_STATE(w, HALF_OPEN);
}

/* --- Storms ----------------------------------------------------------------------------------- */

TEST(a_rejection_is_believed_when_others_succeed_and_doubted_until_then)
{
        world w = world_new();

        request(&w, "one", 403);
        CHECK_INT(w.judged, BRIDGE_RETRY);
        CHECK(w.doubted);
        request(&w, "one", 404);
        CHECK(w.doubted);
        request(&w, "two", 200);
        request(&w, "one", 403);
        CHECK_INT(w.judged, BRIDGE_REJECT);
        request(&w, "one", 404);
        CHECK(!w.doubted);
        pass_ms(&w, BRIDGE_BREAKER_WINDOW_S * 1000);
        request(&w, "one", 403);
        CHECK_INT(w.judged, BRIDGE_RETRY);
        request(&w, "three", 422); /* no status of storms */
        CHECK_INT(w.judged, BRIDGE_REJECT);
}

TEST(many_of_the_same_refusal_and_no_success_are_the_routes_fault)
{
        static const int statuses[] = {403, 404, 405, 410, 501};

        for (unsigned i = 0; i < 5; i++) {
                world w = world_new();

                requests(&w, 2, 422);
                requests(&w, 17, statuses[i]);
                CHECK_STATE(w, CLOSED);
                CHECK_INT(w.judged, BRIDGE_RETRY);
                requests(&w, 1, statuses[i]);
                CHECK_INT(w.judged, BRIDGE_ROUTE);
                CHECK_STATE(w, OPEN);
                CHECK(strncmp(w.b.why, "a storm of ", 11) == 0);
        }
}

TEST(a_success_is_no_weather_for_storms)
{
        world w = world_new();

        requests(&w, 1, 200);
        requests(&w, 60, 403);
        CHECK_INT(w.judged, BRIDGE_REJECT);
        CHECK_STATE(w, CLOSED);
}

TEST(different_refusals_and_few_events_are_no_storm)
{
        world w = world_new();

        for (unsigned i = 0; i < 20; i++)
                requests(&w, 1, i % 2 ? 403 : 404);
        CHECK_STATE(w, CLOSED);
        w = world_new();
        for (unsigned i = 0; i < 60; i++)
                request(&w, i % 2 ? "one" : "two", 404);
        CHECK_STATE(w, CLOSED);
}

TEST(a_storm_lasts_until_something_else_is_answered)
{
        world w = world_new();

        requests(&w, 20, 403);
        pass_ms(&w, 5000);
        requests(&w, 1, 403);
        CHECK_INT(w.judged, BRIDGE_ROUTE);
        CHECK_STATE(w, OPEN);
        pass_ms(&w, 10000);
        requests(&w, 1, 204);
        CHECK_STATE(w, HALF_OPEN);
        requests(&w, 1, 403); /* and some succeed */
        CHECK_INT(w.judged, BRIDGE_REJECT);
        CHECK_STATE(w, HALF_OPEN);
}

/* --- Half-open -------------------------------------------------------------------------------- */

static void open_it(world *w)
{
        requests(w, 1, 511);
        CHECK_STATE(*w, OPEN);
}

TEST(nothing_goes_while_it_is_open)
{
        world w = world_new();
        unsigned era;

        open_it(&w);
        CHECK(!bridge_breaker_admit(&w.b, &era));
        pass_ms(&w, 4999);
        CHECK(!bridge_breaker_admit(&w.b, &era));
        pass_ms(&w, 1);
        CHECK(bridge_breaker_admit(&w.b, &era));
        CHECK(!bridge_breaker_admit(&w.b, &era)); /* the first one is under way */
}

TEST(it_begins_again_with_one_request_then_two_then_four_until_all_may_go)
{
        world w = world_new();

        open_it(&w);
        pass_ms(&w, 5000);
        for (unsigned allowed = 1; allowed < CONCURRENCY; allowed *= 2) {
                unsigned eras[CONCURRENCY], era;

                CHECK_STATE(w, HALF_OPEN);
                for (unsigned i = 0; i < allowed; i++)
                        CHECK(bridge_breaker_admit(&w.b, &eras[i]));
                CHECK(!bridge_breaker_admit(&w.b, &era));
                for (unsigned i = 0; i < allowed; i++)
                        end_outcome(&w, eras[i], "event", of_status(200), 0);
        }
        CHECK_STATE(w, CLOSED);
}

TEST(each_probe_that_fails_doubles_the_time_up_to_the_cap)
{
        static const int64_t waits[] = {5000, 10000, 20000, 40000, 60000, 60000};
        world w = world_new();

        for (unsigned i = 0; i < 6; i++) {
                open_it(&w);
                pass_ms(&w, waits[i] - 1);
                CHECK_STATE(w, OPEN);
                pass_ms(&w, 1);
                CHECK_STATE(w, HALF_OPEN);
        }
        requests(&w, 15, 200); /* 1 + 2 + 4 + 8 */
        CHECK_STATE(w, CLOSED);
        open_it(&w); /* from the beginning */
        pass_ms(&w, 5000);
        CHECK_STATE(w, HALF_OPEN);
}

TEST(a_probe_that_does_not_reach_the_api_is_no_attempt_of_its_event)
{
        world w = world_new();

        for (unsigned i = 0; i < 5; i++) {
                request_without_connection(&w);
                CHECK_INT(w.judged, BRIDGE_RETRY);
        }
        CHECK_STATE(w, OPEN);
        pass_ms(&w, 5000);
        request_without_connection(&w);
        CHECK_INT(w.judged, BRIDGE_THROTTLE);
        CHECK_STATE(w, OPEN);
        pass_ms(&w, 10000);
        requests(&w, 1, 500); /* this one may be the event's fault, and counts */
        CHECK_INT(w.judged, BRIDGE_RETRY);
        CHECK_STATE(w, OPEN);
}

TEST(any_answer_that_is_no_failure_is_a_good_probe)
{
        world w = world_new();

        open_it(&w);
        pass_ms(&w, 5000);
        requests(&w, 15, 422);
        CHECK_STATE(w, CLOSED);
}

TEST(a_free_attempt_says_nothing_and_makes_room_for_another_probe)
{
        world w = world_new();

        open_it(&w);
        pass_ms(&w, 5000);
        requests(&w, 3, 421);
        CHECK_STATE(w, HALF_OPEN);
        CHECK_INT(w.b.allowed, 1);
        CHECK_INT(w.b.under_way, 0);
}

TEST(a_request_from_before_a_change_says_nothing_about_the_time_after_it)
{
        world w = world_new();
        unsigned era;

        CHECK(bridge_breaker_admit(&w.b, &era));
        open_it(&w);
        end_outcome(&w, era, "late", of_status(200), 0);
        CHECK_STATE(w, OPEN);
        pass_ms(&w, 5000);
        end_outcome(&w, era, "later", of_status(511), 0);
        CHECK_STATE(w, HALF_OPEN);
        CHECK_INT(w.b.under_way, 0);
}

TEST(after_it_has_closed_old_failures_do_not_count)
{
        world w = world_new();

        requests(&w, 20, 500);
        pass_ms(&w, 5000);
        requests(&w, 15, 200);
        CHECK_STATE(w, CLOSED);
        requests(&w, 1, 500);
        CHECK_STATE(w, CLOSED);
}
