/* SPDX-License-Identifier: Apache-2.0
 *
 * What settle.h promises for events holds for letters: one is acknowledged only once its event is confirmed in its own queue
 * and was not returned (replay_one()); nothing else is acknowledged here.
 *
 * A round goes over one dead-letter queue. Letters come as fast as RabbitMQ sends them; those that pass wait for their turn,
 * the others are held, without their bodies, so that they do not come again. Both are unacknowledged until they are replayed or
 * the round ends, so whatever happens to this process, RabbitMQ has them.
 *
 * A copy to the end of the queue instead of holding would go round a queue of any length; but a letter would then be published
 * and acknowledged for not being wanted, and its headers would have to tell one round from the next. So LETTERS_MAX bounds what
 * is held, and a round that comes to that bound says so.
 *
 * RabbitMQ does not tell a consumer that its queue is empty: a round ends when no letter from before its start has come for
 * QUIET_MS. Each letter that was replayed names the run, so one that comes back as a dead letter is known without any clock. */
#include "bridge/replay.h"

#include "bridge/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        LETTERS_MAX = 10000, /* unacknowledged at once */
        QUIET_MS = 2000,
        CONNECT_MS_MAX = 60 * 1000,
        CONFIRM_MS_MAX = 30 * 1000,
        CLOSE_MS_MAX = 10 * 1000,
        ROUND_MS_MAX = 20 * 60 * 1000, /* RabbitMQ takes back after 30 minutes what is not acknowledged */
        JUDGED_MIN = 20,               /* so many are replayed before those that come back are weighed */
        RETURNED_PERCENT_MAX = 20,
};

typedef struct replay {
        const bridge_replay_options *options; /* borrowed */
        bridge_replay_totals *totals;         /* borrowed */
        cel_transport *transport;             /* owned */
        cel_rate *rate;                       /* owned */
        char run[32];
        int64_t started_ms; /* since 1970 */

        /* Of the round. */
        cel_consumer *consumer; /* owned */
        unsigned max;           /* unacknowledged letters */
        cel_delivery **held;    /* owned, and each of held_n */
        unsigned held_n;
        cel_delivery **waiting; /* owned, and each of waiting_n: a ring, from `waiting_first` on */
        unsigned waiting_first, waiting_n;
        cel_time quiet_until, end_at;
} replay;

static int lost(cel_ctx *ctx)
{
        return cel_fail(ctx, CEL_ECLOSED,
                        "the connection was lost, and RabbitMQ has taken all letters back: run this again; "
                        "the last one may be delivered twice, with the same Idempotency-Key");
}

/* --- Letters that come ------------------------------------------------------------------------ */

static void hold(replay *p, cel_delivery *delivery)
{
        cel_delivery_drop_message(delivery);
        p->held[p->held_n++] = delivery;
}

/* Once the connection was lost, all of them come again, and would be counted twice. */
static bool is_lost(const replay *p)
{
        return (p->held_n > 0 && cel_delivery_is_stale(p->held[0])) ||
               (p->waiting_n > 0 && cel_delivery_is_stale(p->waiting[p->waiting_first]));
}

/* Is it to be replayed? Counts it, if not. */
static bool is_wanted(cel_ctx *ctx, replay *p, const bridge_letter *letter)
{
        if (strcmp(letter->run, p->run) == 0) {
                p->totals->returned++;
                return false;
        }
        bool later = letter->dead_ms >= p->started_ms;
        if (!later)
                p->quiet_until = cel_time_add_ms(cel_ctx_now(ctx), QUIET_MS);
        if (!later && bridge_letter_passes(&p->options->filter, letter))
                return true;
        p->totals->others++;
        return false;
}

static int sort_readable(cel_ctx *ctx, replay *p, cel_delivery *delivery)
{
        bridge_letter letter;
        int r = bridge_letter_init(&letter, cel_delivery_message(delivery));

        if (r < 0) {
                hold(p, delivery);
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        }
        bool wanted = is_wanted(ctx, p, &letter);
        if (wanted && !p->options->dry_run) {
                p->waiting[(p->waiting_first + p->waiting_n++) % p->max] = delivery;
        } else {
                hold(p, delivery);
                if (wanted) {
                        p->totals->replayed++;
                        p->options->on_letter(p->options->arg, &letter, NULL);
                }
        }
        bridge_letter_fini(&letter);
        return 0;
}

/* Put a letter where it belongs. */
static int sort(cel_ctx *ctx, replay *p, cel_delivery *delivery)
{
        if (is_lost(p) || p->held_n + p->waiting_n == p->max) { /* more than were to come: the same */
                cel_delivery_settle(delivery, CEL_SETTLE_REQUEUE);
                return lost(ctx);
        }
        if (cel_delivery_message(delivery))
                return sort_readable(ctx, p, delivery);
        p->totals->others++;
        hold(p, delivery);
        return 0;
}

/* --- Letters that go -------------------------------------------------------------------------- */

