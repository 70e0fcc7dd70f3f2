/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/content.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FRAME_BYTES_MAX = 131072, BODY_BYTES_MAX = 64 << 20 };

/* A content header frame with the given properties. */
typedef struct header {
        uint8_t bytes[3000];
        cel__frame frame;
} header;

static const cel__frame *make_header(header *h, uint64_t body_bytes, const void *properties, size_t n)
{
        memset(h, 0, sizeof(*h));
        h->bytes[1] = 60;
        for (int i = 0; i < 8; i++)
                h->bytes[4 + i] = (uint8_t)(body_bytes >> (56 - 8 * i));
        memcpy(h->bytes + 12, properties, n);
        h->frame = (cel__frame){
                .type = CEL__FRAME_HEADER, .channel = 1, .payload = h->bytes, .payload_bytes = 12 + n};
        return &h->frame;
}

static cel__frame body_frame(const void *bytes, size_t n)
{
        return (cel__frame){.type = CEL__FRAME_BODY, .channel = 1, .payload = bytes, .payload_bytes = n};
}

TEST(a_small_message_is_complete_with_its_only_body_frame)
{
        static const char properties[] = "\xf9\x00\x10"
                                         "application/json\x05utf-8\x00\x00\x00\x00\x02\x00\x05"
                                         "60000";
        cel__frame body = body_frame("{}", 2);
        cel_auto(cel__content) *content = NULL;
        header h;

        CHECK_INT(cel__content_new_from_header(make_header(&h, 2, properties, sizeof(properties) - 1),
                                               BODY_BYTES_MAX, &content),
                  0);
        CHECK_INT(cel__content_set_address(content, "nova", 4, "compute.h1", 10, true), 0);
        CHECK_INT(cel__content_add_body(content, &body), 1);
        memset(&h, 0xff, sizeof(h)); /* nothing refers to the frame */

        const cel_message *m = &content->message;
        size_t headers_bytes;

        CHECK_STR(m->exchange, "nova");
        CHECK_STR(m->routing_key, "compute.h1");
        CHECK(m->redelivered);
        CHECK_STR(m->content_type, "application/json");
        CHECK_STR(m->content_encoding, "utf-8");
        CHECK_STR(m->expiration, "60000");
        CHECK_INT(m->delivery_mode, 2);
        CHECK(m->has_priority && m->priority == 0);
        CHECK(m->headers && !cel__headers_bytes(m->headers, &headers_bytes) && headers_bytes == 0);
        CHECK(!m->has_timestamp && !m->correlation_id && !m->reply_to && !m->message_id && !m->type);
        CHECK(!m->user_id && !m->app_id && !m->queue);
        CHECK_INT(m->body_bytes, 2);
        CHECK_STR(m->body, "{}");
}

TEST(an_empty_message_is_complete_at_once)
{
        cel_auto(cel__content) *content = NULL;
        header h;

        CHECK_INT(cel__content_new_from_header(make_header(&h, 0, "\0\0", 2), 0, &content), 1);
        CHECK_INT(content->message.body_bytes, 0);
        CHECK_STR(content->message.body, "");
        CHECK_STR(content->message.exchange, "");
        CHECK(!content->message.headers);
}

TEST(all_properties_survive_encoding_and_decoding)
{
        cel_auto(cel_headers) *headers = NULL;
        cel_auto(cel__content) *content = NULL;
        cel_auto_free char *value = NULL;
        cel__frame frame;
        size_t consumed;
        cel__buf buf;

        CHECK_INT(cel_headers_new(&headers), 0);
        CHECK_INT(cel_headers_set_str(headers, "compression", "application/x-gzip"), 0);

        cel_message sent = {
                .content_type = "ct",
                .content_encoding = "",
                .headers = headers,
                .correlation_id = "c",
                .reply_to = "r",
                .expiration = "1",
                .message_id = "m",
                .type = "t",
                .user_id = "u",
                .app_id = "a",
                .timestamp = UINT64_C(0x123456789a),
                .has_timestamp = true,
                .delivery_mode = 1,
                .priority = 9,
                .has_priority = true,
        };

        cel__buf_init(&buf, 1000);
        CHECK_INT(cel__frame_put_content(&buf, 1, &sent, FRAME_BYTES_MAX), 0);
        CHECK_INT(cel__frame_parse(cel__buf_head(&buf), cel__buf_used(&buf), FRAME_BYTES_MAX, &frame,
                                   &consumed),
                  1);
        CHECK_INT(consumed, cel__buf_used(&buf));
        CHECK_INT(cel__content_new_from_header(&frame, 0, &content), 1);
        cel__buf_fini(&buf);

        const cel_message *m = &content->message;

        CHECK_STR(m->content_type, "ct");
        CHECK_STR(m->content_encoding, "");
        CHECK_STR(m->correlation_id, "c");
        CHECK_STR(m->reply_to, "r");
        CHECK_STR(m->expiration, "1");
        CHECK_STR(m->message_id, "m");
        CHECK_STR(m->type, "t");
        CHECK_STR(m->user_id, "u");
        CHECK_STR(m->app_id, "a");
        CHECK(m->has_timestamp && m->timestamp == UINT64_C(0x123456789a));
        CHECK(m->has_priority && m->priority == 9);
        CHECK_INT(m->delivery_mode, 1);
        CHECK_INT(cel_headers_get_str(m->headers, "compression", &value), 0);
        CHECK_STR(value, "application/x-gzip");
}

