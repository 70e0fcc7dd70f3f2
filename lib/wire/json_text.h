/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON text as Python reads and writes it. envelope.h says what becomes of values that jansson cannot hold. */
#ifndef CEL_WIRE_JSON_TEXT_H
#define CEL_WIRE_JSON_TEXT_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

/* jansson parses, prints and frees by recursion, and a task's stack is small. No message comes near it. */
enum { CEL__JSON_DEPTH_MAX = 100 };

/* Parse the `n` bytes of `text`, as they are or, failing that, as cel__json_rewrite() makes them; on failure, `why`
 * is a sentence that begins with `what`.
 * Owns:   *ret_json is yours.
 * Errors: CEL_EDECODE (no JSON, nested too deep), CEL_ENOMEM. */
int cel__json_read(const char *text, size_t n, const char *what, json_t **ret_json, char *why,
                   size_t why_bytes);

/* The same; whatever is no object is CEL_EDECODE, too. */
int cel__json_read_object(const char *text, size_t n, const char *what, json_t **ret_json, char *why,
                          size_t why_bytes);

/* Append `json` with the bytes that Python's json.dumps() would write; NULL is null.
 * Errors: CEL_EINVAL (nested deeper than CEL__JSON_DEPTH_MAX, or a string that is not UTF-8), CEL_ETOOBIG (the
 *         buffer's maximum), CEL_ENOMEM; the buffer may end with a part of it then. */
int cel__json_write(const json_t *json, cel__buf *out);

/* The same for the string of the `n` bytes of `text`, quotes included. */
int cel__json_write_string(const char *text, size_t n, cel__buf *out);

/* How long the `n` bytes of `text` will be when escaped, for cel__json_put_escaped().
 * Errors: CEL_EINVAL (not UTF-8). */
int cel__json_measure(const char *text, size_t n, size_t *ret_bytes);

/* Write them escaped; returns the place behind. They have been measured. */
uint8_t *cel__json_put_escaped(uint8_t *to, const char *text, size_t n);

#endif
