/* SPDX-License-Identifier: Apache-2.0
 *
 * One event. It is held unacknowledged while it is tried; what this file returns is what settles it, and it
 * returns CEL_HANDLED in three places only: a 2xx, an event that the route does not match, a confirmed dead
 * letter. */
#include "bridge/route.h"

#include "bridge/backoff.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { KEY_BYTES_MAX = 255, OWN_HEADERS = 2, HEADERS_MAX = 64 + OWN_HEADERS };

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

/* --- The request ------------------------------------------------------------------------------ */

static const char *first_of(const char *a, const char *b, const char *c)
{
        if (a && *a)
                return a;
        if (b && *b)
                return b;
        return c ? c : "";
}

/* The key by which the API server recognises a second copy: the same for every attempt and every redelivery.
 */
static int make_key(const cel_notification *n, char key[KEY_BYTES_MAX + 1])
{
        const char *unique = json_string_value(json_object_get(n->message, "_unique_id"));
        const char *id = first_of(n->message_id, n->raw->message_id, unique);

        if (strlen(id) > KEY_BYTES_MAX)
                return CEL_EINVAL;
        for (const char *c = id; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        return CEL_EINVAL;
        strcpy(key, id);
        return 0;
}

static size_t make_headers(const bridge_route *route, const char *key, cel_http_header headers[HEADERS_MAX])
{
        size_t n = 0;

        headers[n++] = (cel_http_header){"Content-Type", "application/json"};
        if (*key)
                headers[n++] = (cel_http_header){"Idempotency-Key", key};
        for (size_t i = 0; i < route->config->to.headers_n && n < HEADERS_MAX; i++)
                headers[n++] = route->config->to.headers[i];
        return n;
}

/* One attempt. Returns the response's status, or an error; attempts->status and ->error tell what it was. */
static int attempt(cel_ctx *ctx, const bridge_route *route, const cel_notification *n,
                   bridge_attempts *attempts)
{
        cel_auto(cel_http_response) *response = NULL;
        cel_http_header headers[HEADERS_MAX];
        cel_http_request request = {
                .method = route->config->to.method,
                .url = route->config->to.url,
                .headers = headers,
                .headers_n = make_headers(route, attempts->key, headers),
                .body = n->text,
                .body_bytes = n->text_bytes,
        };
        CEL_WITHIN_MS(ctx, route->config->to.timeout_ms);

        int r = cel_http_send(ctx, route->http, &request, &response);
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

static int deliver_matching(cel_ctx *ctx, bridge_route *route, const cel_notification *n)
{
        bridge_attempts attempts = {0};

        if (is_too_large(route, n, attempts.error, sizeof(attempts.error)))
                return bridge_dead_letter(ctx, route, n->raw, BRIDGE_TOO_LARGE, &attempts);
        if (make_key(n, attempts.key) < 0) {
                snprintf(attempts.error, sizeof(attempts.error), "its message_id cannot be an HTTP header");
                return bridge_dead_letter(ctx, route, n->raw, BRIDGE_UNPROCESSABLE, &attempts);
        }
        for (;;) {
                if (cel_future_done(route->stop)) /* what is not in flight goes back */
                        return CEL_REQUEUE;
                attempts.n++;
                int r = attempt(ctx, route, n, &attempts);

                if (r >= 200 && r <= 299) {
                        note_success(ctx, route);
                        return CEL_HANDLED;
                }
                if (r == CEL_ECANCELED)
                        return CEL_REQUEUE;
                note_failure(ctx, route, &attempts);
                if (attempts.n == route->config->attempts_max)
                        return bridge_dead_letter(ctx, route, n->raw, BRIDGE_MAX_ATTEMPTS, &attempts);
                if (!bridge_back_off(ctx, route, attempts.n))
                        return CEL_REQUEUE;
        }
}

int bridge_deliver(cel_ctx *ctx, const cel_notification *n, void *arg)
{
        bridge_route *route = arg;

        if (!bridge_match(&route->config->match, n->event_type, n->publisher_id, n->priority)) {
                route->unmatched++;
                return CEL_HANDLED;
        }
        cel_ctx_set_request_id(ctx, n->message_id);
        return deliver_matching(ctx, route, n);
}

int bridge_deliver_invalid(cel_ctx *ctx, const cel_message *message, const char *why, void *arg)
{
        bridge_attempts attempts = {0};

        snprintf(attempts.error, sizeof(attempts.error), "%s", why);
        cel_ctx_set_request_id(ctx, first_of(message->message_id, NULL, NULL));
        return bridge_dead_letter(ctx, arg, message, BRIDGE_UNPROCESSABLE, &attempts);
}
