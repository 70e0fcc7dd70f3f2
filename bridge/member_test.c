/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/member.h"
#include "test.h"

#include <string.h>

static void check_member(const char *text, const char *expected)
{
        const char *member = NULL;
        size_t n = 0;

        CHECK(bridge_member_find(text, strlen(text), "payload", &member, &n));
        CHECK_INT(n, strlen(expected));
        CHECK_BYTES(member, expected, n);
}

TEST(a_member_is_found_byte_for_byte)
{
        check_member("{\"payload\":{\"a\" : [1, \"}\\\"]\"]}}", "{\"a\" : [1, \"}\\\"]\"]}");
        check_member(" {\t\"x\": \"payload\", \"payload\" :\n 1180591620717411303424 }",
                     "1180591620717411303424");
        check_member("{\"a\":{\"payload\":1},\"payload\":\"\\u0041\\\\\"}", "\"\\u0041\\\\\"");
        check_member("{\"payload\":null,\"b\":[]}", "null");
        check_member("{\"p\\u0061yload\":[]}", "[]");
        check_member("{\"payload\":1,\"payload\":2,\"x\":3}", "2");
}

TEST(no_member_is_found_where_there_is_none)
{
        static const char *const texts[] = {"",
                                            "{",
                                            "{}",
                                            "[]",
                                            "{\"Payload\":1}",
                                            "{\"payload",
                                            "{\"payload\"",
                                            "\"payload\":1",
                                            "{\"a\":{\"payload\":1}}",
                                            "{\"\":1}",
                                            "{\"\\"};
        const char *member;
        size_t n;

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                CHECK(!bridge_member_find(texts[i], strlen(texts[i]), "payload", &member, &n));
}
