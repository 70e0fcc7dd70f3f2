/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON pointers (RFC 6901): `/payload/instances/0/name`. `~1` stands for `/` and `~0` for `~`. */
#ifndef CELADON_BRIDGE_POINTER_H
#define CELADON_BRIDGE_POINTER_H

#include <celadon/base.h>
#include <jansson.h>
#include <stdbool.h>

enum { BRIDGE_POINTER_TOKENS_MAX = 32 };

typedef struct bridge_pointer {
        char **tokens; /* owned; NULL-terminated */
        size_t tokens_n;
} bridge_pointer;

/* Read the `n` bytes of `text`, which have no NUL. "" is the whole document.
 * Owns:   what is in *ret_pointer is yours; free it with bridge_pointer_fini().
 * Errors: CEL_EINVAL, and *ret_why says why: what `text` must be, a static string; CEL_ENOMEM. */
int bridge_pointer_parse(const char *text, size_t n, bridge_pointer *ret_pointer, const char **ret_why);

void bridge_pointer_fini(bridge_pointer *pointer);

/* What it points to, in `root`, of any kind; NULL if there is nothing. Borrowed. */
json_t *bridge_pointer_get(const bridge_pointer *pointer, const json_t *root);

/* The index that a token is in an array: digits without a leading zero. Returns false if it is none. */
bool bridge_pointer_index(const char *token, size_t *ret_index);

#endif
