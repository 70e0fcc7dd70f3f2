/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets, which a configuration names and does not hold: `file:PATH`, `env:NAME`, or `credential:NAME`, a credential of
 * systemd's (LoadCredential=), in $CREDENTIALS_DIRECTORY. */
#ifndef CELADON_BRIDGE_SECRET_H
#define CELADON_BRIDGE_SECRET_H

#include <stddef.h>

enum {
        BRIDGE_SECRET_BYTES_MAX = 4096,
        BRIDGE_SECRET_WHY_BYTES = 256,
};

typedef struct bridge_secret {
        char bytes[BRIDGE_SECRET_BYTES_MAX + 1]; /* NUL-terminated */
        size_t n;
} bridge_secret;

/* Read the secret that `reference` names, without the line's end behind it.
 * Owns:   wipe *ret_secret when it is used: bridge_secret_wipe().
 * Waits:  blocks on the file system: for start-up and tools.
 * Errors: CEL_EINVAL, and `why` says why it cannot be had, the end of a sentence; never the secret itself, and not the
 *         reference if it may be one. *ret_secret is then empty. */
int bridge_secret_read(const char *reference, bridge_secret *ret_secret, char why[BRIDGE_SECRET_WHY_BYTES]);

/* Overwrite it. */
void bridge_secret_wipe(bridge_secret *secret);

#endif
