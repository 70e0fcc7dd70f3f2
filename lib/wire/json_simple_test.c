/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/json_simple.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *read_text(const char *text)
{
        return cel__json_read_simple(text, strlen(text));
}

/* Both are printed in the order of their members. */
static void check_same(json_t *simple, json_t *whole)
{
        char *a = json_dumps(simple, 0), *b = json_dumps(whole, 0);

        CHECK(a && b);
        CHECK_STR(a, b);
        free(a);
        free(b);
        json_decref(simple);
        json_decref(whole);
}

TEST(what_is_simple_is_read_as_jansson_reads_it)
{
        static const char *const texts[] = {
                "{}",
                "[]",
                " { \"a\" :\t[ 1 , -2 , 0 ]\r\n, \"\" : \"\" } ",
                "{\"result\": \"a text of more than eight bytes\", \"failure\": null, \"ending\": true, "
                "\"x\": false}",
                "{\"a\": 1, \"b\": 2, \"a\": 3}",
                "[999999999999999999, -999999999999999999]",
                "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                json_t *json = read_text(texts[i]);

                CHECK(json);
                check_same(json, json_loads(texts[i], 0, NULL));
        }
}

TEST(what_is_not_simple_is_left_to_jansson)
{
        static const char *const texts[] = {
                "",
                "1",
                "\"a\"",
                "null",
                "{",
                "[1",
                "[1,]",
                "[,1]",
                "{\"a\"}",
                "{\"a\": }",
                "{a: 1}",
                "{\"a\": 1,}",
                "[1] 2",
                "[1.5]",
                "[1e5]",
                "[-0]",
                "[01]",
                "[-]",
                "[+1]",
                "[1a]",
                "[tru]",
                "[truex]",
                "[\"a]",
                "[\"\\n\"]",
                "[\"\xc3\xb6\"]",
                "[\"\x7f\"]",
                "[\"\n\"]",
                "[1234567890123456789]",
                "[NaN]",
                "[1 2]",
                "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]",
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                CHECK(!read_text(texts[i]));
        CHECK(!cel__json_read_simple("[\"\0\"]", 5));
        CHECK(!cel__json_read_simple("[1]\0", 4));
        CHECK(!cel__json_read_simple("[1]", 2));
}

TEST(random_text_is_read_as_jansson_reads_it_or_left_to_it)
{
        static const char *const pieces[] = {"{",     "}",    "[", "]",       ",",  ":",       "\"a\"",
                                             "\"b\"", "\"",   "1", "-",       "0",  ".5",      "e1",
                                             "true",  "null", " ", "\"a\": ", "\\", "\xc3\xb6"};
        unsigned seed = (unsigned)time(NULL), simple_n = 0;

        print_message("# seed %u\n", seed);
        srand(seed);
        for (int round = 0; round < 200000; round++) {
                char text[128] = "[";

                for (int left = rand() % 10; left > 0; left--)
                        strcat(text, pieces[(size_t)rand() % (sizeof(pieces) / sizeof(pieces[0]))]);
                strcat(text, "]");
                json_t *json = read_text(text);
                if (!json)
                        continue;
                simple_n++;
                json_t *whole = json_loads(text, 0, NULL);
                CHECK(whole);
                check_same(json, whole);
        }
        CHECK(simple_n > 1000);
}
