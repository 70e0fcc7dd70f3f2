/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/amqp_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FRAME_BYTES_MAX = 131072 };

static const uint8_t heartbeat[] = {8, 0, 0, 0, 0, 0, 0, 0xce};

static int parse(const void *bytes, size_t n, cel__frame *frame)
{
        size_t consumed = 7777;
        int r = cel__frame_parse(bytes, n, FRAME_BYTES_MAX, frame, &consumed);

        CHECK_INT(consumed, r == 1 ? frame->payload_bytes + 8 : 7777);
        return r;
}

static void check_used(const cel__buf *buf, const void *expected, size_t n)
{
        CHECK_INT(cel__buf_used(buf), n);
        CHECK_BYTES(cel__buf_head(buf), expected, n);
}

TEST(a_frame_that_is_cut_anywhere_asks_for_more)
{
        static const uint8_t bytes[] = {3, 0x12, 0x34, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 0xce, 8};
        cel__frame frame;

        for (size_t n = 0; n < sizeof(bytes) - 1; n++)
                CHECK_INT(parse(bytes, n, &frame), 0);
        CHECK_INT(parse(bytes, sizeof(bytes), &frame), 1);
        CHECK_INT(frame.type, CEL__FRAME_BODY);
        CHECK_INT(frame.channel, 0x1234);
        CHECK(frame.payload == bytes + 7);
        CHECK_INT(frame.payload_bytes, 5);
}

TEST(a_heartbeat_is_an_empty_frame)
{
        cel__frame frame;
        cel__buf buf;

        cel__buf_init(&buf, 8);
        CHECK_INT(cel__frame_put_heartbeat(&buf), 0);
        check_used(&buf, heartbeat, 8);
        CHECK_INT(cel__frame_put_heartbeat(&buf), CEL_ETOOBIG);
        CHECK_INT(parse(cel__buf_head(&buf), 8, &frame), 1);
        CHECK_INT(frame.type, CEL__FRAME_HEARTBEAT);
        CHECK_INT(frame.payload_bytes, 0);
        cel__buf_fini(&buf);
}

TEST(what_is_no_frame_violates_the_protocol)
{
        cel__frame frame;

        for (int type = 0; type < 256; type++)
                if (type != 1 && type != 2 && type != 3 && type != 8 && type != 'A') {
                        uint8_t byte = (uint8_t)type;

                        CHECK_INT(parse(&byte, 1, &frame), CEL_EPROTO);
                }
        CHECK_INT(parse("\x08\0\0\0\0\0\0\xcd", 8, &frame), CEL_EPROTO);
        CHECK_INT(parse("HTTP/1.1 400", 12, &frame), CEL_EPROTO);
        CHECK_INT(parse("AMQX", 4, &frame), CEL_EPROTO);
}

TEST(a_protocol_header_in_answer_means_another_version)
{
        cel__frame frame;

        for (size_t n = 1; n < 4; n++)
                CHECK_INT(parse("AMQP\0\0\x09\x01", n, &frame), 0);
        for (size_t n = 4; n <= 8; n++)
                CHECK_INT(parse("AMQP\0\0\x09\x01", n, &frame), CEL_EVERSION);
}

TEST(the_limit_counts_the_whole_frame)
{
        uint8_t bytes[CEL__FRAME_BYTES_MIN] = {3, 0, 1, 0, 0, 0x0f, 0xf8};
        cel__frame frame;
        size_t consumed;

        bytes[sizeof(bytes) - 1] = 0xce;
        CHECK_INT(cel__frame_parse(bytes, sizeof(bytes), 4096, &frame, &consumed), 1);
        CHECK_INT(consumed, 4096);
        CHECK_INT(cel__frame_parse(bytes, sizeof(bytes), 4095, &frame, &consumed), CEL_ETOOBIG);
        CHECK_INT(parse("\x03\0\0\xff\xff\xff\xff", 7, &frame), CEL_ETOOBIG);
        CHECK_INT(
                cel__frame_parse((const uint8_t *)"\x03\0\0\xff\xff\xff\xff", 7, SIZE_MAX, &frame, &consumed),
                0);
}

TEST(the_protocol_header_names_0_9_1)
{
        cel__buf buf;

        cel__buf_init(&buf, 100);
        CHECK_INT(cel__frame_put_protocol_header(&buf), 0);
        check_used(&buf, "AMQP\0\0\x09\x01", 8);
        cel__buf_fini(&buf);
}

