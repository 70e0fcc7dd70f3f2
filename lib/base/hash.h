/* SPDX-License-Identifier: Apache-2.0
 *
 * FNV-1a, a byte at a time: for tables whose keys nobody gains by choosing. */
#ifndef CEL_BASE_HASH_H
#define CEL_BASE_HASH_H

#include <stdint.h>

#define CEL__HASH_NONE UINT64_C(0xcbf29ce484222325) /* of no bytes */

static inline uint64_t cel__hash_add(uint64_t hash, unsigned char byte)
{
        return (hash ^ byte) * UINT64_C(0x100000001b3);
}

#endif
