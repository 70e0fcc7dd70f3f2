/* SPDX-License-Identifier: Apache-2.0
 *
 * How a method failed, as it is sent: an exception (oslo-wire section 10.1). */
#ifndef CEL_WIRE_FAILURE_H
#define CEL_WIRE_FAILURE_H

#include "wire/json_text.h"

#include <celadon/rpc.h>

/* Append `error` as JSON text, with the bytes that oslo.messaging would send. Of an error that went from hand to
 * hand, whose class and module end in "_Remote", that is cut off.
 * Errors: as cel__json_write(). */
int cel__failure_encode(const cel_remote_error *error, cel__buf *out);

/* Read the `n` bytes of `text`; on failure, `why` is a sentence.
 * Owns:   *ret_json is yours, and what *ret_error points to is in it.
 * Errors: CEL_EDECODE, CEL_ENOMEM. */
int cel__failure_decode(const char *text, size_t n, cel_remote_error *ret_error, json_t **ret_json, char *why,
                        size_t why_bytes);

#endif
