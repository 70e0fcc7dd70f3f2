/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. One pass over the tokens, without a grammar: a token is only replaced where the same place
 * could hold a string, so wrong input cannot become right. That is why nothing is quoted in front of a colon,
 * and why a number must be a well-formed one to be quoted. Every replacement adds at most two bytes to at
 * least three, and most add none. */
#include "wire/json_rewrite.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct json_rewriter {
        const char *in;
        const char *end;
        char *out; /* where the next byte goes */
        int replaced;
} json_rewriter;

/* Half a surrogate pair, or a zero in a member's name, becomes this. */
static const char replacement[] = "\\ufffd";
enum { ESCAPE_BYTES = 6 };

static void copy(json_rewriter *rewriter, size_t n)
{
        memcpy(rewriter->out, rewriter->in, n);
        rewriter->out += n;
        rewriter->in += n;
}

static void count(json_rewriter *rewriter)
{
        if (rewriter->replaced < INT_MAX)
                rewriter->replaced++;
}

/* Is the name of a member what ends before `at`? */
static bool colon_follows(const json_rewriter *rewriter, const char *at)
{
        while (at < rewriter->end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
                at++;
        return at < rewriter->end && *at == ':';
}

static void copy_quoted(json_rewriter *rewriter, size_t n)
{
        *rewriter->out++ = '"';
        copy(rewriter, n);
        *rewriter->out++ = '"';
        count(rewriter);
}

/* The code unit of the \uXXXX at `at`; -1 if there is none. */
static int escaped_unit(const json_rewriter *rewriter, const char *at)
{
        int unit = 0;

        if (rewriter->end - at < ESCAPE_BYTES || at[0] != '\\' || at[1] != 'u')
                return -1;
        for (int i = 2; i < ESCAPE_BYTES; i++) {
                int c = (unsigned char)at[i];

                if (!isxdigit(c))
                        return -1;
                unit = unit * 16 + (isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
        }
        return unit;
}

/* Copy the escape sequence at the backslash. */
static void rewrite_escape(json_rewriter *rewriter)
{
        int unit = escaped_unit(rewriter, rewriter->in);
        size_t left = (size_t)(rewriter->end - rewriter->in);

        if (unit < 0xd800 || unit > 0xdfff) {
                copy(rewriter, left < 2 ? left : 2);
                return;
        }
        if (unit < 0xdc00) {
                int low = escaped_unit(rewriter, rewriter->in + ESCAPE_BYTES);

                if (low >= 0xdc00 && low <= 0xdfff) {
                        copy(rewriter, 2 * ESCAPE_BYTES);
                        return;
                }
        }
        memcpy(rewriter->out, replacement, ESCAPE_BYTES);
        rewriter->out += ESCAPE_BYTES;
        rewriter->in += ESCAPE_BYTES;
        count(rewriter);
}

/* jansson has no names with a zero byte in them. */
static void replace_zeros(json_rewriter *rewriter, char *name)
{
        for (char *at = name; at + ESCAPE_BYTES <= rewriter->out; at++) {
                if (*at != '\\')
                        continue;
                if (memcmp(at, "\\u0000", ESCAPE_BYTES) == 0) {
                        memcpy(at, replacement, ESCAPE_BYTES);
                        count(rewriter);
                }
                at++; /* what is escaped: it may be a backslash */
        }
}

static void rewrite_string(json_rewriter *rewriter)
{
        char *start = rewriter->out;

        copy(rewriter, 1);
        while (rewriter->in < rewriter->end && *rewriter->in != '"') {
                if (*rewriter->in == '\\')
                        rewrite_escape(rewriter);
                else
                        copy(rewriter, 1);
        }
        if (rewriter->in == rewriter->end)
                return;
        copy(rewriter, 1);
        if (colon_follows(rewriter, rewriter->in))
                replace_zeros(rewriter, start);
}

static size_t digits(const char *text)
{
        return strspn(text, "0123456789");
}

/* In JSON, whatever the process's locale says about decimal points. */
static bool is_infinite(const char *text)
{
        locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* costs nothing: glibc has this one ready */
        bool infinite = isinf(strtod_l(text, NULL, c));

        freelocale(c);
        return infinite;
}

/* Is the C string a JSON number, but one that neither int64 nor double can hold? */
static bool is_too_big(const char *text)
{
        const char *at = text + (*text == '-');
        size_t whole = digits(at);
        bool is_integer = true;

        if (whole == 0 || (*at == '0' && whole > 1))
                return false;
        at += whole;
        if (*at == '.') {
                is_integer = false;
                if (digits(at + 1) == 0)
                        return false;
                at += 1 + digits(at + 1);
        }
        if (*at == 'e' || *at == 'E') {
                is_integer = false;
                at += 1 + (at[1] == '+' || at[1] == '-');
                if (digits(at) == 0)
                        return false;
                at += digits(at);
        }
        if (*at != '\0')
                return false;
        if (!is_integer)
                return is_infinite(text);
        errno = 0;
        strtoll(text, NULL, 10);
        return errno == ERANGE;
}

/* Copy a number, with quotes if need be; also "-Infinity". */
static void rewrite_number(json_rewriter *rewriter)
{
        static const char infinity[] = "-Infinity";
        size_t n = 0, left = (size_t)(rewriter->end - rewriter->in);
        char *start = rewriter->out;

        if (left >= strlen(infinity) && memcmp(rewriter->in, infinity, strlen(infinity)) == 0) {
                if (colon_follows(rewriter, rewriter->in + strlen(infinity)))
                        copy(rewriter, strlen(infinity));
                else
                        copy_quoted(rewriter, strlen(infinity));
                return;
        }
        while (n < left && rewriter->in[n] != '\0' && strchr("0123456789+-.eE", rewriter->in[n]))
                n++;
        copy(rewriter, n);
        *rewriter->out = '\0'; /* there is room: see cel__json_rewrite() */
        if (!is_too_big(start) || colon_follows(rewriter, rewriter->in))
                return;
        rewriter->in -= n;
        rewriter->out = start;
        copy_quoted(rewriter, n);
}

/* Copy a letter, or the whole word if it is one of Python's. */
static void rewrite_word(json_rewriter *rewriter)
{
        static const char *const words[] = {"NaN", "Infinity"};
        size_t left = (size_t)(rewriter->end - rewriter->in);

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                size_t n = strlen(words[i]);

                if (left >= n && memcmp(rewriter->in, words[i], n) == 0 &&
                    !colon_follows(rewriter, rewriter->in + n)) {
                        copy_quoted(rewriter, n);
                        return;
                }
        }
        copy(rewriter, 1);
}

int cel__json_rewrite(const char *text, size_t n, char **ret_copy, size_t *ret_copy_bytes)
{
        json_rewriter rewriter = {.in = text, .end = text + n};
        char *room;

        if (n > SIZE_MAX / 2 - 1)
                return CEL_ENOMEM;
        room = malloc(2 * n + 1); /* "NaN" grows most: by two thirds; and one byte behind a number */
        if (!room)
                return CEL_ENOMEM;
        rewriter.out = room;
        while (rewriter.in < rewriter.end) {
                if (*rewriter.in == '"')
                        rewrite_string(&rewriter);
                else if (*rewriter.in == '-' || (*rewriter.in >= '0' && *rewriter.in <= '9'))
                        rewrite_number(&rewriter);
                else
                        rewrite_word(&rewriter);
        }
        *ret_copy = room;
        *ret_copy_bytes = (size_t)(rewriter.out - room);
        return rewriter.replaced;
}
