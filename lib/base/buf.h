/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing byte buffer that states its maximum when it is made. Bytes are appended at the end and consumed
 * at the front. */
#ifndef CEL_BASE_BUF_H
#define CEL_BASE_BUF_H

#include <celadon/error.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cel__buf {
        uint8_t *bytes; /* owned */
        size_t start;   /* the first byte that was not consumed */
        size_t end;     /* behind the last one; start <= end <= capacity */
        size_t capacity;
        size_t bytes_max; /* of end - start */
} cel__buf;

void cel__buf_init(cel__buf *buf, size_t bytes_max);
void cel__buf_fini(cel__buf *buf);

static inline size_t cel__buf_used(const cel__buf *buf)
{
        return buf->end - buf->start;
}

static inline uint8_t *cel__buf_head(const cel__buf *buf)
{
        return buf->bytes + buf->start;
}

/* Make room for `n` more bytes, at least one, and return where they go; cel__buf_commit() them once written.
 * NULL: CEL_ETOOBIG (the maximum) or CEL_ENOMEM, in *ret_error unless that is NULL; the buffer is unchanged.
 */
uint8_t *cel__buf_reserve(cel__buf *buf, size_t n, int *ret_error);

static inline void cel__buf_commit(cel__buf *buf, size_t n)
{
        buf->end += n;
}

/* Append `n` bytes.
 * Errors: CEL_ETOOBIG, CEL_ENOMEM; nothing was appended then. */
int cel__buf_append(cel__buf *buf, const void *bytes, size_t n);

/* Drop the first `n` bytes. */
void cel__buf_consume(cel__buf *buf, size_t n);

/* Drop everything; give memory beyond `keep_bytes` back. */
void cel__buf_clear(cel__buf *buf, size_t keep_bytes);

#endif
