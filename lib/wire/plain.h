/* SPDX-License-Identifier: Apache-2.0
 *
 * Text eight bytes at a time: which of them are plain, so that they stand for themselves in a JSON string of Python's?
 * Those are ' ' to '~' without '"' and '\\'. Sets of bytes are masks with the highest bit of each byte that is in it;
 * the first byte of the text is the lowest of the word, on all machines. */
#ifndef CEL_WIRE_PLAIN_H
#define CEL_WIRE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CEL__WORD_BYTES = 8 };

#define CEL__EACH_BYTE UINT64_C(0x0101010101010101)

static inline uint64_t cel__word(const uint8_t *at)
{
        return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
               (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 | (uint64_t)at[7] << 56;
}

/* No sum below carries into the next byte: each adds at most 0x7f to at most 0x7f. */
static inline uint64_t cel__bytes_equal(uint64_t word, uint8_t byte)
{
        uint64_t low = CEL__EACH_BYTE * 0x7f, other = word ^ CEL__EACH_BYTE * byte;

        return ~(((other & low) + low) | other) & ~low;
}

static inline uint64_t cel__bytes_quoted(uint64_t word)
{
        return cel__bytes_equal(word, '"') | cel__bytes_equal(word, '\\');
}

/* Control characters, DEL, and what is not ASCII. */
static inline uint64_t cel__bytes_unusual(uint64_t word)
{
        uint64_t low = CEL__EACH_BYTE * 0x7f, seven = word & low;

        return (word | ~(seven + CEL__EACH_BYTE * (0x80 - ' ')) | (seven + CEL__EACH_BYTE)) & ~low;
}

static inline size_t cel__bytes_count(uint64_t mask)
{
        return (size_t)((mask >> 7) * CEL__EACH_BYTE >> 56);
}

static inline bool cel__is_plain(uint8_t byte)
{
        return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
}

/* How many plain bytes there are from `at` on, before the first other one or `end`. */
static inline size_t cel__plain_bytes(const uint8_t *at, const uint8_t *end)
{
        const uint8_t *start = at;

        for (; end - at >= CEL__WORD_BYTES; at += CEL__WORD_BYTES) {
                uint64_t word = cel__word(at), others = cel__bytes_unusual(word) | cel__bytes_quoted(word);

                if (others)
                        return (size_t)(at - start) + (size_t)__builtin_ctzll(others) / 8;
        }
        while (at < end && cel__is_plain(*at))
                at++;
        return (size_t)(at - start);
}

/* Copy them, and return how many there were. Up to a word may be written where `to` has room for all until `end`. */
static inline size_t cel__copy_plain(uint8_t *to, const uint8_t *at, const uint8_t *end)
{
        const uint8_t *start = at;

        for (; end - at >= CEL__WORD_BYTES; at += CEL__WORD_BYTES) {
                uint64_t word = cel__word(at), others = cel__bytes_unusual(word) | cel__bytes_quoted(word);

                memcpy(to + (at - start), at, CEL__WORD_BYTES);
                if (others)
                        return (size_t)(at - start) + (size_t)__builtin_ctzll(others) / 8;
        }
        for (; at < end && cel__is_plain(*at); at++)
                to[at - start] = *at;
        return (size_t)(at - start);
}

#endif