/* A request to stop waits for it: or else nobody would know whether the broker has it. */
static int publish(cel_ctx *ctx, const replay *p, const cel_message *message, const bridge_letter *letter)
{
        cel_auto(cel_headers) *headers = NULL;
        cel_message event = *message;
        CEL_SHIELDED_MS(ctx, CONFIRM_MS_MAX);

        if (!*letter->queue)
                return cel_fail(ctx, CEL_EINVAL, "it does not say which queue it came from");
        int r = bridge_letter_revive(letter, message, p->run, &headers);
        if (r < 0)
                return cel_fail(ctx, r, "its headers: %s", cel_error_text(r));
        event.exchange = "";
        event.routing_key = letter->queue;
        event.headers = headers;
        event.delivery_mode = 2;
        event.expiration = NULL;
        event.user_id = NULL;
        return cel_publish(ctx, p->transport, &event, CEL_PUBLISH_MANDATORY);
}

/* Is this letter the only one that fails so? */
static bool is_its_own(int code)
{
        return code == CEL_EUNROUTABLE || code == CEL_ENACK || code == CEL_ETOOBIG || code == CEL_EINVAL ||
               code == CEL_ECONFLICT;
}

static const char *why(cel_ctx *ctx, int code, const bridge_letter *letter, char text[400])
{
        if (code != CEL_EUNROUTABLE)
                return cel_ctx_error_text(ctx, code);
        snprintf(text, 400, "there is no queue \"%s\"", letter->queue);
        return text;
}

static int replay_one(cel_ctx *ctx, replay *p, cel_delivery *delivery)
{
        bridge_letter letter;
        char text[400];
        int r = bridge_letter_init(&letter, cel_delivery_message(delivery));

        if (r < 0) {
                hold(p, delivery);
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        }
        r = publish(ctx, p, cel_delivery_message(delivery), &letter);
        if (r >= 0) {
                p->totals->replayed++;
                if (cel_delivery_settle(delivery, CEL_SETTLE_ACK) < 0)
                        r = lost(ctx);
        } else {
                hold(p, delivery);
        }
        if (is_its_own(r)) {
                p->totals->failed++;
                p->options->on_letter(p->options->arg, &letter, why(ctx, r, &letter, text));
                r = 0;
        }
        bridge_letter_fini(&letter);
        return r;
}

static int replay_next(cel_ctx *ctx, replay *p)
{
        int r = cel_rate_wait(ctx, p->rate);

        if (r < 0)
                return r;
        if (is_lost(p))
                return lost(ctx);
        cel_delivery *delivery = p->waiting[p->waiting_first];
        p->waiting_first = (p->waiting_first + 1) % p->max;
        p->waiting_n--;
        r = replay_one(ctx, p, delivery);
        p->quiet_until = cel_time_add_ms(cel_ctx_now(ctx), QUIET_MS);
        return r;
}

/* --- The round -------------------------------------------------------------------------------- */

/* Is there a reason to stop? Then totals->end is it. */
static bool is_enough(cel_ctx *ctx, replay *p)
{
        bridge_replay_totals *t = p->totals;

        if (p->options->limit > 0 && t->replayed >= p->options->limit)
                t->end = BRIDGE_REPLAY_LIMIT;
        else if (t->replayed >= JUDGED_MIN && t->returned * 100 > t->replayed * RETURNED_PERCENT_MAX)
                t->end = BRIDGE_REPLAY_RETURNED;
        else if (p->held_n == p->max)
                t->end = BRIDGE_REPLAY_FULL;
        else if (cel_ctx_now(ctx).ns >= p->end_at.ns)
                t->end = BRIDGE_REPLAY_LATE;
        return t->end != BRIDGE_REPLAY_DONE;
}

static int take_what_came(cel_ctx *ctx, replay *p)
{
        cel_delivery *delivery;
        int r = 0;

        while (r >= 0 && !is_enough(ctx, p) && cel_consumer_try_receive(p->consumer, &delivery) >= 0)
                r = sort(ctx, p, delivery);
        return r;
}

/* Wait for another one. Returns 1; 0: it has been quiet for long enough. */
static int await_one(cel_ctx *ctx, replay *p)
{
        int64_t ms = (p->quiet_until.ns - cel_ctx_now(ctx).ns) / CEL_NS_PER_MS;
        cel_delivery *delivery;
        CEL_WITHIN_MS(ctx, ms > 0 ? ms : 0);

        int r = cel_consumer_receive(ctx, p->consumer, &delivery);
        if (r == CEL_ETIMEDOUT)
                return 0;
        if (r >= 0)
                r = sort(ctx, p, delivery);
        return r < 0 ? r : 1;
}

