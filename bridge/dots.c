/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/dots.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The character at `*at` in a URL's path, decoded if it is one of those that servers decode before they look for
 * dots; `*at` moves behind it. */
static char path_character(const char **at)
{
        static const struct {
                const char *encoded;
                char meant;
        } known[] = {{"%2F", '/'}, {"%5C", '/'}, {"%2E", '.'}};

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
                if (strncasecmp(*at, known[i].encoded, 3) == 0) {
                        *at += 3;
                        return known[i].meant;
                }
        return *(*at)++;
}

bool bridge_url_has_dots(const char *url)
{
        const char *at = strstr(url, "://");
        size_t dots = 0, others = 0;

        at = at ? at + 3 : url;
        at += strcspn(at, "/?#");
        while (*at && *at != '?' && *at != '#') {
                char c = path_character(&at);

                if (c == '/' || c == '\\' || c == ';') {
                        if (others == 0 && (dots == 1 || dots == 2))
                                return true;
                        dots = others = 0;
                } else if (c == '.') {
                        dots++;
                } else {
                        others++;
                }
        }
        return others == 0 && (dots == 1 || dots == 2);
}
