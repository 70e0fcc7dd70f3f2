/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/seen.h"
#include "test.h"

#include <stdio.h>

TEST(an_id_is_known_once_it_was_added_and_until_its_time_is_over)
{
        cel_time t = {0};
        seen *s;

        CHECK_INT(seen_new(100, 1000, &s), 0);
        CHECK(!seen_has(s, "a", t));
        seen_add(s, "a", t);
        CHECK(seen_has(s, "a", t));
        CHECK(!seen_has(s, "b", t));
        CHECK(seen_has(s, "a", cel_time_add_ms(t, 1000)));
        CHECK(!seen_has(s, "a", cel_time_add_ms(t, 1001)));
        seen_free(s);
}

TEST(the_oldest_id_makes_room_and_the_others_stay_known)
{
        cel_time t = {0};
        char id[32];
        seen *s;

        CHECK_INT(seen_new(100, 1000, &s), 0);
        for (int i = 0; i < 100000; i++) {
                snprintf(id, sizeof(id), "id-%d", i);
                CHECK(!seen_has(s, id, t));
                seen_add(s, id, t);
                if (i >= 99) {
                        snprintf(id, sizeof(id), "id-%d", i - 99);
                        CHECK(seen_has(s, id, t));
                }
                if (i >= 100) {
                        snprintf(id, sizeof(id), "id-%d", i - 100);
                        CHECK(!seen_has(s, id, t));
                }
        }
        seen_free(s);
}
