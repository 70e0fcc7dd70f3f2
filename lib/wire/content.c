/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A message costs two allocations: the struct and the properties (each string's length byte makes room
 * for its terminating zero) together, and the body. One for all would be of a size that malloc() has no quick way
 * for. A large body grows as it arrives: its announced size is only a claim. */
#include "wire/content.h"
#include "base/assert.h"
#include "wire/bytes.h"

#include <stdlib.h>
#include <string.h>

enum {
        CLASS_BASIC = 60,
        BODY_FIRST_BYTES_MAX = 1 << 20, /* allocated at once on the strength of an announcement */
};

/* The two parts of a content header. */
static bool split_header(const cel__frame *frame, uint64_t *ret_body_bytes, cel__reader *ret_properties)
{
        cel__reader reader = {frame->payload, frame->payload_bytes};
        uint16_t class_id, weight;

        if (frame->type != CEL__FRAME_HEADER || !cel__read_u16(&reader, &class_id) ||
            class_id != CLASS_BASIC || !cel__read_u16(&reader, &weight) ||
            !cel__read_u64(&reader, ret_body_bytes))
                return false;
        *ret_properties = reader;
        return true;
}

typedef struct property_decoder {
        cel__reader reader;
        uint16_t flags;
        char *text; /* where the next string goes */
} property_decoder;

/* If `flag` is set, copy one short string and set *ret_string to it. */
static bool decode_string(property_decoder *decoder, uint16_t flag, const char **ret_string)
{
        const uint8_t *bytes;
        size_t n;

        if (!(decoder->flags & flag))
                return true;
        if (!cel__read_short(&decoder->reader, &bytes, &n))
                return false;
        *ret_string = decoder->text;
        decoder->text = (char *)cel__put_bytes((uint8_t *)decoder->text, bytes, n);
        *decoder->text++ = '\0';
        return true;
}

static int decode_headers(property_decoder *decoder, cel__content *content)
{
        const uint8_t *bytes;
        uint8_t *copy = (uint8_t *)decoder->text;
        size_t n;
        int r;

        if (!(decoder->flags & AMQP_BASIC_HEADERS_FLAG))
                return 0;
        if (!cel__read_long(&decoder->reader, &bytes, &n))
                return CEL_EDECODE;
        decoder->text = (char *)cel__put_bytes(copy, bytes, n);
        r = cel__headers_borrow(&content->headers, copy, n);
        if (r == 0)
                content->message.headers = &content->headers;
        return r;
}

static bool decode_numbers(property_decoder *decoder, cel_message *message)
{
        if ((decoder->flags & AMQP_BASIC_DELIVERY_MODE_FLAG) &&
            !cel__read_u8(&decoder->reader, &message->delivery_mode))
                return false;
        message->has_priority = decoder->flags & AMQP_BASIC_PRIORITY_FLAG;
        return !message->has_priority || cel__read_u8(&decoder->reader, &message->priority);
}

static bool decode_timestamp(property_decoder *decoder, cel_message *message)
{
        message->has_timestamp = decoder->flags & AMQP_BASIC_TIMESTAMP_FLAG;
        return !message->has_timestamp || cel__read_u64(&decoder->reader, &message->timestamp);
}

/* Properties stand in the order of their flags, from the highest bit down. Bit 0 announces more flags: of
 * properties that do not exist. */
static int decode_properties(property_decoder *decoder, cel__content *content)
{
        cel_message *message = &content->message;
        const char *cluster_id;
        int r;

        if (!cel__read_u16(&decoder->reader, &decoder->flags) || (decoder->flags & 3))
                return CEL_EDECODE;
        if (!decode_string(decoder, AMQP_BASIC_CONTENT_TYPE_FLAG, &message->content_type) ||
            !decode_string(decoder, AMQP_BASIC_CONTENT_ENCODING_FLAG, &message->content_encoding))
                return CEL_EDECODE;
        r = decode_headers(decoder, content);
        if (r < 0)
                return r;
        if (!decode_numbers(decoder, message) ||
            !decode_string(decoder, AMQP_BASIC_CORRELATION_ID_FLAG, &message->correlation_id) ||
            !decode_string(decoder, AMQP_BASIC_REPLY_TO_FLAG, &message->reply_to) ||
            !decode_string(decoder, AMQP_BASIC_EXPIRATION_FLAG, &message->expiration) ||
            !decode_string(decoder, AMQP_BASIC_MESSAGE_ID_FLAG, &message->message_id) ||
            !decode_timestamp(decoder, message) ||
            !decode_string(decoder, AMQP_BASIC_TYPE_FLAG, &message->type) ||
            !decode_string(decoder, AMQP_BASIC_USER_ID_FLAG, &message->user_id) ||
            !decode_string(decoder, AMQP_BASIC_APP_ID_FLAG, &message->app_id) ||
            !decode_string(decoder, AMQP_BASIC_CLUSTER_ID_FLAG, &cluster_id))
                return CEL_EDECODE;
        return decoder->reader.left == 0 ? 0 : CEL_EDECODE;
}

