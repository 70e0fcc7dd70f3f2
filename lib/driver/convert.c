/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/convert.h"

#include <stdio.h>

/* What becomes of `r`, which `what` has failed with. */
static int fail(cel_ctx *ctx, int r, cel__direction direction, const char *what, const char *name)
{
        if (!ctx)
                return r;
        return cel_fail(ctx, r, "%s%s%s cannot be %s: %s", what, *name ? " " : "", name,
                        direction == CEL__TO_SEND ? "serialized" : "deserialized",
                        cel_ctx_error_text(ctx, r));
}

static cel_serialize_entity_fn entity_fn(const cel_serializer *serializer, cel__direction direction)
{
        if (!serializer)
                return NULL;
        return direction == CEL__TO_SEND ? serializer->serialize_entity : serializer->deserialize_entity;
}

int cel__convert_args(cel_ctx *ctx, const cel_serializer *serializer, cel__direction direction,
                      const json_t *context, const json_t *args, json_t **ret_args)
{
        cel_serialize_entity_fn convert = entity_fn(serializer, direction);
        json_t *from = (json_t *)(uintptr_t)args;

        if (!convert || !json_is_object(args)) { /* what is no object is refused later */
                *ret_args = json_incref(from);
                return 0;
        }
        json_t *made = json_object();
        for (void *at = json_object_iter(from); made && at; at = json_object_iter_next(from, at)) {
                const char *name = json_object_iter_key(at);
                json_t *entity;
                int r = convert(ctx, serializer->arg, context, json_object_iter_value(at), &entity);

                if (r >= 0 && json_object_set_new_nocheck(made, name, entity) < 0)
                        r = CEL_ENOMEM;
                if (r < 0) {
                        json_decref(made);
                        return fail(ctx, r, direction, "argument", name);
                }
        }
        if (!made)
                return fail(ctx, CEL_ENOMEM, direction, "the arguments", "");
        *ret_args = made;
        return 0;
}

int cel__convert_entity(cel_ctx *ctx, const cel_serializer *serializer, cel__direction direction,
                        const char *what, const json_t *context, json_t *entity, json_t **ret_entity)
{
        cel_serialize_entity_fn convert = entity_fn(serializer, direction);

        if (!convert) {
                *ret_entity = json_incref(entity);
                return 0;
        }
        int r = convert(ctx, serializer->arg, context, entity ? entity : json_null(), ret_entity);
        return r < 0 ? fail(ctx, r, direction, what, "") : 0;
}

int cel__convert_context(cel_ctx *ctx, const cel_serializer *serializer, cel__direction direction,
                         const json_t *context, json_t **ret_context)
{
        cel_serialize_context_fn convert = !serializer                 ? NULL
                                           : direction == CEL__TO_SEND ? serializer->serialize_context
                                                                       : serializer->deserialize_context;
        json_t *from = (json_t *)(uintptr_t)context, *made;

        if (!convert) {
                *ret_context = json_incref(from);
                return 0;
        }
        int r = convert(ctx, serializer->arg, from, &made);
        if (r < 0)
                return fail(ctx, r, direction, "the context", "");
        if (!json_is_object(made)) {
                json_decref(made);
                return ctx ? cel_fail(ctx, CEL_EINVAL, "the serializer has made a context that is no object")
                           : CEL_EINVAL;
        }
        *ret_context = made;
        return 0;
}
