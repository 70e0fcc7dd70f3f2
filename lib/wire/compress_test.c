/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/body.h"
#include "wire/compress.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 1 << 20 };

/* Compress it, and read it as a receiver does. */
static void pass_on(const char *name, const char *header, const void *body, size_t n)
{
        cel_auto(cel_headers) *given = NULL, *headers = NULL;
        cel_auto_free char *said = NULL, *kept = NULL;
        cel_message sent, message = {.routing_key = "k", .body = body, .body_bytes = n};
        cel__buf packed, plain;
        const void *got;
        size_t got_n;
        char why[200];

        cel__buf_init(&packed, BYTES_MAX);
        cel__buf_init(&plain, BYTES_MAX);
        CHECK_INT(cel_headers_new(&given), 0);
        CHECK_INT(cel_headers_set_str(given, "mine", "stays"), 0);
        message.headers = given;
        CHECK_INT(cel__compress_message(cel__compression_find(name), &message, &packed, &headers, &sent), 0);
        CHECK_STR(sent.routing_key, "k");
        CHECK_INT(cel_headers_get_str(sent.headers, "compression", &said), 0);
        CHECK_STR(said, header);
        CHECK_INT(cel_headers_get_str(sent.headers, "mine", &kept), 0);
        CHECK_STR(kept, "stays");
        CHECK_INT(cel__body_plain(&sent, &plain, &got, &got_n, why, sizeof(why)), 0);
        CHECK_INT(got_n, n);
        if (n > 0)
                CHECK_BYTES(got, body, n);
        cel__buf_fini(&packed);
        cel__buf_fini(&plain);
}

TEST(what_is_compressed_is_read_as_it_was)
{
        static const struct {
                const char *name, *header;
        } all[] = {{"gzip", "application/x-gzip"},   {"zlib", "application/x-gzip"},
                   {"bzip2", "application/x-bz2"},   {"bzip", "application/x-bz2"},
                   {"bz2", "application/x-bz2"},     {"lzma", "application/x-lzma"},
                   {"xz", "application/x-lzma"},     {"zstd", "application/zstd"},
                   {"zstandard", "application/zstd"}};
        static uint8_t noise[100000]; /* which does not compress */
        unsigned state = 1;

        for (size_t i = 0; i < sizeof(noise); i++)
                noise[i] = (uint8_t)((state = state * 1103515245 + 12345) >> 16);
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                pass_on(all[i].name, all[i].header, "{\"a\": 1}", 8);
                pass_on(all[i].name, all[i].header, "", 0);
                pass_on(all[i].name, all[i].header, noise, sizeof(noise));
        }
}

/* zlib.compress(b'{"a": 1}') */
TEST(gzip_is_kombus_gzip_to_the_byte)
{
        static const uint8_t expected[] = {0x78, 0x9c, 0xab, 0x56, 0x4a, 0x54, 0xb2, 0x52,
                                           0x30, 0xac, 0x05, 0x00, 0x09, 0xe5, 0x02, 0x29};
        cel_auto(cel_headers) *headers = NULL;
        cel_message sent, message = {.body = "{\"a\": 1}", .body_bytes = 8};
        cel__buf packed;

        cel__buf_init(&packed, BYTES_MAX);
        CHECK_INT(cel__compress_message(cel__compression_find("gzip"), &message, &packed, &headers, &sent),
                  0);
        CHECK_INT(sent.body_bytes, sizeof(expected));
        CHECK_BYTES(sent.body, expected, sizeof(expected));
        cel__buf_fini(&packed);
}

TEST(a_body_without_room_for_the_worst_case_is_refused)
{
        cel_headers *headers;
        cel_message sent, message = {.body = "{\"a\": 1}", .body_bytes = 8};
        cel__buf packed;

        cel__buf_init(&packed, 4);
        CHECK_INT(cel__compress_message(cel__compression_find("xz"), &message, &packed, &headers, &sent),
                  CEL_ETOOBIG);
        CHECK(!cel__compression_find("brotli") && !cel__compression_find(""));
        cel__buf_fini(&packed);
}
