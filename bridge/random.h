/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids by chance. */
#ifndef CELADON_BRIDGE_RANDOM_H
#define CELADON_BRIDGE_RANDOM_H

#include <stddef.h>

enum { BRIDGE_UUID_BYTES = 37 };

/* A random UUID (version 4) as text. */
void bridge_random_uuid(char ret_text[BRIDGE_UUID_BYTES]);

/* `n` random bytes, not all of them zero, as 2n lower-case hexadecimal digits and a NUL; n is 1 to 16. */
void bridge_random_hex(char *ret_text, size_t n);

#endif
