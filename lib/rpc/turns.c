/* SPDX-License-Identifier: Apache-2.0
 *
 * Who begins when.
 *
 * Design notes. A request begins, in a task of its own, when the server and its method's lane have a place free; until
 * then it waits unacknowledged in its lane, so the prefetch bounds what waits. Lanes with something to begin take
 * turns. What has waited too long is given back, and so is what there was no room for, as soon as there is.
 *
 * A request is acknowledged when it gets its place, before the handler runs (at most once), or, if its endpoint says
 * so, when its reply is sent (at least once). The place is free again when the handler returns: sending the reply is
 * a matter of the task alone. Only when very many replies are under way, they keep their places. */
#include "rpc/server.h"
#include "rt/task.h"

#include <celadon/log.h>

enum { WAITING_MS_MAX = 5 * 60 * 1000 }; /* brokers lose patience with whoever keeps a message for long */

/* --- Places ----------------------------------------------------------------------------------- */

static bool has_place(const lane *l)
{
        return l->method->concurrency_max == 0 || l->running < l->method->concurrency_max;
}

/* Let the lane take its turn, if it has something to begin and may. */
static void queue_lane(cel_rpc_server *server, lane *l)
{
        if (!cel__list_empty(&l->waiting) && has_place(l) && cel__list_empty(&l->turn))
                cel__list_append(&server->turns, &l->turn);
}

static void stop_waiting(cel_request *q)
{
        cel__list_remove(&q->lane_node);
        cel__list_remove(&q->waiting_node);
        q->server->stats.waiting--;
}

/* Give the request a place. Takes it. */
static void begin(cel_request *q)
{
        cel_rpc_server *server = q->server;
        lane *l = q->lane;
        int r = cel__task_spawn(server->scope, NULL, q->wire.method, handle_request, q, NULL);

        if (r < 0) {
                cel_error(NULL, "RPC-NO-TASK", "method %s: the request is given back: %s", q->wire.method,
                          cel_error_text(r));
                request_drop(q, CEL__SETTLE_REQUEUE);
                return;
        }
        l->running++;
        server->stats.running++;
        cel_event_clear(server->idle);
        if (l->endpoint->ack_late) {
                cel__list_append(&server->late, &q->lane_node);
        } else if (!request_settle(q, CEL__SETTLE_ACK)) {
                /* The connection it came on is gone, and the bus will deliver it again. */
                q->lost = true;
                if (*q->wire.unique_id)
                        cel__seen_remove(server->seen, q->wire.unique_id);
        }
}

static void give_turns(cel_rpc_server *server)
{
        while (server->stats.running < server->concurrency && !cel__list_empty(&server->turns)) {
                lane *l = cel__container(cel__list_pop(&server->turns), lane, turn);

                if (cel__list_empty(&l->waiting) || !has_place(l))
                        continue;
                cel_request *q = cel__container(l->waiting.next, cel_request, lane_node);
                stop_waiting(q);
                begin(q);
                queue_lane(server, l);
        }
}

void turns_leave_place(cel_request *q)
{
        q->server->stats.running--;
        q->lane->running--;
        queue_lane(q->server, q->lane);
        give_turns(q->server);
}

/* --- Waiting ---------------------------------------------------------------------------------- */

static void end_waiting(cel_request *q)
{
        stop_waiting(q);
        if (request_has_expired(q)) {
                q->server->stats.expired_dropped++;
                request_drop(q, CEL__SETTLE_ACK);
        } else {
                request_drop(q, CEL__SETTLE_REQUEUE);
        }
}

/* Give back what has waited too long: as far as `now` says. */
static void give_back(cel_rpc_server *server, cel_time now)
{
        while (!cel__list_empty(&server->waiting)) {
                cel_request *first = cel__container(server->waiting.next, cel_request, waiting_node);

                if (first->waits_until.ns > now.ns)
                        return;
                end_waiting(first);
        }
}

static void watch_waiting(cel_rpc_server *server)
{
        if (cel__list_empty(&server->waiting) || cel__timer_is_set(&server->impatience))
                return;
        cel_request *first = cel__container(server->waiting.next, cel_request, waiting_node);
        if (cel__timer_set(&server->loop->timers, &server->impatience, first->waits_until) < 0)
                give_back(server, CEL_TIME_NEVER); /* no memory: too early is better than never */
}

void turns_on_impatience(cel__timer *timer)
{
        cel_rpc_server *server = cel__container(timer, cel_rpc_server, impatience);

        give_back(server, cel_clock_now(server->clock));
        watch_waiting(server);
}

void turns_drop_stale(cel_rpc_server *server)
{
        while (!cel__list_empty(&server->waiting)) {
                cel_request *first = cel__container(server->waiting.next, cel_request, waiting_node);

                if (!server->driver->is_stale(&first->delivery))
                        return;
                stop_waiting(first);
                request_drop(first, CEL__SETTLE_REQUEUE);
        }
}

static void wait_for_turn(cel_request *q, cel__list *list)
{
        cel_rpc_server *server = q->server;

        q->waits_until = cel_time_add_ms(cel_clock_now(server->clock), WAITING_MS_MAX);
        cel__list_append(list, &q->lane_node);
        cel__list_append(&server->waiting, &q->waiting_node);
        server->stats.waiting++;
        watch_waiting(server);
}

void turns_admit(cel_request *q)
{
        wait_for_turn(q, &q->lane->waiting);
        queue_lane(q->server, q->lane);
        give_turns(q->server);
}

void turns_give_back_all(cel_rpc_server *server)
{
        give_back(server, CEL_TIME_NEVER);
        cel__timer_unset(&server->loop->timers, &server->impatience);
}

/* --- Room ------------------------------------------------------------------------------------- */

/* Is there room for `bytes` more? For one request always. */
static bool has_room(const cel_rpc_server *server, size_t bytes)
{
        return server->bytes == 0 ||
               (server->bytes <= server->bytes_max && bytes <= server->bytes_max - server->bytes);
}

bool turns_make_room(cel_request *q)
{
        if (!has_room(q->server, q->bytes)) { /* it goes back as soon as there is */
                q->server->driver->drop_message(&q->delivery);
                wait_for_turn(q, &q->server->starved);
                return false;
        }
        q->counted = true;
        q->server->bytes += q->bytes;
        return true;
}

void turns_free_room(cel_request *q)
{
        cel_rpc_server *server = q->server;

        if (!q->counted)
                return;
        q->counted = false;
        server->bytes -= q->bytes;
        if (cel__list_empty(&server->starved))
                return;
        cel_request *first = cel__container(server->starved.next, cel_request, lane_node);
        if (has_room(server, first->bytes))
                end_waiting(first);
}
