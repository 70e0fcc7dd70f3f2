/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies, and signs of life of long calls (oslo-wire sections 10.4, 15.7). A reply that waits for its queue holds a
 * task and nothing else: the handler's place has been given to the next request by then. */
#include "rpc/server.h"
#include "rt/ctx.h"
#include "wire/reply.h"

#include <celadon/log.h>
#include <stdio.h>

enum {
        TRY_AGAIN_MS = 250,
        GRACE_MS = 1000, /* a caller that polls may look a little later than its timeout says */
};

static int encode(const cel_request *request, bool ending, cel__buf *body)
{
        char unique_id[CEL__UUID_BYTES];
        cel__reply reply = {.result = ending ? request->result : NULL,
                            .ending = ending,
                            .msg_id = request->wire.msg_id,
                            .unique_id = unique_id};

        if (ending && request->failed) {
                reply.failure = (const char *)cel__buf_head(&request->failure);
                reply.failure_bytes = cel__buf_used(&request->failure);
                reply.result = NULL;
        }
        cel__uuid_hex(unique_id);
        return cel__reply_encode(&reply, body);
}

static int publish(cel_ctx *ctx, const cel_request *request, const cel__buf *body)
{
        const cel_rpc_server *server = request->server;
        cel_auto(cel_headers) *headers = NULL;
        cel_message message = {.exchange = "",
                               .routing_key = request->wire.reply_queue,
                               .content_type = "application/json",
                               .content_encoding = "utf-8",
                               .delivery_mode = 2,
                               .has_priority = true,
                               .body = cel__buf_head(body),
                               .body_bytes = cel__buf_used(body)};

        if (cel_headers_new(&headers) < 0)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        message.headers = headers;
        return cel__driver_publish(ctx, server->driver, server->bus, &message,
                                   server->settings->reply_mandatory ? CEL_PUBLISH_MANDATORY : 0);
}

/* Until when it makes sense to try: while somebody may wait. */
static cel_time give_up_at(cel_ctx *ctx, const cel_request *request)
{
        cel_time at = cel_time_add_ms(request->deadline, GRACE_MS);
        cel_time patience =
                cel_time_add_ms(cel_ctx_now(ctx), request->server->settings->missing_reply_queue_ms + 1);

        return request->deadline.ns == CEL_TIME_NEVER.ns || patience.ns < at.ns ? patience : at;
}

static int publish_until(cel_ctx *ctx, const cel_request *request, const cel__buf *body, cel_time until)
{
        CEL_WITHIN_MS(ctx, (until.ns - cel_ctx_now(ctx).ns) / CEL_NS_PER_MS);

        return publish(ctx, request, body);
}

/* Nobody may have the queue because its owner is connecting again, and will declare it. */
static int send_repeatedly(cel_ctx *ctx, const cel_request *request, const cel__buf *body)
{
        cel_time until = give_up_at(ctx, request);
        int r = cel_fail(ctx, CEL_ETIMEDOUT, "its caller has given up");

        while (cel_ctx_now(ctx).ns < until.ns) {
                r = publish_until(ctx, request, body, until);
                if (r == CEL_EUNKNOWN) /* the caller drops what comes twice */
                        continue;
                if (r != CEL_EUNROUTABLE)
                        return r;
                int slept = cel_sleep_ms(ctx, TRY_AGAIN_MS);
                if (slept < 0)
                        return slept;
        }
        return r;
}

static bool is_missing(const cel_request *request)
{
        const cel_rpc_server *server = request->server;

        return cel__seen_has(server->missing, request->wire.reply_queue, cel_clock_now(server->clock));
}

static void note_lost(cel_ctx *ctx, const cel_request *request, const char *why)
{
        request->server->stats.replies_lost++;
        cel_warn(ctx, "RPC-REPLY-LOST", "method %s: the reply to message %s for queue %s is lost: %s",
                 request->wire.method, request->wire.msg_id, request->wire.reply_queue, why);
}

bool answer_send(cel_ctx *ctx, cel_request *request)
{
        cel_rpc_server *server = request->server;
        cel__buf body;

        if (is_missing(request)) {
                note_lost(ctx, request, "the queue is gone");
                return false;
        }
        cel__buf_init(&body, RPC_BODY_BYTES_MAX);
        int r = encode(request, true, &body);
        if (r < 0) { /* then at least that */
                cel_request_fail(request, "RuntimeError", "builtins", "the result cannot be sent: %s",
                                 cel_error_text(r));
                cel__buf_clear(&body, 0);
                r = encode(request, true, &body);
        }
        if (r >= 0)
                r = send_repeatedly(ctx, request, &body);
        if (r == CEL_EUNROUTABLE)
                cel__seen_add(server->missing, request->wire.reply_queue, cel_ctx_now(ctx));
        if (r < 0)
                note_lost(ctx, request, cel_ctx_error_text(ctx, r));
        cel__buf_fini(&body);
        return r >= 0;
}

static int send_sign_of_life(cel_ctx *ctx, const cel_request *request)
{
        cel__buf body;

        cel__buf_init(&body, RPC_BODY_BYTES_MAX);
        int r = encode(request, false, &body);
        if (r >= 0)
                r = publish(ctx, request, &body);
        cel__buf_fini(&body);
        return r;
}

/* The handler has returned (0), or it is time for a sign of life (CEL_ETIMEDOUT). */
static int await_turn(cel_ctx *ctx, const cel_request *request)
{
        CEL_WITHIN_MS(ctx, request->wire.monitor_s * INT64_C(1000) / 2);

        return cel_await(ctx, request->done, NULL);
}

void answer_monitor(cel_ctx *ctx, const cel_request *request)
{
        int r;

        while ((r = await_turn(ctx, request)) == CEL_ETIMEDOUT) {
                r = send_sign_of_life(ctx, request);
                if (r < 0) {
                        cel_warn(ctx, "RPC-MONITOR-ENDED",
                                 "method %s: no more signs of life for message %s: %s", request->wire.method,
                                 request->wire.msg_id, cel_ctx_error_text(ctx, r));
                        return;
                }
        }
}