static int go_through(cel_ctx *ctx, replay *p)
{
        p->quiet_until = cel_time_add_ms(cel_ctx_now(ctx), QUIET_MS);
        p->end_at = cel_time_add_ms(cel_ctx_now(ctx), ROUND_MS_MAX);
        for (;;) {
                int r = cel_ctx_canceled(ctx) ? CEL_ECANCELED : take_what_came(ctx, p);

                if (r < 0 || is_enough(ctx, p))
                        return r;
                if (p->waiting_n > 0) {
                        r = replay_next(ctx, p);
                        if (r < 0)
                                return r;
                } else {
                        r = await_one(ctx, p);
                        if (r <= 0)
                                return r;
                }
        }
}

static int open_round(cel_ctx *ctx, replay *p, const bridge_route_config *route)
{
        const cel_queue queue = {.name = route->dead_letter_queue, .durable = true};
        CEL_WITHIN_MS(ctx, CONNECT_MS_MAX);

        int r = cel_consumer_open(ctx, p->transport,
                                  &(cel_consumer_options){.queue = &queue, .prefetch = LETTERS_MAX},
                                  &p->consumer);
        if (r < 0)
                return r;
        p->max = cel_consumer_prefetch(p->consumer);
        p->held = calloc(p->max, sizeof(*p->held));
        p->waiting = calloc(p->max, sizeof(*p->waiting));
        return p->held && p->waiting ? 0 : cel_fail(ctx, CEL_ENOMEM, "out of memory");
}

/* Closing gives back all that is not acknowledged; before that, acknowledgements have arrived. */
static void close_round(cel_ctx *ctx, replay *p)
{
        CEL_SHIELDED_MS(ctx, CLOSE_MS_MAX);

        if (p->consumer)
                cel_consumer_close(ctx, CEL_TAKE(p->consumer));
        for (unsigned i = 0; i < p->held_n; i++)
                cel_delivery_settle(p->held[i], CEL_SETTLE_REQUEUE);
        for (unsigned i = 0; i < p->waiting_n; i++)
                cel_delivery_settle(p->waiting[(p->waiting_first + i) % p->max], CEL_SETTLE_REQUEUE);
        free(CEL_TAKE(p->held));
        free(CEL_TAKE(p->waiting));
        p->held_n = p->waiting_n = p->waiting_first = 0;
}

static int run_round(cel_ctx *ctx, replay *p, const bridge_route_config *route)
{
        int r = open_round(ctx, p, route);

        if (r >= 0)
                r = go_through(ctx, p);
        char text[400];
        if (r < 0) /* closing may fail, too, and that is not what matters */
                snprintf(text, sizeof(text), "queue %s: %.300s", route->dead_letter_queue,
                         cel_ctx_error_text(ctx, r));
        close_round(ctx, p);
        return r < 0 ? cel_fail(ctx, r, "%s", text) : 0;
}

/* --- All of them ------------------------------------------------------------------------------ */

/* Routes may share a dead-letter queue. */
static bool came_before(const bridge_config *config, size_t i)
{
        for (size_t j = 0; j < i; j++)
                if (strcmp(config->routes[j].dead_letter_queue, config->routes[i].dead_letter_queue) == 0)
                        return true;
        return false;
}

static int run_rounds(cel_ctx *ctx, replay *p, const bridge_config *config)
{
        const char *only = p->options->filter.route;
        int r = 0;

        for (size_t i = 0; i < config->routes_n && r >= 0 && p->totals->end == BRIDGE_REPLAY_DONE; i++) {
                const bridge_route_config *route = &config->routes[i];

                if (only ? strcmp(only, route->name) == 0 : !came_before(config, i))
                        r = run_round(ctx, p, route);
        }
        return r;
}

static int connect(cel_ctx *ctx, replay *p, const bridge_config *config)
{
        CEL_WITHIN_MS(ctx, CONNECT_MS_MAX);
        int r = cel_transport_open(ctx, config->transport, &p->transport);

        if (r >= 0)
                r = cel_transport_ready(ctx, p->transport);
        return r;
}

int bridge_replay(cel_ctx *ctx, const bridge_config *config, const bridge_replay_options *options,
                  bridge_replay_totals *totals)
{
        replay p = {.options = options, .totals = totals, .started_ms = bridge_time_of_day_ms()};
        /* Turns that were missed while others came in are not made up for. */
        int r = cel_rate_new(cel_ctx_runtime(ctx), options->rate, 1000, options->rate / 100 + 1, &p.rate);

        *totals = (bridge_replay_totals){0};
        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        snprintf(p.run, sizeof(p.run), "%08x%08x", bridge_random(), bridge_random());
        r = connect(ctx, &p, config);
        if (r >= 0)
                r = run_rounds(ctx, &p, config);
        if (p.transport) {
                CEL_SHIELDED_MS(ctx, CLOSE_MS_MAX);
                char text[512];

                snprintf(text, sizeof(text), "%s", cel_ctx_error_text(ctx, r));
                cel_transport_close(ctx, p.transport);
                if (r < 0)
                        r = cel_fail(ctx, r, "%s", text);
        }
        cel_rate_free(p.rate);
        return r;
}
