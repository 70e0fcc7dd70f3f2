/* SPDX-License-Identifier: Apache-2.0
 *
 * Compressed bodies; the first byte chooses how: g, b, l, z. What is decompressed once is so again, into just
 * the room it needs, and not into less; what fails has a sentence and appends nothing. */
#include "fuzz.h"
#include "wire/decompress.h"

#include <string.h>

enum { PLAIN_BYTES_MAX = 1 << 20 };

static const char *name_of(uint8_t letter)
{
        switch (letter) {
        case 'g':
                return "application/x-gzip";
        case 'b':
                return "application/x-bz2";
        case 'l':
                return "application/x-lzma";
        case 'z':
                return "application/zstd";
        default:
                return "application/x-brotli";
        }
}

static void check_sentence(const char *why)
{
        MUST(*why && strlen(why) < 200);
        for (; *why; why++)
                MUST(*why >= ' ' && *why <= '~');
}

/* Decompress behind something else, which must stay. */
static int decompress(const uint8_t *data, size_t n, size_t bytes_max, cel__buf *out)
{
        char why[200] = "";

        cel__buf_init(out, 4 + bytes_max);
        MUST(cel__buf_append(out, "head", 4) == 0);
        int r = cel__decompress(name_of(data[0]), data + 1, n - 1, out, why, sizeof(why));
        MUST(memcmp(cel__buf_head(out), "head", 4) == 0);
        MUST(cel__buf_used(out) <= 4 + bytes_max && out->capacity <= 256 + bytes_max);
        if (r < 0) {
                MUST(r == CEL_EDECODE || r == CEL_ETOOBIG);
                MUST(cel__buf_used(out) == 4);
                check_sentence(why);
        }
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel__buf first, second;

        if (n == 0)
                return 0;
        if (decompress(data, n, PLAIN_BYTES_MAX, &first) == 0) {
                size_t bytes = cel__buf_used(&first) - 4;

                MUST(decompress(data, n, bytes, &second) == 0 && cel__buf_used(&second) == 4 + bytes);
                MUST(memcmp(cel__buf_head(&first), cel__buf_head(&second), 4 + bytes) == 0);
                cel__buf_fini(&second);
                if (bytes > 0) {
                        MUST(decompress(data, n, bytes - 1, &second) == CEL_ETOOBIG);
                        cel__buf_fini(&second);
                }
        }
        cel__buf_fini(&first);
        return 0;
}
