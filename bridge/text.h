/* SPDX-License-Identifier: Apache-2.0
 *
 * Text that grows up to a limit, and the encodings that requests need. */
#ifndef CELADON_BRIDGE_TEXT_H
#define CELADON_BRIDGE_TEXT_H

#include <celadon/base.h>
#include <stdbool.h>
#include <stddef.h>

/* The first put that fails is the last that does anything: look at `error` when all is put. Empty is
 * (bridge_text){.bytes_max = N}. */
typedef struct bridge_text {
        char *bytes; /* owned; NUL-terminated once something was put; may hold NULs before that */
        size_t n;
        size_t size;      /* of the allocation */
        size_t bytes_max; /* n may become */
        int error;        /* 0, CEL_ENOMEM or CEL_ETOOBIG */
} bridge_text;

void bridge_text_put(bridge_text *text, const void *bytes, size_t n);
void bridge_text_puts(bridge_text *text, const char *string);
void bridge_text_printf(bridge_text *text, const char *format, ...) CEL_PRINTF(2, 3);

/* A to Z, a to z, 0 to 9, -, ., _, ~ and what is in `keep` as they are; every other byte as %XX. */
void bridge_text_put_percent(bridge_text *text, const void *bytes, size_t n, const char *keep);

/* RFC 4648, with padding. */
void bridge_text_put_base64(bridge_text *text, const void *bytes, size_t n);

/* A JSON string of it, with its quotes. What is not UTF-8 becomes U+FFFD. */
void bridge_text_put_json(bridge_text *text, const char *bytes, size_t n);

/* What stands in double quotes at `*at`, where \" and \\ stand for " and \; `*at` moves behind it. Returns false if it has
 * no end. */
bool bridge_text_put_quoted(bridge_text *text, const char **at);

void bridge_text_fini(bridge_text *text);

/* Decode base64 with padding into `to`, which has room for `size` bytes. Returns how many there are, or -1 if it is no
 * base64 or has more. */
int bridge_base64_decode(const char *base64, size_t n, unsigned char *to, size_t size);

/* Is there a byte below 0x20, or 0x7f? Neither a URL nor a header may hold one, in whatever form. */
bool bridge_has_control(const char *bytes, size_t n);

#endif
