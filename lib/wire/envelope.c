/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. What Python peers send is always the same envelope, byte for byte, around a string in which
 * only quotes and backslashes are escaped (all else is escaped inside it). It is unescaped directly, in
 * a fraction of the time that parsing takes. Anything that looks different, wrong or not, goes through
 * jansson; both ways yield the same. */
#include "wire/envelope.h"
#include "wire/bytes.h"
#include "wire/explain.h"
#include "wire/plain.h"
#include "wire/version.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "{\"oslo.version\": \"2.0\", \"oslo.message\": \"";
static const char suffix[] = "\"}";

enum { PREFIX_BYTES = sizeof(prefix) - 1, SUFFIX_BYTES = sizeof(suffix) - 1 };

/* Undo the escapes of one byte; false when there is anything else that is not plain ASCII. */
static bool unescape(const uint8_t *text, size_t n, char *to, size_t *ret_n)
{
        const uint8_t *end = text + n;
        const char *start = to;

        while (text < end) {
                size_t plain = cel__copy_plain((uint8_t *)to, text, end);

                text += plain;
                to += plain;
                if (text == end)
                        break;
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

static int open_any(const char *body, size_t n, cel__envelope *envelope, char *why, size_t why_bytes)
{
        const json_t *version, *message;
        json_t *outer;
        int r = cel__json_read_object(body, n, "the body", &outer, why, why_bytes);

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
        if (cel__version_compatible("2.0", json_string_value(version)) != 1) {
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
                r = cel__json_read_object(envelope.text, envelope.text_bytes, "the message in the envelope",
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

int cel__envelope_wrap(const char *inner, size_t n, cel__buf *out)
{
        size_t escaped_bytes, total;
        int r = cel__json_measure(inner, n, &escaped_bytes);
        uint8_t *to;

        if (r < 0)
                return r;
        total = PREFIX_BYTES + escaped_bytes + SUFFIX_BYTES;
        to = cel__buf_reserve(out, total, &r);
        if (!to)
                return r;
        to = cel__put_bytes(to, prefix, PREFIX_BYTES);
        to = cel__json_put_escaped(to, inner, n);
        cel__put_bytes(to, suffix, SUFFIX_BYTES);
        cel__buf_commit(out, total);
        return 0;
}
