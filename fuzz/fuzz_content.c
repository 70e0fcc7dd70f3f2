/* SPDX-License-Identifier: Apache-2.0
 *
 * Content headers: the input is the payload of one. What is accepted gets the body that it announces. */
#include "content_check.h"
#include "fuzz.h"

enum { BODY_BYTES_MAX = 100000, PIECE_BYTES = 30000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const uint8_t piece[PIECE_BYTES];
        cel__frame header = {.type = CEL__FRAME_HEADER, .channel = 1, .payload = data, .payload_bytes = n};
        cel_auto(cel__content) *content = NULL;
        int r = cel__content_new_from_header(&header, BODY_BYTES_MAX, &content);
        uint64_t announced = 0;

        MUST((cel__content_announced(&header, &announced) == CEL_EPROTO) == (r == CEL_EPROTO));
        MUST(r >= 0 ? content && r == (announced == 0) : !content);
        MUST(r != CEL_ETOOBIG || announced > BODY_BYTES_MAX);
        while (r == 0) {
                uint64_t left = announced - content->message.body_bytes;
                cel__frame body = {.type = CEL__FRAME_BODY, .channel = 1, .payload = piece};

                body.payload_bytes = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
                r = cel__content_add_body(content, &body);
                MUST(r == (left <= PIECE_BYTES));
        }
        if (r == 1)
                check_content_round_trip(content);
        return 0;
}
