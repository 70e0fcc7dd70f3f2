/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/retry.h"
#include "test.h"

#include <stdint.h>

/* oslo.messaging's defaults */
static const cel__amqp_retry oslo = {.scheduled = true,
                                     .delay_ms = 1000,
                                     .interval_ms = 1000,
                                     .interval_step_ms = 2000,
                                     .interval_ms_max = 31000};

TEST(with_a_schedule_waits_grow_by_steps_to_their_maximum)
{
        retry_plan r;

        retry_init(&r, &oslo, 1);
        CHECK_INT(retry_wait_ms(&r, RETRY_LOST), 1000);
        for (int i = 0; i < 20; i++)
                CHECK_INT(retry_wait_ms(&r, i % 2 ? RETRY_REFUSED : RETRY_UNREACHED),
                          1000 + (i < 15 ? 1000 + 2000 * i : 31000));
        CHECK_INT(retry_wait_ms(&r, RETRY_LOST), 1000);
        CHECK_INT(retry_wait_ms(&r, RETRY_UNREACHED), 2000);
}

TEST(with_a_schedule_all_hosts_are_tried_before_the_longer_wait)
{
        retry_plan r;

        retry_init(&r, &oslo, 3);
        for (int round = 0; round < 3; round++) {
                CHECK_INT(retry_wait_ms(&r, RETRY_UNREACHED), 1000);
                CHECK_INT(retry_wait_ms(&r, RETRY_UNREACHED), 1000);
                CHECK_INT(retry_wait_ms(&r, RETRY_UNREACHED), 2000 + 2000 * round);
        }
}

TEST(without_a_schedule_waits_are_short_and_random)
{
        retry_plan r;
        int64_t longest = 0, longest_refused = 0;

        retry_init(&r, &(cel__amqp_retry){0}, 1);
        for (int i = 0; i < 1000; i++) {
                int64_t ms = retry_wait_ms(&r, RETRY_UNREACHED);

                CHECK(ms >= 200 && ms <= 1000);
                longest = ms > longest ? ms : longest;
        }
        CHECK_INT(longest, 1000);
        for (int i = 0; i < 1000; i++) {
                int64_t ms = retry_wait_ms(&r, RETRY_REFUSED);

                CHECK(ms >= 200 && ms <= 15000);
                longest_refused = ms > longest_refused ? ms : longest_refused;
        }
        CHECK_INT(longest_refused, 15000);
        CHECK(retry_wait_ms(&r, RETRY_LOST_LATE) <= 600);
}

TEST(without_a_schedule_all_hosts_are_tried_before_there_is_a_wait)
{
        retry_plan r;

        retry_init(&r, &(cel__amqp_retry){0}, 3);
        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < 2; i++) {
                        CHECK_INT(retry_wait_ms(&r, RETRY_UNREACHED), 0);
                        CHECK(!retry_all_tried(&r));
                }
                CHECK(retry_wait_ms(&r, RETRY_UNREACHED) >= 200);
                CHECK(retry_all_tried(&r));
        }
        CHECK_INT(retry_wait_ms(&r, RETRY_UNREACHED), 0);
        CHECK(retry_wait_ms(&r, RETRY_LOST) >= 200);
}

/* Spread evenly: each quarter gets its share. */
TEST(reconnects_are_spread_over_the_splay)
{
        cel__amqp_retry options = oslo;
        unsigned quarters[4] = {0};
        retry_plan r;

        options.splay_ms = 4000;
        retry_init(&r, &options, 1);
        for (int i = 0; i < 4000; i++) {
                int64_t ms = retry_wait_ms(&r, RETRY_LOST) - 1000;

                CHECK(ms >= 0 && ms <= 4000);
                quarters[ms == 4000 ? 3 : ms / 1000]++;
        }
        for (int i = 0; i < 4; i++)
                CHECK(quarters[i] > 800 && quarters[i] < 1200);
}

TEST(all_hosts_are_tried_in_turn_whatever_comes_first)
{
        bool first[5] = {0};

        for (int i = 0; i < 1000; i++) {
                unsigned seen = 0;
                retry_plan r;

                retry_init(&r, &oslo, 5);
                size_t begin = retry_host(&r);
                first[begin] = true;
                seen |= 1u << begin;
                for (int j = 0; j < 4; j++)
                        seen |= 1u << retry_host(&r);
                CHECK_INT(seen, 31);
                CHECK_INT(retry_host(&r), begin);
        }
        CHECK(first[0] && first[1] && first[2] && first[3] && first[4]);
}

TEST(with_shuffle_the_next_host_is_any_other)
{
        cel__amqp_retry options = {.shuffle = true};
        unsigned seen[4] = {0};
        retry_plan r;

        retry_init(&r, &options, 4);
        size_t last = retry_host(&r);
        for (int i = 0; i < 3000; i++) {
                size_t next = retry_host(&r);

                CHECK(next < 4 && next != last);
                seen[next]++;
                last = next;
        }
        for (int i = 0; i < 4; i++)
                CHECK(seen[i] > 500);
        retry_init(&r, &options, 1);
        CHECK(retry_host(&r) == 0 && retry_host(&r) == 0);
}
