/* SPDX-License-Identifier: Apache-2.0
 *
 * The options behind a URL's question mark. */
#include "wire/url.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *cel__url_get(const cel__url *url, const char *name)
{
        for (size_t i = 0; i < url->query_n; i++)
                if (strcmp(url->query[i].name, name) == 0)
                        return url->query[i].value;
        return NULL;
}

int cel__url_get_bool(const cel__url *url, const char *name, bool *value, char *error, size_t error_bytes)
{
        static const char *const words[] = {"false", "true", "0", "1", "off", "on", "no", "yes"};
        const char *text = cel__url_get(url, name);

        if (!text)
                return 0;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcasecmp(text, words[i]) == 0) {
                        *value = i % 2 == 1;
                        return 1;
                }
        snprintf(error, error_bytes, "option %s: \"%.100s\" is neither true nor false", name, text);
        return CEL_EINVAL;
}

int cel__url_get_int(const cel__url *url, const char *name, int64_t min, int64_t max, int64_t *value,
                     char *error, size_t error_bytes)
{
        const char *text = cel__url_get(url, name);
        long long number;
        char *end;

        if (!text)
                return 0;
        errno = 0;
        number = strtoll(text, &end, 10);
        if (isspace((unsigned char)*text) || end == text || *end != '\0' || errno == ERANGE || number < min ||
            number > max) {
                snprintf(error, error_bytes,
                         "option %s: \"%.100s\" is not a number from %" PRId64 " to %" PRId64, name, text,
                         min, max);
                return CEL_EINVAL;
        }
        *value = number;
        return 1;
}

/* Digits, and maybe a point and more of them; what is less than a millisecond is cut off. */
static bool read_ms(const char *text, int64_t max_ms, int64_t *ret_ms)
{
        size_t whole = strspn(text, "0123456789");
        const char *fraction = text + whole + (text[whole] == '.');
        size_t digits = strspn(fraction, "0123456789");
        int64_t ms = 0;

        if (whole + digits == 0 || fraction[digits])
                return false;
        for (size_t i = 0; i < whole + 3; i++) { /* the value's digits and three of the fraction's */
                char digit = i < whole ? text[i] : i - whole < digits ? fraction[i - whole] : '0';

                ms = ms * 10 + (digit - '0');
                if (ms > max_ms) /* it only grows */
                        return false;
        }
        *ret_ms = ms;
        return true;
}

int cel__url_get_seconds(const cel__url *url, const char *name, int64_t max_ms, int64_t *value_ms,
                         char *error, size_t error_bytes)
{
        const char *text = cel__url_get(url, name);

        if (!text)
                return 0;
        if (read_ms(text, max_ms, value_ms))
                return 1;
        snprintf(error, error_bytes, "option %s: \"%.100s\" is not a number of seconds from 0 to %g", name,
                 text, (double)max_ms / 1000);
        return CEL_EINVAL;
}

enum { NAME_BYTES_MAX = 64 };

/* How many letters must be added, dropped or changed to get from one name to the other (Levenshtein). */
static size_t distance(const char *from, const char *to)
{
        size_t row[NAME_BYTES_MAX + 1], to_n = strlen(to);

        if (to_n > NAME_BYTES_MAX || strlen(from) > NAME_BYTES_MAX)
                return SIZE_MAX;
        for (size_t j = 0; j <= to_n; j++)
                row[j] = j;
        for (size_t i = 1; from[i - 1]; i++) {
                size_t diagonal = row[0]; /* of the row before, one to the left */

                row[0] = i;
                for (size_t j = 1; j <= to_n; j++) {
                        size_t changed = diagonal + (from[i - 1] != to[j - 1]);
                        size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

                        diagonal = row[j];
                        row[j] = best < changed ? best : changed;
                }
        }
        return row[to_n];
}

static bool is_known(const char *name, const char *const *known)
{
        for (; *known; known++)
                if (strcmp(name, *known) == 0)
                        return true;
        return false;
}

int cel__url_check_options(const cel__url *url, const char *const *known, char *error, size_t error_bytes)
{
        const char *name = NULL, *nearest = NULL;
        size_t nearest_distance;

        for (size_t i = 0; i < url->query_n && !name; i++)
                if (!is_known(url->query[i].name, known))
                        name = url->query[i].name;
        if (!name)
                return 0;

        nearest_distance = strlen(name) / 3 + 2; /* what is further away is no typing error */
        for (; *known; known++)
                if (distance(name, *known) < nearest_distance) {
                        nearest_distance = distance(name, *known);
                        nearest = *known;
                }
        if (nearest)
                snprintf(error, error_bytes, "unknown option \"%.100s\"; did you mean \"%s\"?", name,
                         nearest);
        else
                snprintf(error, error_bytes, "unknown option \"%.100s\"", name);
        return CEL_EINVAL;
}
