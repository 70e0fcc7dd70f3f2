/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/sasl.h"
#include "wire/bytes.h"

#include <string.h>

int cel__sasl_plain(const char *user, const char *password, cel__buf *out)
{
        size_t user_bytes = strlen(user), password_bytes = strlen(password);
        size_t n = 1 + user_bytes + 1 + password_bytes;
        int error = 0;
        uint8_t *to = cel__buf_reserve(out, n, &error);

        if (!to)
                return error;
        to = cel__put_u8(to, 0);
        to = cel__put_bytes(to, user, user_bytes);
        to = cel__put_u8(to, 0);
        cel__put_bytes(to, password, password_bytes);
        cel__buf_commit(out, n);
        return 0;
}

static uint8_t *put_entry(uint8_t *to, const char *name, const char *value, size_t value_bytes)
{
        to = cel__put_u8(to, (uint8_t)strlen(name));
        to = cel__put_bytes(to, name, strlen(name));
        to = cel__put_u8(to, 'S');
        to = cel__put_u32(to, (uint32_t)value_bytes);
        return cel__put_bytes(to, value, value_bytes);
}

int cel__sasl_amqplain(const char *user, const char *password, cel__buf *out)
{
        size_t user_bytes = strlen(user), password_bytes = strlen(password);
        size_t n = (1 + strlen("LOGIN") + 5 + user_bytes) + (1 + strlen("PASSWORD") + 5 + password_bytes);
        int error = 0;
        uint8_t *to = cel__buf_reserve(out, n, &error);

        if (!to)
                return error;
        to = put_entry(to, "LOGIN", user, user_bytes);
        put_entry(to, "PASSWORD", password, password_bytes);
        cel__buf_commit(out, n);
        return 0;
}
