/* SPDX-License-Identifier: Apache-2.0
 *
 * Sentences about what a stranger sent. */
#ifndef CEL_WIRE_EXPLAIN_H
#define CEL_WIRE_EXPLAIN_H

#include <celadon/base.h>
#include <stddef.h>

/* Write a sentence of less than `why_bytes` bytes, as snprintf() does. Parts of the message may be in it:
 * what could upset a terminal or a log becomes "?". */
void cel__explain(char *why, size_t why_bytes, const char *format, ...) CEL_PRINTF(3, 4);

#endif
