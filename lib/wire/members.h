/* SPDX-License-Identifier: Apache-2.0
 *
 * What the encoders and decoders of oslo.messaging's objects share: members, one after the other. */
#ifndef CEL_WIRE_MEMBERS_H
#define CEL_WIRE_MEMBERS_H

#include "wire/json_text.h"

/* Append a member to the object that `out` consists of, or begins with this. `name` needs no escapes in
 * cel__put_member_text(), and neither does `text`, which is JSON.
 * Errors: as cel__json_write(). */
int cel__put_member(cel__buf *out, const char *name, const json_t *value);
int cel__put_member_string(cel__buf *out, const char *name, const char *value); /* NULL: null */
int cel__put_member_text(cel__buf *out, const char *name, const char *text, size_t n);

/* Append every member x of `context`, an object, as _context_x. Errors: CEL_EINVAL for a name of 500 bytes or more, too. */
#define CEL__CONTEXT_PREFIX "_context_"
int cel__put_context(cel__buf *out, const json_t *context);

/* The other way: each _context_x of `message` as x. Owns: *ret_context is yours. Errors: CEL_ENOMEM. */
int cel__get_context(const json_t *message, json_t **ret_context);

/* The object is complete. */
int cel__put_members_end(cel__buf *out);

typedef struct cel__string_member {
        const char *name;
        const char **value; /* unchanged if the member is missing or null */
        bool required;
} cel__string_member;

/* Read some members that are strings, or missing, or null. On failure, `why` says that the object is not `what`.
 * Errors: CEL_EDECODE. */
int cel__get_strings(const json_t *object, const char *what, const cel__string_member *members, size_t n,
                     char *why, size_t why_bytes);

#endif
