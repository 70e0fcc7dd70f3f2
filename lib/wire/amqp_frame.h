/* SPDX-License-Identifier: Apache-2.0
 *
 * AMQP 0-9-1 frames: cut them out of a stream of bytes, and append them to a buffer.
 *
 *     octet type | short channel | long payload size | payload | octet 0xCE
 *
 * "frame_bytes_max" is the standard's frame-max: it counts the whole frame, its 8 bytes of overhead included.
 * Methods are encoded and decoded by librabbitmq; see content.h for how a message comes out of frames. */
#ifndef CEL_WIRE_AMQP_FRAME_H
#define CEL_WIRE_AMQP_FRAME_H

#include "base/buf.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <celadon/message.h>

enum {
        CEL__FRAME_METHOD = 1,
        CEL__FRAME_HEADER = 2,
        CEL__FRAME_BODY = 3,
        CEL__FRAME_HEARTBEAT = 8,
};

enum {
        CEL__FRAME_OVERHEAD = 8,
        CEL__FRAME_BYTES_MIN = 4096, /* every peer takes frames of this size, before tuning too */
        CEL__FRAME_METHOD_BYTES_MAX = 128 * 1024, /* of a method that we send */
};

typedef struct cel__frame {
        uint8_t type; /* one of the four above */
        uint16_t channel;
        const uint8_t *payload; /* borrowed from the bytes that were parsed */
        size_t payload_bytes;
} cel__frame;

/* Look for one frame at the beginning of `bytes`. Returns 1: *ret_frame is it, and *ret_consumed bytes long;
 * 0: more bytes are needed.
 * Errors: CEL_EPROTO (no AMQP frame), CEL_ETOOBIG (longer than `frame_bytes_max`), CEL_EVERSION (the server
 *         answers with a protocol header: it speaks no 0-9-1). The rest of the stream is then meaningless. */
int cel__frame_parse(const uint8_t *bytes, size_t n, size_t frame_bytes_max, cel__frame *ret_frame,
                     size_t *ret_consumed);

/* Decode the method in `frame`, whose type must be CEL__FRAME_METHOD.
 * Owns:   *ret_method, one of librabbitmq's amqp_x_t, is in `pool`; its strings are in the frame's payload.
 * Errors: CEL_EPROTO (malformed, nested too deeply, not a method), CEL_ENOMEM. */
int cel__method_decode(const cel__frame *frame, amqp_pool_t *pool, amqp_method_number_t *ret_id,
                       void **ret_method);

/* `headers`, which may be NULL, as a table of librabbitmq's, in `pool`.
 * Errors: CEL_ENOMEM, CEL_EINVAL (it cannot be read). */
int cel__table_from_headers(const cel_headers *headers, amqp_pool_t *pool, amqp_table_t *ret_table);

/* All that follows appends whole frames to `buf`; on failure, the buffer's contents are as before.
 * Errors of all: CEL_ETOOBIG (the buffer's maximum), CEL_ENOMEM. */

int cel__frame_put_protocol_header(cel__buf *buf);
int cel__frame_put_heartbeat(cel__buf *buf);

/* `method` is librabbitmq's struct for `id`.
 * Errors: also CEL_EINVAL (an unknown `id`, a string over 255 bytes where AMQP has no room for more, a table
 *         nested too deeply, or more than CEL__FRAME_METHOD_BYTES_MAX). */
int cel__frame_put_method(cel__buf *buf, uint16_t channel, amqp_method_number_t id, const void *method);

/* The content header and the body frames of `message`; not its address. An empty body has no body frame.
 * Errors: also CEL_EINVAL (a string property over 255 bytes), CEL_ETOOBIG (properties that do not fit into
 *         one frame). */
int cel__frame_put_content(cel__buf *buf, uint16_t channel, const cel_message *message,
                           size_t frame_bytes_max);

/* basic.publish and the content, both or nothing.
 * Errors: as the two above. */
int cel__frame_put_publish(cel__buf *buf, uint16_t channel, const cel_message *message, bool mandatory,
                           size_t frame_bytes_max);

#endif
