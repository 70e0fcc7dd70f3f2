/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Methods go through librabbitmq's codec, content headers do not: it decodes a message's header
 * table into a tree of small allocations, where we want the bytes as they are, to look one name up or to pass
 * them on.
 *
 * librabbitmq 0.11 decodes tables by recursion, without a limit of depth: six bytes of input for each level
 * of it, so one frame from a hostile server would overflow a task's stack, and the header table of a
 * publisher who is hostile to us likewise. It also adds lengths of 32 bits to offsets unchecked (which
 * matters where size_t has 32 bits). Therefore whatever has a long length in a method is walked by
 * check_long_fields() before librabbitmq sees it. */
#include "wire/amqp_frame.h"
#include "base/assert.h"
#include "wire/bytes.h"
#include "wire/headers.h"

#include <stdlib.h>
#include <string.h>

enum {
        HEADER_BYTES = 7, /* type, channel, size */
        FRAME_END = 0xCE,
        CLASS_BASIC = 60,
        SHORT_BYTES_MAX = 255,
        SCRATCH_BYTES = 1024, /* holds every method without a table */
};

/* The methods with tables or long strings: their fields, up to the last such one.
 *     o octet or bits, w short, s short string, S long string, T table */
static const struct {
        amqp_method_number_t id;
        const char *fields;
} long_fields[] = {
        {AMQP_CONNECTION_START_METHOD, "ooTSS"}, {AMQP_CONNECTION_START_OK_METHOD, "TsS"},
        {AMQP_CONNECTION_SECURE_METHOD, "S"},    {AMQP_CONNECTION_SECURE_OK_METHOD, "S"},
        {AMQP_CHANNEL_OPEN_OK_METHOD, "S"},      {AMQP_EXCHANGE_DECLARE_METHOD, "wssoT"},
        {AMQP_EXCHANGE_BIND_METHOD, "wsssoT"},   {AMQP_EXCHANGE_UNBIND_METHOD, "wsssoT"},
        {AMQP_QUEUE_DECLARE_METHOD, "wsoT"},     {AMQP_QUEUE_BIND_METHOD, "wsssoT"},
        {AMQP_QUEUE_UNBIND_METHOD, "wsssT"},     {AMQP_BASIC_CONSUME_METHOD, "wssoT"},
};

static bool check_field(char kind, cel__reader *reader)
{
        const uint8_t *bytes;
        size_t n;

        switch (kind) {
        case 'o':
                return cel__read_bytes(reader, 1, &bytes);
        case 'w':
                return cel__read_bytes(reader, 2, &bytes);
        case 's':
                return cel__read_short(reader, &bytes, &n);
        case 'S':
                return cel__read_long(reader, &bytes, &n);
        default: /* T */
                return cel__read_long(reader, &bytes, &n) && cel__table_check(bytes, n) == 0;
        }
}

static bool check_long_fields(amqp_method_number_t id, const uint8_t *arguments, size_t n)
{
        cel__reader reader = {arguments, n};
        const char *fields = "";

        for (size_t i = 0; i < sizeof(long_fields) / sizeof(long_fields[0]); i++)
                if (long_fields[i].id == id)
                        fields = long_fields[i].fields;
        for (; *fields; fields++)
                if (!check_field(*fields, &reader))
                        return false;
        return true;
}

/* The server refuses our version with a protocol header of its own, in place of a frame. */
static int parse_protocol_header(const uint8_t *bytes, size_t n)
{
        static const char name[] = "AMQP";
        size_t known = n < strlen(name) ? n : strlen(name);

        if (memcmp(bytes, name, known) != 0)
                return CEL_EPROTO;
        return known < strlen(name) ? 0 : CEL_EVERSION;
}

