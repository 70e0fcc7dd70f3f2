/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/backoff.h"
#include "fixture.h"
#include "test.h"

/* The longest wait. */
static int64_t whole_ms(int64_t base, int64_t cap, unsigned n)
{
        return bridge_wait_ms(base, cap, n, UINT32_MAX);
}

TEST(the_first_wait_is_the_base)
{
        CHECK_INT(whole_ms(1000, 60000, 1), 1000);
        CHECK_INT(whole_ms(1, 1, 1), 1);
        CHECK_INT(whole_ms(60000, 60000, 1), 60000);
}

TEST(each_wait_is_twice_the_one_before_up_to_the_cap)
{
        static const int64_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

        for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
                CHECK_INT(whole_ms(1000, 60000, i + 1), waits[i]);
}

TEST(the_cap_holds_however_many_attempts_there_were)
{
        CHECK_INT(whole_ms(1, 600000, UINT32_MAX), 600000);
        CHECK_INT(whole_ms(INT32_MAX, INT32_MAX, 1000), INT32_MAX);
        CHECK_INT(whole_ms(1, INT32_MAX, 1000), INT32_MAX);
        CHECK_INT(whole_ms(2000, 1000, 1), 1000);
}

TEST(half_of_a_wait_is_fixed)
{
        CHECK_INT(bridge_wait_ms(1000, 60000, 1, 0), 500);
        CHECK_INT(bridge_wait_ms(1000, 60000, 3, 0), 2000);
        CHECK_INT(bridge_wait_ms(1000, 60000, 9, 0), 30000);
        CHECK_INT(bridge_wait_ms(5, 5, 1, 0), 2);
}

TEST(the_other_half_is_evenly_chance)
{
        fixture_random random = fixture_random_new();
        unsigned counts[11] = {0};

        for (int i = 0; i < 11000; i++) { /* a wait of 20 ms: 10 to 20, each about 1,000 times */
                uint32_t bits = fixture_random_below(&random, 1U << 16) << 16 |
                                fixture_random_below(&random, 1U << 16);
                int64_t wait = bridge_wait_ms(20, 20, 1, bits);

                CHECK(wait >= 10 && wait <= 20);
                counts[wait - 10]++;
        }
        for (int i = 0; i < 11; i++)
                CHECK(counts[i] > 700 && counts[i] < 1300); /* ten standard deviations */
}

TEST(a_wait_of_a_schedule_is_a_fifth_less_or_more)
{
        CHECK_INT(bridge_wait_about_ms(1000, 0), 800);
        CHECK_INT(bridge_wait_about_ms(1000, UINT32_MAX / 2 + 1), 1000);
        CHECK_INT(bridge_wait_about_ms(1000, UINT32_MAX), 1200);
        CHECK_INT(bridge_wait_about_ms(1, UINT32_MAX), 1);
        CHECK_INT(bridge_wait_about_ms(86400000, UINT32_MAX), 103680000);
}
