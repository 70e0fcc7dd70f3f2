/* SPDX-License-Identifier: Apache-2.0
 *
 * A member of a JSON object as the text that it was, byte for byte. */
#ifndef CELADON_BRIDGE_MEMBER_H
#define CELADON_BRIDGE_MEMBER_H

#include <stdbool.h>
#include <stddef.h>

/* Find the member `name` of the object that the `n` bytes of `text` are; the last one, as JSON parsers take it. Whether the
 * text is JSON is for a parser to say; if it is not, the answer may be anything inside of it. Returns false if there is no
 * such member. *ret_member points into `text`. */
bool bridge_member_find(const char *text, size_t n, const char *name, const char **ret_member, size_t *ret_n);

#endif
