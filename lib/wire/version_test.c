/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/version.h"

TEST(a_request_is_understood_unless_its_version_is_newer_or_of_another_major)
{
        static const struct {
                const char *implemented, *requested;
                int compatible;
        } cases[] = {
                {"1.0", "1.0", 1},     {"1.1", "1.0", 1},     {"1.0", "1.1", 0},   {"2.0", "1.0", 0},
                {"1.0", "2.0", 0},     {"1.2.3", "1.2.3", 1}, {"1.2.3", "1.2", 1}, {"1.2", "1.2.3", 0},
                {"1.2.3", "1.2.4", 0}, {"1.3", "1.2.4", 1},   {"6.10", "6.9", 1},  {"1.2.3.4", "1.2.3.9", 1},
                {NULL, "9.9", 1},      {NULL, NULL, 1},       {"1.0", NULL, 0},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                CHECK_INT(cel__version_compatible(cases[i].implemented, cases[i].requested),
                          cases[i].compatible);
}

TEST(a_version_has_a_major_and_a_minor_number)
{
        static const char *const wrong[] = {"",   "5",  "5.a",  "5.5.a", "a.5",
                                            ".5", "5.", "-1.0", "1.0 ",  "1.9999999999"};

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                CHECK(!cel__version_is_valid(wrong[i]));
                CHECK_INT(cel__version_compatible(wrong[i], "1.0"), CEL_EINVAL);
                CHECK_INT(cel__version_compatible("1.0", wrong[i]), CEL_EINVAL);
        }
        CHECK(cel__version_is_valid("1.0") && cel__version_is_valid("10.20.30"));
}
