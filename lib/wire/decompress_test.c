/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/decompress.h"

#include <bzlib.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/* {"a": 1} as Python's modules compress it. */
static const char text[] = "{\"a\": 1}";
enum { TEXT_BYTES = sizeof(text) - 1, BYTES_MAX = 1 << 20 };

static const uint8_t zlib[] = {0x78, 0x9c, 0xab, 0x56, 0x4a, 0x54, 0xb2, 0x52,
                               0x30, 0xac, 0x05, 0x00, 0x09, 0xe5, 0x02, 0x29};
static const uint8_t gzip[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03,
                               0xab, 0x56, 0x4a, 0x54, 0xb2, 0x52, 0x30, 0xac, 0x05, 0x00,
                               0x97, 0x8e, 0xa1, 0xfb, 0x08, 0x00, 0x00, 0x00};
static const uint8_t bzip2[] = {0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0xd6, 0x4d,
                                0x6a, 0x79, 0x00, 0x00, 0x03, 0x19, 0x80, 0x50, 0x00, 0x20, 0x10, 0x20,
                                0x00, 0x00, 0x0a, 0x20, 0x00, 0x22, 0x18, 0x02, 0x18, 0x04, 0xe2, 0x7d,
                                0x6e, 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0xd6, 0x4d, 0x6a, 0x79};
static const uint8_t xz[] = {0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02,
                             0x00, 0x21, 0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00,
                             0x07, 0x7b, 0x22, 0x61, 0x22, 0x3a, 0x20, 0x31, 0x7d, 0x00, 0xdc, 0x67, 0xca,
                             0xa1, 0xf2, 0x45, 0xc5, 0xe1, 0x00, 0x01, 0x20, 0x08, 0xbb, 0x19, 0xd9, 0xbb,
                             0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a};
static const uint8_t lzma_alone[] = {0x5d, 0x00, 0x00, 0x80, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0x00, 0x3d, 0x88, 0x88, 0x22, 0x37, 0x28, 0x40, 0xd3,
                                     0x6e, 0x7f, 0x2d, 0xb6, 0xff, 0xff, 0x90, 0x46, 0x00, 0x00};
static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x08, 0x41, 0x00, 0x00, 0x7b, 0x22,
                               0x61, 0x22, 0x3a, 0x20, 0x31, 0x7d, 0x7d, 0x91, 0x9d, 0x79};

static const struct sample {
        const char *compression;
        const uint8_t *bytes;
        size_t n;
} samples[] = {
        {"application/x-gzip", zlib, sizeof(zlib)},
        {"application/x-gzip", gzip, sizeof(gzip)},
        {"application/x-bz2", bzip2, sizeof(bzip2)},
        {"application/x-lzma", xz, sizeof(xz)},
        {"application/x-lzma", lzma_alone, sizeof(lzma_alone)},
        {"application/zstd", zstd, sizeof(zstd)},
};
enum { SAMPLES_N = sizeof(samples) / sizeof(samples[0]) };

typedef struct fixture {
        cel__buf out;
        char why[200];
} fixture;

static fixture fixture_new(size_t bytes_max)
{
        fixture f = {0};

        cel__buf_init(&f.out, bytes_max);
        return f;
}

static int decompress(fixture *f, const char *compression, const void *bytes, size_t n)
{
        return cel__decompress(compression, bytes, n, &f->out, f->why, sizeof(f->why));
}

static void check_text(const fixture *f)
{
        CHECK_INT(cel__buf_used(&f->out), TEXT_BYTES);
        CHECK_BYTES(cel__buf_head(&f->out), text, TEXT_BYTES);
}

TEST(what_kombu_compresses_is_decompressed)
{
        for (size_t i = 0; i < SAMPLES_N; i++) {
                fixture f = fixture_new(BYTES_MAX);

                CHECK_INT(decompress(&f, samples[i].compression, samples[i].bytes, samples[i].n), 0);
                check_text(&f);
                cel__buf_fini(&f.out);
        }
}

