/* SPDX-License-Identifier: Apache-2.0
 *
 * Versions of interfaces, "major.minor" or "major.minor.revision", by oslo.messaging's rules. */
#ifndef CEL_WIRE_VERSION_H
#define CEL_WIRE_VERSION_H

#include <celadon/error.h>
#include <stdbool.h>

/* Is it one? Numbers have at most nine digits. */
bool cel__version_is_valid(const char *version);

/* Does what implements one version (NULL: whatever comes) understand a request of the other (NULL: no version)?
 * Majors are equal; of the rest, the requested is not newer. Returns 1 or 0.
 * Errors: CEL_EINVAL (one of them is no version). */
int cel__version_compatible(const char *implemented, const char *requested);

#endif
