/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/dots.h"
#include "test.h"

TEST(a_part_of_dots_is_found_however_it_is_written)
{
        static const char *const urls[] = {
                "http://h/..",     "http://h/../a",     "http://h/a/.",        "http://h/./a?b",
                "http://h/a/..#b", "http://h/%2e%2E/a", "http://h/a%2f..%2Fb", "http://h/a%5C..",
                "http://h/.%2e",   "http://h/..;v=1/a", "http://h/a%5c.%5cb",  "/..",
                "http://h/a\\..",  "http://h/a//../b",
        };

        for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
                if (!bridge_url_has_dots(urls[i]))
                        CHECK_STR(urls[i], "");
}

TEST(other_dots_are_left_alone)
{
        static const char *const urls[] = {
                "http://../",           "http://h",         "http://h/",
                "http://h/...",         "http://h/..a",     "http://h/a..",
                "http://h/a.b/",        "http://h/?x=/../", "http://h/#/../",
                "http://h/%252e%252e/", "http://h/.a;..b",  "",
        };

        for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
                if (bridge_url_has_dots(urls[i]))
                        CHECK_STR(urls[i], "");
}
