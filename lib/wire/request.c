/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/request.h"
#include "wire/explain.h"
#include "wire/members.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* --- Encoding --------------------------------------------------------------------------------- */

static int put_timeout(int monitor_s, cel__buf *out)
{
        char text[32];
        int n = monitor_s > 0 ? snprintf(text, sizeof(text), "%d", monitor_s)
                              : snprintf(text, sizeof(text), "null");

        return cel__put_member_text(out, "_timeout", text, (size_t)n);
}

static int put_request(const cel__request *q, cel__buf *out)
{
        int r = cel__put_member_string(out, "method", q->method);

        if (r >= 0)
                r = q->args ? cel__put_member(out, "args", q->args)
                            : cel__put_member_text(out, "args", "{}", 2);
        if (r >= 0 && q->name_space)
                r = cel__put_member_string(out, "namespace", q->name_space);
        if (r >= 0 && q->version)
                r = cel__put_member_string(out, "version", q->version);
        if (r >= 0 && q->msg_id) {
                r = cel__put_member_string(out, "_msg_id", q->msg_id);
                if (r >= 0)
                        r = cel__put_member_string(out, "_reply_q", q->reply_queue);
                if (r >= 0)
                        r = put_timeout(q->monitor_s, out);
        }
        if (r >= 0)
                r = cel__put_member_string(out, "_unique_id", q->unique_id);
        if (r >= 0 && q->context)
                r = cel__put_context(out, q->context);
        return r < 0 ? r : cel__put_members_end(out);
}

int cel__request_encode(const cel__request *request, cel__buf *out)
{
        cel__buf inner;

        if ((request->args && !json_is_object(request->args)) ||
            (request->context && !json_is_object(request->context)))
                return CEL_EINVAL;
        cel__buf_init(&inner, out->bytes_max);
        int r = put_request(request, &inner);
        if (r >= 0)
                r = cel__envelope_wrap((const char *)cel__buf_head(&inner), cel__buf_used(&inner), out);
        cel__buf_fini(&inner);
        return r;
}

/* --- Decoding --------------------------------------------------------------------------------- */

/* What Python's int() makes of it, if it is a number that makes sense. */
static int seconds_of(const json_t *timeout)
{
        double s = json_number_value(timeout);

        return s >= 1 && s <= INT_MAX ? (int)s : 0;
}

static int check_args(const json_t *message, cel__request *q, char *why, size_t why_bytes)
{
        q->args = json_object_get(message, "args");
        if (q->args && !json_is_object(q->args)) {
                cel__explain(why, why_bytes, "not a request: its args are not an object");
                return CEL_EDECODE;
        }
        return 0;
}

int cel__request_decode(const cel__envelope *envelope, cel__request *ret_request, json_t **ret_context,
                        char *why, size_t why_bytes)
{
        const json_t *message = envelope->message;
        cel__request q = {.version = "1.0", .unique_id = ""};
        const cel__string_member strings[] = {
                {"method", &q.method, true},         {"namespace", &q.name_space, false},
                {"_msg_id", &q.msg_id, false},       {"_reply_q", &q.reply_queue, false},
                {"_unique_id", &q.unique_id, false},
        };
        int r = cel__get_strings(message, "a request", strings, sizeof(strings) / sizeof(strings[0]), why,
                                 why_bytes);

        if (r >= 0 && json_object_get(message, "version")) { /* null is no version, and none is "1.0" */
                const cel__string_member version = {"version", &q.version, false};

                q.version = NULL;
                r = cel__get_strings(message, "a request", &version, 1, why, why_bytes);
        }
        if (r >= 0)
                r = check_args(message, &q, why, why_bytes);
        if (r < 0)
                return r;
        if (!q.msg_id || !q.reply_queue || !*q.reply_queue) /* there is nobody to reply to */
                q.msg_id = q.reply_queue = NULL;
        q.monitor_s = q.msg_id ? seconds_of(json_object_get(message, "_timeout")) : 0;
        r = cel__get_context(message, ret_context);
        if (r < 0)
                return r;
        q.context = *ret_context;
        *ret_request = q;
        return 0;
}