TEST(kombus_own_names_are_understood)
{
        fixture f = fixture_new(BYTES_MAX);

        CHECK_INT(decompress(&f, "zlib", zlib, sizeof(zlib)), 0);
        CHECK_INT(decompress(&f, "bzip", bzip2, sizeof(bzip2)), 0);
        CHECK_INT(decompress(&f, "xz", xz, sizeof(xz)), 0);
        CHECK_INT(decompress(&f, "zstandard", zstd, sizeof(zstd)), 0);
        CHECK_INT(cel__buf_used(&f.out), 4 * TEXT_BYTES);
        cel__buf_fini(&f.out);
}

TEST(the_result_may_fill_the_buffer_and_no_more)
{
        for (size_t i = 0; i < SAMPLES_N; i++) {
                fixture f = fixture_new(TEXT_BYTES);

                CHECK_INT(decompress(&f, samples[i].compression, samples[i].bytes, samples[i].n), 0);
                check_text(&f);
                cel__buf_fini(&f.out);

                f = fixture_new(TEXT_BYTES - 1);
                CHECK_INT(decompress(&f, samples[i].compression, samples[i].bytes, samples[i].n),
                          CEL_ETOOBIG);
                CHECK_STR(f.why, "the body decompresses to more than 7 bytes");
                CHECK_INT(cel__buf_used(&f.out), 0);
                cel__buf_fini(&f.out);
        }
}

TEST(an_unknown_compression_is_named_without_what_upsets_a_terminal)
{
        fixture f = fixture_new(BYTES_MAX);

        CHECK_INT(decompress(&f, "application/x-brotli\n", zlib, sizeof(zlib)), CEL_EDECODE);
        CHECK_STR(f.why,
                  "compression \"application/x-brotli?\" is not supported; gzip, bzip2, lzma and zstd are");
}

TEST(a_body_that_was_cut_anywhere_is_refused)
{
        for (size_t i = 0; i < SAMPLES_N; i++) {
                for (size_t n = 0; n < samples[i].n; n++) {
                        fixture f = fixture_new(BYTES_MAX);
                        cel_auto_free uint8_t *cut = malloc(n + 1);

                        memcpy(cut, samples[i].bytes, n);
                        CHECK_INT(decompress(&f, samples[i].compression, n > 0 ? cut : NULL, n), CEL_EDECODE);
                        CHECK(strstr(f.why, " ends too early"));
                        CHECK_INT(cel__buf_used(&f.out), 0);
                        cel__buf_fini(&f.out);
                }
        }
}

TEST(bytes_behind_the_end_are_refused)
{
        for (size_t i = 0; i < SAMPLES_N; i++) {
                fixture f = fixture_new(BYTES_MAX);
                uint8_t longer[100] = {0};

                memcpy(longer, samples[i].bytes, samples[i].n);
                CHECK_INT(decompress(&f, samples[i].compression, longer, samples[i].n + 3), CEL_EDECODE);
                CHECK(strstr(f.why, " ends before the body does"));
                CHECK_INT(cel__buf_used(&f.out), 0);
                cel__buf_fini(&f.out);
        }
}

TEST(a_damaged_body_is_refused_or_says_the_same)
{
        for (size_t i = 0; i < SAMPLES_N; i++) {
                for (size_t bit = 0; bit < 8 * samples[i].n; bit++) {
                        fixture f = fixture_new(BYTES_MAX);
                        uint8_t damaged[100];

                        if (samples[i].bytes == lzma_alone) /* it has no checksum */
                                continue;
                        memcpy(damaged, samples[i].bytes, samples[i].n);
                        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
                        if (decompress(&f, samples[i].compression, damaged, samples[i].n) == 0)
                                check_text(&f);
                        else
                                CHECK(*f.why && cel__buf_used(&f.out) == 0);
                        cel__buf_fini(&f.out);
                }
        }
}

TEST(another_format_than_the_header_says_is_refused)
{
        for (size_t i = 0; i < SAMPLES_N; i++) {
                fixture f = fixture_new(BYTES_MAX);

                CHECK_INT(decompress(&f, samples[i].compression, "{\"a\": 1}", TEXT_BYTES), CEL_EDECODE);
                CHECK(strstr(f.why, "the body cannot be decompressed: it is damaged, or not "));
                cel__buf_fini(&f.out);
        }
}

