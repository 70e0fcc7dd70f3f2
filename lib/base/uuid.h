/* SPDX-License-Identifier: Apache-2.0
 *
 * Random UUIDs (version 4), as the names and ids of oslo.messaging have them. */
#ifndef CEL_BASE_UUID_H
#define CEL_BASE_UUID_H

enum { CEL__UUID_BYTES = 33, CEL__UUID_DASHED_BYTES = 37 };

/* 32 hexadecimal digits. From any thread. */
void cel__uuid_hex(char text[CEL__UUID_BYTES]);

/* With dashes: "b0f7c3a2-…". */
void cel__uuid_dashed(char text[CEL__UUID_DASHED_BYTES]);

#endif
