/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/headers.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check_str(const cel_headers *headers, const char *name, const char *expected)
{
        cel_auto_free char *value = NULL;

        CHECK_INT(cel_headers_get_str(headers, name, &value), 0);
        CHECK_STR(value, expected);
}

static void check_encoded(const cel_headers *headers, const char *expected, size_t n)
{
        size_t bytes_n;
        const uint8_t *bytes = cel__headers_bytes(headers, &bytes_n);

        CHECK_INT(bytes_n, n);
        if (n > 0)
                CHECK_BYTES(bytes, expected, n);
}

static cel_headers *from_bytes(const char *bytes, size_t n)
{
        cel_headers *headers = NULL;

        CHECK_INT(cel__headers_from_bytes((const uint8_t *)bytes, n, &headers), 0);
        return headers;
}

#define FROM_BYTES(text) from_bytes(text, sizeof(text) - 1)

TEST(a_new_table_is_empty)
{
        cel_auto(cel_headers) *headers = NULL;
        char *value = NULL;

        CHECK_INT(cel_headers_new(&headers), 0);
        check_encoded(headers, NULL, 0);
        CHECK_INT(cel_headers_get_str(headers, "x", &value), CEL_ENOTFOUND);
        CHECK(!value);
}

TEST(values_are_encoded_as_py_amqp_encodes_them)
{
        static const char expected[] = "\x09x-expiresI\x00\x1b\x77\x40"
                                       "\x03"
                                       "bigl\x00\x00\x00\x01\x00\x00\x00\x00"
                                       "\x01sS\x00\x00\x00\x02hi"
                                       "\x02ont\x01";
        cel_auto(cel_headers) *headers = NULL;

        CHECK_INT(cel_headers_new(&headers), 0);
        CHECK_INT(cel_headers_set_int(headers, "x-expires", 1800000), 0);
        CHECK_INT(cel_headers_set_int(headers, "big", INT64_C(1) << 32), 0);
        CHECK_INT(cel_headers_set_str(headers, "s", "hi"), 0);
        CHECK_INT(cel_headers_set_bool(headers, "on", true), 0);
        check_encoded(headers, expected, sizeof(expected) - 1);
}

TEST(what_was_set_can_be_read_as_a_string_and_integers_as_integers)
{
        cel_auto(cel_headers) *headers = NULL;
        int64_t number = 7;

        CHECK_INT(cel_headers_new(&headers), 0);
        CHECK_INT(cel_headers_set_int(headers, "smallest", INT64_MIN), 0);
        CHECK_INT(cel_headers_set_int(headers, "minus", -1), 0);
        CHECK_INT(cel_headers_set_bool(headers, "off", false), 0);
        CHECK_INT(cel_headers_set_str(headers, "empty", ""), 0);
        check_str(headers, "smallest", "-9223372036854775808");
        check_str(headers, "minus", "-1");
        check_str(headers, "off", "false");
        check_str(headers, "empty", "");
        CHECK_INT(cel_headers_get_int(headers, "off", &number), CEL_ENOSUPPORT);
        CHECK_INT(cel_headers_get_int(headers, "empty", &number), CEL_ENOSUPPORT);
        CHECK_INT(cel_headers_get_int(headers, "none", &number), CEL_ENOTFOUND);
        CHECK_INT(number, 7);
        CHECK_INT(cel_headers_get_int(headers, "minus", &number), 0);
        CHECK_INT(number, -1);
        CHECK_INT(cel_headers_get_int(headers, "smallest", &number), 0);
        CHECK(number == INT64_MIN);
}

TEST(setting_a_name_again_replaces_all_that_had_it)
{
        cel_auto(cel_headers) *headers = FROM_BYTES("\x01"
                                                    "at\x01"
                                                    "\x01"
                                                    "bt\x01"
                                                    "\x01"
                                                    "aV");

        CHECK_INT(cel_headers_set_str(headers, "a", "x"), 0);
        check_encoded(headers,
                      "\x01"
                      "bt\x01"
                      "\x01"
                      "aS\x00\x00\x00\x01x",
                      12);
        cel_headers_remove(headers, "b");
        cel_headers_remove(headers, "b");
        check_encoded(headers,
                      "\x01"
                      "aS\x00\x00\x00\x01x",
                      8);
        cel_headers_remove(headers, "a");
        check_encoded(headers, NULL, 0);
}

TEST(of_two_values_with_the_same_name_the_last_one_counts)
{
        cel_auto(cel_headers) *headers = FROM_BYTES("\x01"
                                                    "ab\x01"
                                                    "\x01"
                                                    "ab\x02");
        int64_t number;

        CHECK_INT(cel_headers_get_int(headers, "a", &number), 0);
        CHECK_INT(number, 2);
}

