/* SPDX-License-Identifier: Apache-2.0
 *
 * Compressing message bodies as kombu does (oslo.messaging's option kombu_compression, oslo-wire section 6.4). Receivers
 * find out how from the header `compression`: wire/decompress.h is the other way. */
#ifndef CEL_WIRE_COMPRESS_H
#define CEL_WIRE_COMPRESS_H

#include "base/buf.h"

#include <celadon/message.h>

typedef struct cel__compression cel__compression;

/* The compression of this name: gzip or zlib; bzip2, bzip or, as oslo.messaging's help has it, bz2; lzma or xz; zstd or
 * zstandard. Static; NULL: there is none. */
const cel__compression *cel__compression_find(const char *name);

/* Fill in *ret_message: `message` with its body compressed into `out`, and in its headers `compression` beside what it had
 * there.
 * Owns:   *ret_headers is yours; *ret_message borrows it, what is in `out` and the rest of `message`.
 * Errors: CEL_ETOOBIG (the buffer's maximum), CEL_ENOMEM. */
int cel__compress_message(const cel__compression *compression, const cel_message *message, cel__buf *out,
                          cel_headers **ret_headers, cel_message *ret_message);

#endif
