/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/text.h"

#include <celadon/error.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Make room for `n` bytes more and a NUL. */
static bool reserve(bridge_text *text, size_t n)
{
        size_t size = text->size ? text->size : 64;

        if (text->error < 0)
                return false;
        if (n > text->bytes_max - text->n) {
                text->error = CEL_ETOOBIG;
                return false;
        }
        while (size < text->n + n + 1)
                size *= 2;
        if (size == text->size)
                return true;
        char *bytes = realloc(text->bytes, size);

        if (!bytes) {
                text->error = CEL_ENOMEM;
                return false;
        }
        text->bytes = bytes;
        text->size = size;
        return true;
}

void bridge_text_put(bridge_text *text, const void *bytes, size_t n)
{
        if (!reserve(text, n))
                return;
        if (n > 0)
                memcpy(text->bytes + text->n, bytes, n);
        text->n += n;
        text->bytes[text->n] = '\0';
}

void bridge_text_puts(bridge_text *text, const char *string)
{
        bridge_text_put(text, string, strlen(string));
}

void bridge_text_printf(bridge_text *text, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        int n = vsnprintf(NULL, 0, format, arguments);
        va_end(arguments);
        if (n < 0 || !reserve(text, (size_t)n))
                return;
        va_start(arguments, format);
        vsnprintf(text->bytes + text->n, (size_t)n + 1, format, arguments);
        va_end(arguments);
        text->n += (size_t)n;
}

static void mark(bool kept[256], const char *characters)
{
        for (; *characters; characters++)
                kept[(unsigned char)*characters] = true;
}

void bridge_text_put_percent(bridge_text *text, const void *bytes, size_t n, const char *keep)
{
        static const char hex[] = "0123456789ABCDEF";
        const unsigned char *from = bytes, *end = from + n;
        bool kept[256] = {false};

        mark(kept, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~");
        mark(kept, keep);
        bridge_text_put(text, "", 0);
        while (from < end && text->error == 0) {
                const unsigned char *run = from;

                while (run < end && kept[*run])
                        run++;
                bridge_text_put(text, from, (size_t)(run - from));
                from = run;
                if (from < end) {
                        bridge_text_put(text, (char[]){'%', hex[*from >> 4], hex[*from & 15]}, 3);
                        from++;
                }
        }
}

void bridge_text_put_base64(bridge_text *text, const void *bytes, size_t n)
{
        const unsigned char *from = bytes;

        bridge_text_put(text, "", 0);
        for (size_t i = 0; i < n && text->error == 0; i += 3) {
                size_t left = n - i;
                uint32_t bits = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                                (left > 2 ? from[i + 2] : 0);
                char group[4] = {base64_digits[bits >> 18], base64_digits[bits >> 12 & 63],
                                 left > 1 ? base64_digits[bits >> 6 & 63] : '=',
                                 left > 2 ? base64_digits[bits & 63] : '='};

                bridge_text_put(text, group, sizeof(group));
        }
}

/* How many bytes the UTF-8 character at `text` has; 0 if it is none. */
static size_t character_bytes(const unsigned char *text, size_t n)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t bytes = *text < 0x80       ? 1
                       : *text >> 5 == 6  ? 2
                       : *text >> 4 == 14 ? 3
                       : *text >> 3 == 30 ? 4
                                          : 0;
        uint32_t code = bytes > 1 ? *text & (0x7Fu >> bytes) : *text;

        if (bytes == 0 || bytes > n)
                return 0;
        for (size_t i = 1; i < bytes; i++) {
                if ((text[i] & 0xC0) != 0x80)
                        return 0;
                code = code << 6 | (text[i] & 0x3F);
        }
        return code < least[bytes] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF) ? 0 : bytes;
}

/* The one character at `bytes`; returns how many bytes it has. */
static size_t put_json_character(bridge_text *text, const char *bytes, size_t n)
{
        size_t whole = character_bytes((const unsigned char *)bytes, n);
        unsigned char c = (unsigned char)*bytes;

        if (whole == 0)
                bridge_text_puts(text, "\xEF\xBF\xBD");
        else if (c == '"' || c == '\\')
                bridge_text_put(text, (char[]){'\\', (char)c}, 2);
        else if (c < 0x20)
                bridge_text_printf(text, "\\u%04x", c);
        else
                bridge_text_put(text, bytes, whole);
        return whole ? whole : 1;
}

static bool is_plain_in_json(char c)
{
        return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

void bridge_text_put_json(bridge_text *text, const char *bytes, size_t n)
{
        const char *end = bytes + n;

        bridge_text_put(text, "\"", 1);
        while (bytes < end && text->error == 0) {
                const char *run = bytes;

                while (run < end && is_plain_in_json(*run))
                        run++;
                bridge_text_put(text, bytes, (size_t)(run - bytes));
                bytes = run < end ? run + put_json_character(text, run, (size_t)(end - run)) : end;
        }
        bridge_text_put(text, "\"", 1);
}

bool bridge_text_put_quoted(bridge_text *text, const char **at)
{
        const char *c = *at + 1;

        bridge_text_put(text, "", 0);
        for (; *c && *c != '"'; c++) {
                if (*c == '\\' && (c[1] == '"' || c[1] == '\\'))
                        c++;
                bridge_text_put(text, c, 1);
        }
        if (!*c)
                return false;
        *at = c + 1;
        return true;
}

void bridge_text_fini(bridge_text *text)
{
        free(text->bytes);
        *text = (bridge_text){.bytes_max = text->bytes_max};
}

static int base64_digit(char c)
{
        const char *digit = c ? strchr(base64_digits, c) : NULL;

        return digit ? (int)(digit - base64_digits) : -1;
}

int bridge_base64_decode(const char *base64, size_t n, unsigned char *to, size_t size)
{
        size_t padding = 0, bytes = n / 4 * 3;

        while (padding < 2 && padding < n && base64[n - 1 - padding] == '=')
                padding++;
        bytes -= n > 0 ? padding : 0;
        if (n % 4 != 0 || bytes > size)
                return -1;
        for (size_t i = 0, done = 0; i < n; i += 4) {
                uint32_t bits = 0;

                for (size_t j = 0; j < 4; j++) {
                        int digit = i + j >= n - padding ? 0 : base64_digit(base64[i + j]);

                        if (digit < 0)
                                return -1;
                        bits = bits << 6 | (uint32_t)digit;
                }
                for (int shift = 16; shift >= 0 && done < bytes; shift -= 8)
                        to[done++] = (unsigned char)(bits >> shift);
        }
        return (int)bytes;
}

bool bridge_has_control(const char *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7F)
                        return true;
        return false;
}
