/* SPDX-License-Identifier: Apache-2.0
 *
 * One event. It is held unacknowledged while it is tried. An attempt has an outcome, the outcome a verdict (verdict.h),
 * the verdict a consequence (decide.h), and that ends in bridge_settle() or bridge_give_back(). */
#include "bridge/backoff.h"
#include "bridge/copy.h"
#include "bridge/gate.h"
#include "bridge/park.h"
#include "bridge/request.h"
#include "bridge/settle.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
        COPY_WAIT_MS_BASE = 1000,
        COPY_WAIT_MS_CAP = 30 * 1000
}; /* between two tries to publish a copy, at most */

uint32_t bridge_random(void)
{
        uint32_t random;

        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
                random = UINT32_MAX; /* no chance is better than no delivery */
        return random;
}

int64_t bridge_time_of_day_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t lesser(int64_t a, int64_t b)
{
        return a < b ? a : b;
}

bool bridge_back_off(cel_ctx *ctx, const bridge_route *route, unsigned n)
{
        CEL_WITHIN_MS(ctx, bridge_wait_ms(lesser(route->config->backoff_ms_base, COPY_WAIT_MS_BASE),
                                          lesser(route->config->backoff_ms_cap, COPY_WAIT_MS_CAP), n,
                                          bridge_random()));

        return cel_await(ctx, route->stop, NULL) == CEL_ETIMEDOUT;
}

/* --- The attempt ------------------------------------------------------------------------------ */

static bridge_retry_after read_retry_after(const cel_http_response *response)
{
        int64_t now_ms = bridge_time_of_day_ms();
        bridge_retry_after after =
                bridge_read_retry_after(cel_http_response_header(response, "Retry-After"), now_ms);

        if (!after.given && !after.never)
                after = bridge_read_rate_limit(cel_http_response_header(response, "RateLimit-Remaining"),
                                               cel_http_response_header(response, "RateLimit-Reset"), now_ms);
        if (!after.given && !after.never)
                after = bridge_read_rate_limit(cel_http_response_header(response, "X-RateLimit-Remaining"),
                                               cel_http_response_header(response, "X-RateLimit-Reset"),
                                               now_ms);
        return after;
}

static void judge_answer(const bridge_route *route, const cel_http_response *response,
                         bridge_attempts *attempts, bridge_outcome *outcome)
{
        outcome->status = cel_http_response_status(response);
        outcome->verdict = bridge_verdict_of_status(&route->config->verdicts, outcome->status);
        if (outcome->verdict.class != BRIDGE_OK)
                outcome->retry_after = read_retry_after(response);
        snprintf(attempts->error, sizeof(attempts->error), "answered %d", outcome->status);
}

static void judge_failure(cel_ctx *ctx, const bridge_route *route, int code, const cel_http_failure *failure,
                          bridge_attempts *attempts, bridge_outcome *outcome)
{
        outcome->status = failure->status;
        outcome->verdict = bridge_verdict_of_failure(&route->config->verdicts, code, failure);
        attempts->maybe_delivered |= failure->maybe_sent && outcome->verdict.class != BRIDGE_OK;
        if (code == CEL_ETIMEDOUT)
                snprintf(attempts->error, sizeof(attempts->error), "no answer within %lld ms",
                         (long long)route->config->to.timeout_ms);
        else
                snprintf(attempts->error, sizeof(attempts->error), "%s", cel_ctx_error_text(ctx, code));
}

/* One attempt. Returns 0 and what came of it, which attempts->status and ->error tell as well; or CEL_ECANCELED. */
static int attempt(cel_ctx *ctx, const bridge_route *route, const cel_notification *n,
                   bridge_request *request, bridge_attempts *attempts, bridge_outcome *outcome)
{
        cel_auto(cel_http_response) *response = NULL;
        cel_http_failure failure = {0};
        cel_http_request http;

        CEL_WITHIN_MS(ctx, route->config->to.timeout_ms);
        *outcome = (bridge_outcome){0};
        int r = bridge_request_complete(request,
                                        &(bridge_attempt){.n = attempts->n + 1,
                                                          .first_ms = attempts->first_ms,
                                                          .redelivered = n->raw->redelivered,
                                                          .maybe_delivered = attempts->maybe_delivered},
                                        &http);

        if (attempts->first_ms == 0)
                attempts->first_ms = bridge_time_of_day_ms();
        http.failure = &failure;
        if (r >= 0)
                r = cel_http_send(ctx, route->http, &http, &response);
        if (r == CEL_ECANCELED)
                return r;
        if (r >= 0)
                judge_answer(route, response, attempts, outcome);
        else
                judge_failure(ctx, route, r, &failure, attempts, outcome);
        attempts->status = outcome->status;
        return 0;
}