TEST(properties_that_are_cut_or_unknown_or_too_long_are_refused_alone)
{
        static const char properties[] = "\xff\xfc\x01"
                                         "a\x01"
                                         "b\x00\x00\x00\x04\x01"
                                         "kt\x01\x02\x03\x01"
                                         "c\x01"
                                         "d\x01"
                                         "e\x01"
                                         "f\x00\x00\x00\x00\x00\x00\x00\x01\x01"
                                         "g\x01"
                                         "h\x01"
                                         "i\x01"
                                         "j";
        size_t n = sizeof(properties) - 1;
        cel_auto(cel__content) *content = NULL;
        cel__content *none = NULL;
        header h;

        CHECK_INT(cel__content_new_from_header(make_header(&h, 0, properties, n), 0, &content), 1);
        CHECK_STR(content->message.app_id, "i");
        for (size_t cut = 0; cut < n; cut++)
                CHECK_INT(cel__content_new_from_header(make_header(&h, 0, properties, cut), 0, &none),
                          CEL_EDECODE);
        CHECK_INT(cel__content_new_from_header(make_header(&h, 0, properties, n + 1), 0, &none), CEL_EDECODE);
        CHECK_INT(cel__content_new_from_header(make_header(&h, 0, "\x00\x01\x00\x00", 4), 0, &none),
                  CEL_EDECODE);
        CHECK_INT(cel__content_new_from_header(make_header(&h, 0, "\x00\x02", 2), 0, &none), CEL_EDECODE);
        CHECK_INT(cel__content_new_from_header(make_header(&h, 0, "\x20\x00\x00\x00\x00\x02\x01z", 8), 0,
                                               &none),
                  CEL_EDECODE);
        CHECK(!none);
}

TEST(frames_that_are_no_content_header_violate_the_protocol)
{
        cel__content *none = NULL;
        uint64_t announced = 7;
        cel__frame frame;
        header h;

        for (size_t n = 0; n < 12; n++) {
                frame = *make_header(&h, 0, "\0\0", 2);
                frame.payload_bytes = n;
                CHECK_INT(cel__content_new_from_header(&frame, 0, &none), CEL_EPROTO);
                CHECK_INT(cel__content_announced(&frame, &announced), CEL_EPROTO);
        }
        frame = *make_header(&h, 0, "\0\0", 2);
        h.bytes[1] = 50;
        CHECK_INT(cel__content_new_from_header(&frame, 0, &none), CEL_EPROTO);
        h.bytes[1] = 60;
        frame.type = CEL__FRAME_BODY;
        CHECK_INT(cel__content_new_from_header(&frame, 0, &none), CEL_EPROTO);
        CHECK_INT(announced, 7);
        CHECK(!none);
}

TEST(a_body_over_the_limit_is_refused_and_its_size_is_known)
{
        cel__content *none = NULL;
        uint64_t announced;
        header h;

        CHECK_INT(cel__content_new_from_header(make_header(&h, 11, "\0\0", 2), 10, &none), CEL_ETOOBIG);
        CHECK_INT(cel__content_announced(&h.frame, &announced), 0);
        CHECK_INT(announced, 11);
        CHECK_INT(cel__content_new_from_header(make_header(&h, UINT64_C(1) << 63, "\0\0", 2), 10, &none),
                  CEL_ETOOBIG);
        CHECK(!none);
}

