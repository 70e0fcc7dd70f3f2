/* SPDX-License-Identifier: Apache-2.0
 *
 * Serializers at work. `serializer` may be NULL, and its functions too: then values are left as they are. Each result
 * is a new reference of the caller's. `ctx` is NULL for whoever has none. */
#ifndef CEL_DRIVER_CONVERT_H
#define CEL_DRIVER_CONVERT_H

#include <celadon/serializer.h>

typedef enum cel__direction { CEL__TO_SEND, CEL__AS_RECEIVED } cel__direction;

/* Every member of `args`; what is no object, or NULL, stays as it is.
 * Errors: the serializer's, with a text that names the argument; CEL_ENOMEM. */
int cel__convert_args(cel_ctx *ctx, const cel_serializer *serializer, cel__direction direction,
                      const json_t *context, const json_t *args, json_t **ret_args);

/* One value, such as a result or a payload: errors call it `what`. NULL is null, and stays NULL if there is nothing to do. */
int cel__convert_entity(cel_ctx *ctx, const cel_serializer *serializer, cel__direction direction,
                        const char *what, const json_t *context, json_t *entity, json_t **ret_entity);

/* Errors: CEL_EINVAL (what the serializer has made is no object), too. */
int cel__convert_context(cel_ctx *ctx, const cel_serializer *serializer, cel__direction direction,
                         const json_t *context, json_t **ret_context);

#endif
