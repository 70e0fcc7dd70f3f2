/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/schema.h"
#include "test.h"

#include <celadon/error.h>
#include <stdio.h>
#include <string.h>

typedef struct thing {
        bool flag;
        unsigned count;
        int64_t wait_ms;
        size_t bytes_max;
        char *text;
        char **list;
} thing;

static const bridge_schema_field thing_fields[] = {
        {BRIDGE_KEY("flag", bridge_read_bool, bool, thing, flag)},
        {BRIDGE_KEY("count", bridge_read_count, unsigned, thing, count), .min = 1, .max = 10},
        {BRIDGE_KEY("wait", bridge_read_duration, int64_t, thing, wait_ms), .min = 1, .max = 36000000},
        {BRIDGE_KEY("bytes", bridge_read_size, size_t, thing, bytes_max), .min = 1, .max = 134217728},
        {BRIDGE_KEY("text", bridge_read_text, char *, thing, text), .max = 5},
        {BRIDGE_KEY("list", bridge_read_text_or_list, char **, thing, list), .max = 2},
};
static const bridge_schema_section thing_section = BRIDGE_SECTION("in a thing", thing_fields);

static char last_error[1024];

static void on_error(const char *line, void *arg)
{
        (void)arg;
        snprintf(last_error, sizeof(last_error), "%s", line);
}

/* Read `text`; the error, "" if there was none, is in last_error. */
static void read_thing(const char *text, thing *t)
{
        bridge_report report = {.name = "f", .on_error = on_error, .errors_max = 20};
        bridge_decoder d = {.report = &report};
        cel_auto(bridge_yaml_node) *root = NULL;

        last_error[0] = '\0';
        CHECK_INT(bridge_yaml_parse(text, strlen(text), &report, &root), 0);
        bridge_read_section(&d, &thing_section, root, t);
        CHECK(!d.out_of_memory);
        CHECK_INT(report.errors_n, last_error[0] ? 1 : 0);
}

static void thing_fini(thing *t)
{
        free(t->text);
        bridge_list_free(t->list);
        *t = (thing){0};
}

static void check_wait(const char *text, int64_t wait_ms)
{
        char line[64];
        thing t = {0};

        snprintf(line, sizeof(line), "wait: %s", text);
        read_thing(line, &t);
        CHECK_STR(last_error, "");
        CHECK_INT(t.wait_ms, wait_ms);
}

static void check_bytes(const char *text, size_t bytes_max)
{
        char line[64];
        thing t = {0};

        snprintf(line, sizeof(line), "bytes: %s", text);
        read_thing(line, &t);
        CHECK_STR(last_error, "");
        CHECK_INT(t.bytes_max, bytes_max);
}

/* Reading must report exactly this error and leave the thing alone. */
static void check_refused(const char *text, const char *error)
{
        thing t = {.wait_ms = 77, .bytes_max = 77, .count = 7, .flag = true};

        read_thing(text, &t);
        CHECK_STR(last_error, error);
        CHECK_INT(t.wait_ms, 77);
        CHECK_INT(t.bytes_max, 77);
        CHECK_INT(t.count, 7);
        CHECK(t.flag);
        CHECK(!t.text);
        CHECK(!t.list);
}

TEST(a_duration_is_a_decimal_with_a_unit)
{
        check_wait("1ms", 1);
        check_wait("500ms", 500);
        check_wait("1.5s", 1500);
        check_wait("0.001s", 1);
        check_wait("30s", 30000);
        check_wait("2m", 120000);
        check_wait("0.25h", 900000);
        check_wait("10h", 36000000);
        check_wait("0010.000000000h", 36000000);
        check_wait("'1s'", 1000);
}

TEST(what_is_no_duration_is_refused)
{
        static const char *const bad[] = {"30",  "s",    "-1s",           "1 s",   "1S",      "1sec", ".5s",
                                          "1.s", "1,5s", "1e3s",          "0.5ms", "0.0001s", "1s1s", "0x1s",
                                          "1.5", "inf",  "1.0000000000s", "soon"};
        char line[64], error[256];

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                snprintf(line, sizeof(line), "wait: %s", bad[i]);
                snprintf(error, sizeof(error),
                         "f:1:7: \"wait\" is \"%s\", write a duration in whole milliseconds, such as 500ms, "
                         "1.5s, 2m or 1h",
                         bad[i]);
                check_refused(line, error);
        }
}

TEST(a_number_of_any_length_is_out_of_range_not_something_small)
{
        check_refused("wait: 0s", "f:1:7: \"wait\" is \"0s\", it must be between 1ms and 600m");
        check_refused("wait: 99999999999999999999999999h",
                      "f:1:7: \"wait\" is \"99999999999999999999999999h\", it must be between 1ms and 600m");
        check_refused("wait: 18446744073709551616ms",
                      "f:1:7: \"wait\" is \"18446744073709551616ms\", it must be between 1ms and 600m");
        check_refused("bytes: 18446744073709551617",
                      "f:1:8: \"bytes\" is \"18446744073709551617\", it must be between 1B and 128MiB");
        check_refused("count: 4294967297",
                      "f:1:8: \"count\" is \"4294967297\", write a whole number from 1 to 10");
}

