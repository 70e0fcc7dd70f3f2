/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/glob.h"

#include <stddef.h>
#include <stdint.h>

/* The character at *at, of UTF-8, and go behind it; a broken one is the byte. */
static uint32_t next_character(const char **at)
{
        const unsigned char *c = (const unsigned char *)*at;
        unsigned more = c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 1 : c[0] < 0xf0 ? 2 : 3;
        uint32_t character = more ? c[0] & (0x3fu >> more) : c[0];

        for (unsigned i = 1; i <= more; i++) {
                if ((c[i] & 0xc0) != 0x80) {
                        more = 0;
                        character = c[0];
                        break;
                }
                character = character << 6 | (c[i] & 0x3fu);
        }
        *at += more + 1;
        return character;
}

/* Where the set that begins behind `[` ends: at its `]`, which as the first one is a member; NULL: it does not. */
static const char *set_end(const char *at)
{
        if (*at == '!')
                at++;
        if (*at == ']')
                at++;
        while (*at && *at != ']')
                at++;
        return *at ? at : NULL;
}

static bool set_has(const char *at, const char *end, uint32_t character)
{
        bool negated = *at == '!', found = false;

        if (negated)
                at++;
        while (at < end) {
                uint32_t low = next_character(&at), high = low;

                if (*at == '-' && at + 1 < end) {
                        at++;
                        high = next_character(&at);
                }
                found |= low <= character && character <= high;
        }
        return found != negated;
}

/* Does one character of the pattern, which is no star, match? Go behind it if so. */
static bool match_one(const char **glob, uint32_t character)
{
        const char *at = *glob;
        uint32_t wanted = next_character(&at);
        bool matches;

        const char *end = wanted == '[' ? set_end(at) : NULL;
        if (end) {
                matches = set_has(at, end, character);
                at = end + 1;
        } else {
                matches = wanted == '?' || wanted == character;
        }
        if (matches)
                *glob = at;
        return matches;
}

bool cel__glob_match(const char *glob, const char *text)
{
        const char *star = NULL, *resume = NULL; /* behind the last star; where it may go on */

        while (*text) {
                const char *behind = text;
                uint32_t character = next_character(&behind);

                if (*glob == '*') {
                        star = ++glob;
                        resume = text;
                } else if (*glob && match_one(&glob, character)) {
                        text = behind;
                } else if (star) { /* the star takes one more */
                        glob = star;
                        next_character(&resume);
                        text = resume;
                } else {
                        return false;
                }
        }
        while (*glob == '*')
                glob++;
        return *glob == '\0';
}