/* --- Telling ---------------------------------------------------------------------------------- */

/* An outage is told when it begins and when it ends, not for each event. */
static void note_failure(cel_ctx *ctx, bridge_route *route, const bridge_attempts *attempts)
{
        route->failures++;
        if (route->failing)
                return;
        route->failing = true;
        cel_warn(ctx, "BRIDGE-ROUTE-FAILING", "route=%s %s; trying again", route->config->name,
                 attempts->error);
}

static void note_success(cel_ctx *ctx, bridge_route *route)
{
        if (!route->failing)
                return;
        route->failing = false;
        cel_info(ctx, "BRIDGE-ROUTE-RECOVERED", "route=%s delivers again, after %llu failed attempts",
                 route->config->name, (unsigned long long)route->failures);
        route->failures = 0;
}

/* --- The event -------------------------------------------------------------------------------- */

/* Both what came and what would be sent count: the one may be compressed, the other may have an envelope. */
static bool is_too_large(const bridge_route *route, const cel_notification *n, char *why, size_t why_bytes)
{
        size_t max = route->config->message_bytes_max;

        if (n->raw->body_bytes > max)
                snprintf(why, why_bytes, "%zu bytes, max_message is %zu", n->raw->body_bytes, max);
        else if (n->text_bytes > max)
                snprintf(why, why_bytes, "%zu bytes when decompressed, max_message is %zu", n->text_bytes,
                         max);
        else
                return false;
        return true;
}

/* An attempt, and what follows from it; the route's breaker hears of both. */
static int try_once(cel_ctx *ctx, bridge_route *route, const cel_notification *n, bridge_request *request,
                    unsigned era, bridge_attempts *attempts, bridge_decision *ret_decision)
{
        bridge_outcome outcome;
        int r = attempt(ctx, route, n, request, attempts, &outcome);

        if (r < 0)
                return r;
        bridge_gate_judge(ctx, route, attempts->key, &outcome);
        /* Chance costs a system call, and success needs none. */
        uint32_t random = outcome.verdict.class == BRIDGE_OK ? 0 : bridge_random();
        *ret_decision = bridge_decide(route->config, attempts, &outcome, bridge_time_of_day_ms(), random);
        if (ret_decision->step == BRIDGE_STEP_DONE)
                note_success(ctx, route);
        else
                note_failure(ctx, route, attempts);
        bridge_gate_report(ctx, route, era, &outcome, ret_decision, random);
        return 0;
}

/* The longest wait that there is. */
static int64_t wait_ms_max(const bridge_route_config *config)
{
        int64_t max = config->backoff_ms_cap;

        for (size_t i = 0; i < config->schedule.n; i++)
                max = config->schedule.ms[i] > max ? config->schedule.ms[i] : max;
        max = config->retry_after_ms_max > max ? config->retry_after_ms_max : max;
        return max + max / 5;
}

/* It is not to wait here. Returns true if it is settled, and how; false: it cannot be parked, and waits here after all, for as
 * long as RabbitMQ lets it. */
static bool leave(cel_ctx *ctx, bridge_route *route, const cel_notification *n, bridge_attempts *attempts,
                  bridge_wait *wait, cel_time held_since, int *ret_settled)
{
        cel_time limit = cel_time_add_ms(held_since, BRIDGE_HOLD_MS_MAX);
        int r = wait->nowhere_else ? CEL_ETOOBIG : bridge_park(ctx, route, n->raw, wait->later_ms, attempts);

        if (r == CEL_ETOOBIG && !wait->nowhere_else) {
                wait->nowhere_else = true;
                wait->held_until = limit;
                return false;
        }
        *ret_settled = r >= 0 ? bridge_settle(route, attempts) : bridge_give_back(attempts);
        return true;
}

