/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Each library is given room for the worst case and called once: bodies are whole, in memory, and small. The
 * levels are those of Python's modules. */
#include "wire/compress.h"

#include <bzlib.h>
#include <limits.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { BZIP2_LEVEL = 9, ZSTD_LEVEL = 3 };

struct cel__compression {
        const char *names[5];          /* the first is what the header says */
        size_t (*bytes_max)(size_t n); /* of what `n` bytes compress to */
        size_t (*compress)(const void *body, size_t n, uint8_t *room,
                           size_t room_bytes); /* written; 0: no memory */
};

static size_t zlib_bytes_max(size_t n)
{
        return compressBound(n);
}

static size_t zlib_compress(const void *body, size_t n, uint8_t *room, size_t room_bytes)
{
        uLongf written = room_bytes;

        return compress2(room, &written, body, n, Z_DEFAULT_COMPRESSION) == Z_OK ? written : 0;
}

/* As its manual has it: one per cent and 600 bytes more. */
static size_t bzip2_bytes_max(size_t n)
{
        return n + n / 100 + 600;
}

static size_t bzip2_compress(const void *body, size_t n, uint8_t *room, size_t room_bytes)
{
        unsigned written = (unsigned)room_bytes;
        char *in = (char *)(uintptr_t)body; /* only read */

        return BZ2_bzBuffToBuffCompress((char *)room, &written, in, (unsigned)n, BZIP2_LEVEL, 0, 0) == BZ_OK
                       ? written
                       : 0;
}

static size_t xz_bytes_max(size_t n)
{
        return lzma_stream_buffer_bound(n);
}

static size_t xz_compress(const void *body, size_t n, uint8_t *room, size_t room_bytes)
{
        size_t written = 0;

        return lzma_easy_buffer_encode(LZMA_PRESET_DEFAULT, LZMA_CHECK_CRC64, NULL, body, n, room, &written,
                                       room_bytes) == LZMA_OK
                       ? written
                       : 0;
}

static size_t zstd_bytes_max(size_t n)
{
        return ZSTD_compressBound(n);
}

static size_t zstd_compress(const void *body, size_t n, uint8_t *room, size_t room_bytes)
{
        size_t written = ZSTD_compress(room, room_bytes, body, n, ZSTD_LEVEL);

        return ZSTD_isError(written) ? 0 : written;
}

/* What kombu calls gzip is zlib's format. */
static const cel__compression compressions[] = {
        {{"application/x-gzip", "gzip", "zlib"}, zlib_bytes_max, zlib_compress},
        {{"application/x-bz2", "bzip2", "bzip", "bz2"}, bzip2_bytes_max, bzip2_compress},
        {{"application/x-lzma", "lzma", "xz"}, xz_bytes_max, xz_compress},
        {{"application/zstd", "zstd", "zstandard"}, zstd_bytes_max, zstd_compress},
};

const cel__compression *cel__compression_find(const char *name)
{
        for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++)
                for (const char *const *known = compressions[i].names; *known; known++)
                        if (strcmp(*known, name) == 0)
                                return &compressions[i];
        return NULL;
}

static int compress_body(const cel__compression *compression, const cel_message *message, cel__buf *out)
{
        int r = 0;

        if (message->body_bytes > INT_MAX / 2) /* bzip2 counts in 32 bits */
                return CEL_ETOOBIG;
        size_t room_bytes = compression->bytes_max(message->body_bytes);
        uint8_t *room = cel__buf_reserve(out, room_bytes, &r);
        if (!room)
                return r;
        size_t written = compression->compress(message->body ? message->body : "", message->body_bytes, room,
                                               room_bytes);
        cel__buf_commit(out, written);
        return written > 0 ? 0 : CEL_ENOMEM;
}

int cel__compress_message(const cel__compression *compression, const cel_message *message, cel__buf *out,
                          cel_headers **ret_headers, cel_message *ret_message)
{
        cel_auto(cel_headers) *headers = NULL;
        int r = cel_headers_copy(message->headers, &headers);

        if (r >= 0)
                r = cel_headers_set_str(headers, "compression", compression->names[0]);
        if (r >= 0)
                r = compress_body(compression, message, out);
        if (r < 0)
                return r;
        *ret_message = *message;
        ret_message->body = cel__buf_head(out);
        ret_message->body_bytes = cel__buf_used(out);
        ret_message->headers = *ret_headers = CEL_TAKE(headers);
        return 0;
}
