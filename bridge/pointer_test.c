/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/pointer.h"
#include "test.h"

#include <celadon/error.h>
#include <stdio.h>
#include <string.h>

/* The example of RFC 6901, section 5. */
static const char document[] = "{\"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"e^f\": 3, "
                               "\"g|h\": 4, \"i\\\\j\": 5, "
                               "\"k\\\"l\": 6, \" \": 7, \"m~n\": 8}";

static json_t *get(const json_t *root, const char *text)
{
        bridge_pointer pointer;
        const char *why = NULL;

        CHECK_INT(bridge_pointer_parse(text, strlen(text), &pointer, &why), 0);
        json_t *found = bridge_pointer_get(&pointer, root);

        bridge_pointer_fini(&pointer);
        return found;
}

TEST(the_examples_of_the_rfc_point_where_it_says)
{
        static const char *const numbers[] = {"/",     "/a~1b", "/c%d", "/e^f", "/g|h",
                                              "/i\\j", "/k\"l", "/ ",   "/m~0n"};
        json_t *root = json_loads(document, 0, NULL);

        CHECK(get(root, "") == root);
        CHECK_INT(json_array_size(get(root, "/foo")), 2);
        CHECK_STR(json_string_value(get(root, "/foo/0")), "bar");
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
                CHECK_INT(json_integer_value(get(root, numbers[i])), i);
        json_decref(root);
}

TEST(a_pointer_to_nothing_finds_nothing)
{
        static const char *const nothing[] = {
                "/x",     "/foo/2",   "/foo/-", "/foo/00", "/foo/01",
                "/foo/x", "/foo/0/x", "/foo/",  "//",      "/foo/99999999999999999999",
                "/ /x"};
        json_t *root = json_loads(document, 0, NULL);

        for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
                CHECK(!get(root, nothing[i]));
        CHECK(!get(NULL, "/foo"));
        json_decref(root);
}

TEST(what_is_no_pointer_is_refused_with_a_reason)
{
        static const char *const bad[][2] = {
                {"foo", "must begin with /, as in /payload/instance_id"},
                {"/a~", "has ~ before neither 0 nor 1, write ~0 for ~ and ~1 for /"},
                {"/a~2/b", "has ~ before neither 0 nor 1, write ~0 for ~ and ~1 for /"},
                {"/////////////////////////////////", "has more than 32 parts"},
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                bridge_pointer pointer;
                const char *why = NULL;

                CHECK_INT(bridge_pointer_parse(bad[i][0], strlen(bad[i][0]), &pointer, &why), CEL_EINVAL);
                CHECK_STR(why, bad[i][1]);
        }
}
