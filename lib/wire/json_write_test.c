/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/json_text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check_written(const json_t *json, const char *expected)
{
        cel__buf buf;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__json_write(json, &buf), 0);
        CHECK_INT(cel__buf_append(&buf, "", 1), 0);
        CHECK_STR((const char *)cel__buf_head(&buf), expected);
        cel__buf_fini(&buf);
}

TEST(floats_are_written_as_python_writes_them)
{
        static const struct {
                double value;
                const char *text;
        } cases[] = {
                {0.0, "0.0"},
                {-0.0, "-0.0"},
                {1.0, "1.0"},
                {0.1, "0.1"},
                {1e+16, "1e+16"},
                {1e-07, "1e-07"},
                {0.0001, "0.0001"},
                {1e-05, "1e-05"},
                {1000000000000000.0, "1000000000000000.0"},
                {123456789012345.6, "123456789012345.6"},
                {9007199254740992.0, "9007199254740992.0"},
                {5e-324, "5e-324"},
                {1.7976931348623157e+308, "1.7976931348623157e+308"},
                {2.5, "2.5"},
                {100.0, "100.0"},
                {1e+22, "1e+22"},
                {-1.5e-10, "-1.5e-10"},
                {3.141592653589793, "3.141592653589793"},
                {1e+21, "1e+21"},
                {1.23e+20, "1.23e+20"},
                {0.00012345, "0.00012345"},
                {9999999999999998.0, "9999999999999998.0"},
                {0.3333333333333333, "0.3333333333333333"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                json_t *json = json_real(cases[i].value);

                check_written(json, cases[i].text);
                json_decref(json);
        }
}

TEST(values_are_written_as_python_writes_them)
{
        static const char text[] =
                "{\"a\": [1, -2.5, true, false, null, {}, []], \"\\u00f6\\ud83d\\ude00\\u007f\": "
                "\"\\b\\f\\n\\r\\t\\\"\\\\/\\u0001\", \"z\": 9223372036854775807}";
        json_t *json = json_loads(text, 0, NULL);

        CHECK(json);
        check_written(json, text);
        json_decref(json);
        check_written(NULL, "null");
}

static json_t *nested(unsigned depth)
{
        json_t *json = json_array();

        for (unsigned i = 1; i < depth; i++) {
                json_t *outer = json_array();

                json_array_append_new(outer, json);
                json = outer;
        }
        return json;
}

TEST(what_is_nested_too_deep_to_be_read_is_not_written)
{
        json_t *deep = nested(CEL__JSON_DEPTH_MAX), *deeper = nested(CEL__JSON_DEPTH_MAX + 1);
        char why[300];
        cel__buf buf;
        json_t *again;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__json_write(deeper, &buf), CEL_EINVAL);
        cel__buf_clear(&buf, 0);
        CHECK_INT(cel__json_write(deep, &buf), 0);
        CHECK_INT(cel__json_read((const char *)cel__buf_head(&buf), cel__buf_used(&buf), "it", &again, why,
                                 sizeof(why)),
                  0);
        CHECK(json_equal(again, deep));
        json_decref(again);
        json_decref(deep);
        json_decref(deeper);
        cel__buf_fini(&buf);
}

/* The escaped text without its quotes. */
static void append_escaped(const char *text, size_t n, cel__buf *out)
{
        cel__buf one;

        cel__buf_init(&one, 1 << 10);
        CHECK_INT(cel__json_write_string(text, n, &one), 0);
        CHECK_INT(cel__buf_append(out, cel__buf_head(&one) + 1, cel__buf_used(&one) - 2), 0);
        cel__buf_fini(&one);
}

TEST(a_text_is_escaped_as_its_characters_are_one_by_one)
{
        static const char *const characters[] = {"a",
                                                 "~",
                                                 " ",
                                                 "\"",
                                                 "\\",
                                                 "\n",
                                                 "\x01",
                                                 "\x7f",
                                                 "\xc3\xb6",
                                                 "\xe2\x82\xac",
                                                 "\xf0\x9f\x98\x80"};
        unsigned seed = (unsigned)time(NULL);

        print_message("# seed %u\n", seed);
        srand(seed);
        for (int round = 0; round < 20000; round++) {
                int rare = 1 + rand() % 10;
                char text[160] = "";
                cel__buf whole, single;

                cel__buf_init(&whole, 1 << 10);
                cel__buf_init(&single, 1 << 10);
                for (int left = rand() % 40; left > 0; left--) {
                        const char *next =
                                characters[rand() % rare ? 0
                                                         : (size_t)rand() % (sizeof(characters) /
                                                                             sizeof(characters[0]))];

                        strcat(text, next);
                        append_escaped(next, strlen(next), &single);
                }
                append_escaped(text, strlen(text), &whole);
                CHECK_INT(cel__buf_used(&whole), cel__buf_used(&single));
                if (cel__buf_used(&whole) > 0)
                        CHECK_BYTES(cel__buf_head(&whole), cel__buf_head(&single), cel__buf_used(&whole));
                cel__buf_fini(&whole);
                cel__buf_fini(&single);
        }
}

TEST(text_that_is_not_utf8_is_not_written)
{
        cel__buf buf;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__json_write_string("\xc3", 1, &buf), CEL_EINVAL);
        CHECK_INT(cel__json_write_string("\xed\xa0\x80", 3, &buf), CEL_EINVAL);
        CHECK_INT(cel__buf_used(&buf), 0);
        cel__buf_fini(&buf);
}

TEST(a_full_buffer_is_an_error)
{
        json_t *json = json_pack("[s, i, f]", "text", 1, 1.5);
        cel__buf buf;

        for (size_t max = 1; max < 15; max++) {
                cel__buf_init(&buf, max);
                CHECK_INT(cel__json_write(json, &buf), CEL_ETOOBIG);
                cel__buf_fini(&buf);
        }
        json_decref(json);
}
