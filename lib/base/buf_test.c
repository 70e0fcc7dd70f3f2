/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

TEST(a_buffer_never_grows_past_its_maximum)
{
        cel__buf buf;
        char byte = 'x';

        cel__buf_init(&buf, 1000);
        for (int i = 0; i < 1000; i++)
                CHECK_INT(cel__buf_append(&buf, &byte, 1), 0);
        CHECK_INT(cel__buf_append(&buf, &byte, 1), CEL_ETOOBIG);
        CHECK_INT(cel__buf_used(&buf), 1000);
        cel__buf_consume(&buf, 1);
        CHECK_INT(cel__buf_append(&buf, &byte, 1), 0);
        cel__buf_fini(&buf);
}

TEST(bytes_come_out_in_the_order_they_went_in)
{
        unsigned seed = (unsigned)time(NULL);
        uint8_t next_in = 0, next_out = 0;
        cel__buf buf;

        print_message("# seed %u\n", seed);
        srand(seed);
        cel__buf_init(&buf, 5000);
        for (int round = 0; round < 20000; round++) {
                size_t n = 1 + (size_t)rand() % 300;
                int error = 0;
                uint8_t *room = cel__buf_reserve(&buf, n, &error);

                if (room) {
                        for (size_t i = 0; i < n; i++)
                                room[i] = next_in++;
                        cel__buf_commit(&buf, n);
                } else {
                        CHECK_INT(error, CEL_ETOOBIG);
                }
                n = (size_t)rand() % (cel__buf_used(&buf) + 1);
                for (size_t i = 0; i < n; i++)
                        CHECK_INT(cel__buf_head(&buf)[i], next_out++);
                cel__buf_consume(&buf, n);
        }
        cel__buf_fini(&buf);
}

TEST(clearing_gives_memory_beyond_what_is_kept_back)
{
        static char block[4096];
        cel__buf buf;

        cel__buf_init(&buf, sizeof(block));
        CHECK_INT(cel__buf_append(&buf, block, sizeof(block)), 0);
        cel__buf_clear(&buf, 512);
        CHECK_INT(buf.capacity, 0);
        CHECK_INT(cel__buf_append(&buf, "again", 5), 0);
        CHECK_BYTES(cel__buf_head(&buf), "again", 5);
        cel__buf_fini(&buf);
}
