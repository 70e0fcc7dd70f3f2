/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/sasl.h"

static void check_bytes(const cel__buf *buf, const void *expected, size_t n)
{
        CHECK_INT(cel__buf_used(buf), n);
        CHECK_BYTES(cel__buf_head(buf), expected, n);
}

TEST(plain_is_user_and_password_after_zeros)
{
        cel__buf buf;

        cel__buf_init(&buf, 100);
        CHECK_INT(cel__sasl_plain("guest", "gu:est", &buf), 0);
        check_bytes(&buf, "\0guest\0gu:est", 13);
        cel__buf_fini(&buf);
}

TEST(amqplain_is_a_table_without_its_length)
{
        static const uint8_t expected[] = {0x05, 0x4c, 0x4f, 0x47, 0x49, 0x4e, 0x53, 0x00, 0x00,
                                           0x00, 0x05, 0x67, 0x75, 0x65, 0x73, 0x74, 0x08, 0x50,
                                           0x41, 0x53, 0x53, 0x57, 0x4f, 0x52, 0x44, 0x53, 0x00,
                                           0x00, 0x00, 0x05, 0x67, 0x75, 0x65, 0x73, 0x74};
        cel__buf buf;

        cel__buf_init(&buf, 100);
        CHECK_INT(cel__sasl_amqplain("guest", "guest", &buf), 0);
        check_bytes(&buf, expected, sizeof(expected));
        cel__buf_fini(&buf);
}

TEST(a_response_that_does_not_fit_leaves_nothing_behind)
{
        cel__buf buf;

        cel__buf_init(&buf, 5);
        CHECK_INT(cel__sasl_plain("guest", "guest", &buf), CEL_ETOOBIG);
        CHECK_INT(cel__sasl_amqplain("", "", &buf), CEL_ETOOBIG);
        CHECK_INT(cel__buf_used(&buf), 0);
        cel__buf_fini(&buf);
}
