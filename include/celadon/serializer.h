/* SPDX-License-Identifier: Apache-2.0
 *
 * Serializers: what a service makes of RPC's arguments and results, of the payloads of notifications, and of contexts before
 * they are sent, and of those that come, as oslo.messaging's Serializer does. Both sides need to agree on it.
 *
 *     // An id is sent as an object that says what it is the id of.
 *     static int wrap(cel_ctx *ctx, void *arg, const json_t *context, json_t *entity, json_t **ret_entity)
 *     {
 *             *ret_entity = json_pack("{s:s, s:O}", "kind", "server", "id", entity);
 *             return *ret_entity ? 0 : cel_fail(ctx, CEL_ENOMEM, "out of memory");
 *     }
 *
 *     static const cel_serializer serializer = {.serialize_entity = wrap};
 */
#ifndef CELADON_SERIALIZER_H
#define CELADON_SERIALIZER_H

#include <celadon/ctx.h>
#include <jansson.h>

/* Makes one value of another; `arg` is the serializer's.
 * Owns:   `context`, an object, and `entity` are borrowed, and must not be changed; *ret_entity is a new reference, which
 *         may be one of `entity` itself.
 * Waits:  if it likes; but ctx is NULL, and nothing can wait, for a method that an inline executor runs.
 * Errors: any, with cel_fail(). On the calling side, the call or the cast ends with it, and so does cel_notify(); on the
 *         serving side, the method has failed with it, and so has a notification's handler. */
typedef int (*cel_serialize_entity_fn)(cel_ctx *ctx, void *arg, const json_t *context, json_t *entity,
                                       json_t **ret_entity);

/* The same for a context: an object, and what is made of it is an object, too. */
typedef int (*cel_serialize_context_fn)(cel_ctx *ctx, void *arg, json_t *context, json_t **ret_context);

/* A function that is NULL leaves values as they are. */
typedef struct cel_serializer {
        /* For each argument, for the result of a method, for a payload; `context` is as the sender has it. */
        cel_serialize_entity_fn serialize_entity;
        /* For each of those that came. A server and a listener give the context as deserialize_context() has made it, a client
         * its own. */
        cel_serialize_entity_fn deserialize_entity;
        cel_serialize_context_fn serialize_context;   /* after arguments or payload are done */
        cel_serialize_context_fn deserialize_context; /* before these are */
        void *arg;                                    /* borrowed */
} cel_serializer;

#endif