int cel__frame_parse(const uint8_t *bytes, size_t n, size_t frame_bytes_max, cel__frame *ret_frame,
                     size_t *ret_consumed)
{
        size_t payload_bytes;

        cel_assert(frame_bytes_max >= CEL__FRAME_OVERHEAD);
        if (n < 1)
                return 0;
        switch (bytes[0]) {
        case CEL__FRAME_METHOD:
        case CEL__FRAME_HEADER:
        case CEL__FRAME_BODY:
        case CEL__FRAME_HEARTBEAT:
                break;
        default:
                return parse_protocol_header(bytes, n);
        }
        if (n < HEADER_BYTES)
                return 0;
        payload_bytes = cel__get_u32(bytes + 3);
        if (payload_bytes > frame_bytes_max - CEL__FRAME_OVERHEAD)
                return CEL_ETOOBIG;
        if (n - HEADER_BYTES < payload_bytes + 1)
                return 0;
        if (bytes[HEADER_BYTES + payload_bytes] != FRAME_END)
                return CEL_EPROTO;

        *ret_frame = (cel__frame){
                .type = bytes[0],
                .channel = cel__get_u16(bytes + 1),
                .payload = bytes + HEADER_BYTES,
                .payload_bytes = payload_bytes,
        };
        *ret_consumed = payload_bytes + CEL__FRAME_OVERHEAD;
        return 1;
}

int cel__method_decode(const cel__frame *frame, amqp_pool_t *pool, amqp_method_number_t *ret_id,
                       void **ret_method)
{
        cel__reader reader = {frame->payload, frame->payload_bytes};
        amqp_method_number_t id;
        const uint8_t *number;
        amqp_bytes_t arguments;
        void *method = NULL;
        int status;

        cel_assert(frame->type == CEL__FRAME_METHOD);
        if (!cel__read_bytes(&reader, 4, &number))
                return CEL_EPROTO;
        id = cel__get_u32(number);
        if (!check_long_fields(id, reader.at, reader.left))
                return CEL_EPROTO;

        arguments = (amqp_bytes_t){.len = reader.left, .bytes = (void *)(uintptr_t)reader.at}; /* only read */
        status = amqp_decode_method(id, pool, arguments, &method);
        if (status == AMQP_STATUS_NO_MEMORY)
                return CEL_ENOMEM;
        if (status < 0)
                return CEL_EPROTO;
        *ret_id = id;
        *ret_method = method;
        return 0;
}

int cel__table_from_headers(const cel_headers *headers, amqp_pool_t *pool, amqp_table_t *ret_table)
{
        amqp_table_t table = {0};
        size_t n = 0, at = 0;
        const uint8_t *bytes = headers ? cel__headers_bytes(headers, &n) : NULL;
        amqp_bytes_t encoded;

        if (n > 0) {
                amqp_pool_alloc_bytes(pool, n + 4, &encoded);
                if (!encoded.bytes)
                        return CEL_ENOMEM;
                cel__put_u32(encoded.bytes, (uint32_t)n);
                memcpy((uint8_t *)encoded.bytes + 4, bytes, n);
                if (amqp_decode_table(encoded, pool, &table, &at) != AMQP_STATUS_OK)
                        return CEL_EINVAL;
        }
        *ret_table = table;
        return 0;
}

static uint8_t *put_frame_header(uint8_t *to, uint8_t type, uint16_t channel, size_t payload_bytes)
{
        to = cel__put_u8(to, type);
        to = cel__put_u16(to, channel);
        return cel__put_u32(to, (uint32_t)payload_bytes);
}

int cel__frame_put_protocol_header(cel__buf *buf)
{
        return cel__buf_append(buf, "AMQP\0\0\x09\x01", 8);
}

int cel__frame_put_heartbeat(cel__buf *buf)
{
        return cel__buf_append(buf, "\x08\0\0\0\0\0\0\xCE", CEL__FRAME_OVERHEAD);
}