TEST(methods_are_encoded_into_whole_frames)
{
        static const uint8_t expected[] = {1, 0, 1, 0, 0, 0, 13, 0, 60, 0,   80,
                                           0, 0, 0, 0, 0, 0, 0,  5, 1,  0xce};
        amqp_basic_ack_t ack = {.delivery_tag = 5, .multiple = 1};
        cel__buf buf;

        cel__buf_init(&buf, 100);
        CHECK_INT(cel__frame_put_method(&buf, 1, AMQP_BASIC_ACK_METHOD, &ack), 0);
        check_used(&buf, expected, sizeof(expected));
        cel__buf_fini(&buf);
}

/* Encode, parse, decode; the result is in `pool`. The buffer must live as long. */
static void *pass_on(cel__buf *buf, amqp_pool_t *pool, amqp_method_number_t id, const void *method)
{
        amqp_method_number_t decoded_id;
        cel__frame frame;
        void *decoded;

        CHECK_INT(cel__frame_put_method(buf, 7, id, method), 0);
        CHECK_INT(parse(cel__buf_head(buf), cel__buf_used(buf), &frame), 1);
        CHECK_INT(frame.channel, 7);
        CHECK_INT(cel__method_decode(&frame, pool, &decoded_id, &decoded), 0);
        CHECK_INT(decoded_id, id);
        return decoded;
}

TEST(methods_with_tables_and_strings_survive_encoding_and_decoding)
{
        amqp_table_entry_t entry = {.key = amqp_cstring_bytes("x-expires"),
                                    .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 1800000}};
        amqp_queue_declare_t declare = {
                .queue = amqp_cstring_bytes("reply_3"), .durable = 1, .arguments = {1, &entry}};
        static const uint8_t expected[] =
                "\x01\x00\x07\x00\x00\x00\x22\x00\x32\x00\x0a\x00\x00\x07reply_3\x02"
                "\x00\x00\x00\x0f\x09x-expiresI\x00\x1b\x77\x40\xce";
        amqp_queue_declare_t *decoded;
        amqp_pool_t pool;
        cel__buf buf;

        init_amqp_pool(&pool, 4096);
        cel__buf_init(&buf, 1000);
        decoded = pass_on(&buf, &pool, AMQP_QUEUE_DECLARE_METHOD, &declare);
        check_used(&buf, expected, sizeof(expected) - 1);
        CHECK(decoded->durable && !decoded->exclusive);
        CHECK_INT(decoded->queue.len, 7);
        CHECK_BYTES(decoded->queue.bytes, "reply_3", 7);
        CHECK_INT(decoded->arguments.num_entries, 1);
        CHECK_INT(decoded->arguments.entries[0].value.value.i32, 1800000);
        cel__buf_fini(&buf);
        empty_amqp_pool(&pool);
}

TEST(methods_longer_than_the_scratch_are_encoded_too)
{
        static char secret[100000];
        amqp_connection_secure_ok_t secure = {.response = {sizeof(secret), secret}}, *decoded;
        amqp_pool_t pool;
        cel__buf buf;

        memset(secret, 's', sizeof(secret));
        init_amqp_pool(&pool, 4096);
        cel__buf_init(&buf, FRAME_BYTES_MAX);
        decoded = pass_on(&buf, &pool, AMQP_CONNECTION_SECURE_OK_METHOD, &secure);
        CHECK_INT(decoded->response.len, sizeof(secret));
        CHECK_BYTES(decoded->response.bytes, secret, sizeof(secret));
        secure.response.len = SIZE_MAX / 2;
        CHECK_INT(cel__frame_put_method(&buf, 1, AMQP_CONNECTION_SECURE_OK_METHOD, &secure), CEL_EINVAL);
        cel__buf_fini(&buf);
        empty_amqp_pool(&pool);
}

TEST(a_method_that_cannot_be_sent_leaves_the_buffer_as_it_was)
{
        static char name[257];
        amqp_table_entry_t entry = {.key = {256, name}, .value = {.kind = AMQP_FIELD_KIND_BOOLEAN}};
        amqp_queue_delete_t delete = {.queue = {256, name}};
        amqp_queue_declare_t declare = {.arguments = {1, &entry}};
        cel__buf buf;

        memset(name, 'n', sizeof(name));
        cel__buf_init(&buf, 270);
        CHECK_INT(cel__frame_put_heartbeat(&buf), 0);
        CHECK_INT(cel__frame_put_method(&buf, 1, AMQP_QUEUE_DELETE_METHOD, &delete), CEL_EINVAL);
        CHECK_INT(cel__frame_put_method(&buf, 1, AMQP_QUEUE_DECLARE_METHOD, &declare), CEL_EINVAL);
        CHECK_INT(cel__frame_put_method(&buf, 1, 0x12345678, &declare), CEL_EINVAL);
        delete.queue.len = 255;
        CHECK_INT(cel__frame_put_method(&buf, 1, AMQP_QUEUE_DELETE_METHOD, &delete), CEL_ETOOBIG);
        check_used(&buf, heartbeat, 8);
        delete.queue.len = 240;
        CHECK_INT(cel__frame_put_method(&buf, 1, AMQP_QUEUE_DELETE_METHOD, &delete), 0);
        cel__buf_fini(&buf);
}

