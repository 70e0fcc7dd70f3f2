/* SPDX-License-Identifier: Apache-2.0
 *
 * One request, in its task: the handler, then the reply, then, if that is late, the acknowledgement. */
#include "driver/convert.h"
#include "rpc/server.h"
#include "rt/ctx.h"

#include <celadon/executor.h>
#include <celadon/log.h>
#include <stdlib.h>
#include <string.h>

enum { REPLYING_MAX = 10000, LAST_WORD_MS = 2000 };

static bool is_expected(const cel_request *q)
{
        for (const char *const *e = q->lane->method->expected; e && *e; e++)
                if (strcmp(*e, q->failed_class) == 0)
                        return true;
        return false;
}

static void tell_failure(cel_ctx *ctx, const cel_request *q)
{
        static const char ignored[] =
                "_ignore_errors"; /* such methods may be missing, by upstream's custom */
        size_t n = strlen(q->wire.method), ignored_n = sizeof(ignored) - 1;
        bool refusal = q->lane == &q->server->refusals;
        bool quiet = is_expected(q) ||
                     (refusal && n >= ignored_n && strcmp(q->wire.method + n - ignored_n, ignored) == 0);

        cel_log_if(quiet     ? CEL_LOG_DEBUG
                   : refusal ? CEL_LOG_WARN
                             : CEL_LOG_ERROR,
                   ctx, refusal ? "RPC-REFUSED" : "RPC-FAILED", "method %s failed: %s: %s", q->wire.method,
                   q->failed_class, q->why);
}

/* --- The handler ------------------------------------------------------------------------------ */

/* What the handler's result means, beside what it has said itself. An inline handler has no ctx. */
static void put_result(cel_ctx *ctx, cel_request *q, int result)
{
        const cel_remote_error *remote = ctx && result == CEL_EREMOTE ? cel_remote_error_of(ctx) : NULL;

        q->gives_up = result == CEL_ECANCELED && !q->settled;
        if (result >= 0 || q->failed)
                return;
        if (remote)
                cel_request_fail_with(q, remote);
        else
                cel_request_fail(q, "RuntimeError", "builtins", "%s",
                                 ctx ? cel_ctx_error_text(ctx, result) : cel_error_text(result));
}

/* Make of the context and the arguments what the handler is to see (oslo-wire section 12.4). */
static int deserialize(cel_ctx *ctx, cel_request *q)
{
        const cel_serializer *serializer = &q->server->serializer;
        json_t *context;
        int r = cel__convert_context(ctx, serializer, CEL__AS_RECEIVED, q->context, &context);

        if (r < 0)
                return r;
        json_decref(q->context);
        q->context = context;
        return cel__convert_args(ctx, serializer, CEL__AS_RECEIVED, q->context, q->wire.args, &q->args);
}

static int serialize_result(cel_ctx *ctx, cel_request *q)
{
        json_t *result;
        int r = cel__convert_entity(ctx, &q->server->serializer, CEL__TO_SEND, "the result", q->context,
                                    q->result, &result);

        return r < 0 ? r : cel_request_reply(q, result);
}

static int call_method(cel_ctx *ctx, cel_request *q)
{
        bool refusal = q->lane == &q->server->refusals;
        int r = refusal ? 0 : deserialize(ctx, q);

        if (r >= 0)
                r = q->lane->method->fn(ctx, q);
        if (r >= 0 && !q->failed && cel_request_is_call(q)) /* else nobody is to see it */
                r = serialize_result(ctx, q);
        return r;
}

/* Run the handler with this ctx, wherever that is. */
static int run_handler(cel_ctx *ctx, cel_request *q)
{
        if (ctx)
                cel_ctx_set_request_id(ctx, json_string_value(json_object_get(q->context, "request_id")));
        int r = call_method(ctx, q);
        put_result(ctx, q, r);
        return r;
}

/* A handler that an executor runs. */
typedef struct job {
        cel_request *request; /* borrowed: its task waits until this is done */
        cel_future *done;     /* a reference */
} job;

static void end_job(job *j)
{
        cel_future_complete(j->done, 0, NULL);
        cel_future_unref(j->done);
        free(j);
}

static int run_job(cel_ctx *ctx, void *arg)
{
        job *j = arg;
        int r = run_handler(ctx, j->request);

        if (ctx)
                cel_ctx_set_request_id(ctx, NULL);
        end_job(j);
        return r;
}

static void drop_job(void *arg)
{
        job *j = arg;

        put_result(NULL, j->request, CEL_ECANCELED);
        end_job(j);
}