/* Encode into `room`, append from there: how long a method becomes is known only afterwards. */
static int put_method_through(uint8_t *room, size_t room_bytes, cel__buf *buf, uint16_t channel,
                              amqp_method_number_t id, const void *method)
{
        amqp_bytes_t arguments = {.len = room_bytes, .bytes = room};
        int n = amqp_encode_method(id, (void *)(uintptr_t)method,
                                   arguments); /* which only reads the method */
        int error = 0;
        uint8_t *to;

        /* The check catches table keys over 255 bytes, whose length librabbitmq cuts to a byte. */
        if (n < 0 || !check_long_fields(id, room, (size_t)n))
                return CEL_EINVAL;
        to = cel__buf_reserve(buf, CEL__FRAME_OVERHEAD + 4 + (size_t)n, &error);
        if (!to)
                return error;
        to = put_frame_header(to, CEL__FRAME_METHOD, channel, 4 + (size_t)n);
        to = cel__put_u32(to, id);
        to = cel__put_bytes(to, room, (size_t)n);
        cel__put_u8(to, FRAME_END);
        cel__buf_commit(buf, CEL__FRAME_OVERHEAD + 4 + (size_t)n);
        return 0;
}

int cel__frame_put_method(cel__buf *buf, uint16_t channel, amqp_method_number_t id, const void *method)
{
        uint8_t scratch[SCRATCH_BYTES];
        int r = put_method_through(scratch, sizeof(scratch), buf, channel, id, method);

        if (r != CEL_EINVAL)
                return r;

        /* It may only have been too long for the scratch. */
        cel_auto_free uint8_t *room = malloc(CEL__FRAME_METHOD_BYTES_MAX);

        if (!room)
                return CEL_ENOMEM;
        return put_method_through(room, CEL__FRAME_METHOD_BYTES_MAX, buf, channel, id, method);
}

/* String properties in the order of the wire; headers, delivery mode, priority and timestamp come in between.
 */
enum { STRINGS_BEFORE_HEADERS = 2, STRINGS_BEFORE_TIMESTAMP = 6, STRINGS_N = 9 };

typedef struct properties {
        const char *text[STRINGS_N];
        size_t text_bytes[STRINGS_N];
        const uint8_t *headers;
        size_t headers_bytes;
        uint16_t flags;
        size_t bytes; /* of all of it, flags included */
} properties;

/* What is to be written, and how long it will be. */
static int measure_properties(const cel_message *message, properties *ret_properties)
{
        static const uint16_t flags[STRINGS_N] = {
                AMQP_BASIC_CONTENT_TYPE_FLAG,   AMQP_BASIC_CONTENT_ENCODING_FLAG,
                AMQP_BASIC_CORRELATION_ID_FLAG, AMQP_BASIC_REPLY_TO_FLAG,
                AMQP_BASIC_EXPIRATION_FLAG,     AMQP_BASIC_MESSAGE_ID_FLAG,
                AMQP_BASIC_TYPE_FLAG,           AMQP_BASIC_USER_ID_FLAG,
                AMQP_BASIC_APP_ID_FLAG,
        };
        properties p = {
                .text = {message->content_type, message->content_encoding, message->correlation_id,
                         message->reply_to, message->expiration, message->message_id, message->type,
                         message->user_id, message->app_id},
                .bytes = 2,
        };

        for (size_t i = 0; i < STRINGS_N; i++) {
                if (!p.text[i])
                        continue;
                p.text_bytes[i] = strlen(p.text[i]);
                if (p.text_bytes[i] > SHORT_BYTES_MAX)
                        return CEL_EINVAL;
                p.flags |= flags[i];
                p.bytes += 1 + p.text_bytes[i];
        }
        if (message->headers) {
                p.headers = cel__headers_bytes(message->headers, &p.headers_bytes);
                p.flags |= AMQP_BASIC_HEADERS_FLAG;
                p.bytes += 4 + p.headers_bytes;
        }
        if (message->delivery_mode != 0) {
                p.flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
                p.bytes += 1;
        }
        if (message->has_priority) {
                p.flags |= AMQP_BASIC_PRIORITY_FLAG;
                p.bytes += 1;
        }
        if (message->has_timestamp) {
                p.flags |= AMQP_BASIC_TIMESTAMP_FLAG;
                p.bytes += 8;
        }
        *ret_properties = p;
        return 0;
}

static uint8_t *put_strings(uint8_t *to, const properties *p, size_t first, size_t behind_last)
{
        for (size_t i = first; i < behind_last; i++)
                if (p->text[i]) {
                        to = cel__put_u8(to, (uint8_t)p->text_bytes[i]);
                        to = cel__put_bytes(to, p->text[i], p->text_bytes[i]);
                }
        return to;
}

