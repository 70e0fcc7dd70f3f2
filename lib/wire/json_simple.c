/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Whatever is in doubt is left to jansson, which both decides what is JSON and says what is wrong with
 * it. So nothing here has to be complete; it only must never make something else of a text than jansson does. */
#include "wire/json_simple.h"
#include "wire/plain.h"

#include <stdbool.h>
#include <stdint.h>

enum {
        DEPTH_MAX = 16,
        DIGITS_MAX = 18, /* every number of so many digits fits */
};

typedef struct parser {
        const uint8_t *at, *end;
        unsigned depth;
} parser;

static json_t *read_value(parser *p);

static void skip_space(parser *p)
{
        while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
                p->at++;
}

/* Is `c` the next byte that is not space? Then step over it. */
static bool take(parser *p, uint8_t c)
{
        skip_space(p);
        if (p->at == p->end || *p->at != c)
                return false;
        p->at++;
        return true;
}

/* The inside of a string; its first quote has been taken. */
static bool take_text(parser *p, const char **ret_text, size_t *ret_n)
{
        const uint8_t *start = p->at;
        size_t n = cel__plain_bytes(start, p->end);

        p->at += n;
        if (p->at == p->end || *p->at != '"')
                return false;
        p->at++;
        *ret_text = (const char *)start;
        *ret_n = n;
        return true;
}

static json_t *read_string(parser *p)
{
        const char *text;
        size_t n;

        return take_text(p, &text, &n) ? json_stringn_nocheck(text, n) : NULL;
}

static bool read_member(parser *p, json_t *object)
{
        const char *name;
        size_t n;

        if (!take(p, '"') || !take_text(p, &name, &n) || !take(p, ':'))
                return false;
        json_t *value = read_value(p);
        return value && json_object_setn_new_nocheck(object, name, n, value) == 0;
}

static json_t *read_object(parser *p)
{
        json_t *object = json_object();
        bool good = object && take(p, '}');

        if (!object || good)
                return object;
        do {
                good = read_member(p, object);
        } while (good && take(p, ','));
        if (good && take(p, '}'))
                return object;
        json_decref(object);
        return NULL;
}

static json_t *read_array(parser *p)
{
        json_t *array = json_array();
        bool good = array && take(p, ']');

        if (!array || good)
                return array;
        do {
                json_t *value = read_value(p);

                good = value && json_array_append_new(array, value) == 0;
        } while (good && take(p, ','));
        if (good && take(p, ']'))
                return array;
        json_decref(array);
        return NULL;
}

static json_t *read_nested(parser *p, json_t *(*read)(parser *p))
{
        if (p->depth == DEPTH_MAX)
                return NULL;
        p->depth++;
        json_t *json = read(p);
        p->depth--;
        return json;
}

static bool is_digit(uint8_t c)
{
        return c >= '0' && c <= '9';
}

/* Does the number go on behind its digits, as a real, or wrongly? */
static bool goes_on(const parser *p)
{
        return p->at < p->end && (*p->at == '.' || *p->at == 'e' || *p->at == 'E' || is_digit(*p->at));
}

static json_t *read_integer(parser *p)
{
        bool negative = *p->at == '-';
        json_int_t value = 0;

        p->at += negative;
        const uint8_t *start = p->at;
        while (p->at < p->end && is_digit(*p->at) && p->at - start < DIGITS_MAX)
                value = value * 10 + (*p->at++ - '0');
        if (p->at == start || goes_on(p) || (*start == '0' && (negative || p->at - start > 1)))
                return NULL;
        return json_integer(negative ? -value : value);
}

static json_t *read_word(parser *p, const char *word, json_t *json)
{
        size_t n = strlen(word);

        if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
                return NULL;
        p->at += n;
        return json;
}

static json_t *read_value(parser *p)
{
        skip_space(p);
        if (p->at == p->end)
                return NULL;
        switch (*p->at) {
        case '"':
                p->at++;
                return read_string(p);
        case '{':
                p->at++;
                return read_nested(p, read_object);
        case '[':
                p->at++;
                return read_nested(p, read_array);
        case 't':
                return read_word(p, "true", json_true());
        case 'f':
                return read_word(p, "false", json_false());
        case 'n':
                return read_word(p, "null", json_null());
        default:
                return read_integer(p);
        }
}

json_t *cel__json_read_simple(const char *text, size_t n)
{
        parser p = {.at = (const uint8_t *)text, .end = (const uint8_t *)text + n};
        json_t *json = read_value(&p);

        skip_space(&p);
        if (json && p.at == p.end && (json_is_object(json) || json_is_array(json)))
                return json;
        json_decref(json);
        return NULL;
}
