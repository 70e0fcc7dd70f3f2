/* SPDX-License-Identifier: Apache-2.0
 *
 * RPC replies (oslo-wire section 10). */
#ifndef CEL_WIRE_REPLY_H
#define CEL_WIRE_REPLY_H

#include "wire/envelope.h"

typedef struct cel__reply {
        const json_t *result; /* NULL: null */
        const char *failure;  /* JSON text, see failure.h; NULL: success */
        size_t failure_bytes;
        bool ending;        /* false: the method is still at work */
        const char *msg_id; /* of the request */
        const char *unique_id;
} cel__reply;

/* Append the reply in its envelope, with the bytes that oslo.messaging would send.
 * Errors: as cel__json_write(). */
int cel__reply_encode(const cel__reply *reply, cel__buf *out);

/* Read what came in an envelope; on failure, `why` is a sentence, and *ret_msg_id is whom it was for, or NULL.
 * Owns:   everything is borrowed from the envelope.
 * Errors: CEL_EDECODE. */
int cel__reply_decode(const cel__envelope *envelope, cel__reply *ret_reply, const char **ret_msg_id,
                      char *why, size_t why_bytes);

#endif
