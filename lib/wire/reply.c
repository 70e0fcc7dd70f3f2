/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/reply.h"
#include "wire/explain.h"
#include "wire/members.h"

static int put_failure(const cel__reply *reply, cel__buf *out)
{
        if (!reply->failure)
                return cel__put_member_text(out, "failure", "null", 4);
        int r = cel__put_member_text(out, "failure", "", 0);
        return r < 0 ? r : cel__json_write_string(reply->failure, reply->failure_bytes, out);
}

static int put_reply(const cel__reply *reply, cel__buf *out)
{
        int r = cel__put_member(out, "result", reply->result);

        if (r >= 0)
                r = put_failure(reply, out);
        if (r >= 0)
                r = reply->ending ? cel__put_member_text(out, "ending", "true", 4)
                                  : cel__put_member_text(out, "ending", "false", 5);
        if (r >= 0)
                r = cel__put_member_string(out, "_msg_id", reply->msg_id);
        if (r >= 0)
                r = cel__put_member_string(out, "_unique_id", reply->unique_id);
        return r < 0 ? r : cel__put_members_end(out);
}

int cel__reply_encode(const cel__reply *reply, cel__buf *out)
{
        cel__buf inner;

        cel__buf_init(&inner, out->bytes_max);
        int r = put_reply(reply, &inner);
        if (r >= 0)
                r = cel__envelope_wrap((const char *)cel__buf_head(&inner), cel__buf_used(&inner), out);
        cel__buf_fini(&inner);
        return r;
}

int cel__reply_decode(const cel__envelope *envelope, cel__reply *ret_reply, const char **ret_msg_id,
                      char *why, size_t why_bytes)
{
        const json_t *message = envelope->message, *failure = json_object_get(message, "failure");
        cel__reply reply = {.result = json_object_get(message, "result"), .unique_id = ""};
        const cel__string_member msg_id = {"_msg_id", &reply.msg_id, true};
        const cel__string_member unique_id = {"_unique_id", &reply.unique_id, false};
        int r = cel__get_strings(message, "a reply", &msg_id, 1, why, why_bytes);

        *ret_msg_id = reply.msg_id;
        if (r >= 0)
                r = cel__get_strings(message, "a reply", &unique_id, 1, why, why_bytes);
        if (r < 0)
                return r;
        if (failure && !json_is_null(failure) && !json_is_string(failure)) {
                cel__explain(why, why_bytes, "not a reply: its failure is neither null nor a string");
                return CEL_EDECODE;
        }
        if (json_string_length(failure) > 0) {
                reply.failure = json_string_value(failure);
                reply.failure_bytes = json_string_length(failure);
        }
        const json_t *ending = json_object_get(message, "ending");
        /* Peers of old sent the result in one message and the end in another: the result is what counts. */
        reply.ending = !ending || json_is_true(ending) || reply.failure ||
                       (reply.result && !json_is_null(reply.result));
        *ret_reply = reply;
        return 0;
}
