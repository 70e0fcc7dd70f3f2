/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/types.h>

/* The kernel's generator does not fail once the system has booted, and does not wait for so few bytes. */
static void fill(unsigned char *bytes, size_t n)
{
        if (getrandom(bytes, n, 0) != (ssize_t)n)
                abort();
}

void bridge_random_uuid(char ret_text[BRIDGE_UUID_BYTES])
{
        unsigned char b[16];

        fill(b, sizeof(b));
        b[6] = (unsigned char)((b[6] & 0x0F) | 0x40);
        b[8] = (unsigned char)((b[8] & 0x3F) | 0x80);
        snprintf(ret_text, BRIDGE_UUID_BYTES,
                 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
                 b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void bridge_random_hex(char *ret_text, size_t n)
{
        unsigned char bytes[16];

        fill(bytes, n);
        bytes[n - 1] |= 1; /* not all zero */
        for (size_t i = 0; i < n; i++)
                snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}
