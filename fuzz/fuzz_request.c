/* SPDX-License-Identifier: Apache-2.0
 *
 * RPC requests: what was read can be sent again, and says the same. */
#include "fuzz.h"
#include "wire/request.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
        return strcmp(a ? a : "", b ? b : "") == 0 && !a == !b;
}

/* Names of the context may be too long to be sent, and text with zero bytes ends there. */
static void check_round_trip(const cel__request *request)
{
        cel__envelope envelope;
        cel__request again;
        json_t *context;
        char why[300];
        cel__buf buf;

        cel__buf_init(&buf, 64 << 20);
        if (cel__request_encode(request, &buf) == 0) {
                MUST(cel__envelope_open(cel__buf_head(&buf), cel__buf_used(&buf), &envelope, why,
                                        sizeof(why)) == 0);
                MUST(cel__request_decode(&envelope, &again, &context, why, sizeof(why)) == 0);
                MUST(same_text(again.method, request->method) && same_text(again.msg_id, request->msg_id));
                MUST(same_text(again.name_space, request->name_space));
                MUST(same_text(again.reply_queue, request->reply_queue));
                MUST(same_text(again.unique_id, request->unique_id));
                MUST(again.monitor_s == request->monitor_s);
                MUST(!request->args || json_equal(again.args, request->args));
                json_decref(context);
                cel__envelope_fini(&envelope);
        }
        cel__buf_fini(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel__envelope envelope;
        cel__request request;
        json_t *context;
        char why[300] = "";

        if (cel__envelope_open(data, n, &envelope, why, sizeof(why)) < 0)
                return 0;
        int r = cel__request_decode(&envelope, &request, &context, why, sizeof(why));
        if (r < 0) {
                MUST(r == CEL_EDECODE && *why);
        } else {
                MUST(request.method && request.unique_id && json_is_object(context) &&
                     request.monitor_s >= 0);
                MUST(!request.msg_id == !request.reply_queue);
                check_round_trip(&request);
                json_decref(context);
        }
        cel__envelope_fini(&envelope);
        return 0;
}
