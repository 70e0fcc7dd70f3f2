/* SPDX-License-Identifier: Apache-2.0
 *
 * What json.dumps() of Python writes, to the byte: ASCII only, ", " between members and ": " behind names, floats
 * by their shortest form that reads back as the same number. */
#include "wire/bytes.h"
#include "wire/json_text.h"
#include "wire/plain.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Strings ---------------------------------------------------------------------------------- */

/* Read one character of UTF-8. Returns its length; 0 for what is none: overlong, a surrogate, beyond U+10FFFF
 * or cut. */
static size_t read_character(const uint8_t *at, size_t left, uint32_t *ret_character)
{
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        size_t n = at[0] < 0x80 ? 1 : at[0] < 0xc0 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
        uint32_t character = n == 1 ? at[0] : at[0] & (0x7fu >> n);

        if (n == 0 || n > left || at[0] >= 0xf8)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((at[i] & 0xc0) != 0x80)
                        return 0;
                character = character << 6 | (at[i] & 0x3fu);
        }
        if (character < smallest[n] || character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff))
                return 0;
        *ret_character = character;
        return n;
}

/* The letter of the short escape for `character`; 0: it has none. */
static char short_escape(uint32_t character)
{
        switch (character) {
        case '"':
                return '"';
        case '\\':
                return '\\';
        case '\b':
                return 'b';
        case '\f':
                return 'f';
        case '\n':
                return 'n';
        case '\r':
                return 'r';
        case '\t':
                return 't';
        default:
                return 0;
        }
}

static uint8_t *put_unit(uint8_t *to, uint32_t unit)
{
        static const char hex[] = "0123456789abcdef";

        to = cel__put_u8(to, '\\');
        to = cel__put_u8(to, 'u');
        for (unsigned shift = 16; shift > 0;) {
                shift -= 4;
                to = cel__put_u8(to, (uint8_t)hex[unit >> shift & 0xf]);
        }
        return to;
}

/* At most twelve bytes. */
static uint8_t *put_character(uint8_t *to, uint32_t character)
{
        char letter = short_escape(character);

        if (letter) {
                to = cel__put_u8(to, '\\');
                return cel__put_u8(to, (uint8_t)letter);
        }
        if (character >= ' ' && character <= '~')
                return cel__put_u8(to, (uint8_t)character);
        if (character < 0x10000)
                return put_unit(to, character);
        to = put_unit(to, 0xd800 + ((character - 0x10000) >> 10));
        return put_unit(to, 0xdc00 + (character & 0x3ff));
}

int cel__json_measure(const char *text, size_t n, size_t *ret_bytes)
{
        const uint8_t *at = (const uint8_t *)text, *end = at + n;
        size_t bytes = 0;

        while (at < end) {
                uint8_t scratch[12];
                uint32_t character;

                if (end - at >= CEL__WORD_BYTES && !cel__bytes_unusual(cel__word(at))) {
                        bytes += CEL__WORD_BYTES + cel__bytes_count(cel__bytes_quoted(cel__word(at)));
                        at += CEL__WORD_BYTES;
                        continue;
                }
                if (cel__is_plain(*at)) {
                        bytes++;
                        at++;
                        continue;
                }
                size_t length = read_character(at, (size_t)(end - at), &character);
                if (length == 0)
                        return CEL_EINVAL;
                bytes += (size_t)(put_character(scratch, character) - scratch);
                at += length;
        }
        *ret_bytes = bytes;
        return 0;
}

uint8_t *cel__json_put_escaped(uint8_t *to, const char *text, size_t n)
{
        const uint8_t *at = (const uint8_t *)text, *end = at + n;

        for (;;) {
                size_t plain = cel__copy_plain(to, at, end); /* escaped text is no shorter */
                uint32_t character;

                to += plain;
                at += plain;
                if (at == end)
                        return to;
                if (*at == '"' || *at == '\\') {
                        *to++ = '\\';
                        *to++ = *at++;
                        continue;
                }
                at += read_character(at, (size_t)(end - at), &character);
                to = put_character(to, character);
        }
}

int cel__json_write_string(const char *text, size_t n, cel__buf *out)
{
        size_t bytes;
        int r = cel__json_measure(text, n, &bytes);

        if (r < 0)
                return r;
        uint8_t *to = cel__buf_reserve(out, bytes + 2, &r);
        if (!to)
                return r;
        to = cel__put_u8(to, '"');
        to = cel__json_put_escaped(to, text, n);
        cel__put_u8(to, '"');
        cel__buf_commit(out, bytes + 2);
        return 0;
}

