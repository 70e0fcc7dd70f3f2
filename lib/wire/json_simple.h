/* SPDX-License-Identifier: Apache-2.0
 *
 * A parser for simple JSON, which most messages are: strings of printable ASCII without escapes, integers, true,
 * false, null, and objects and arrays of them, not too deep. It takes a fraction of the time that jansson takes. */
#ifndef CEL_WIRE_JSON_SIMPLE_H
#define CEL_WIRE_JSON_SIMPLE_H

#include <jansson.h>

/* What jansson would make of the `n` bytes of `text`; yours. NULL: they are not as simple as that, or no JSON, or there
 * is no memory: jansson is to tell. */
json_t *cel__json_read_simple(const char *text, size_t n);

#endif
