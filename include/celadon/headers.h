/* SPDX-License-Identifier: Apache-2.0
 *
 * A message's header table (AMQP 0-9-1 section 4.2.5.5, "field table"): names with typed values. What arrived
 * and is passed on keeps its bytes, types that C callers never look at included. */
#ifndef CELADON_HEADERS_H
#define CELADON_HEADERS_H

#include <celadon/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cel_headers cel_headers;

CEL_BEGIN

/* Owns:   *ret_headers, an empty table, is yours.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_headers_new(cel_headers **ret_headers);
CEL_API cel_headers *cel_headers_free(cel_headers *headers);

/* A copy that is yours; `headers` may be NULL: the copy is then empty.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_headers_copy(const cel_headers *headers, cel_headers **ret_copy);

/* Set `name` (1 to 255 bytes) to a string, an integer or a boolean; what had that name before is replaced.
 * Both strings are copied.
 * Errors: CEL_ENOMEM, CEL_EINVAL (name), CEL_ETOOBIG when the table would exceed 64 KiB; the table is then
 *         unchanged. */
CEL_API int cel_headers_set_str(cel_headers *headers, const char *name, const char *value);
CEL_API int cel_headers_set_int(cel_headers *headers, const char *name, int64_t value);
CEL_API int cel_headers_set_bool(cel_headers *headers, const char *name, bool value);

/* Remove `name`; nothing happens when it is not there. */
CEL_API void cel_headers_remove(cel_headers *headers, const char *name);

/* The value of `name` as a new string, which is yours: *ret_value, always NUL-terminated. Any kind of
 * integer, boolean, string or byte array can be read this way.
 * Errors: CEL_ENOTFOUND, CEL_ENOSUPPORT (a table, an array, a float…), CEL_ENOMEM. `headers` may be NULL:
 *         CEL_ENOTFOUND. */
CEL_API int cel_headers_get_str(const cel_headers *headers, const char *name, char **ret_value);

/* The value of `name` as an integer.
 * Errors: CEL_ENOTFOUND, CEL_ENOSUPPORT when it is of another type. */
CEL_API int cel_headers_get_int(const cel_headers *headers, const char *name, int64_t *ret_value);

CEL_END

CEL_AUTO_WITH(cel_headers, cel_headers_free)

#endif