static int try_until_settled(cel_ctx *ctx, bridge_route *route, const cel_notification *n,
                             bridge_request *request, bridge_attempts *attempts)
{
        cel_time begun = cel_ctx_now(ctx);
        int64_t wait_ms =
                bridge_park_restore(n->raw, bridge_time_of_day_ms(), wait_ms_max(route->config), attempts);
        bridge_wait wait = {.not_before = cel_time_add_ms(begun, wait_ms),
                            .held_until = cel_time_add_ms(begun, route->config->hold_ms_max)};
        bridge_decision decision = {0};
        int settled = 0;

        for (;;) {
                switch (bridge_gate_wait(ctx, route, &wait)) {
                case BRIDGE_TURN_STOP:
                        return bridge_give_back(attempts);
                case BRIDGE_TURN_LATER:
                        if (leave(ctx, route, n, attempts, &wait, begun, &settled))
                                return settled;
                        continue;
                case BRIDGE_TURN_GO:
                        break;
                }
                if (try_once(ctx, route, n, request, wait.era, attempts, &decision) < 0)
                        return bridge_give_back(attempts);
                switch (decision.step) {
                case BRIDGE_STEP_DONE:
                        attempts->proof = BRIDGE_PROOF_ANSWER;
                        return bridge_settle(route, attempts);
                case BRIDGE_STEP_GIVE_UP:
                        return bridge_dead_letter(ctx, route, n->raw, decision.reason, attempts);
                case BRIDGE_STEP_AGAIN:
                        wait.not_before = cel_time_add_ms(cel_ctx_now(ctx), decision.wait_ms);
                }
        }
}

static int deliver_matching(cel_ctx *ctx, bridge_route *route, const cel_notification *n)
{
        cel_auto(bridge_request) *request = NULL;
        bridge_attempts attempts = {0};

        if (is_too_large(route, n, attempts.error, sizeof(attempts.error)))
                return bridge_dead_letter(ctx, route, n->raw, BRIDGE_TOO_LARGE, &attempts);
        if (bridge_request_key(n, attempts.key) < 0) {
                snprintf(attempts.error, sizeof(attempts.error), "its message_id cannot be an HTTP header");
                return bridge_dead_letter(ctx, route, n->raw, BRIDGE_UNPROCESSABLE, &attempts);
        }
        int r = bridge_request_new(route->config, n, attempts.key, attempts.error, &request);

        if (r == CEL_EINVAL)
                return bridge_dead_letter(ctx, route, n->raw, BRIDGE_UNPROCESSABLE, &attempts);
        if (r < 0)
                return r;
        return try_until_settled(ctx, route, n, request, &attempts);
}

static int settle_unmatched(cel_ctx *ctx, bridge_route *route, const cel_notification *n)
{
        bridge_attempts attempts = {.error = "the route does not match it"};

        if (!route->config->dead_letter_unmatched) {
                attempts.proof = BRIDGE_PROOF_UNMATCHED;
                return bridge_settle(route, &attempts);
        }
        route->unmatched++;
        if (bridge_request_key(n, attempts.key) < 0)
                *attempts.key = '\0';
        return bridge_dead_letter(ctx, route, n->raw, BRIDGE_UNMATCHED, &attempts);
}

static int deliver(cel_ctx *ctx, bridge_route *route, const cel_notification *n)
{
        int matches = bridge_match_event(&route->config->match,
                                         &(bridge_event){.notification = n, .route = route->config->name});

        if (matches < 0)
                return matches;
        if (!matches)
                return settle_unmatched(ctx, route, n);
        cel_ctx_set_request_id(ctx, n->message_id);
        return deliver_matching(ctx, route, n);
}

int bridge_deliver(cel_ctx *ctx, const cel_notification *n, void *arg)
{
        cel_notification event = *n;
        bridge_origin origin;

        if (!bridge_is_parked(n->raw))
                return deliver(ctx, arg, n);
        int r = bridge_origin_init(
                &origin, n->raw); /* it is the same event as before: also for templates and conditions */
        if (r < 0)
                return r;
        event.raw = &origin.message;
        r = deliver(ctx, arg, &event);
        bridge_origin_fini(&origin);
        return r;
}

int bridge_deliver_invalid(cel_ctx *ctx, const cel_message *message, const char *why, void *arg)
{
        bridge_attempts attempts = {0};

        snprintf(attempts.error, sizeof(attempts.error), "%s", why);
        cel_ctx_set_request_id(ctx, message->message_id ? message->message_id : "");
        return bridge_dead_letter(ctx, arg, message, BRIDGE_UNPROCESSABLE, &attempts);
}
