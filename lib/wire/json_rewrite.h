/* SPDX-License-Identifier: Apache-2.0
 *
 * Python's json module writes and reads more than JSON. This turns what it may have sent into what jansson
 * accepts; what is no JSON for Python either stays wrong. envelope.h has the list of replacements. */
#ifndef CEL_WIRE_JSON_REWRITE_H
#define CEL_WIRE_JSON_REWRITE_H

#include <celadon/error.h>
#include <stddef.h>

/* Make a rewritten copy of the `n` bytes of `text`. Returns how many places were replaced.
 * Owns:   *ret_copy, of *ret_copy_bytes bytes, is yours.
 * Errors: CEL_ENOMEM. */
int cel__json_rewrite(const char *text, size_t n, char **ret_copy, size_t *ret_copy_bytes);

#endif
