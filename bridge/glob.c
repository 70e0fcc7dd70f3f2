/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. When a character does not fit, only the last star can help: it takes one character more and
 * everything after it is tried again. An earlier star never needs to move, because whatever it could give up
 * the last one can take. So there is one place to go back to, not one for each star. */
#include "bridge/glob.h"

#include <stddef.h>

/* Not tolower(): what matches must not depend on the locale. */
static char lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same(char a, char b, bool nocase)
{
        return a == b || (nocase && lower(a) == lower(b));
}

/* Step over one UTF-8 character: its first byte and the continuation bytes, 10xxxxxx, that follow. */
static const char *next_character(const char *text)
{
        text++;
        while (((unsigned char)*text & 0xC0) == 0x80)
                text++;
        return text;
}

static bool match(const char *glob, const char *text, bool nocase)
{
        const char *after_star = NULL; /* the glob behind the last star seen */
        const char *star_end = NULL;   /* the text behind what that star has taken so far */

        while (*text) {
                if (*glob == '*') {
                        after_star = ++glob;
                        star_end = text;
                } else if (*glob == '?') {
                        glob++;
                        text = next_character(text);
                } else if (*glob && same(*glob, *text, nocase)) {
                        glob++;
                        text++;
                } else if (after_star) {
                        glob = after_star;
                        text = star_end = next_character(star_end);
                } else {
                        return false;
                }
        }
        while (*glob == '*')
                glob++;
        return !*glob;
}

bool bridge_glob(const char *glob, const char *text)
{
        return match(glob, text, false);
}

bool bridge_glob_nocase(const char *glob, const char *text)
{
        return match(glob, text, true);
}
