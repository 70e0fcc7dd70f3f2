/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/filter.h"
#include "test.h"

#include <string.h>

/* Does the expression match this event_type? -1: it is none. */
static int matches(const char *pattern, const char *event_type)
{
        cel__filter *filter;
        char why[256];
        bool result;

        if (cel__filter_new(&(cel_notification_filter){.event_type = pattern}, &filter, why, sizeof(why)) < 0)
                return -1;
        json_t *message = json_pack("{s:s}", "event_type", event_type);
        CHECK_INT(cel__filter_match(filter, message, &result), 0);
        json_decref(message);
        cel__filter_free(filter);
        return result;
}

static bool passes(const cel_notification_filter *rules, const char *text)
{
        cel__filter *filter;
        char why[256];
        bool result;

        CHECK_INT(cel__filter_new(rules, &filter, why, sizeof(why)), 0);
        json_t *message = json_loads(text, 0, NULL);
        CHECK(message != NULL);
        CHECK_INT(cel__filter_match(filter, message, &result), 0);
        json_decref(message);
        cel__filter_free(filter);
        return result;
}

TEST(an_expression_matches_as_in_python)
{
        static const struct {
                const char *pattern, *text;
                int expected;
        } cases[] = {
                {"compute", "compute.start", 1}, /* from the beginning, not to the end */
                {"start", "compute.start", 0},
                {".*start", "compute.start", 1},
                {"^compute\\.(instance|host)\\.[a-z]+$", "compute.host.up", 1},
                {"^compute\\.(instance|host)\\.[a-z]+$", "compute.host.up2", 0},
                {"a|bc", "bcd", 1}, /* each alternative from the beginning */
                {"a|b", "xb", 0},
                {"", "", 1},
                {"a$", "a\n", 1},
                {"a.b", "a\nb", 0},
                {"(?i)ABC", "abc", 1},
                {"(?P<x>.)(?P=x)", "zz", 1},
                {"(?!compute)", "compute", 0},
                {"\\w+$", "größe", 1},
                {"\\d$", "٣", 1},
                {".$", "🦭", 1},
                {"a{2,3}$", "aaaa", 0},
                {"\r", "\r", 1},
                {"a.b", "a\rb", 1},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                CHECK_INT(matches(cases[i].pattern, cases[i].text), cases[i].expected);
}

TEST(what_is_missing_or_no_string_does_not_match)
{
        static const cel_member_pattern any_state[] = {{"state", ".*"}, {0}},
                                        any_user[] = {{"user", ".*"}, {0}},
                                        time[] = {{"timestamp", "2026"}, {0}},
                                        other[] = {{"priority", ""}, {0}};
        cel_notification_filter publisher = {.publisher_id = ".*"}, payload = {.payload = any_state},
                                context = {.context = any_user}, metadata = {.metadata = time},
                                no_metadata = {.metadata = other};

        CHECK(passes(&publisher, "{\"publisher_id\": \"\"}"));
        CHECK(!passes(&publisher, "{}"));
        CHECK(!passes(&publisher, "{\"publisher_id\": null}"));
        CHECK(passes(&payload, "{\"payload\": {\"state\": \"x\"}}"));
        CHECK(!passes(&payload, "{\"payload\": {\"state\": 5}}"));
        CHECK(!passes(&payload, "{\"payload\": {}, \"state\": \"x\"}"));
        CHECK(!passes(&payload, "{\"payload\": \"state\"}"));
        CHECK(!passes(&payload, "{\"payload\": [\"state\"]}"));
        CHECK(passes(&context, "{\"_context_user\": \"u\"}"));
        CHECK(!passes(&context, "{\"user\": \"u\"}"));
        CHECK(passes(&metadata, "{\"timestamp\": \"2026-01-01\"}"));
        CHECK(!passes(&metadata, "{}"));
        CHECK(!passes(&no_metadata, "{\"priority\": \"INFO\"}"));
}

TEST(every_expression_has_to_match)
{
        static const cel_member_pattern payload[] = {{"a", "1"}, {"b", "2"}, {0}};
        cel_notification_filter rules = {.event_type = "x", .payload = payload};

        CHECK(passes(&rules, "{\"event_type\": \"x\", \"payload\": {\"a\": \"1\", \"b\": \"2\"}}"));
        CHECK(!passes(&rules, "{\"event_type\": \"y\", \"payload\": {\"a\": \"1\", \"b\": \"2\"}}"));
        CHECK(!passes(&rules, "{\"event_type\": \"x\", \"payload\": {\"a\": \"1\", \"b\": \"3\"}}"));
        CHECK(passes(&(cel_notification_filter){0}, "{}"));
}

TEST(an_expression_that_is_none_is_named)
{
        static const cel_member_pattern payload[] = {{"state", "(a"}, {0}}, empty[] = {{"state", NULL}, {0}};
        cel__filter *filter;
        char why[256];

        CHECK_INT(cel__filter_new(&(cel_notification_filter){.payload = payload}, &filter, why, sizeof(why)),
                  CEL_EINVAL);
        CHECK_STR(why, "the filter's payload \"state\" is no regular expression: \"(a\": missing closing "
                       "parenthesis at byte 2");
        CHECK_INT(cel__filter_new(&(cel_notification_filter){.payload = empty}, &filter, why, sizeof(why)),
                  CEL_EINVAL);
        CHECK_STR(why, "the filter's payload \"state\" has no expression");
        CHECK_INT(matches("[", ""), -1);
        CHECK_INT(matches("\xff", ""), -1);
}

TEST(an_expression_that_takes_too_many_steps_does_not_match)
{
        CHECK_INT(matches("(a+)+c|a", "aaaaaaaa"), 1);
        CHECK_INT(matches("(a+)+c|a", "aaaaaaaaaaaaaaaaaaaaa"), 0); /* it would, after 2 million */
}

TEST(expressions_are_bounded_in_number_and_depth)
{
        cel_member_pattern many[70] = {0};
        char deep[400], why[256];
        cel__filter *filter;

        for (int i = 0; i < 65; i++)
                many[i] = (cel_member_pattern){"a", "a"};
        CHECK_INT(cel__filter_new(&(cel_notification_filter){.payload = many}, &filter, why, sizeof(why)),
                  CEL_EINVAL);
        CHECK_STR(why, "a filter has at most 64 expressions");
        memset(deep, '(', 150);
        memset(deep + 150, ')', 150);
        deep[300] = '\0';
        CHECK_INT(matches(deep, ""), -1);
}
