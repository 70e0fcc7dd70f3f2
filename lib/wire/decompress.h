/* SPDX-License-Identifier: Apache-2.0
 *
 * Message bodies that kombu compressed (oslo.messaging's option kombu_compression). The header `compression`
 * says how:
 *
 *     application/x-gzip   RFC 1950, whatever the name says; RFC 1952 (real gzip) is read as well
 *     application/x-bz2    bzip2
 *     application/x-lzma   .xz; its predecessor .lzma is read as well
 *     application/zstd     one Zstandard frame
 *
 * Like kombu, this also takes its names for these: gzip, zlib, bzip2, bzip, lzma, xz, zstd, zstandard. */
#ifndef CEL_WIRE_DECOMPRESS_H
#define CEL_WIRE_DECOMPRESS_H

#include "base/buf.h"

/* Append what `body` decompresses to; on failure, `why` is a sentence. Memory is taken for what has been
 * produced, plus at most some 130 MiB while this runs: what the decoder needs to look back.
 * Errors: CEL_EDECODE (an unknown compression; broken, cut, or bytes left over; needs more memory),
 *         CEL_ETOOBIG (the buffer's maximum), CEL_ENOMEM; nothing was appended then. */
int cel__decompress(const char *compression, const void *body, size_t n, cel__buf *out, char *why,
                    size_t why_bytes);

#endif
