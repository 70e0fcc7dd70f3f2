/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. What Python peers send is always the same envelope, byte for byte, around a string in which
 * only quotes and backslashes are escaped (all else is escaped inside it). It is unescaped directly, in
 * a fraction of the time that parsing takes. Anything that looks different, wrong or not, goes through
 * jansson; both ways yield the same. */
#include "wire/envelope.h"
#include "wire/bytes.h"
#include "wire/explain.h"
#include "wire/json_rewrite.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "{\"oslo.version\": \"2.0\", \"oslo.message\": \"";
static const char suffix[] = "\"}";

enum { PREFIX_BYTES = sizeof(prefix) - 1, SUFFIX_BYTES = sizeof(suffix) - 1 };

static json_t *load(const char *text, size_t n, json_error_t *ret_error)
{
        return json_loadb(text, n, JSON_ALLOW_NUL, ret_error);
}

/* Is any value inside more than CEL__JSON_DEPTH_MAX others? What is no JSON may get either answer. */
static bool nests_too_deep(const char *text, size_t n)
{
        const char *end = text + n;
        unsigned depth = 0;
        bool in_string = false;

        for (; text < end; text++) {
                if (*text == '"')
                        in_string = !in_string;
                else if (in_string)
                        text += *text == '\\'; /* and what it escapes */
                else if (*text == '{' || *text == '[')
                        depth++;
                else if ((*text == '}' || *text == ']') && depth > 0)
                        depth--;
                if (depth > CEL__JSON_DEPTH_MAX)
                        return true;
        }
        return false;
}

/* Parse as it is or, failing that, as rewritten. `what` begins the sentence. */
static int parse(const char *text, size_t n, const char *what, json_t **ret_json, char *why, size_t why_bytes)
{
        json_error_t error;

        if (nests_too_deep(text, n)) {
                cel__explain(why, why_bytes, "%s is nested deeper than %d levels", what, CEL__JSON_DEPTH_MAX);
                return CEL_EDECODE;
        }
        json_t *json = load(text, n, &error);
        if (!json) {
                cel_auto_free char *copy = NULL;
                size_t copy_bytes;
                int r = cel__json_rewrite(text, n, &copy, &copy_bytes);

                if (r < 0)
                        return r;
                if (r > 0)
                        json = load(copy, copy_bytes, &error);
        }
        if (!json) {
                if (json_error_code(&error) == json_error_out_of_memory)
                        return CEL_ENOMEM;
                cel__explain(why, why_bytes, "%s is not JSON: line %d, column %d: %s", what, error.line,
                             error.column, error.text);
                return CEL_EDECODE;
        }
        *ret_json = json;
        return 0;
}

static int parse_object(const char *text, size_t n, const char *what, json_t **ret_json, char *why,
                        size_t why_bytes)
{
        json_t *json;
        int r = parse(text, n, what, &json, why, why_bytes);

        if (r < 0)
                return r;
        if (!json_is_object(json)) {
                cel__explain(why, why_bytes, "%s is JSON, but not an object", what);
                json_decref(json);
                return CEL_EDECODE;
        }
        *ret_json = json;
        return 0;
}

/* Undo the escapes of one byte; false when there is anything else that is not plain ASCII. */
static bool unescape(const uint8_t *text, size_t n, char *to, size_t *ret_n)
{
        const uint8_t *end = text + n;
        const char *start = to;

        while (text < end) {
                uint8_t c = *text++;

                if (c == '\\') {
                        if (text == end || (*text != '"' && *text != '\\'))
                                return false;
                        c = *text++;
                } else if (c == '"' || c < ' ' || c >= 0x80) {
                        return false;
                }
                *to++ = (char)c;
        }
        *to = '\0';
        *ret_n = (size_t)(to - start);
        return true;
}

/* Open the envelope if it is the one that Python writes: 1, or 0: try it the other way. */
static int open_usual(const char *body, size_t n, cel__envelope *envelope)
{
        if (n < PREFIX_BYTES + SUFFIX_BYTES || memcmp(body, prefix, PREFIX_BYTES) != 0 ||
            memcmp(body + n - SUFFIX_BYTES, suffix, SUFFIX_BYTES) != 0)
                return 0;

        cel_auto_free char *text = malloc(n - PREFIX_BYTES - SUFFIX_BYTES + 1);

        if (!text)
                return CEL_ENOMEM;
        if (!unescape((const uint8_t *)body + PREFIX_BYTES, n - PREFIX_BYTES - SUFFIX_BYTES, text,
                      &envelope->text_bytes))
                return 0;
        envelope->version = 2;
        envelope->unescaped = CEL_TAKE(text);
        envelope->text = envelope->unescaped;
        return 1;
}

