/* SPDX-License-Identifier: Apache-2.0
 *
 * A received message grows out of frames: a content header, then body frames up to the announced size.
 *
 *     r = cel__content_new_from_header(&frame, body_bytes_max, &content);
 *     while (r == 0)                                   // 1: complete
 *             … next frame …  r = cel__content_add_body(content, &frame);
 *
 * What a publisher may have put into a message is no violation of the protocol: such a message is refused
 * alone (CEL_EDECODE, CEL_ETOOBIG) and the connection goes on, else one hostile message could stop every
 * consumer that it is given to. */
#ifndef CEL_WIRE_CONTENT_H
#define CEL_WIRE_CONTENT_H

#include "wire/amqp_frame.h"
#include "wire/headers.h"

typedef struct cel__content {
        cel_message message; /* all it points to is in here, except `queue`, which is the caller's to set */
        uint64_t body_bytes; /* as announced; message.body_bytes is what has arrived */

        /* The rest is for content.c only. */
        cel_headers headers;
        size_t body_capacity; /* without the zero byte behind the body */
        uint8_t *body;        /* owned; in `text` if it is to be empty; NULL before any of it has come */
        char exchange[256];
        char routing_key[256];
        char queue[256]; /* for whoever consumes: where message.queue may point */
        char text[];     /* the properties */
} cel__content;

/* Begin a message with its content header frame. Returns 1 when the message is complete because its body is
 * empty, else 0. String properties end at a zero byte; cluster-id is dropped; an unknown property is refused.
 * Owns:   *ret_content is yours. It does not refer to the frame.
 * Errors: CEL_EPROTO (not a content header of class basic), CEL_EDECODE (its properties), CEL_ETOOBIG (the
 *         body is over `body_bytes_max` or the header table over its maximum), CEL_ENOMEM. */
int cel__content_new_from_header(const cel__frame *header, size_t body_bytes_max, cel__content **ret_content);

/* How many bytes of body follow a content header: to step over the body of a message that was refused.
 * Errors: CEL_EPROTO. */
int cel__content_announced(const cel__frame *header, uint64_t *ret_body_bytes);

/* Append a body frame. Returns 1 when the body is complete, 0 when more is expected. Behind what has arrived
 * there is a zero byte that does not count.
 * Errors: CEL_EPROTO (not a body frame, or more than was announced), CEL_ENOMEM; the content is unchanged. */
int cel__content_add_body(cel__content *content, const cel__frame *frame);

/* Say where it came from; both strings are copied and, as AMQP's short strings, at most 255 bytes long.
 * Errors: CEL_EINVAL (longer). */
int cel__content_set_address(cel__content *content, const void *exchange, size_t exchange_bytes,
                             const void *routing_key, size_t routing_key_bytes, bool redelivered);

cel__content *cel__content_free(cel__content *content);

CEL_AUTO_WITH(cel__content, cel__content_free)

#endif