static int decode(const void *payload, size_t n)
{
        cel__frame frame = {.type = CEL__FRAME_METHOD, .payload = payload, .payload_bytes = n};
        amqp_method_number_t id = 77;
        void *method = NULL;
        amqp_pool_t pool;
        int r;

        init_amqp_pool(&pool, 4096);
        r = cel__method_decode(&frame, &pool, &id, &method);
        CHECK(r == 0 ? method != NULL : id == 77 && !method);
        empty_amqp_pool(&pool);
        return r;
}

TEST(methods_that_are_cut_or_unknown_violate_the_protocol)
{
        /* connection.start with {a: {b: true}}, "PLAIN", "en_US" */
        static const char start[] = "\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x0b\x01"
                                    "aF\x00\x00\x00\x04\x01"
                                    "bt\x01"
                                    "\x00\x00\x00\x05PLAIN\x00\x00\x00\x05"
                                    "en_US";

        for (size_t n = 0; n < sizeof(start) - 1; n++)
                CHECK_INT(decode(start, n), CEL_EPROTO);
        CHECK_INT(decode(start, sizeof(start) - 1), 0);
        CHECK_INT(decode("\x00\x0a\x00\x63", 4), CEL_EPROTO);
        CHECK_INT(decode("\x00\x00\x00\x00", 4), CEL_EPROTO);
}

TEST(server_properties_nested_without_end_are_refused_before_anyone_recurses)
{
        enum { DEPTH = 18000, PER_LEVEL = 7, TABLE = DEPTH * PER_LEVEL };
        cel_auto_free uint8_t *payload = calloc(1, 10 + TABLE + 8);
        size_t n = 6, inside = TABLE;

        memcpy(payload, "\x00\x0a\x00\x0a\x00\x09", 6);
        for (int i = 0; i <= DEPTH; i++) {
                payload[n++] = (uint8_t)(inside >> 24);
                payload[n++] = (uint8_t)(inside >> 16);
                payload[n++] = (uint8_t)(inside >> 8);
                payload[n++] = (uint8_t)inside;
                if (i < DEPTH) {
                        payload[n++] = 1;
                        payload[n++] = 'a';
                        payload[n++] = 'F';
                        inside -= PER_LEVEL;
                }
        }
        CHECK_INT(n, 10 + TABLE);
        CHECK_INT(decode(payload, n + 8), CEL_EPROTO);
}

