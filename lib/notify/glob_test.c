/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/glob.h"
#include "test.h"

#include <string.h>

/* The expectations are what Python's fnmatch.fnmatch() says. */
TEST(a_pattern_matches_as_in_python)
{
        static const struct {
                const char *glob, *text;
                bool expected;
        } cases[] = {
                {"", "", true},
                {"", "a", false},
                {"*", "", true},
                {"compute.*", "compute.start", true},
                {"compute.*", "Compute.start", false},
                {"*.start", "compute.instance.start", true},
                {"*a*b*", "xaxxbx", true},
                {"*a*b", "xaxxbx", false},
                {"a?c", "abc", true},
                {"a?c", "ac", false},
                {"a?c", "aöc", true},
                {"[abc]x", "bx", true},
                {"[a-c]x", "dx", false},
                {"[!a-c]x", "dx", true},
                {"[!a-c]x", "ax", false},
                {"[^a]", "^", true}, /* no negation */
                {"[^a]", "b", false},
                {"[]x]", "]", true},
                {"[!]x]", "]", false},
                {"[!]x]", "y", true},
                {"[abc", "[abc", true}, /* nothing closes it */
                {"[!", "[!", true},
                {"[]", "[]", true},
                {"[a-]", "-", true},
                {"[-a]", "-", true},
                {"[a-b-d]", "c", false},
                {"[a-b-d]", "-", true},
                {"[c-a]", "b", false},
                {"[!c-a]", "b", true},
                {"[ä-ö]", "ü", false},
                {"[à-ö]", "ä", true},
                {"a\\*", "a\\x", true}, /* no escape */
                {"a\\*", "a*", false},
                {"[*]", "*", true},
                {"[*]", "x", false},
                {"*", "line\nline", true},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                CHECK(cel__glob_match(cases[i].glob, cases[i].text) == cases[i].expected);
}

TEST(many_stars_take_no_more_than_their_product)
{
        char glob[2001], text[2001];

        for (int i = 0; i < 2000; i += 2)
                memcpy(glob + i, "*a", 2);
        memset(text, 'a', 2000);
        glob[1999] = 'b';
        glob[2000] = text[2000] = '\0';
        CHECK(!cel__glob_match(glob, text));
}
