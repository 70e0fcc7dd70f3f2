/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/gate.h"

#include "bridge/park.h"
#include "bridge/schema.h"

/* --- Changes ---------------------------------------------------------------------------------- */

void bridge_gate_wake(bridge_route *route)
{
        cel_event_set(route->changed);
        cel_event_clear(route->changed); /* who waits now is woken all the same */
}

/* Take events, or no more of them. */
static void set_intake(bridge_route *route, bool take)
{
        if (!route->listener)
                return;
        if (take)
                cel_notification_listener_resume(route->listener);
        else
                cel_notification_listener_pause(route->listener);
}

void bridge_gate_listens(bridge_route *route)
{
        if (route->breaker.state == BRIDGE_BREAKER_OPEN)
                set_intake(route, false);
}

static void on_open(cel_ctx *ctx, bridge_route *route, cel_time now)
{
        const bridge_breaker *breaker = &route->breaker;

        set_intake(route, false);
        cel_warn(ctx, "BRIDGE-ROUTE-OPEN", "route=%s sends nothing for %s: %s", route->config->name,
                 bridge_duration((breaker->until.ns - now.ns) / CEL_NS_PER_MS).text, breaker->why);
}

static void on_closed(cel_ctx *ctx, bridge_route *route, cel_time now)
{
        cel_info(ctx, "BRIDGE-ROUTE-CLOSED", "route=%s sends as before, after %s", route->config->name,
                 bridge_duration((now.ns - route->breaker.opened_at.ns) / CEL_NS_PER_MS).text);
}

/* Do and say what the breaker's new state asks for. */
static void follow(cel_ctx *ctx, bridge_route *route, unsigned era_before)
{
        cel_time now = cel_ctx_now(ctx);

        if (route->breaker.era == era_before)
                return;
        switch (route->breaker.state) {
        case BRIDGE_BREAKER_OPEN:
                on_open(ctx, route, now);
                break;
        case BRIDGE_BREAKER_HALF_OPEN:
                set_intake(route, true);
                break;
        case BRIDGE_BREAKER_CLOSED:
                set_intake(route, true);
                on_closed(ctx, route, now);
                break;
        case BRIDGE_BREAKER_STATES:
                break;
        }
        bridge_gate_wake(route);
}

static void tick(cel_ctx *ctx, bridge_route *route)
{
        unsigned era = route->breaker.era;

        bridge_breaker_tick(&route->breaker, cel_ctx_now(ctx));
        follow(ctx, route, era);
}

/* --- Waiting ---------------------------------------------------------------------------------- */

/* Until something changes, or `until`. */
static int wait_for_change(cel_ctx *ctx, const bridge_route *route, cel_time until)
{
        int64_t ms = until.ns == CEL_TIME_NEVER.ns
                             ? INT64_MAX
                             : (until.ns - cel_ctx_now(ctx).ns + CEL_NS_PER_MS - 1) / CEL_NS_PER_MS;
        CEL_WITHIN_MS(ctx, ms);

        return cel_event_wait(ctx, route->changed);
}

/* When to look again; CEL_TIME_NEVER: after a change. */
static cel_time next_look(const bridge_route *route, const bridge_wait *wait, cel_time now)
{
        if (now.ns < wait->not_before.ns)
                return wait->not_before;
        return route->breaker.state == BRIDGE_BREAKER_OPEN ? route->breaker.until : CEL_TIME_NEVER;
}

/* Do so many events wait for a time of their own that no more should, where parking takes no longer? Those that wait in hand
 * take the places of others. */
static bool is_crowded(const bridge_route *route, const bridge_wait *wait, cel_time now)
{
        return now.ns < wait->not_before.ns && !wait->nowhere_else &&
               2 * route->waiting >= route->config->concurrency &&
               wait->not_before.ns - now.ns >= route->park->ladder.ms[0] * CEL_NS_PER_MS;
}

/* The time has not come at `now`: must it be waited for elsewhere? */
static bool is_for_later(const bridge_route *route, bridge_wait *wait, cel_time until, cel_time now)
{
        bool too_long = until.ns != CEL_TIME_NEVER.ns && until.ns > wait->held_until.ns;

        if (!too_long && now.ns < wait->held_until.ns && !is_crowded(route, wait, now))
                return false;
        /* When nobody knows how long: the shortest. */
        wait->later_ms = until.ns != CEL_TIME_NEVER.ns ? (until.ns - now.ns) / CEL_NS_PER_MS + 1 : 1;
        return true;
}

bridge_turn bridge_gate_wait(cel_ctx *ctx, bridge_route *route, bridge_wait *wait)
{
        for (;;) {
                cel_time now = cel_ctx_now(ctx);
                bool own_time = now.ns < wait->not_before.ns;

                if (cel_future_done(route->stop) || cel_ctx_canceled(ctx))
                        return BRIDGE_TURN_STOP;
                tick(ctx, route);
                if (!own_time && bridge_breaker_admit(&route->breaker, &wait->era))
                        return BRIDGE_TURN_GO;
                cel_time until = next_look(route, wait, now);
                if (is_for_later(route, wait, until, now))
                        return BRIDGE_TURN_LATER;
                if (until.ns ==
                    CEL_TIME_NEVER.ns) /* a first few go, and it is none of them: no more are needed */
                        set_intake(route, false);
                route->waiting += own_time;
                wait_for_change(ctx, route, until.ns < wait->held_until.ns ? until : wait->held_until);
                route->waiting -= own_time;
        }
}

int bridge_gate_keep(cel_ctx *ctx, void *arg)
{
        bridge_route *route = arg;
        int r = 0;

        while (r != CEL_ECANCELED && !cel_future_done(route->stop)) {
                tick(ctx, route);
                r = wait_for_change(ctx, route,
                                    route->breaker.state == BRIDGE_BREAKER_OPEN ? route->breaker.until
                                                                                : CEL_TIME_NEVER);
        }
        return 0;
}

/* --- Outcomes --------------------------------------------------------------------------------- */

void bridge_gate_judge(cel_ctx *ctx, bridge_route *route, const char *event, bridge_outcome *outcome)
{
        bridge_breaker_judge(&route->breaker, cel_ctx_now(ctx), event, outcome);
}

void bridge_gate_report(cel_ctx *ctx, bridge_route *route, unsigned era, const bridge_outcome *outcome,
                        const bridge_decision *decision, uint32_t random)
{
        bridge_breaker *breaker = &route->breaker;
        unsigned era_before = breaker->era;

        bridge_breaker_report(breaker, cel_ctx_now(ctx), era, outcome, decision->route_wait_ms, random);
        follow(ctx, route, era_before);
        if (breaker->state != BRIDGE_BREAKER_HALF_OPEN || breaker->era != era_before)
                return;
        set_intake(route, true); /* a place is free, or there are more */
        bridge_gate_wake(route);
}
