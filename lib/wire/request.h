/* SPDX-License-Identifier: Apache-2.0
 *
 * RPC requests (oslo-wire section 9). */
#ifndef CEL_WIRE_REQUEST_H
#define CEL_WIRE_REQUEST_H

#include "wire/envelope.h"

typedef struct cel__request {
        const char *method;
        const json_t *args;      /* an object */
        const char *name_space;  /* NULL: none */
        const char *version;     /* NULL: none; of a request that came without one, "1.0" */
        const char *msg_id;      /* NULL: nobody waits for a reply */
        const char *reply_queue; /* NULL like msg_id */
        int monitor_s;           /* how long the caller bears silence; 0: no matter */
        const char *unique_id;   /* "" if it came without one */
        const json_t *context;   /* an object; NULL: empty */
} cel__request;

/* Append the request in its envelope, with the bytes that oslo.messaging would send. Without `args`, they are {}.
 * Errors: as cel__json_write(), and CEL_EINVAL for args or a context that are no objects. */
int cel__request_encode(const cel__request *request, cel__buf *out);

/* Read what came in an envelope; on failure, `why` is a sentence.
 * Owns:   *ret_context is yours; everything else in *ret_request is borrowed from the envelope.
 * Errors: CEL_EDECODE, CEL_ENOMEM. */
int cel__request_decode(const cel__envelope *envelope, cel__request *ret_request, json_t **ret_context,
                        char *why, size_t why_bytes);

#endif
