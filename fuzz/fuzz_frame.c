/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream of frames, as a server could send it: methods are decoded and encoded again, messages put
 * together. */
#include "content_check.h"
#include "fuzz.h"

#include <string.h>

enum { FRAME_BYTES_MAX = 131072, BODY_BYTES_MAX = 100000 };

/* Encode a method, parse and decode that. */
static void pass_on(cel__buf *buf, amqp_pool_t *pool, amqp_method_number_t *id, void **method)
{
        cel__frame frame;
        size_t consumed;

        MUST(cel__frame_put_method(buf, 1, *id, *method) == 0);
        MUST(cel__frame_parse(cel__buf_head(buf), cel__buf_used(buf), FRAME_BYTES_MAX, &frame, &consumed) ==
             1);
        MUST(consumed == cel__buf_used(buf));
        MUST(cel__method_decode(&frame, pool, id, method) == 0);
}

static void check_method(const cel__frame *frame)
{
        amqp_method_number_t id;
        cel__buf first, second;
        amqp_pool_t pool;
        void *method;
        int r;

        init_amqp_pool(&pool, 4096);
        cel__buf_init(&first, FRAME_BYTES_MAX);
        cel__buf_init(&second, FRAME_BYTES_MAX);
        r = cel__method_decode(frame, &pool, &id, &method);
        MUST(r == 0 || r == CEL_EPROTO);
        if (r == 0) {
                /* What was sent may have had a spare byte or a boolean of 7; from here on nothing changes. */
                pass_on(&first, &pool, &id, &method);
                pass_on(&second, &pool, &id, &method);
                MUST(cel__buf_used(&first) == cel__buf_used(&second));
                MUST(memcmp(cel__buf_head(&first), cel__buf_head(&second), cel__buf_used(&first)) == 0);
        }
        cel__buf_fini(&first);
        cel__buf_fini(&second);
        empty_amqp_pool(&pool);
}

/* Take a frame into the message that is being received, if any. */
static void assemble(const cel__frame *frame, cel__content **content)
{
        int r = CEL_EPROTO;

        if (frame->type == CEL__FRAME_HEADER) {
                *content = cel__content_free(*content);
                r = cel__content_new_from_header(frame, BODY_BYTES_MAX, content);
        } else if (*content) {
                r = cel__content_add_body(*content, frame);
        }
        if (r == 1)
                check_content_round_trip(*content);
        if (r != 0)
                *content = cel__content_free(*content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel_auto(cel__content) *content = NULL;
        cel__frame frame;
        size_t consumed;

        while (cel__frame_parse(data, n, FRAME_BYTES_MAX, &frame, &consumed) == 1) {
                MUST(consumed <= n && consumed == frame.payload_bytes + CEL__FRAME_OVERHEAD);
                MUST(cel__frame_parse(data, consumed - 1, FRAME_BYTES_MAX, &frame, &consumed) == 0);
                if (frame.type == CEL__FRAME_METHOD)
                        check_method(&frame);
                else if (frame.type != CEL__FRAME_HEARTBEAT)
                        assemble(&frame, &content);
                data += consumed;
                n -= consumed;
        }
        return 0;
}