/* Step over a number of at most nine digits and the dot behind it; -1 if there is none. */
static int version_part(const char **at)
{
        size_t n = strspn(*at, "0123456789");
        int value = n > 0 && n < 10 ? atoi(*at) : -1;

        *at += n;
        if (**at == '.')
                ++*at;
        else if (**at != '\0')
                return -1;
        return value;
}

/* oslo.messaging's rule with "2.0" implemented: major and minor as they are, a third part of 0, further parts
 * ignored. */
static bool version_is_supported(const char *version)
{
        return version_part(&version) == 2 && version_part(&version) == 0 &&
               (*version == '\0' || version_part(&version) == 0);
}

static int open_any(const char *body, size_t n, cel__envelope *envelope, char *why, size_t why_bytes)
{
        const json_t *version, *message;
        json_t *outer;
        int r = parse_object(body, n, "the body", &outer, why, why_bytes);

        if (r < 0)
                return r;
        version = json_object_get(outer, "oslo.version");
        message = json_object_get(outer, "oslo.message");
        if (!version || !message) {
                *envelope = (cel__envelope){.version = 1, .text = body, .text_bytes = n, .message = outer};
                return 0;
        }
        envelope->outer = outer;
        if (!json_is_string(version)) {
                cel__explain(why, why_bytes, "the envelope's version is not a string; \"2.0\" is supported");
                return CEL_EVERSION;
        }
        if (!version_is_supported(json_string_value(version))) {
                cel__explain(why, why_bytes, "envelope version \"%s\" is not supported; \"2.0\" is",
                             json_string_value(version));
                return CEL_EVERSION;
        }
        if (!json_is_string(message)) {
                cel__explain(why, why_bytes, "the envelope's oslo.message is not a string");
                return CEL_EDECODE;
        }
        envelope->version = 2;
        envelope->text = json_string_value(message);
        envelope->text_bytes = json_string_length(message);
        return 0;
}

int cel__envelope_open(const void *body, size_t n, cel__envelope *ret_envelope, char *why, size_t why_bytes)
{
        cel__envelope envelope = {0};
        int r;

        if (n == 0) {
                cel__explain(why, why_bytes, "the body is empty");
                return CEL_EDECODE;
        }
        r = open_usual(body, n, &envelope);
        if (r == 0)
                r = open_any(body, n, &envelope, why, why_bytes);
        if (r >= 0 && !envelope.message)
                r = parse_object(envelope.text, envelope.text_bytes, "the message in the envelope",
                                 &envelope.message, why, why_bytes);
        if (r < 0) {
                cel__envelope_fini(&envelope);
                return r;
        }
        *ret_envelope = envelope;
        return 0;
}

void cel__envelope_fini(cel__envelope *envelope)
{
        json_decref(envelope->message);
        json_decref(envelope->outer);
        free(envelope->unescaped);
        *envelope = (cel__envelope){0};
}

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

/* Does the byte stand for itself? Nearly all do. */
static bool is_plain(uint8_t byte)
{
        return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
}

/* How long `text` will be when escaped.
 * Errors: CEL_EINVAL (not UTF-8). */
static int measure(const uint8_t *text, size_t n, size_t *ret_bytes)
{
        size_t bytes = 0;

        while (n > 0) {
                uint8_t scratch[12];
                uint32_t character;
                size_t length = 1;

                if (is_plain(*text)) {
                        bytes++;
                } else {
                        length = read_character(text, n, &character);
                        if (length == 0)
                                return CEL_EINVAL;
                        bytes += (size_t)(put_character(scratch, character) - scratch);
                }
                text += length;
                n -= length;
        }
        *ret_bytes = bytes;
        return 0;
}

int cel__envelope_wrap(const char *inner, size_t n, cel__buf *out)
{
        const uint8_t *text = (const uint8_t *)inner;
        size_t escaped_bytes, total;
        int r = measure(text, n, &escaped_bytes);
        uint8_t *to;

        if (r < 0)
                return r;
        total = PREFIX_BYTES + escaped_bytes + SUFFIX_BYTES;
        to = cel__buf_reserve(out, total, &r);
        if (!to)
                return r;
        to = cel__put_bytes(to, prefix, PREFIX_BYTES);
        while (n > 0) {
                uint32_t character;
                size_t length = 1;

                if (is_plain(*text)) {
                        *to++ = *text;
                } else {
                        length = read_character(text, n, &character);
                        to = put_character(to, character);
                }
                text += length;
                n -= length;
        }
        cel__put_bytes(to, suffix, SUFFIX_BYTES);
        cel__buf_commit(out, total);
        return 0;
}
