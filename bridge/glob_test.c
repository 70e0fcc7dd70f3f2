/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/glob.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

TEST(text_without_wildcards_matches_itself_only)
{
        CHECK(bridge_glob("compute.instance.create.end", "compute.instance.create.end"));
        CHECK(!bridge_glob("compute.instance.create", "compute.instance.create.end"));
        CHECK(!bridge_glob("compute.instance.create.end", "compute.instance.create"));
        CHECK(!bridge_glob("compute", "Compute"));
        CHECK(bridge_glob("", ""));
        CHECK(!bridge_glob("", "a"));
        CHECK(!bridge_glob("a", ""));
}

TEST(a_star_matches_any_run_of_characters_and_none)
{
        CHECK(bridge_glob("*", ""));
        CHECK(bridge_glob("*", "anything.at.all"));
        CHECK(bridge_glob("compute.*", "compute.instance.create.end"));
        CHECK(bridge_glob("compute.*", "compute."));
        CHECK(!bridge_glob("compute.*", "compute"));
        CHECK(bridge_glob("*.end", "compute.instance.create.end"));
        CHECK(!bridge_glob("*.end", "compute.instance.create.end.now"));
        CHECK(bridge_glob("compute.*.end", "compute.end.end"));
        CHECK(!bridge_glob("compute.*.end", "compute.end"));
        CHECK(bridge_glob("**a**", "a"));
        CHECK(bridge_glob("*ab*ab*", "abcab"));
        CHECK(!bridge_glob("*ab*ab*", "abcba"));
}

TEST(a_question_mark_matches_one_character)
{
        CHECK(bridge_glob("host-?", "host-1"));
        CHECK(!bridge_glob("host-?", "host-"));
        CHECK(!bridge_glob("host-?", "host-10"));
        CHECK(bridge_glob("*?", "x"));
        CHECK(!bridge_glob("*?", ""));
        CHECK(bridge_glob("caf?", "caf\xC3\xA9"));
        CHECK(!bridge_glob("caf??", "caf\xC3\xA9"));
        CHECK(bridge_glob("*??", "\xE2\x82\xAC\xC3\xA9"));
        CHECK(!bridge_glob("*???", "\xE2\x82\xAC\xC3\xA9"));
}

TEST(brackets_and_backslashes_stand_for_themselves)
{
        CHECK(bridge_glob("[ab]", "[ab]"));
        CHECK(!bridge_glob("[ab]", "a"));
        CHECK(bridge_glob("\\*", "\\anything"));
}

TEST(case_counts_unless_asked_not_to)
{
        CHECK(!bridge_glob("info", "INFO"));
        CHECK(bridge_glob_nocase("info", "INFO"));
        CHECK(bridge_glob_nocase("W*N", "warn"));
        CHECK(!bridge_glob_nocase("[", "{")); /* 0x20 apart, as 'A' and 'a' are */
}

/* The plain recursive definition, exponential, as the oracle. */
static bool matches_by_definition(const char *glob, const char *text)
{
        if (*glob == '*')
                return matches_by_definition(glob + 1, text) ||
                       (*text && matches_by_definition(glob, text + 1));
        if (!*glob || !*text)
                return !*glob && !*text;
        return (*glob == '?' || *glob == *text) && matches_by_definition(glob + 1, text + 1);
}

TEST(every_short_glob_matches_what_its_definition_says)
{
        static const char glob_letters[] = "ab*?", text_letters[] = "ab";
        char glob[6], text[6];

        for (unsigned g = 0; g < 4 * 4 * 4 * 4 * 4; g++) {
                for (unsigned i = 0, rest = g; i < 5; i++, rest /= 4)
                        glob[i] = glob_letters[rest % 4];
                for (unsigned shorter = 0; shorter < 5; shorter++) {
                        glob[5 - shorter] = '\0';
                        for (unsigned t = 0; t < 2 * 2 * 2 * 2 * 2 * 6; t++) {
                                unsigned length = t % 6;

                                for (unsigned i = 0, rest = t / 6; i < length; i++, rest /= 2)
                                        text[i] = text_letters[rest % 2];
                                text[length] = '\0';
                                CHECK_INT(bridge_glob(glob, text), matches_by_definition(glob, text));
                        }
                }
        }
}

TEST(many_stars_cost_no_more_than_glob_times_text)
{
        enum { STARS = 2000, TEXT_BYTES = 20000 };
        static char glob[2 * STARS + 2], text[TEXT_BYTES + 1];

        for (size_t i = 0; i < STARS; i++)
                memcpy(glob + 2 * i, "*a", 2);
        glob[(size_t)2 * STARS] = 'b'; /* so nothing matches, after everything was tried */
        memset(text, 'a', TEXT_BYTES);
        CHECK(!bridge_glob(glob, text));
}
