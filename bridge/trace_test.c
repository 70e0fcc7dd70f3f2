/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/trace.h"
#include "test.h"

#include <string.h>

static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(a_child_has_the_trace_and_the_flags_of_its_parent_and_a_span_of_its_own)
{
        char first[BRIDGE_TRACEPARENT_BYTES], second[BRIDGE_TRACEPARENT_BYTES],
                third[BRIDGE_TRACEPARENT_BYTES];

        CHECK(bridge_trace_child(parent, first));
        CHECK(bridge_trace_child(parent, second));
        CHECK_INT(strlen(first), 55);
        CHECK_BYTES(first, parent, 36);
        CHECK_STR(first + 52, "-01");
        CHECK(strncmp(first + 36, parent + 36, 16) != 0);
        CHECK(strcmp(first, second) != 0);
        CHECK(bridge_trace_child(first, third)); /* it is one itself */
}

TEST(a_version_of_the_future_is_read_as_far_as_it_is_known)
{
        char child[BRIDGE_TRACEPARENT_BYTES];

        CHECK(bridge_trace_child("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-what", child));
        CHECK_BYTES(child, "00-0af7651916cd43dd8448eb211c80319c-", 36);
}

TEST(what_is_no_traceparent_has_no_child)
{
        static const char *const bad[] = {
                "",
                "00",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
                "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
                "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        };
        char child[BRIDGE_TRACEPARENT_BYTES];

        CHECK(!bridge_trace_child(NULL, child));
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                CHECK(!bridge_trace_child(bad[i], child));
}

TEST(a_tracestate_is_passed_on_if_a_header_can_hold_it)
{
        CHECK(bridge_trace_state_is_good("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
        CHECK(!bridge_trace_state_is_good(NULL));
        CHECK(!bridge_trace_state_is_good(""));
        CHECK(!bridge_trace_state_is_good("a=b\r\nX: y"));
}