int cel__content_announced(const cel__frame *header, uint64_t *ret_body_bytes)
{
        cel__reader properties;
        uint64_t body_bytes;

        if (!split_header(header, &body_bytes, &properties))
                return CEL_EPROTO;
        *ret_body_bytes = body_bytes;
        return 0;
}

int cel__content_new_from_header(const cel__frame *header, size_t body_bytes_max, cel__content **ret_content)
{
        cel_auto(cel__content) *content = NULL;
        cel__reader properties;
        uint64_t body_bytes;
        size_t room;
        int r;

        if (!split_header(header, &body_bytes, &properties))
                return CEL_EPROTO;
        if (body_bytes > body_bytes_max)
                return CEL_ETOOBIG;
        /* Text never takes more than its encoding did: the length byte of a string becomes its end. */
        room = properties.left + 1; /* and the end of an empty body */
        content = malloc(sizeof(*content) + room);
        if (!content)
                return CEL_ENOMEM;
        memset(content, 0, sizeof(*content));
        content->body_bytes = body_bytes;

        property_decoder decoder = {.reader = properties, .text = content->text};

        r = decode_properties(&decoder, content);
        if (r < 0)
                return r;
        if (body_bytes == 0)
                content->body = (uint8_t *)memset(content->text + properties.left, 0, 1);
        content->message.exchange = content->exchange;
        content->message.routing_key = content->routing_key;
        content->message.body = content->body;
        *ret_content = CEL_TAKE(content);
        return body_bytes == 0;
}

static int grow_body(cel__content *content, size_t needed)
{
        size_t capacity = content->body_capacity < BODY_FIRST_BYTES_MAX ? BODY_FIRST_BYTES_MAX
                                                                        : content->body_capacity;
        uint8_t *body;

        while (capacity < needed)
                capacity *= 2;
        if (capacity > content->body_bytes)
                capacity = (size_t)content->body_bytes;
        body = realloc(content->body, capacity + 1);
        if (!body)
                return CEL_ENOMEM;
        content->body = body;
        content->body_capacity = capacity;
        content->message.body = body;
        return 0;
}

int cel__content_add_body(cel__content *content, const cel__frame *frame)
{
        size_t used = content->message.body_bytes;

        if (frame->type != CEL__FRAME_BODY || frame->payload_bytes > content->body_bytes - used)
                return CEL_EPROTO;
        if (frame->payload_bytes > content->body_capacity - used) {
                int r = grow_body(content, used + frame->payload_bytes);

                if (r < 0)
                        return r;
        }
        if (frame->payload_bytes > 0) {
                memcpy(content->body + used, frame->payload, frame->payload_bytes);
                used += frame->payload_bytes;
                content->body[used] = '\0';
                content->message.body_bytes = used;
        }
        return used == content->body_bytes;
}

int cel__content_set_address(cel__content *content, const void *exchange, size_t exchange_bytes,
                             const void *routing_key, size_t routing_key_bytes, bool redelivered)
{
        if (exchange_bytes >= sizeof(content->exchange) || routing_key_bytes >= sizeof(content->routing_key))
                return CEL_EINVAL;
        *cel__put_bytes((uint8_t *)content->exchange, exchange, exchange_bytes) = '\0';
        *cel__put_bytes((uint8_t *)content->routing_key, routing_key, routing_key_bytes) = '\0';
        content->message.redelivered = redelivered;
        return 0;
}

cel__content *cel__content_free(cel__content *content)
{
        if (content && content->body_bytes > 0)
                free(content->body);
        free(content);
        return NULL;
}