TEST(a_size_is_a_whole_number_with_or_without_a_unit)
{
        check_bytes("1", 1);
        check_bytes("1B", 1);
        check_bytes("64KiB", 65536);
        check_bytes("128MiB", 134217728);
        check_bytes("134217728", 134217728);
        check_refused("bytes: 134217729",
                      "f:1:8: \"bytes\" is \"134217729\", it must be between 1B and 128MiB");
        check_refused("bytes: 0", "f:1:8: \"bytes\" is \"0\", it must be between 1B and 128MiB");
        check_refused("bytes: 16MB", "f:1:8: \"bytes\" is \"16MB\", write a whole number with B, KiB, MiB or "
                                     "nothing, such as 16MiB");
        check_refused("bytes: 1.5MiB", "f:1:8: \"bytes\" is \"1.5MiB\", write a whole number with B, KiB, "
                                       "MiB or nothing, such as 16MiB");
        check_refused("bytes: -1", "f:1:8: \"bytes\" is \"-1\", write a whole number with B, KiB, MiB or "
                                   "nothing, such as 16MiB");
}

TEST(a_count_is_digits_within_its_range)
{
        thing t = {0};

        read_thing("count: 10", &t);
        CHECK_INT(t.count, 10);
        check_refused("count: 11", "f:1:8: \"count\" is \"11\", write a whole number from 1 to 10");
        check_refused("count: 0", "f:1:8: \"count\" is \"0\", write a whole number from 1 to 10");
        check_refused("count: 2.0", "f:1:8: \"count\" is \"2.0\", write a whole number from 1 to 10");
        check_refused("count: many", "f:1:8: \"count\" is \"many\", write a whole number from 1 to 10");
        check_refused("count: ''", "f:1:8: \"count\" is \"\", write a whole number from 1 to 10");
        check_refused("count: [1]", "f:1:8: \"count\" must be text, not a list");
}

TEST(a_boolean_is_true_or_false)
{
        thing t = {0};

        read_thing("flag: true", &t);
        CHECK(t.flag);
        read_thing("flag: false", &t);
        CHECK(!t.flag);
        check_refused("flag: yes", "f:1:7: \"flag\" is \"yes\", write true or false");
        check_refused("flag: {}", "f:1:7: \"flag\" must be text, not a mapping");
}

TEST(a_text_has_a_length_and_no_control_characters)
{
        thing t = {0};

        read_thing("text: no", &t);
        CHECK_STR(t.text, "no");
        thing_fini(&t);
        check_refused("text: ''", "f:1:7: \"text\" is empty, write at least one character");
        check_refused("text: secret", "f:1:7: \"text\" has 6 bytes, it may have 5 at most");
        check_refused("text: \"a\\nb\"", "f:1:7: \"text\" contains a control character (0x0a), remove it");
        check_refused("text:", "f:1:6: \"text\" has no value, write one or leave the key out");
}

TEST(one_text_stands_for_a_list_of_one)
{
        thing t = {0};

        read_thing("list: a", &t);
        CHECK_STR(t.list[0], "a");
        CHECK(!t.list[1]);
        read_thing("list: [b, 'null']", &t); /* in place of the first */
        CHECK_STR(t.list[0], "b");
        CHECK_STR(t.list[1], "null");
        CHECK(!t.list[2]);
        thing_fini(&t);
}

TEST(a_list_has_a_maximum_and_nothing_twice)
{
        check_refused("list: []", "f:1:7: \"list\" has 0 items, it must have 1 to 2");
        check_refused("list: [a, b, c]", "f:1:7: \"list\" has 3 items, it must have 1 to 2");
        check_refused("list: [a, a]", "f:1:11: \"list\" has \"a\" twice, remove one");
        check_refused("list: [a, {}]", "f:1:11: each item of \"list\" must be text, not a mapping");
        check_refused("list: [a, ~]", "f:1:11: an item of \"list\" has no value, write one or remove it");
        check_refused("list: {a: b}", "f:1:7: \"list\" must be a list, not a mapping");
        check_refused("list: ''", "f:1:7: \"list\" is empty, write at least one character");
}

TEST(a_suggestion_is_at_most_two_edits_and_half_the_word_away)
{
        static const char *const known[] = {"to", "url", "max_attempts", "backoff"};

        CHECK_STR(bridge_suggest("urls", known, 4), "url");
        CHECK_STR(bridge_suggest("URL", known, 4), "url");
        CHECK_STR(bridge_suggest("maxAttempts", known, 4), "max_attempts");
        CHECK_STR(bridge_suggest("bakcoff", known, 4), "backoff");
        CHECK_STR(bridge_suggest("too", known, 4), "to");
        CHECK(!bridge_suggest("in", known, 4));
        CHECK(!bridge_suggest("curls!", known, 4));
        CHECK(!bridge_suggest("", known, 4));
        CHECK(!bridge_suggest("a_word_that_is_longer_than_any_key_could_be", known, 4));
}

TEST(a_word_that_goes_on_where_another_ends_is_suggested_if_none_is_closer)
{
        static const char *const known[] = {"to", "warn", "warm", "max_attempts"};

        CHECK_STR(bridge_suggest("Warning", known, 4), "warn");
        CHECK_STR(bridge_suggest("max", known, 4), "max_attempts");
        CHECK_STR(bridge_suggest("warms", known, 4), "warm");
        CHECK(!bridge_suggest("topics", known, 4));
        CHECK(!bridge_suggest("ma", known, 4));
        CHECK(!bridge_suggest("", known, 4));
}

TEST(a_duration_is_written_as_people_write_it)
{
        CHECK_STR(bridge_duration(0).text, "0s");
        CHECK_STR(bridge_duration(1).text, "1ms");
        CHECK_STR(bridge_duration(999).text, "999ms");
        CHECK_STR(bridge_duration(1500).text, "1.5s");
        CHECK_STR(bridge_duration(59001).text, "59.001s");
        CHECK_STR(bridge_duration(60000).text, "1m");
        CHECK_STR(bridge_duration(723000).text, "12m3s");
        CHECK_STR(bridge_duration(60010).text, "1m0.01s");
}