/* 16 MiB of zeros, compressed by each library as well as it can. */
enum { BOMB_BYTES = 16 << 20, BOMB_COMPRESSED_BYTES_MAX = 1 << 20 };

static size_t make_bomb(size_t which, uint8_t *to)
{
        cel_auto_free uint8_t *zeros = calloc(1, BOMB_BYTES);
        unsigned long zlib_n = BOMB_COMPRESSED_BYTES_MAX;
        unsigned bzip2_n = BOMB_COMPRESSED_BYTES_MAX;
        size_t xz_n = 0;

        CHECK(zeros);
        switch (which) {
        case 0:
                CHECK_INT(compress2(to, &zlib_n, zeros, BOMB_BYTES, 9), Z_OK);
                return zlib_n;
        case 1:
                CHECK_INT(BZ2_bzBuffToBuffCompress((char *)to, &bzip2_n, (char *)zeros, BOMB_BYTES, 9, 0, 0),
                          BZ_OK);
                return bzip2_n;
        case 2:
                CHECK_INT(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, zeros, BOMB_BYTES, to, &xz_n,
                                                  BOMB_COMPRESSED_BYTES_MAX),
                          LZMA_OK);
                return xz_n;
        default:
                return ZSTD_compress(to, BOMB_COMPRESSED_BYTES_MAX, zeros, BOMB_BYTES, 1);
        }
}

TEST(a_bomb_takes_no_more_memory_than_it_may_produce)
{
        static const char *const compression[] = {"gzip", "bzip2", "lzma", "zstd"};
        cel_auto_free uint8_t *bomb = malloc(BOMB_COMPRESSED_BYTES_MAX);

        CHECK(bomb);
        for (size_t i = 0; i < 4; i++) {
                size_t n = make_bomb(i, bomb);
                fixture f = fixture_new(BYTES_MAX);

                CHECK_INT(decompress(&f, compression[i], bomb, n), CEL_ETOOBIG);
                CHECK(f.out.capacity <= BYTES_MAX);
                cel__buf_fini(&f.out);

                f = fixture_new(BOMB_BYTES);
                CHECK_INT(decompress(&f, compression[i], bomb, n), 0);
                CHECK_INT(cel__buf_used(&f.out), BOMB_BYTES);
                cel__buf_fini(&f.out);
        }
}

TEST(a_claimed_size_takes_no_memory)
{
        /* One frame that says it holds 1 TiB, without a window; and one whose window is 2 GiB. */
        static const uint8_t tebibyte[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0};
        static const uint8_t window[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0};
        uint8_t dictionary[sizeof(lzma_alone)];
        fixture f = fixture_new(BYTES_MAX);

        CHECK_INT(decompress(&f, "zstd", tebibyte, sizeof(tebibyte)), CEL_EDECODE);
        CHECK_STR(f.why, "the body cannot be decompressed: its zstd needs more than 128 MiB of memory");
        CHECK_INT(decompress(&f, "zstd", window, sizeof(window)), CEL_EDECODE);
        CHECK_STR(f.why, "the body cannot be decompressed: its zstd needs more than 128 MiB of memory");
        memcpy(dictionary, lzma_alone, sizeof(lzma_alone));
        dictionary[3] = 0x00; /* 8 MiB … */
        dictionary[4] = 0x40; /* … becomes 1 GiB */
        CHECK_INT(decompress(&f, "lzma", dictionary, sizeof(dictionary)), CEL_EDECODE);
        CHECK_STR(f.why, "the body cannot be decompressed: its lzma needs more than 128 MiB of memory");
        CHECK(f.out.capacity < BYTES_MAX);
        cel__buf_fini(&f.out);
}

TEST(formats_that_nobody_sends_are_refused)
{
        static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0};
        static const uint8_t zstd_0_5[] = {0x25, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0};
        fixture f = fixture_new(BYTES_MAX);

        CHECK_INT(decompress(&f, "zstd", skippable, sizeof(skippable)), CEL_EDECODE);
        CHECK_INT(decompress(&f, "zstd", zstd_0_5, sizeof(zstd_0_5)), CEL_EDECODE);
        cel__buf_fini(&f.out);
}
