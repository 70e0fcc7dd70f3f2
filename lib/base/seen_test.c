/* SPDX-License-Identifier: Apache-2.0 */
#include "base/seen.h"
#include "test.h"

#include <stdio.h>

TEST(an_id_is_known_once_it_was_added_and_until_its_time_is_over)
{
        cel_time t = {0};
        cel__seen *s;

        CHECK_INT(cel__seen_new(100, 1000, &s), 0);
        CHECK(!cel__seen_has(s, "a", t));
        cel__seen_add(s, "a", t);
        CHECK(cel__seen_has(s, "a", t));
        CHECK(!cel__seen_has(s, "b", t));
        CHECK(cel__seen_has(s, "a", cel_time_add_ms(t, 1000)));
        CHECK(!cel__seen_has(s, "a", cel_time_add_ms(t, 1001)));
        cel__seen_free(s);
}

TEST(the_oldest_id_makes_room_and_the_others_stay_known)
{
        cel_time t = {0};
        char id[32];
        cel__seen *s;

        CHECK_INT(cel__seen_new(100, 1000, &s), 0);
        for (int i = 0; i < 100000; i++) {
                snprintf(id, sizeof(id), "id-%d", i);
                CHECK(!cel__seen_has(s, id, t));
                cel__seen_add(s, id, t);
                if (i >= 99) {
                        snprintf(id, sizeof(id), "id-%d", i - 99);
                        CHECK(cel__seen_has(s, id, t));
                }
                if (i >= 100) {
                        snprintf(id, sizeof(id), "id-%d", i - 100);
                        CHECK(!cel__seen_has(s, id, t));
                }
        }
        cel__seen_free(s);
}

TEST(an_id_that_was_removed_is_unknown_and_those_in_its_chain_stay)
{
        cel_time t = {0};
        cel__seen *s;

        CHECK_INT(cel__seen_new(4, 1000, &s), 0);
        cel__seen_add(s, "a", t);
        cel__seen_add(s, "b", t);
        cel__seen_add(s, "c", t);
        cel__seen_remove(s, "b");
        cel__seen_remove(s, "never there");
        CHECK(cel__seen_has(s, "a", t) && cel__seen_has(s, "c", t));
        CHECK(!cel__seen_has(s, "b", t));
        cel__seen_add(s, "b", t);
        CHECK(cel__seen_has(s, "b", t));
        cel__seen_free(s);
}

TEST(what_was_cleared_is_unknown_until_it_comes_again)
{
        cel_time t = {0};
        cel__seen *s;

        CHECK_INT(cel__seen_new(4, 1000, &s), 0);
        cel__seen_add(s, "a", t);
        cel__seen_add(s, "b", t);
        cel__seen_clear(s);
        CHECK(!cel__seen_has(s, "a", t) && !cel__seen_has(s, "b", t));
        cel__seen_add(s, "a", t);
        CHECK(cel__seen_has(s, "a", t) && !cel__seen_has(s, "b", t));
        cel__seen_free(s);
}

TEST(as_many_are_remembered_as_may_be_while_the_table_grows)
{
        enum { MAX = 1000, MORE = 2500 };
        cel__seen *s;
        char id[32];

        CHECK_INT(cel__seen_new(MAX, 60000, &s), 0);
        for (int i = 0; i < MORE; i++) {
                cel_time t = cel_time_add_ms((cel_time){0}, i);

                snprintf(id, sizeof(id), "id-%d", i);
                cel__seen_add(s, id, t);
                for (int j = i; j >= 0 && j > i - MAX; j -= 37) {
                        snprintf(id, sizeof(id), "id-%d", j);
                        CHECK(cel__seen_has(s, id, t));
                }
        }
        cel__seen_free(s);
}
