/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/member.h"

#include <jansson.h>
#include <string.h>

typedef struct scanner {
        const char *at;
        const char *end;
} scanner;

static void skip_space(scanner *s)
{
        while (s->at < s->end && *s->at && strchr(" \t\r\n", *s->at))
                s->at++;
}

static bool skip_one(scanner *s, char c)
{
        skip_space(s);
        if (s->at == s->end || *s->at != c)
                return false;
        s->at++;
        return true;
}

/* Is the quote at `at` escaped, in the string that begins at `start`? It is if an odd number of backslashes precedes it. */
static bool is_escaped(const char *start, const char *at)
{
        const char *first = at;

        while (first > start && first[-1] == '\\')
                first--;
        return (at - first) % 2 == 1;
}

/* `at` is at the first quote; then behind the last one. */
static void skip_string(scanner *s)
{
        const char *start = s->at + 1, *quote = s->at;

        do {
                quote++;
                quote = memchr(quote, '"', (size_t)(s->end - quote));
        } while (quote && is_escaped(start, quote));
        s->at = quote ? quote + 1 : s->end;
}

static void skip_container(scanner *s)
{
        size_t depth = 0;

        do {
                char c = *s->at;

                depth += c == '{' || c == '[';
                depth -= c == '}' || c == ']';
                if (c == '"')
                        skip_string(s);
                else
                        s->at++;
        } while (depth > 0 && s->at < s->end);
}

static void skip_value(scanner *s)
{
        if (s->at < s->end && *s->at == '"')
                skip_string(s);
        else if (s->at < s->end && (*s->at == '{' || *s->at == '['))
                skip_container(s);
        else
                while (s->at < s->end && *s->at && !strchr(",]} \t\r\n", *s->at))
                        s->at++;
}

/* Is the string, in its quotes, this name? */
static bool is_name(const char *string, size_t n, const char *name)
{
        if (!memchr(string, '\\', n))
                return n == strlen(name) + 2 && memcmp(string + 1, name, n - 2) == 0;
        json_t *json = json_loadb(string, n, JSON_DECODE_ANY, NULL);
        bool same = json_is_string(json) && strcmp(json_string_value(json), name) == 0;

        json_decref(json);
        return same;
}

bool bridge_member_find(const char *text, size_t n, const char *name, const char **ret_member, size_t *ret_n)
{
        scanner s = {.at = text, .end = text + n};
        bool found = false;

        if (!skip_one(&s, '{'))
                return false;
        do {
                skip_space(&s);
                const char *key = s.at;

                if (s.at == s.end || *s.at != '"')
                        break;
                skip_string(&s);
                bool is_it = is_name(key, (size_t)(s.at - key), name);

                if (!skip_one(&s, ':'))
                        break;
                skip_space(&s);
                const char *value = s.at;

                skip_value(&s);
                if (is_it) {
                        *ret_member = value;
                        *ret_n = (size_t)(s.at - value);
                        found = true;
                }
        } while (skip_one(&s, ','));
        return found;
}
