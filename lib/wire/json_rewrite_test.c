/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/json_rewrite.h"

#include <stdlib.h>
#include <string.h>

static void check(const char *text, const char *expected, int replaced)
{
        cel_auto_free char *copy = NULL;
        size_t n;

        CHECK_INT(cel__json_rewrite(text, strlen(text), &copy, &n), replaced);
        CHECK_INT(n, strlen(expected));
        CHECK_BYTES(copy, expected, n);
}

static void check_same(const char *text)
{
        check(text, text, 0);
}

TEST(json_stays_as_it_is)
{
        check_same("");
        check_same(" {\"a\" : [1, -2, 3.5e-7, true, false, null, \"NaN\", \"\\\"NaN\", \"\\\\\"]} ");
        check_same("[9223372036854775807, -9223372036854775808, 1.7976931348623157e308, 1e-400]");
        check_same("\"\\ud83d\\ude00 \\u00f6 \\u0000 \\uD7FF \\ue000\"");
}

TEST(words_of_python_become_strings)
{
        check("[NaN,Infinity,-Infinity]", "[\"NaN\",\"Infinity\",\"-Infinity\"]", 3);
        check("{\"a\":NaN}", "{\"a\":\"NaN\"}", 1);
}

TEST(numbers_that_are_too_big_become_strings)
{
        check("[9223372036854775808]", "[\"9223372036854775808\"]", 1);
        check("[-9223372036854775809,1]", "[\"-9223372036854775809\",1]", 1);
        check("[1E309, -1.5e+999]", "[\"1E309\", \"-1.5e+999\"]", 2);
        check("99999999999999999999", "\"99999999999999999999\"", 1);
}

TEST(half_surrogate_pairs_become_replacement_characters)
{
        check("\"\\ud800\"", "\"\\ufffd\"", 1);
        check("\"\\uDFFF\\ud83d\\ude00\\ud83dx\"", "\"\\ufffd\\ud83d\\ude00\\ufffdx\"", 2);
        check("\"\\ud800\\u0041\"", "\"\\ufffd\\u0041\"", 1);
        check("\"\\ud800\\ud83d\\ude00\"", "\"\\ufffd\\ud83d\\ude00\"", 1);
        check("\"\\\\ud800\"", "\"\\\\ud800\"", 0);
}

TEST(zeros_are_replaced_in_names_only)
{
        check("{\"a\\u0000\" \n: \"b\\u0000\"}", "{\"a\\ufffd\" \n: \"b\\u0000\"}", 1);
        check("{\"\\\\u0000\":1}", "{\"\\\\u0000\":1}", 0);
}

TEST(what_is_wrong_stays_wrong)
{
        check_same("{NaN: 1, -Infinity : 2, 99999999999999999999: 3, 1e999:4}");
        check_same("[099999999999999999999, -, --1e999, 1.e999, 1e999., 1e+, 1e9e999]");
        check_same("[nan, inf, Na, Infinit, -Infinit, -nan]");
        check_same("\"\\ud80\" \"\\u\" \"\\");
        check_same("\"NaN");
        check_same("\"\\ud8");
        check("[NaN1]", "[\"NaN\"1]", 1);
        check("[1NaN]", "[1\"NaN\"]", 1);
        check("[.1e999, +1e999]", "[.\"1e999\", +\"1e999\"]", 2);
        check("[-NaN]", "[-\"NaN\"]", 1);
}

TEST(zero_bytes_do_not_end_it)
{
        cel_auto_free char *copy = NULL;
        size_t n;

        CHECK_INT(cel__json_rewrite("1\0NaN\0", 6, &copy, &n), 1);
        CHECK_INT(n, 8);
        CHECK_BYTES(copy, "1\0\"NaN\"\0", 8);
}
