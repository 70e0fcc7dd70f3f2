/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/text.h"
#include "test.h"

#include <celadon/error.h>
#include <string.h>

TEST(a_text_grows_up_to_its_maximum_and_not_past_it)
{
        bridge_text text = {.bytes_max = 5};

        bridge_text_puts(&text, "abc");
        bridge_text_printf(&text, "%d", 45);
        CHECK_STR(text.bytes, "abc45");
        CHECK_INT(text.error, 0);
        bridge_text_put(&text, "x", 1);
        CHECK_INT(text.error, CEL_ETOOBIG);
        bridge_text_put(&text, "", 0);
        CHECK_STR(text.bytes, "abc45");
        bridge_text_fini(&text);
}

static void check_encoded(void (*put)(bridge_text *, const void *, size_t), const char *from, size_t n,
                          const char *expected)
{
        bridge_text text = {.bytes_max = 1000};

        put(&text, from, n);
        CHECK_STR(text.bytes, expected);
        CHECK_INT(text.n, strlen(expected));
        bridge_text_fini(&text);
}

static void put_percent(bridge_text *text, const void *bytes, size_t n)
{
        bridge_text_put_percent(text, bytes, n, "/");
}

static void put_json(bridge_text *text, const void *bytes, size_t n)
{
        bridge_text_put_json(text, bytes, n);
}

TEST(percent_encoding_keeps_what_is_unreserved_and_what_it_is_told_to_keep)
{
        check_encoded(put_percent, "", 0, "");
        check_encoded(put_percent, "aZ09-._~/", 9, "aZ09-._~/");
        check_encoded(put_percent, " ?#%&+\"\xC3\xA9\0\r\n", 12, "%20%3F%23%25%26%2B%22%C3%A9%00%0D%0A");
}

TEST(base64_is_that_of_the_rfc)
{
        static const char *const pairs[][2] = {{"", ""},
                                               {"f", "Zg=="},
                                               {"fo", "Zm8="},
                                               {"foo", "Zm9v"},
                                               {"foob", "Zm9vYg=="},
                                               {"fooba", "Zm9vYmE="},
                                               {"foobar", "Zm9vYmFy"},
                                               {"\xFB\xFF", "+/8="}};

        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                unsigned char bytes[16];
                size_t n = strlen(pairs[i][0]);

                check_encoded(bridge_text_put_base64, pairs[i][0], n, pairs[i][1]);
                CHECK_INT(bridge_base64_decode(pairs[i][1], strlen(pairs[i][1]), bytes, sizeof(bytes)), n);
                CHECK_BYTES(bytes, pairs[i][0], n);
        }
}

TEST(what_is_no_base64_or_has_no_room_is_not_decoded)
{
        static const char *const bad[] = {"Zg",   "Zg=",  "Z===",     "====",    "=",
                                          "Z=g=", "Zm9!", "Zm9v Zg=", "Zg==Zg=="};
        unsigned char bytes[16];

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                CHECK_INT(bridge_base64_decode(bad[i], strlen(bad[i]), bytes, sizeof(bytes)), -1);
        CHECK_INT(bridge_base64_decode("Zm9v", 4, bytes, 2), -1);
}

TEST(a_json_string_escapes_what_it_must_and_repairs_what_is_no_utf8)
{
        check_encoded(put_json, "a\"\\/\n\0\xC3\xA9\x7F", 9, "\"a\\\"\\\\/\\u000a\\u0000\xC3\xA9\x7F\"");
        check_encoded(
                put_json, "\xFF\xC3|\xED\xA0\x80|\xC0\xAF", 9,
                "\"\xEF\xBF\xBD\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD\"");
        check_encoded(put_json, "\xF0\x9F\xA6\xAD", 4, "\"\xF0\x9F\xA6\xAD\"");
}

TEST(control_characters_are_found_wherever_they_are)
{
        CHECK(!bridge_has_control("a \xC3\xA9", 4));
        CHECK(bridge_has_control("a\0b", 3));
        CHECK(bridge_has_control("a\r", 2));
        CHECK(bridge_has_control("\x7F", 1));
}
