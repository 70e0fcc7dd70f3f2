/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"
#include "base/random.h"

#include <stdint.h>
#include <string.h>

void cel__uuid_hex(char text[CEL__UUID_BYTES])
{
        static const char hex[] = "0123456789abcdef";
        uint8_t bytes[16];

        cel__random_bytes(bytes, sizeof(bytes));
        bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
        bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
        for (int i = 0; i < 16; i++) {
                *text++ = hex[bytes[i] >> 4];
                *text++ = hex[bytes[i] & 0xf];
        }
        *text = '\0';
}

void cel__uuid_dashed(char text[CEL__UUID_DASHED_BYTES])
{
        static const int groups[] = {8, 4, 4, 4, 12};
        char plain[CEL__UUID_BYTES];
        const char *from = plain;

        cel__uuid_hex(plain);
        for (int i = 0; i < 5; i++) {
                memcpy(text, from, (size_t)groups[i]);
                text += groups[i];
                from += groups[i];
                *text++ = '-';
        }
        text[-1] = '\0';
}