TEST(names_have_1_to_255_bytes)
{
        cel_auto(cel_headers) *headers = NULL;
        char name[257];

        memset(name, 'n', 256);
        name[256] = '\0';
        CHECK_INT(cel_headers_new(&headers), 0);
        CHECK_INT(cel_headers_set_bool(headers, "", true), CEL_EINVAL);
        CHECK_INT(cel_headers_set_bool(headers, name, true), CEL_EINVAL);
        check_encoded(headers, NULL, 0);
        name[255] = '\0';
        CHECK_INT(cel_headers_set_bool(headers, name, true), 0);
        check_str(headers, name, "true");
}

TEST(a_table_that_is_set_never_exceeds_64_kib)
{
        cel_auto(cel_headers) *headers = NULL;
        cel_auto_free char *value = malloc(CEL__HEADERS_BYTES_MAX + 2);

        memset(value, 'v', CEL__HEADERS_BYTES_MAX + 1);
        value[CEL__HEADERS_BYTES_MAX + 1] = '\0';
        CHECK_INT(cel_headers_new(&headers), 0);
        CHECK_INT(cel_headers_set_str(headers, "v", value), CEL_ETOOBIG);
        value[CEL__HEADERS_BYTES_MAX - 6] = '\0'; /* one too long: the field has 7 bytes beside the value */
        CHECK_INT(cel_headers_set_str(headers, "v", value), CEL_ETOOBIG);
        value[CEL__HEADERS_BYTES_MAX - 7] = '\0';
        CHECK_INT(cel_headers_set_str(headers, "v", value), 0);
        CHECK_INT(cel_headers_set_bool(headers, "b", true), CEL_ETOOBIG);
        value[0] = 'w';
        CHECK_INT(cel_headers_set_str(headers, "v", value), 0); /* takes the place of the other */
        check_str(headers, "v", value);
}

TEST(integers_of_every_size_and_sign_are_read)
{
        cel_auto(cel_headers) *headers = FROM_BYTES("\x01"
                                                    "bb\xff"
                                                    "\x01"
                                                    "BB\xff"
                                                    "\x01"
                                                    "ss\xff\xfe"
                                                    "\x01"
                                                    "uu\xff\xfe"
                                                    "\x01"
                                                    "II\xff\xff\xff\xfd"
                                                    "\x01"
                                                    "ii\xff\xff\xff\xfd"
                                                    "\x01"
                                                    "ll\xff\xff\xff\xff\xff\xff\xff\xfc"
                                                    "\x01"
                                                    "LL\x00\x00\x00\x01\x00\x00\x00\x00"
                                                    "\x01"
                                                    "TT\x00\x00\x00\x00\x6a\x00\x00\x00");
        static const struct {
                const char *name;
                int64_t value;
        } expected[] = {{"b", -1},         {"B", 255}, {"s", -2},         {"u", 65534},     {"I", -3},
                        {"i", 4294967293}, {"l", -4},  {"L", 4294967296}, {"T", 0x6a000000}};

        for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
                int64_t number = 0;

                CHECK_INT(cel_headers_get_int(headers, expected[i].name, &number), 0);
                CHECK(number == expected[i].value);
        }
}

TEST(other_types_are_kept_but_not_read)
{
        static const char table[] = "\x01"
                                    "ff\x00\x00\x00\x00"
                                    "\x01"
                                    "dd\x00\x00\x00\x00\x00\x00\x00\x00"
                                    "\x01"
                                    "DD\x02\x00\x00\x00\x01"
                                    "\x01"
                                    "VV"
                                    "\x01"
                                    "AA\x00\x00\x00\x02t\x01"
                                    "\x01"
                                    "FF\x00\x00\x00\x03\x01"
                                    "aV"
                                    "\x01"
                                    "xx\x00\x00\x00\x02hi";
        cel_auto(cel_headers) *headers = FROM_BYTES(table);
        char *value = NULL;

        for (const char *name = "fdDVAF"; *name; name++) {
                char text[] = {*name, '\0'};

                CHECK_INT(cel_headers_get_str(headers, text, &value), CEL_ENOSUPPORT);
        }
        check_str(headers, "x", "hi");
        CHECK_INT(cel_headers_set_bool(headers, "t", true), 0);
        check_str(headers, "t", "true");
        cel_headers_remove(headers, "t");
        check_encoded(headers, table, sizeof(table) - 1);
}

TEST(a_table_that_is_cut_anywhere_between_fields_is_refused)
{
        static const char table[] = "\x03"
                                    "abcS\x00\x00\x00\x05hello";
        cel_headers *headers = NULL;

        for (size_t n = 1; n < sizeof(table) - 1; n++)
                CHECK_INT(cel__headers_from_bytes((const uint8_t *)table, n, &headers), CEL_EDECODE);
        CHECK(!headers);
}

