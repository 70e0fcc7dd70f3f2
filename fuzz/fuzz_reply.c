/* SPDX-License-Identifier: Apache-2.0
 *
 * RPC replies, and the failures in them: what was read can be sent again. */
#include "fuzz.h"
#include "wire/failure.h"
#include "wire/reply.h"

#include <string.h>

static void check_failure(const char *text, size_t n)
{
        cel_remote_error error, again;
        json_t *json, *json_again;
        char why[300] = "";
        cel__buf buf;
        int r = cel__failure_decode(text, n, &error, &json, why, sizeof(why));

        if (r < 0) {
                MUST(r == CEL_EDECODE && *why);
                return;
        }
        cel__buf_init(&buf, 64 << 20);
        MUST(cel__failure_encode(&error, &buf) == 0);
        MUST(cel__failure_decode((const char *)cel__buf_head(&buf), cel__buf_used(&buf), &again, &json_again,
                                 why, sizeof(why)) == 0);
        MUST(strcmp(again.message, error.message) == 0);
        MUST(!error.args || json_equal(again.args, error.args));
        MUST(!error.kwargs || json_equal(again.kwargs, error.kwargs));
        cel__buf_fini(&buf);
        json_decref(json_again);
        json_decref(json);
}

static void check_round_trip(const cel__reply *reply)
{
        const char *msg_id;
        cel__envelope envelope;
        cel__reply again;
        char why[300];
        cel__buf buf;

        cel__buf_init(&buf, 64 << 20);
        MUST(cel__reply_encode(reply, &buf) == 0);
        MUST(cel__envelope_open(cel__buf_head(&buf), cel__buf_used(&buf), &envelope, why, sizeof(why)) == 0);
        MUST(cel__reply_decode(&envelope, &again, &msg_id, why, sizeof(why)) == 0);
        MUST(strcmp(again.msg_id, reply->msg_id) == 0 && again.ending == reply->ending);
        MUST(!again.failure == !reply->failure && again.failure_bytes == reply->failure_bytes);
        MUST(!reply->result || json_equal(again.result, reply->result));
        cel__envelope_fini(&envelope);
        cel__buf_fini(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *msg_id = NULL;
        cel__envelope envelope;
        cel__reply reply;
        char why[300] = "";

        check_failure((const char *)data, n);
        if (cel__envelope_open(data, n, &envelope, why, sizeof(why)) < 0)
                return 0;
        int r = cel__reply_decode(&envelope, &reply, &msg_id, why, sizeof(why));
        if (r < 0) {
                MUST(r == CEL_EDECODE && *why);
        } else {
                MUST(reply.msg_id == msg_id && msg_id && reply.unique_id);
                if (reply.failure)
                        check_failure(reply.failure, reply.failure_bytes);
                check_round_trip(&reply);
        }
        cel__envelope_fini(&envelope);
        return 0;
}
