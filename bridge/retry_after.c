/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything here comes from a stranger: no locale, no strtod(), no field that is longer than it may be. */
#include "bridge/retry_after.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
        DIGITS_MAX = 12,
        EPOCH_SECONDS_MIN = 1000000000, /* a reset beyond this is a time of day: September 2001 or later */
};

static const bridge_retry_after says_nothing;

static bridge_retry_after after_ms(int64_t ms)
{
        if (ms <= 0)
                return says_nothing;
        return (bridge_retry_after){.given = true,
                                    .ms = ms < BRIDGE_RETRY_AFTER_MS_MAX ? ms : BRIDGE_RETRY_AFTER_MS_MAX};
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* Seconds with up to three digits behind the point that count, as ms. Returns false if it is something else. */
static bool parse_seconds(const char *text, int64_t *ret_ms)
{
        int64_t ms = 0, digit_ms = 100;
        size_t n = 0;

        for (; is_digit(text[n]); n++)
                if (n < DIGITS_MAX)
                        ms = ms * 10 + (text[n] - '0');
        if (n == 0)
                return false;
        if (n > DIGITS_MAX) /* however many there are, it is too long a wait */
                ms = BRIDGE_RETRY_AFTER_MS_MAX / 1000;
        ms *= 1000;
        if (text[n] == '.') {
                const char *at = text + n + 1;

                if (!is_digit(*at))
                        return false;
                for (; is_digit(*at); at++, digit_ms /= 10)
                        ms += digit_ms * (*at - '0');
                n = (size_t)(at - text);
        }
        n += strspn(text + n, " \t");
        *ret_ms = ms;
        return !text[n];
}

static int month_of(const char *name)
{
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

        for (int i = 0; i < 12; i++)
                if (strncmp(months + 3 * i, name, 3) == 0)
                        return i;
        return -1;
}

/* A year of two digits that looks more than 50 years ahead is in the past. */
static int whole_year(int year, int64_t now_ms)
{
        time_t now = (time_t)(now_ms / 1000);
        struct tm utc;

        gmtime_r(&now, &utc);
        year += (utc.tm_year + 1900) / 100 * 100;
        return year > utc.tm_year + 1900 + 50 ? year - 100 : year;
}

static bool parse_date(const char *text, int64_t now_ms, int64_t *ret_ms)
{
        char month[4] = "";
        struct tm at = {0};
        int year = 0, end = 0;

        if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &at.tm_mday, month, &year,
                   &at.tm_hour, &at.tm_min, &at.tm_sec, &end) != 6 ||
            end == 0) {
                end = 0;
                if (sscanf(text, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &at.tm_mday, month,
                           &year, &at.tm_hour, &at.tm_min, &at.tm_sec, &end) == 6 &&
                    end > 0)
                        year = whole_year(year, now_ms);
                else if (sscanf(text, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month, &at.tm_mday,
                                &at.tm_hour, &at.tm_min, &at.tm_sec, &year, &end) != 6)
                        return false;
        }
        at.tm_mon = month_of(month);
        at.tm_year = year - 1900;
        if (text[end] || at.tm_mon < 0 || year < 1900 || at.tm_mday < 1 || at.tm_mday > 31 ||
            at.tm_hour < 0 || at.tm_hour > 23 || at.tm_min < 0 || at.tm_min > 59 || at.tm_sec < 0 ||
            at.tm_sec > 60)
                return false;
        *ret_ms = (int64_t)timegm(&at) * 1000;
        return true;
}

bridge_retry_after bridge_read_retry_after(const char *value, int64_t now_ms)
{
        int64_t ms = 0;

        if (!value)
                return says_nothing;
        value += strspn(value, " \t");
        if (*value == '-')
                return (bridge_retry_after){.never = parse_seconds(value + 1, &ms) && ms > 0};
        if (parse_seconds(value, &ms))
                return after_ms(ms);
        if (parse_date(value, now_ms, &ms))
                return after_ms(ms - now_ms);
        return says_nothing;
}

bridge_retry_after bridge_read_rate_limit(const char *remaining, const char *reset, int64_t now_ms)
{
        int64_t left = 0, ms = 0;

        if (!remaining || !reset || !parse_seconds(remaining, &left) || left > 0 ||
            !parse_seconds(reset, &ms))
                return says_nothing;
        return after_ms(ms >= EPOCH_SECONDS_MIN * INT64_C(1000) ? ms - now_ms : ms);
}