/* --- Numbers ---------------------------------------------------------------------------------- */

/* The shortest digits that read back as `value`, as "d.ddde±XX". */
static void shortest(double value, char *text, size_t text_bytes)
{
        for (int digits = 0; digits <= 16; digits++) {
                snprintf(text, text_bytes, "%.*e", digits, value);
                if (strtod(text, NULL) == value)
                        return;
        }
}

/* As Python's repr(): with an exponent below 1e-4 and from 1e16 on, and always recognisable as a float. */
static void format_real(double value, char *text, size_t text_bytes)
{
        shortest(value, text, text_bytes);
        int exponent = atoi(strchr(text, 'e') + 1);
        if (exponent < -4 || exponent >= 16)
                return;
        int digits = (int)strcspn(text, "e") - (text[0] == '-') - 2; /* behind the first and the dot */
        int decimals = (digits > 0 ? digits : 0) - exponent;
        snprintf(text, text_bytes, "%.*f", decimals > 0 ? decimals : 1, value);
}

static int write_real(double value, cel__buf *out)
{
        char text[64];

        if (isnan(value))
                return cel__buf_append(out, "NaN", 3);
        if (isinf(value))
                return value > 0 ? cel__buf_append(out, "Infinity", 8) : cel__buf_append(out, "-Infinity", 9);
        /* With a decimal point, whatever this process's locale has for that. */
        locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
        format_real(value, text, sizeof(text));
        uselocale(before);
        freelocale(c);
        return cel__buf_append(out, text, strlen(text));
}

static int write_integer(json_int_t value, cel__buf *out)
{
        char text[32];
        int n = snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, value);

        return cel__buf_append(out, text, (size_t)n);
}

/* --- Values ----------------------------------------------------------------------------------- */

static int write_value(const json_t *json, unsigned depth, cel__buf *out);

static int write_array(const json_t *array, unsigned depth, cel__buf *out)
{
        int r = cel__buf_append(out, "[", 1);

        for (size_t i = 0; i < json_array_size(array) && r >= 0; i++) {
                if (i > 0)
                        r = cel__buf_append(out, ", ", 2);
                if (r >= 0)
                        r = write_value(json_array_get(array, i), depth, out);
        }
        return r < 0 ? r : cel__buf_append(out, "]", 1);
}

static int write_object(json_t *object, unsigned depth, cel__buf *out)
{
        int r = cel__buf_append(out, "{", 1);
        bool first = true;

        for (void *at = json_object_iter(object); at && r >= 0; at = json_object_iter_next(object, at)) {
                const char *name = json_object_iter_key(at);

                if (!first)
                        r = cel__buf_append(out, ", ", 2);
                first = false;
                if (r >= 0)
                        r = cel__json_write_string(name, strlen(name), out);
                if (r >= 0)
                        r = cel__buf_append(out, ": ", 2);
                if (r >= 0)
                        r = write_value(json_object_iter_value(at), depth, out);
        }
        return r < 0 ? r : cel__buf_append(out, "}", 1);
}

/* `depth` values are around this one. */
static int write_value(const json_t *json, unsigned depth, cel__buf *out)
{
        if ((json_is_object(json) || json_is_array(json)) && depth == CEL__JSON_DEPTH_MAX)
                return CEL_EINVAL;
        if (!json)
                return cel__buf_append(out, "null", 4);
        switch (json_typeof(json)) {
        case JSON_OBJECT:
                return write_object((json_t *)(uintptr_t)json, depth + 1, out);
        case JSON_ARRAY:
                return write_array(json, depth + 1, out);
        case JSON_STRING:
                return cel__json_write_string(json_string_value(json), json_string_length(json), out);
        case JSON_INTEGER:
                return write_integer(json_integer_value(json), out);
        case JSON_REAL:
                return write_real(json_real_value(json), out);
        case JSON_TRUE:
                return cel__buf_append(out, "true", 4);
        case JSON_FALSE:
                return cel__buf_append(out, "false", 5);
        case JSON_NULL:
                return cel__buf_append(out, "null", 4);
        }
        return CEL_EINVAL;
}

int cel__json_write(const json_t *json, cel__buf *out)
{
        return write_value(json, 0, out);
}
