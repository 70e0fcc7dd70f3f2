/* SPDX-License-Identifier: Apache-2.0
 *
 * One event. It is held unacknowledged while it is tried; what this file returns is what settles it, and it
 * returns CEL_HANDLED in three places only: a 2xx, an event that the route does not match, a confirmed dead
 * letter. */
#include "bridge/route.h"

#include "bridge/backoff.h"
#include "bridge/request.h"

#include <stdio.h>
#include <sys/random.h>

bool bridge_back_off(cel_ctx *ctx, const bridge_route *route, unsigned n)
{
        uint32_t random;

        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
                random = UINT32_MAX; /* no chance is better than no delivery */
        int64_t wait_ms =
                bridge_wait_ms(route->config->backoff_ms_base, route->config->backoff_ms_cap, n, random);

        CEL_WITHIN_MS(ctx, wait_ms);
        return cel_await(ctx, route->stop, NULL) == CEL_ETIMEDOUT;
}

/* --- The attempt ------------------------------------------------------------------------------ */

/* One attempt. Returns the response's status, or an error; attempts->status and ->error tell what it was. */
static int attempt(cel_ctx *ctx, const bridge_route *route, const cel_notification *n,
                   bridge_request *request, bridge_attempts *attempts)
{
        cel_auto(cel_http_response) *response = NULL;
        cel_http_request http;

        CEL_WITHIN_MS(ctx, route->config->to.timeout_ms);
        int r = bridge_request_complete(request,
                                        &(bridge_attempt){.n = attempts->n,
                                                          .redelivered = n->raw->redelivered,
                                                          .maybe_delivered = attempts->maybe_delivered},
                                        &http);

        if (r >= 0)
                r = cel_http_send(ctx, route->http, &http, &response);
        if (r == CEL_EUNKNOWN || r == CEL_EPROTO || r == CEL_ETIMEDOUT)
                attempts->maybe_delivered = true;
        attempts->status = r < 0 ? 0 : cel_http_response_status(response);
        if (r >= 0)
                snprintf(attempts->error, sizeof(attempts->error), "answered %d", attempts->status);
        else if (r == CEL_ETIMEDOUT)
                snprintf(attempts->error, sizeof(attempts->error), "no answer within %lld ms",
                         (long long)route->config->to.timeout_ms);
        else
                snprintf(attempts->error, sizeof(attempts->error), "%s", cel_ctx_error_text(ctx, r));
        return r < 0 ? r : attempts->status;
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
        route->delivered++;
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

/* Attempt after attempt, until one succeeds or there were enough. */
static int deliver_request(cel_ctx *ctx, bridge_route *route, const cel_notification *n,
                           bridge_request *request, bridge_attempts *attempts)
{
        for (;;) {
                if (cel_future_done(route->stop)) /* what is not in flight goes back */
                        return CEL_REQUEUE;
                attempts->n++;
                int r = attempt(ctx, route, n, request, attempts);

                if (r >= 200 && r <= 299) {
                        note_success(ctx, route);
                        return CEL_HANDLED;
                }
                if (r == CEL_ECANCELED)
                        return CEL_REQUEUE;
                note_failure(ctx, route, attempts);
                if (attempts->n == route->config->attempts_max)
                        return bridge_dead_letter(ctx, route, n->raw, BRIDGE_MAX_ATTEMPTS, attempts);
                if (!bridge_back_off(ctx, route, attempts->n))
                        return CEL_REQUEUE;
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
        return deliver_request(ctx, route, n, request, &attempts);
}

static int settle_unmatched(cel_ctx *ctx, bridge_route *route, const cel_notification *n)
{
        bridge_attempts attempts = {.error = "the route does not match it"};

        route->unmatched++;
        if (!route->config->dead_letter_unmatched)
                return CEL_HANDLED;
        if (bridge_request_key(n, attempts.key) < 0)
                *attempts.key = '\0';
        return bridge_dead_letter(ctx, route, n->raw, BRIDGE_UNMATCHED, &attempts);
}

int bridge_deliver(cel_ctx *ctx, const cel_notification *n, void *arg)
{
        bridge_route *route = arg;

        int matches = bridge_match_event(&route->config->match,
                                         &(bridge_event){.notification = n, .route = route->config->name});

        if (matches < 0)
                return matches;
        if (!matches)
                return settle_unmatched(ctx, route, n);
        cel_ctx_set_request_id(ctx, n->message_id);
        return deliver_matching(ctx, route, n);
}

int bridge_deliver_invalid(cel_ctx *ctx, const cel_message *message, const char *why, void *arg)
{
        bridge_attempts attempts = {0};

        snprintf(attempts.error, sizeof(attempts.error), "%s", why);
        cel_ctx_set_request_id(ctx, message->message_id ? message->message_id : "");
        return bridge_dead_letter(ctx, arg, message, BRIDGE_UNPROCESSABLE, &attempts);
}
