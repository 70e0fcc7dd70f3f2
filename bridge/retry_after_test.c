/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/retry_after.h"
#include "test.h"

#include <stddef.h>

#define NOW_MS INT64_C(784111737000) /* Sun, 06 Nov 1994 08:48:57 GMT */

#define N(array) (sizeof(array) / sizeof((array)[0]))

typedef struct waits {
        const char *value;
        int64_t ms;
} waits;

TEST(retry_after_is_seconds_or_any_of_the_three_dates_of_http)
{
        static const waits good[] = {
                {"1", 1000},
                {"120", 120000},
                {"  7 ", 7000},
                {"0.5", 500},
                {"1.25", 1250},
                {"2.0009", 2000},
                {"0.001", 1},
                {"Sun, 06 Nov 1994 08:49:37 GMT", 40000},
                {"Sunday, 06-Nov-94 08:49:37 GMT", 40000},
                {"Sun Nov  6 08:49:37 1994", 40000},
                {"Mon, 07 Nov 1994 08:48:57 GMT", 24 * 3600 * 1000},
                {"99999999999999999999999999", BRIDGE_RETRY_AFTER_MS_MAX},
                {"Fri, 31 Dec 9999 23:59:59 GMT", BRIDGE_RETRY_AFTER_MS_MAX},
        };

        for (size_t i = 0; i < N(good); i++) {
                bridge_retry_after after = bridge_read_retry_after(good[i].value, NOW_MS);

                CHECK(after.given && !after.never);
                CHECK_INT(after.ms, good[i].ms);
        }
}

TEST(what_is_past_zero_or_not_understood_says_nothing)
{
        static const char *const values[] = {
                "",
                "0",
                "0.0",
                "0.0001",
                "soon",
                "1s",
                "1 2",
                "1.",
                ".5",
                "1e3",
                "+1",
                "0x10",
                "-0",
                "- 1",
                "Sun, 06 Nov 1994 08:48:57 GMT",
                "Sun, 06 Nov 1993 08:49:37 GMT",
                "Saturday, 01-Jan-94 00:00:00 GMT",
                "Monday, 01-Jan-90 00:00:00 GMT",
                "Thursday, 01-Jan-70 00:00:00 GMT",
                "Sun, 06 Nox 1999 08:49:37 GMT",
                "Sun, 06 Nov 1999 08:49:37 CET",
                "Sun, 06 Nov 1999 08:49:37",
                "Sun, 06 Nov 1999 08:49:37 GMT and more",
                "Sun, 32 Nov 1999 08:49:37 GMT",
                "Sun, 06 Nov 1999 24:00:00 GMT",
                "Sun, -6 Nov 1999 08:49:37 GMT",
        };

        CHECK(!bridge_read_retry_after(NULL, NOW_MS).given);
        for (size_t i = 0; i < N(values); i++) {
                bridge_retry_after after = bridge_read_retry_after(values[i], NOW_MS);

                CHECK(!after.given && !after.never);
        }
}

TEST(a_year_of_two_digits_is_no_more_than_fifty_years_ahead)
{
        CHECK(bridge_read_retry_after("Sunday, 06-Nov-44 08:49:37 GMT", NOW_MS).given ==
              false); /* 1944 or 2044? 1944 */
        CHECK(bridge_read_retry_after("Sunday, 06-Nov-95 08:49:37 GMT", NOW_MS).given);
        CHECK(bridge_read_retry_after("Sunday, 06-Nov-30 08:49:37 GMT", INT64_C(1780000000000))
                      .given); /* in 2026 */
}

TEST(a_negative_number_says_never)
{
        CHECK(bridge_read_retry_after("-1", NOW_MS).never);
        CHECK(bridge_read_retry_after("-0.5", NOW_MS).never);
        CHECK(!bridge_read_retry_after("-1", NOW_MS).given);
        CHECK(!bridge_read_retry_after("-x", NOW_MS).never);
}

TEST(a_used_up_rate_limit_says_when_it_is_full_again)
{
        CHECK_INT(bridge_read_rate_limit("0", "30", NOW_MS).ms, 30000);
        CHECK_INT(bridge_read_rate_limit("0", "1700000060", INT64_C(1700000000000)).ms, 60000);
        CHECK(!bridge_read_rate_limit("0", "1700000060", INT64_C(1700000060000)).given);
        CHECK(!bridge_read_rate_limit("1", "30", NOW_MS).given);
        CHECK(!bridge_read_rate_limit(NULL, "30", NOW_MS).given);
        CHECK(!bridge_read_rate_limit("0", NULL, NOW_MS).given);
        CHECK(!bridge_read_rate_limit("x", "30", NOW_MS).given);
}
