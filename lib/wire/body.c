/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/body.h"
#include "wire/decompress.h"

int cel__body_plain(const cel_message *message, cel__buf *plain, const void **ret_body, size_t *ret_n,
                    char *why, size_t why_bytes)
{
        cel_auto_free char *compression = NULL;
        int r = cel_headers_get_str(message->headers, "compression", &compression);

        if (r == CEL_ENOMEM)
                return r;
        if (r < 0 || !*compression) {
                *ret_body = message->body;
                *ret_n = message->body_bytes;
                return 0;
        }
        r = cel__decompress(compression, message->body, message->body_bytes, plain, why, why_bytes);
        if (r < 0)
                return r;
        *ret_body = cel__buf_head(plain);
        *ret_n = cel__buf_used(plain);
        return 0;
}