static uint8_t *put_properties(uint8_t *to, const cel_message *message, const properties *p)
{
        to = cel__put_u16(to, p->flags);
        to = put_strings(to, p, 0, STRINGS_BEFORE_HEADERS);
        if (message->headers) {
                to = cel__put_u32(to, (uint32_t)p->headers_bytes);
                to = cel__put_bytes(to, p->headers, p->headers_bytes);
        }
        if (message->delivery_mode != 0)
                to = cel__put_u8(to, message->delivery_mode);
        if (message->has_priority)
                to = cel__put_u8(to, message->priority);
        to = put_strings(to, p, STRINGS_BEFORE_HEADERS, STRINGS_BEFORE_TIMESTAMP);
        if (message->has_timestamp)
                to = cel__put_u64(to, message->timestamp);
        return put_strings(to, p, STRINGS_BEFORE_TIMESTAMP, STRINGS_N);
}

static uint8_t *put_body(uint8_t *to, uint16_t channel, const uint8_t *body, size_t body_bytes,
                         size_t payload_bytes_max)
{
        while (body_bytes > 0) {
                size_t n = body_bytes < payload_bytes_max ? body_bytes : payload_bytes_max;

                to = put_frame_header(to, CEL__FRAME_BODY, channel, n);
                to = cel__put_bytes(to, body, n);
                to = cel__put_u8(to, FRAME_END);
                body += n;
                body_bytes -= n;
        }
        return to;
}

int cel__frame_put_content(cel__buf *buf, uint16_t channel, const cel_message *message,
                           size_t frame_bytes_max)
{
        size_t payload_bytes_max, header_bytes, body_frames, total;
        properties p;
        int error = measure_properties(message, &p);
        uint8_t *to;

        cel_assert(frame_bytes_max > CEL__FRAME_OVERHEAD);
        if (error < 0)
                return error;
        payload_bytes_max = frame_bytes_max - CEL__FRAME_OVERHEAD;
        if (payload_bytes_max > UINT32_MAX)
                payload_bytes_max = UINT32_MAX;
        header_bytes = 2 + 2 + 8 + p.bytes; /* class, weight, body size, properties */
        if (header_bytes > payload_bytes_max || message->body_bytes > buf->bytes_max)
                return CEL_ETOOBIG;
        body_frames = message->body_bytes / payload_bytes_max + (message->body_bytes % payload_bytes_max > 0);
        if (body_frames > buf->bytes_max / CEL__FRAME_OVERHEAD) /* before the sum below could wrap */
                return CEL_ETOOBIG;

        total = CEL__FRAME_OVERHEAD + header_bytes + body_frames * CEL__FRAME_OVERHEAD + message->body_bytes;
        to = cel__buf_reserve(buf, total, &error);
        if (!to)
                return error;
        to = put_frame_header(to, CEL__FRAME_HEADER, channel, header_bytes);
        to = cel__put_u16(to, CLASS_BASIC);
        to = cel__put_u16(to, 0);
        to = cel__put_u64(to, message->body_bytes);
        to = put_properties(to, message, &p);
        to = cel__put_u8(to, FRAME_END);
        put_body(to, channel, message->body, message->body_bytes, payload_bytes_max);
        cel__buf_commit(buf, total);
        return 0;
}

int cel__frame_put_publish(cel__buf *buf, uint16_t channel, const cel_message *message, bool mandatory,
                           size_t frame_bytes_max)
{
        amqp_basic_publish_t publish = {
                .exchange = amqp_cstring_bytes(message->exchange ? message->exchange : ""),
                .routing_key = amqp_cstring_bytes(message->routing_key ? message->routing_key : ""),
                .mandatory = mandatory,
        };
        size_t before = cel__buf_used(buf);
        int r = cel__frame_put_method(buf, channel, AMQP_BASIC_PUBLISH_METHOD, &publish);

        if (r < 0)
                return r;
        r = cel__frame_put_content(buf, channel, message, frame_bytes_max);
        if (r < 0)
                buf->end = buf->start +
                           before; /* a method without its content would be the end of the connection */
        return r;
}
