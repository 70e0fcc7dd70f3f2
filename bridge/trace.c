/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/trace.h"

#include "bridge/random.h"
#include "bridge/text.h"

#include <stdio.h>
#include <string.h>

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, WHOLE = 55 };

static bool is_hex(const char *text, size_t n)
{
        return strspn(text, "0123456789abcdef") >= n;
}

static bool is_zero(const char *text, size_t n)
{
        return strspn(text, "0") >= n;
}

/* version-trace-span-flags. Of a version that is not known, what looks like version 00 counts. */
static bool is_traceparent(const char *text)
{
        if (!text || strlen(text) < WHOLE || text[2] != '-' || text[SPAN_AT - 1] != '-' ||
            text[FLAGS_AT - 1] != '-')
                return false;
        if (!is_hex(text, 2) || !is_hex(text + TRACE_AT, 32) || !is_hex(text + SPAN_AT, 16) ||
            !is_hex(text + FLAGS_AT, 2))
                return false;
        if (is_zero(text + TRACE_AT, 32) || is_zero(text + SPAN_AT, 16) || memcmp(text, "ff", 2) == 0)
                return false;
        return !text[WHOLE] || (memcmp(text, "00", 2) != 0 && text[WHOLE] == '-');
}

bool bridge_trace_child(const char *parent, char ret_traceparent[BRIDGE_TRACEPARENT_BYTES])
{
        char span[17];

        if (!is_traceparent(parent))
                return false;
        bridge_random_hex(span, 8);
        snprintf(ret_traceparent, BRIDGE_TRACEPARENT_BYTES, "00-%.32s-%s-%.2s", parent + TRACE_AT, span,
                 parent + FLAGS_AT);
        return true;
}

bool bridge_trace_state_is_good(const char *state)
{
        return state && *state && strlen(state) <= 512 && !bridge_has_control(state, strlen(state));
}