/* Have an executor run the handler. Once it has taken it, there is no way to leave before it is done. */
static int run_elsewhere(cel_ctx *ctx, cel_executor *executor, cel_request *q)
{
        cel_auto(cel_future) *done = NULL;
        job *j = malloc(sizeof(*j));

        if (!j || cel_future_new(&done) < 0) {
                free(j);
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        }
        *j = (job){.request = q, .done = cel_future_ref(done)};
        int r = cel_executor_submit(ctx, executor,
                                    &(cel_job){.run = run_job, .on_dropped = drop_job, .arg = j});
        if (r < 0) {
                cel_future_unref(j->done);
                free(j);
                return r;
        }
        ctx->shields++;
        cel_await(ctx, done, NULL);
        ctx->shields--;
        return 0;
}

/* Signs of life to the caller, in a task beside the handler's. */
static int monitor(cel_ctx *ctx, void *arg)
{
        cel_request *q = arg;
        cel_rpc_server *server = q->server;

        answer_monitor(ctx, q);
        request_unref(q);
        server->monitors--;
        server_tell_idle(server);
        return 0;
}

static void start_monitor(cel_ctx *ctx, cel_request *q)
{
        int r = cel_future_new(&q->done);

        if (r >= 0) {
                q->server->monitors++;
                r = cel_spawn(ctx, q->server->scope, "rpc-monitor", monitor, request_ref(q), NULL);
                if (r < 0) {
                        q->server->monitors--;
                        request_unref(q);
                }
        }
        if (r < 0)
                cel_warn(ctx, "RPC-MONITOR-ENDED", "method %s: no signs of life: %s", q->wire.method,
                         cel_error_text(r));
}

static void call_handler(cel_ctx *ctx, cel_request *q)
{
        const lane *l = q->lane;
        cel_executor *executor = l->method->executor ? l->method->executor : l->endpoint->executor;
        int r = 0;

        if (q->wire.monitor_s / 2 >= 1)
                start_monitor(ctx, q);
        if (executor)
                r = run_elsewhere(ctx, executor, q);
        else
                run_handler(ctx, q);
        if (r < 0) /* it was not even begun */
                put_result(ctx, q, r);
        if (q->done)
                cel_future_complete(q->done, 0, NULL);
        q->server->stats.handled++;
        if (q->failed) {
                q->server->stats.failed++;
                tell_failure(ctx, q);
        }
}

/* --- The outcome ------------------------------------------------------------------------------ */

/* A handler that was cancelled still tells its caller so. */
static bool answer(cel_ctx *ctx, cel_request *q)
{
        if (!cel_ctx_canceled(ctx))
                return answer_send(ctx, q);
        CEL_SHIELDED_MS(ctx, LAST_WORD_MS);

        return answer_send(ctx, q);
}

static void reply(cel_ctx *ctx, cel_request *q)
{
        cel_rpc_server *server = q->server;
        bool keeps_place = server->stats.replying >= REPLYING_MAX;

        if (q->gives_up) {
                turns_leave_place(q);
                request_settle(q, CEL__SETTLE_REQUEUE);
                return;
        }
        if (!keeps_place)
                turns_leave_place(q);
        server->stats.replying++;
        bool sent = answer(ctx, q);
        server->stats.replying--;
        if (keeps_place)
                turns_leave_place(q);
        if (!q->settled) /* a reply that is lost has no taker, and handling it again would not help */
                request_settle(q, sent || !cel_ctx_canceled(ctx) ? CEL__SETTLE_ACK : CEL__SETTLE_REQUEUE);
}

/* Nobody waits for a reply. */
static void finish_cast(cel_request *q)
{
        turns_leave_place(q);
        if (!q->settled)
                request_settle(q, q->gives_up ? CEL__SETTLE_REQUEUE
                                  : q->failed ? CEL__SETTLE_REJECT
                                              : CEL__SETTLE_ACK);
}

/* Nothing is to be done for it. */
static void let_go(cel_request *q)
{
        if (!q->lost)
                q->server->stats.expired_dropped++;
        turns_leave_place(q);
        if (!q->settled)
                request_settle(q, CEL__SETTLE_ACK);
}

int handle_request(cel_ctx *ctx, void *arg)
{
        cel_request *q = arg;
        cel_rpc_server *server = q->server;

        if (q->lost || request_has_expired(q)) {
                let_go(q);
        } else {
                call_handler(ctx, q);
                if (cel_request_is_call(q))
                        reply(ctx, q);
                else
                        finish_cast(q);
        }
        request_unref(q);
        server_tell_idle(server);
        return 0;
}
