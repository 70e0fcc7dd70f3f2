/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns as Python's fnmatch has them: `*` stands for any run of characters, `?` for one, `[a-z_]` for one of a set,
 * `[!a-z]` for one that is not in it; there is no escape, and a `[` that nothing closes stands for itself. */
#ifndef CEL_NOTIFY_GLOB_H
#define CEL_NOTIFY_GLOB_H

#include <stdbool.h>

/* Does the whole text match? Without recursion, in strlen(glob) * strlen(text) steps at most. */
bool cel__glob_match(const char *glob, const char *text);

#endif
