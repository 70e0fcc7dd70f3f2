/* SPDX-License-Identifier: Apache-2.0
 *
 * Trace context (W3C): the request is a child of what the event belongs to. */
#ifndef CELADON_BRIDGE_TRACE_H
#define CELADON_BRIDGE_TRACE_H

#include <stdbool.h>

enum { BRIDGE_TRACEPARENT_BYTES = 56 };

/* A traceparent with the trace and the flags of `parent`, and a span of its own. Returns false if `parent` is none. */
bool bridge_trace_child(const char *parent, char ret_traceparent[BRIDGE_TRACEPARENT_BYTES]);

/* May it be passed on: 1 to 512 characters without a control character? */
bool bridge_trace_state_is_good(const char *state);

#endif