static void check_properties(const cel_message *message, const char *hex)
{
        cel__frame frame;
        cel__buf buf;

        cel__buf_init(&buf, 1000);
        CHECK_INT(cel__frame_put_content(&buf, 1, message, FRAME_BYTES_MAX), 0);
        CHECK_INT(parse(cel__buf_head(&buf), cel__buf_used(&buf), &frame), 1);
        CHECK_INT(frame.type, CEL__FRAME_HEADER);
        CHECK_INT(frame.payload_bytes, 12 + strlen(hex) / 2);
        CHECK_BYTES(frame.payload, "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 12);
        for (size_t i = 12; i < frame.payload_bytes; i++) {
                unsigned byte;

                CHECK_INT(sscanf(hex + 2 * (i - 12), "%2x", &byte), 1);
                CHECK_INT(frame.payload[i], byte);
        }
        cel__buf_fini(&buf);
}

TEST(properties_are_the_bytes_that_oslo_messaging_sends)
{
        cel_auto(cel_headers) *headers = NULL;

        CHECK_INT(cel_headers_new(&headers), 0);

        cel_message message = {.content_type = "application/json",
                               .content_encoding = "utf-8",
                               .headers = headers,
                               .delivery_mode = 2,
                               .has_priority = true};

        check_properties(&message, "f800106170706c69636174696f6e2f6a736f6e057574662d38000000000200");
        message.expiration = "60000";
        check_properties(&message,
                         "f900106170706c69636174696f6e2f6a736f6e057574662d38000000000200053630303030");
        check_properties(&(cel_message){0}, "0000");
}

TEST(a_body_is_cut_into_frames_that_the_peer_accepts)
{
        cel_message message = {.body = "0123456789", .body_bytes = 10};
        cel__buf buf;

        cel__buf_init(&buf, 1000);
        CHECK_INT(cel__frame_put_content(&buf, 2, &message, 8 + 14), 0);
        check_used(&buf,
                   "\x02\x00\x02\x00\x00\x00\x0e\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x00\xce"
                   "\x03\x00\x02\x00\x00\x00\x0a"
                   "0123456789\xce",
                   40);
        cel__buf_clear(&buf, 1000);
        CHECK_INT(cel__frame_put_content(&buf, 2, &message, 8 + 13), CEL_ETOOBIG);
        CHECK_INT(cel__buf_used(&buf), 0);

        static char big[100];

        message.body = big;
        message.body_bytes = 29;
        CHECK_INT(cel__frame_put_content(&buf, 2, &message, 8 + 14), 0);
        CHECK_INT(cel__buf_used(&buf), (8 + 14) + 3 * 8 + 29);
        cel__buf_fini(&buf);
}

TEST(content_that_cannot_be_sent_leaves_the_buffer_as_it_was)
{
        char text[257];
        cel_message message = {.type = text};
        cel__buf buf;

        memset(text, 't', 256);
        text[256] = '\0';
        cel__buf_init(&buf, 300);
        CHECK_INT(cel__frame_put_heartbeat(&buf), 0);
        CHECK_INT(cel__frame_put_content(&buf, 1, &message, FRAME_BYTES_MAX), CEL_EINVAL);
        text[255] = '\0';
        CHECK_INT(cel__frame_put_content(&buf, 1, &message, FRAME_BYTES_MAX), 0);
        CHECK_INT(cel__frame_put_content(&buf, 1, &message, FRAME_BYTES_MAX), CEL_ETOOBIG);
        message = (cel_message){.body = text, .body_bytes = SIZE_MAX};
        CHECK_INT(cel__frame_put_content(&buf, 1, &message, 9), CEL_ETOOBIG);
        CHECK_INT(cel__buf_used(&buf), 8 + 8 + 12 + 2 + 256);
        cel__buf_fini(&buf);
}

TEST(publishing_appends_method_and_content_or_nothing)
{
        cel_message message = {.exchange = "nova", .body = "{}", .body_bytes = 2};
        static const char expected[] =
                "\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x28\x00\x00\x04nova\x00\x01\xce"
                "\x02\x00\x01\x00\x00\x00\x0e\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\xce"
                "\x03\x00\x01\x00\x00\x00\x02{}\xce";
        char text[257];
        cel__buf buf;

        memset(text, 't', 256);
        text[256] = '\0';
        cel__buf_init(&buf, sizeof(expected) + 10);
        CHECK_INT(cel__frame_put_publish(&buf, 1, &message, true, FRAME_BYTES_MAX), 0);
        check_used(&buf, expected, sizeof(expected) - 1);
        CHECK_INT(cel__frame_put_publish(&buf, 1, &message, true, FRAME_BYTES_MAX), CEL_ETOOBIG);
        cel__buf_consume(&buf, 25); /* there is room for the method now, but not for all */
        CHECK_INT(cel__frame_put_publish(&buf, 1, &message, true, FRAME_BYTES_MAX), CEL_ETOOBIG);
        message.type = text;
        CHECK_INT(cel__frame_put_publish(&buf, 1, &message, true, FRAME_BYTES_MAX), CEL_EINVAL);
        message.type = NULL;
        message.routing_key = text;
        CHECK_INT(cel__frame_put_publish(&buf, 1, &message, true, FRAME_BYTES_MAX), CEL_EINVAL);
        check_used(&buf, expected + 25, sizeof(expected) - 1 - 25);
        cel__buf_fini(&buf);
}

TEST(random_bytes_never_confuse_the_parser)
{
        unsigned seed = (unsigned)time(NULL);
        uint8_t bytes[64];

        print_message("# seed %u\n", seed);
        srand(seed);
        for (int round = 0; round < 200000; round++) {
                size_t n = (size_t)rand() % sizeof(bytes);
                cel__frame frame;

                for (size_t i = 0; i < n; i++)
                        bytes[i] = (uint8_t)(rand() % 3 ? rand() % 20 : rand());
                if (n > 4)
                        bytes[3] = bytes[4] = 0;
                if (parse(bytes, n, &frame) == 1 && frame.type == CEL__FRAME_METHOD)
                        decode(frame.payload, frame.payload_bytes);
        }
}
