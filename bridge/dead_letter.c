/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead letters: the original body and properties, and headers that say why. The event is settled only once
 * the broker has confirmed its dead letter and has not returned it; until then it stays unacknowledged. */
#include "bridge/copy.h"
#include "bridge/park.h"
#include "bridge/settle.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const reason_name[] = {[BRIDGE_MAX_ATTEMPTS] = "max_attempts",
                                          [BRIDGE_MAX_AGE] = "max_age",
                                          [BRIDGE_HTTP_STATUS] = "http_status",
                                          [BRIDGE_REDIRECT] = "redirect",
                                          [BRIDGE_GONE] = "gone",
                                          [BRIDGE_UNPROCESSABLE] = "unprocessable",
                                          [BRIDGE_TOO_LARGE] = "too_large",
                                          [BRIDGE_UNMATCHED] = "unmatched"};

const char *bridge_reason_name(unsigned reason)
{
        return reason < sizeof(reason_name) / sizeof(reason_name[0]) ? reason_name[reason] : NULL;
}

int bridge_dead_letter_declare(cel_ctx *ctx, const bridge_route *route)
{
        return cel_transport_declare_queue(
                ctx, route->transport,
                &(cel_queue){.name = route->config->dead_letter_queue, .durable = true});
}

enum { TIME_BYTES = 64 };

/* "" for 0: there was no such time. */
static void format_time(int64_t ms, char text[TIME_BYTES])
{
        time_t seconds = (time_t)(ms / 1000);
        char whole[32];
        struct tm utc;

        *text = '\0';
        if (ms <= 0 || !gmtime_r(&seconds, &utc))
                return;
        strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &utc);
        snprintf(text, TIME_BYTES, "%s.%03dZ", whole, (int)(ms % 1000));
}

/* The URL without its query, which may hold what logs and queues should not. */
static void format_url(const bridge_route *route, char url[512])
{
        snprintf(url, 512, "%.*s", (int)strcspn(route->config->to.url, "?#"), route->config->to.url);
}

static int set_headers(cel_headers *headers, const bridge_route *route, const cel_message *message,
                       bridge_reason reason, const bridge_attempts *attempts)
{
        char now[TIME_BYTES], first[TIME_BYTES], url[512];
        int r = 0;

        format_time(bridge_time_of_day_ms(), now);
        format_time(attempts->first_ms, first);
        format_url(route, url);
        const struct {
                const char *name, *value;
        } texts[] = {
                {"x-celadon-reason", reason_name[reason]},
                {"x-celadon-error", attempts->error},
                {"x-celadon-route", route->config->name},
                {"x-celadon-method", route->config->to.method},
                {"x-celadon-url", url},
                {"x-celadon-first-attempt", first},
                {"x-celadon-dead-at", now},
                {"x-celadon-idempotency-key", attempts->key},
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && r >= 0; i++)
                if (*texts[i].value)
                        r = cel_headers_set_str(headers, texts[i].name, texts[i].value);
        if (r >= 0)
                r = cel_headers_set_int(headers, "x-celadon-attempts", attempts->n);
        if (r >= 0)
                r = cel_headers_set_int(headers, "x-celadon-status", attempts->status);
        if (r >= 0)
                r = cel_headers_set_bool(headers, "x-celadon-maybe-delivered", attempts->maybe_delivered);
        if (r >= 0)
                r = cel_headers_set_bool(headers, "x-celadon-redelivered", message->redelivered);
        return r;
}

/* The original's headers and ours; or ours alone, where there is no room for all: the body matters more. */
static int make_headers(const bridge_route *route, const cel_message *message, bool with_original,
                        bridge_reason reason, const bridge_attempts *attempts, cel_headers **ret_headers)
{
        cel_auto(cel_headers) *headers = NULL;
        int r = bridge_copy_headers(message, with_original, &headers);

        if (r < 0)
                return r;
        if (bridge_is_parked(message)) {
                bridge_forget_deaths(headers); /* of our own making */
                bridge_park_erase(headers);
        }
        if (!with_original)
                r = cel_headers_set_bool(headers, "x-celadon-headers-dropped", true);
        if (r >= 0)
                r = set_headers(headers, route, message, reason, attempts);
        if (r < 0)
                return r;
        *ret_headers = CEL_TAKE(headers);
        return 0;
}

static int publish_once(cel_ctx *ctx, const bridge_route *route, const cel_message *original,
                        const cel_headers *headers, bridge_attempts *attempts)
{
        cel_message letter = *original;

        letter.exchange = "";
        letter.routing_key = route->config->dead_letter_queue;
        letter.headers = headers;
        int r = bridge_publish_copy(ctx, route, letter, BRIDGE_PROOF_DEAD_LETTER, attempts);
        if (r == CEL_EUNROUTABLE) { /* somebody deleted the queue */
                cel_warn(ctx, "BRIDGE-DEAD-LETTER-QUEUE", "route=%s queue %s is gone; declaring it again",
                         route->config->name, route->config->dead_letter_queue);
                bridge_dead_letter_declare(ctx, route);
        }
        return r;
}

static int try_once(cel_ctx *ctx, const bridge_route *route, const cel_message *message, bool with_original,
                    bridge_reason reason, bridge_attempts *attempts)
{
        cel_auto(cel_headers) *headers = NULL;
        int r = make_headers(route, message, with_original, reason, attempts, &headers);

        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        return publish_once(ctx, route, message, headers, attempts);
}

/* However often it takes. While this waits, the event keeps its place among those in hand, so intake comes to
 * rest by itself when no dead letter can be written. */
static int publish_until_confirmed(cel_ctx *ctx, const bridge_route *route, const cel_message *message,
                                   bridge_reason reason, bridge_attempts *attempts)
{
        bool with_original = true;

        for (unsigned n = 1;; n++) {
                int r = try_once(ctx, route, message, with_original, reason, attempts);

                if (r >= 0)
                        return 0;
                if (r == CEL_ECANCELED)
                        return r;
                if (r == CEL_ETOOBIG && with_original) {
                        with_original = false;
                        continue;
                }
                if (r != CEL_EUNROUTABLE)
                        cel_error(ctx, "BRIDGE-DEAD-LETTER-FAILED",
                                  "route=%s queue %s: %s; the event stays unacknowledged, trying again",
                                  route->config->name, route->config->dead_letter_queue,
                                  cel_ctx_error_text(ctx, r));
                if (!bridge_back_off(ctx, route, n))
                        return CEL_ECANCELED;
        }
}

int bridge_dead_letter(cel_ctx *ctx, bridge_route *route, const cel_message *message, bridge_reason reason,
                       bridge_attempts *attempts)
{
        if (publish_until_confirmed(ctx, route, message, reason, attempts) < 0)
                return bridge_give_back(attempts);
        cel_warn(ctx, "BRIDGE-DEAD-LETTER", "route=%s reason=%s status=%d attempts=%u queue=%s: %s",
                 route->config->name, reason_name[reason], attempts->status, attempts->n,
                 route->config->dead_letter_queue, attempts->error);
        return bridge_settle(route, attempts);
}
