/* SPDX-License-Identifier: Apache-2.0
 *
 * A message's body as its sender had it before kombu compressed it. */
#ifndef CEL_WIRE_BODY_H
#define CEL_WIRE_BODY_H

#include "base/buf.h"

#include <celadon/message.h>

/* As much when decompressed as uncompressed ones may have. */
enum { CEL__PLAIN_BYTES_MAX = 128 * 1024 * 1024 };

/* Find the body of `message`, decompressed into `plain` if need be; on failure, `why` is a sentence, or empty.
 * Owns:   *ret_body is borrowed, from `message` or `plain`.
 * Errors: as cel__decompress(); CEL_ENOMEM. */
int cel__body_plain(const cel_message *message, cel__buf *plain, const void **ret_body, size_t *ret_n,
                    char *why, size_t why_bytes);

#endif
