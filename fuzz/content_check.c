/* SPDX-License-Identifier: Apache-2.0 */
#include "content_check.h"
#include "fuzz.h"

#include <string.h>

enum { FRAME_BYTES_MAX = 131072, BUF_BYTES_MAX = 8 << 20 };

static bool same_text(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_headers(const cel_headers *a, const cel_headers *b)
{
        size_t a_n = 0, b_n = 0;
        const uint8_t *a_bytes = a ? cel__headers_bytes(a, &a_n) : NULL;
        const uint8_t *b_bytes = b ? cel__headers_bytes(b, &b_n) : NULL;

        return !a == !b && a_n == b_n && (a_n == 0 || memcmp(a_bytes, b_bytes, a_n) == 0);
}

static void check_same(const cel_message *a, const cel_message *b)
{
        MUST(same_text(a->content_type, b->content_type) &&
             same_text(a->content_encoding, b->content_encoding));
        MUST(same_headers(a->headers, b->headers));
        MUST(same_text(a->correlation_id, b->correlation_id) && same_text(a->reply_to, b->reply_to));
        MUST(same_text(a->expiration, b->expiration) && same_text(a->message_id, b->message_id));
        MUST(same_text(a->type, b->type) && same_text(a->user_id, b->user_id) &&
             same_text(a->app_id, b->app_id));
        MUST(a->delivery_mode == b->delivery_mode);
        MUST(a->has_priority == b->has_priority && a->priority == b->priority);
        MUST(a->has_timestamp == b->has_timestamp && a->timestamp == b->timestamp);
        MUST(a->body_bytes == b->body_bytes && memcmp(a->body, b->body, a->body_bytes) == 0);
}

void check_content_round_trip(const cel__content *content)
{
        cel_auto(cel__content) *again = NULL;
        cel__frame frame;
        size_t consumed;
        cel__buf buf;
        int r;

        cel__buf_init(&buf, BUF_BYTES_MAX);
        r = cel__frame_put_content(&buf, 1, &content->message, FRAME_BYTES_MAX);
        MUST(r == 0);
        MUST(cel__frame_parse(cel__buf_head(&buf), cel__buf_used(&buf), FRAME_BYTES_MAX, &frame, &consumed) ==
             1);
        r = cel__content_new_from_header(&frame, content->message.body_bytes, &again);
        for (;;) {
                cel__buf_consume(&buf, consumed);
                MUST(r == (cel__buf_used(&buf) == 0));
                if (r == 1)
                        break;
                MUST(cel__frame_parse(cel__buf_head(&buf), cel__buf_used(&buf), FRAME_BYTES_MAX, &frame,
                                      &consumed) == 1);
                r = cel__content_add_body(again, &frame);
        }
        check_same(&content->message, &again->message);
        cel__buf_fini(&buf);
}
