/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/version.h"

#include <stdlib.h>
#include <string.h>

/* Read the number at `*at` and step behind the dot that follows; -1: there is none. */
static int part(const char **at)
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

/* Major, minor and revision, which is 0 if there is none; further parts are ignored, as upstream does. */
static bool parse(const char *version, int parts[3])
{
        parts[0] = part(&version);
        parts[1] = part(&version);
        parts[2] = *version ? part(&version) : 0;
        return parts[0] >= 0 && parts[1] >= 0 && parts[2] >= 0;
}

bool cel__version_is_valid(const char *version)
{
        int parts[3];

        return parse(version, parts);
}

int cel__version_compatible(const char *implemented, const char *requested)
{
        int has[3], wants[3];

        if (!implemented)
                return 1;
        if (!requested)
                return 0;
        if (!parse(implemented, has) || !parse(requested, wants))
                return CEL_EINVAL;
        if (has[0] != wants[0] || wants[1] > has[1])
                return 0;
        return wants[1] < has[1] || wants[2] <= has[2];
}
