/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of a URL's path that servers resolve instead of looking them up. */
#ifndef CELADON_BRIDGE_DOTS_H
#define CELADON_BRIDGE_DOTS_H

#include <stdbool.h>

/* Does the path of the URL have a part that is `.` or `..`? Parts end at a slash, at one that is encoded, at a backslash, as some
 * servers take it, and at a semicolon, behind which some read parameters. */
bool bridge_url_has_dots(const char *url);

#endif