TEST(an_enormous_announcement_costs_nothing)
{
        cel_auto(cel__content) *content = NULL;
        cel__frame body = body_frame("hello", 5);
        header h;

        CHECK_INT(cel__content_new_from_header(make_header(&h, UINT64_C(1) << 62, "\0\0", 2), SIZE_MAX,
                                               &content),
                  0);
        CHECK_INT(cel__content_add_body(content, &body), 0);
        CHECK_INT(content->message.body_bytes, 5);
        CHECK(content->body_capacity <= 1 << 20);
        CHECK_STR(content->message.body, "hello");
}

TEST(more_body_than_announced_violates_the_protocol)
{
        cel_auto(cel__content) *content = NULL;
        cel__frame body = body_frame("hello", 5);
        cel__frame wrong = body;
        header h;

        wrong.type = CEL__FRAME_HEADER;
        CHECK_INT(cel__content_new_from_header(make_header(&h, 7, "\0\0", 2), 10, &content), 0);
        CHECK_INT(cel__content_add_body(content, &wrong), CEL_EPROTO);
        CHECK_INT(cel__content_add_body(content, &body), 0);
        CHECK_INT(cel__content_add_body(content, &body), CEL_EPROTO);
        CHECK_STR(content->message.body, "hello");
        body = body_frame("", 0);
        CHECK_INT(cel__content_add_body(content, &body), 0);
        body = body_frame("!!", 2);
        CHECK_INT(cel__content_add_body(content, &body), 1);
        CHECK_STR(content->message.body, "hello!!");
}

TEST(addresses_have_at_most_255_bytes)
{
        cel_auto(cel__content) *content = NULL;
        char name[256];
        header h;

        memset(name, 'n', sizeof(name));
        CHECK_INT(cel__content_new_from_header(make_header(&h, 0, "\0\0", 2), 0, &content), 1);
        CHECK_INT(cel__content_set_address(content, name, 256, "", 0, false), CEL_EINVAL);
        CHECK_INT(cel__content_set_address(content, "", 0, name, 256, false), CEL_EINVAL);
        CHECK_INT(cel__content_set_address(content, name, 255, name, 255, false), 0);
        CHECK_INT(strlen(content->message.exchange), 255);
        CHECK_INT(strlen(content->message.routing_key), 255);
}

/* Send `n` random bytes through frames of the given size. */
static void check_round_trip(size_t n, size_t frame_bytes_max)
{
        cel_auto_free uint8_t *body = malloc(n + 1);
        cel_message sent = {.type = "t", .body = body, .body_bytes = n};
        cel_auto(cel__content) *content = NULL;
        cel__frame frame;
        size_t consumed;
        cel__buf buf;
        int r = 0;

        for (size_t i = 0; i < n; i++)
                body[i] = (uint8_t)rand();
        cel__buf_init(&buf, 64 << 20);
        CHECK_INT(cel__frame_put_content(&buf, 1, &sent, frame_bytes_max), 0);
        while (cel__buf_used(&buf) > 0) {
                CHECK_INT(r, 0);
                CHECK_INT(cel__frame_parse(cel__buf_head(&buf), cel__buf_used(&buf), frame_bytes_max, &frame,
                                           &consumed),
                          1);
                r = content ? cel__content_add_body(content, &frame)
                            : cel__content_new_from_header(&frame, n, &content);
                cel__buf_consume(&buf, consumed);
        }
        CHECK_INT(r, 1);
        CHECK_INT(content->message.body_bytes, n);
        CHECK_BYTES(content->message.body, body, n);
        CHECK_INT(((const char *)content->message.body)[n], 0);
        cel__buf_fini(&buf);
}

TEST(bodies_of_all_sizes_arrive_as_they_were_sent)
{
        static const size_t edges[] = {1,     4087,  4088,    4089,          32767,  32768,
                                       32769, 65536, 1 << 20, (1 << 20) + 1, 3000000};
        unsigned seed = (unsigned)time(NULL);

        print_message("# seed %u\n", seed);
        srand(seed);
        for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
                check_round_trip(edges[i], 4096);
                check_round_trip(edges[i], FRAME_BYTES_MAX);
        }
        for (int i = 0; i < 50; i++)
                check_round_trip(1 + (size_t)rand() % 100000, 64 + (size_t)rand() % 10000);
}
