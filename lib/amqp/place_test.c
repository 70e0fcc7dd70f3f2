/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/place.h"
#include "test.h"

TEST(a_stream_goes_on_behind_the_last_message_if_all_are_settled)
{
        place p;

        place_init(&p, 10);
        place_rewind(&p);
        CHECK(!p.known);
        for (uint64_t tag = 1; tag <= 40; tag++) {
                place_delivered(&p, tag, 100 + (int64_t)tag);
                place_settled(&p, tag);
        }
        place_rewind(&p);
        CHECK(p.known);
        CHECK_INT(p.next, 141);
        place_fini(&p);
}

TEST(a_stream_goes_on_at_the_first_message_that_is_not_settled)
{
        place p;

        place_init(&p, 100);
        for (uint64_t tag = 1; tag <= 40; tag++)
                place_delivered(&p, tag, (int64_t)tag);
        for (uint64_t tag = 40; tag >= 1; tag--)
                if (tag != 7 && tag != 30)
                        place_settled(&p, tag);
        place_settled(&p, 1000); /* nobody's */
        place_rewind(&p);
        CHECK_INT(p.next, 7);
        /* It comes again, with another tag; the old one settles nothing. */
        place_delivered(&p, 1, 7);
        place_settled(&p, 30);
        place_delivered(&p, 2, 8);
        place_settled(&p, 1);
        place_rewind(&p);
        CHECK_INT(p.next, 8);
        place_fini(&p);
}

TEST(a_broker_that_exceeds_the_prefetch_fills_no_memory)
{
        place p;

        place_init(&p, 20);
        for (uint64_t tag = 1; tag <= 1000; tag++)
                place_delivered(&p, tag, (int64_t)tag);
        CHECK(p.open_n <= 32);
        place_delivered(&p, 1001, -1);
        place_delivered(&p, 1002, INT64_MAX);
        place_rewind(&p);
        CHECK_INT(p.next, 1);
        place_fini(&p);
}
