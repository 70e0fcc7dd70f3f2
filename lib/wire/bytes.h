/* SPDX-License-Identifier: Apache-2.0
 *
 * Big-endian numbers in memory, and a reader that cannot run past its end. */
#ifndef CEL_WIRE_BYTES_H
#define CEL_WIRE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t cel__get_u16(const uint8_t *bytes)
{
        return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t cel__get_u32(const uint8_t *bytes)
{
        return (uint32_t)cel__get_u16(bytes) << 16 | cel__get_u16(bytes + 2);
}

static inline uint64_t cel__get_u64(const uint8_t *bytes)
{
        return (uint64_t)cel__get_u32(bytes) << 32 | cel__get_u32(bytes + 4);
}

/* The writers return the place behind what they wrote. */
static inline uint8_t *cel__put_u8(uint8_t *to, uint8_t value)
{
        *to = value;
        return to + 1;
}

static inline uint8_t *cel__put_u16(uint8_t *to, uint16_t value)
{
        to = cel__put_u8(to, (uint8_t)(value >> 8));
        return cel__put_u8(to, (uint8_t)value);
}

static inline uint8_t *cel__put_u32(uint8_t *to, uint32_t value)
{
        to = cel__put_u16(to, (uint16_t)(value >> 16));
        return cel__put_u16(to, (uint16_t)value);
}

static inline uint8_t *cel__put_u64(uint8_t *to, uint64_t value)
{
        to = cel__put_u32(to, (uint32_t)(value >> 32));
        return cel__put_u32(to, (uint32_t)value);
}

static inline uint8_t *cel__put_bytes(uint8_t *to, const void *bytes, size_t n)
{
        if (n > 0)
                memcpy(to, bytes, n);
        return to + n;
}

/* What is left to read. Lengths from outside are compared with `left`, never added to a position. */
typedef struct cel__reader {
        const uint8_t *at; /* borrowed */
        size_t left;
} cel__reader;

/* Step over `n` bytes; they begin at *ret_bytes. False: there are not that many, and nothing has changed. */
static inline bool cel__read_bytes(cel__reader *reader, size_t n, const uint8_t **ret_bytes)
{
        if (n > reader->left)
                return false;
        *ret_bytes = reader->at;
        reader->at += n;
        reader->left -= n;
        return true;
}

static inline bool cel__read_u8(cel__reader *reader, uint8_t *ret_value)
{
        const uint8_t *bytes;

        if (!cel__read_bytes(reader, 1, &bytes))
                return false;
        *ret_value = *bytes;
        return true;
}

static inline bool cel__read_u16(cel__reader *reader, uint16_t *ret_value)
{
        const uint8_t *bytes;

        if (!cel__read_bytes(reader, 2, &bytes))
                return false;
        *ret_value = cel__get_u16(bytes);
        return true;
}

static inline bool cel__read_u64(cel__reader *reader, uint64_t *ret_value)
{
        const uint8_t *bytes;

        if (!cel__read_bytes(reader, 8, &bytes))
                return false;
        *ret_value = cel__get_u64(bytes);
        return true;
}

/* A length of one byte (AMQP's short string) or four (long string, table, array), and that many bytes. */
static inline bool cel__read_short(cel__reader *reader, const uint8_t **ret_bytes, size_t *ret_n)
{
        cel__reader inner = *reader;
        uint8_t n;

        if (!cel__read_u8(&inner, &n) || !cel__read_bytes(&inner, n, ret_bytes))
                return false;
        *ret_n = n;
        *reader = inner;
        return true;
}

static inline bool cel__read_long(cel__reader *reader, const uint8_t **ret_bytes, size_t *ret_n)
{
        cel__reader inner = *reader;
        const uint8_t *length;

        if (!cel__read_bytes(&inner, 4, &length) || !cel__read_bytes(&inner, cel__get_u32(length), ret_bytes))
                return false;
        *ret_n = cel__get_u32(length);
        *reader = inner;
        return true;
}

#endif
