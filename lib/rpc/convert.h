/* SPDX-License-Identifier: Apache-2.0
 *
 * Serializers at work. `serializer` may be NULL, and its functions too: then values are left as they are. Each result
 * is a new reference of the caller's. `ctx` is NULL for whoever has none. */
#ifndef CEL_RPC_CONVERT_H
#define CEL_RPC_CONVERT_H

#include <celadon/serializer.h>

typedef enum convert_direction { CONVERT_TO_SEND, CONVERT_AS_RECEIVED } convert_direction;

/* Every member of `args`; what is no object, or NULL, stays as it is.
 * Errors: the serializer's, with a text that names the argument; CEL_ENOMEM. */
int convert_args(cel_ctx *ctx, const cel_serializer *serializer, convert_direction direction,
                 const json_t *context, const json_t *args, json_t **ret_args);

/* A result; NULL is null, and stays NULL if there is nothing to do. */
int convert_result(cel_ctx *ctx, const cel_serializer *serializer, convert_direction direction,
                   const json_t *context, json_t *result, json_t **ret_result);

/* Errors: CEL_EINVAL (what the serializer has made is no object), too. */
int convert_context(cel_ctx *ctx, const cel_serializer *serializer, convert_direction direction,
                    const json_t *context, json_t **ret_context);

#endif