TEST(lengths_that_lie_are_refused)
{
        static const char *const tables[] = {"\x01"
                                             "aS\xff\xff\xff\xff",
                                             "\x01"
                                             "aF\xff\xff\xff\xfc",
                                             "\xff"
                                             "a",
                                             "\x01"
                                             "aA\x7f\xff\xff\xff",
                                             "\x01"
                                             "a?\x01\x01\x01\x01"};
        cel_headers *headers = NULL;

        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
                CHECK_INT(cel__headers_from_bytes((const uint8_t *)tables[i], strlen(tables[i]), &headers),
                          CEL_EDECODE);
        CHECK(!headers);
}

/* A table in a table in …; or arrays. Returns the length. */
static size_t nest(uint8_t *bytes, int depth, bool arrays)
{
        size_t n = 0, per_level = arrays ? 5 : 7;

        for (int i = 1; i < depth; i++) {
                size_t inside = (size_t)(depth - 1 - i) * per_level;

                if (!arrays || i == 1) {
                        bytes[n++] = 1;
                        bytes[n++] = 'n';
                }
                bytes[n++] = arrays ? 'A' : 'F';
                bytes[n++] = (uint8_t)(inside >> 24);
                bytes[n++] = (uint8_t)(inside >> 16);
                bytes[n++] = (uint8_t)(inside >> 8);
                bytes[n++] = (uint8_t)inside;
        }
        return n;
}

TEST(nesting_ends_at_16_levels)
{
        static uint8_t bytes[700000];

        for (int arrays = 0; arrays < 2; arrays++) {
                CHECK_INT(cel__table_check(bytes, nest(bytes, 16, arrays)), 0);
                CHECK_INT(cel__table_check(bytes, nest(bytes, 17, arrays)), CEL_EDECODE);
                CHECK_INT(cel__table_check(bytes, nest(bytes, 90000, arrays)), CEL_EDECODE);
        }
}

TEST(a_table_of_more_than_1_mib_is_refused)
{
        cel_auto_free uint8_t *bytes = calloc(1, CEL__HEADERS_RECEIVED_BYTES_MAX + 1);
        cel_headers headers;

        CHECK_INT(cel__headers_borrow(&headers, bytes, CEL__HEADERS_RECEIVED_BYTES_MAX + 1), CEL_ETOOBIG);
}

TEST(a_copy_is_independent_and_a_copy_of_nothing_is_empty)
{
        cel_auto(cel_headers) *headers = FROM_BYTES("\x01"
                                                    "at\x01");
        cel_auto(cel_headers) *copy = NULL;
        cel_auto(cel_headers) *empty = NULL;

        CHECK_INT(cel_headers_copy(headers, &copy), 0);
        CHECK_INT(cel_headers_set_bool(headers, "a", false), 0);
        check_str(copy, "a", "true");
        CHECK_INT(cel_headers_copy(NULL, &empty), 0);
        check_encoded(empty, NULL, 0);
        CHECK_INT(cel_headers_set_bool(empty, "x", true), 0);
}

TEST(no_table_at_all_has_no_values)
{
        char *value;
        int64_t number;

        CHECK_INT(cel_headers_get_str(NULL, "x", &value), CEL_ENOTFOUND);
        CHECK_INT(cel_headers_get_int(NULL, "x", &number), CEL_ENOTFOUND);
        CHECK(!cel_headers_free(NULL));
}

TEST(random_changes_give_what_a_plain_array_gives)
{
        unsigned seed = (unsigned)time(NULL);
        cel_auto(cel_headers) *headers = NULL;
        int64_t expected[8];
        bool present[8] = {false};

        print_message("# seed %u\n", seed);
        srand(seed);
        CHECK_INT(cel_headers_new(&headers), 0);
        for (int round = 0; round < 20000; round++) {
                size_t i = (size_t)rand() % 8;
                char name[] = {'k', (char)('0' + i), '\0'};
                int64_t number;

                if (rand() % 3 > 0) {
                        expected[i] = ((int64_t)rand() << 32 | rand()) >> rand() % 60;
                        present[i] = true;
                        CHECK_INT(cel_headers_set_int(headers, name, expected[i]), 0);
                } else {
                        present[i] = false;
                        cel_headers_remove(headers, name);
                }
                i = (size_t)rand() % 8;
                name[1] = (char)('0' + i);
                CHECK_INT(cel_headers_get_int(headers, name, &number), present[i] ? 0 : CEL_ENOTFOUND);
                if (present[i])
                        CHECK(number == expected[i]);
        }
}
