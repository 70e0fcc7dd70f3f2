/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 256 };

void cel__buf_init(cel__buf *buf, size_t bytes_max)
{
        *buf = (cel__buf){.bytes_max = bytes_max};
}

void cel__buf_fini(cel__buf *buf)
{
        free(buf->bytes);
        *buf = (cel__buf){0};
}

/* Double until `needed` fits, but never beyond the maximum. */
static size_t next_capacity(const cel__buf *buf, size_t needed)
{
        size_t capacity = buf->capacity < CAPACITY_MIN ? CAPACITY_MIN : buf->capacity;

        while (capacity < needed)
                capacity = capacity > buf->bytes_max / 2 ? buf->bytes_max : capacity * 2;
        return capacity;
}

uint8_t *cel__buf_reserve(cel__buf *buf, size_t n, int *ret_error)
{
        size_t used = cel__buf_used(buf);

        if (n > buf->bytes_max - used) {
                if (ret_error)
                        *ret_error = CEL_ETOOBIG;
                return NULL;
        }
        if (n <= buf->capacity - buf->end)
                return buf->bytes + buf->end;

        if (used + n <= buf->capacity &&
            buf->start >= used) { /* moving costs no more than the space it wins */
                memcpy(buf->bytes, buf->bytes + buf->start, used);
        } else {
                size_t capacity = next_capacity(buf, used + n);
                uint8_t *bytes = malloc(capacity);

                if (!bytes) {
                        if (ret_error)
                                *ret_error = CEL_ENOMEM;
                        return NULL;
                }
                if (used > 0)
                        memcpy(bytes, buf->bytes + buf->start, used);
                free(buf->bytes);
                buf->bytes = bytes;
                buf->capacity = capacity;
        }
        buf->start = 0;
        buf->end = used;
        return buf->bytes + buf->end;
}

int cel__buf_append(cel__buf *buf, const void *bytes, size_t n)
{
        int error = 0;

        if (n == 0)
                return 0;
        uint8_t *room = cel__buf_reserve(buf, n, &error);
        if (!room)
                return error;
        memcpy(room, bytes, n);
        cel__buf_commit(buf, n);
        return 0;
}

void cel__buf_consume(cel__buf *buf, size_t n)
{
        cel_assert(n <= cel__buf_used(buf));
        buf->start += n;
        if (buf->start == buf->end)
                buf->start = buf->end = 0;
}

void cel__buf_clear(cel__buf *buf, size_t keep_bytes)
{
        buf->start = buf->end = 0;
        if (buf->capacity > keep_bytes) {
                free(buf->bytes);
                buf->bytes = NULL;
                buf->capacity = 0;
        }
}
