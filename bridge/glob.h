/* SPDX-License-Identifier: Apache-2.0
 *
 * Globs: `*` stands for any run of characters, none included; `?` for exactly one character (of UTF-8);
 * anything else for itself. There is no escape. A glob matches the whole text. */
#ifndef CELADON_BRIDGE_GLOB_H
#define CELADON_BRIDGE_GLOB_H

#include <stdbool.h>

/* At most strlen(glob) * strlen(text) steps and no recursion, however many stars there are. */
bool bridge_glob(const char *glob, const char *text);

/* The same, A to Z and a to z being equal. */
bool bridge_glob_nocase(const char *glob, const char *text);

#endif
