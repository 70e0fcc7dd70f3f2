/* SPDX-License-Identifier: Apache-2.0
 *
 * From a delivery to a request that waits for its turn (oslo-wire sections 7, 14).
 *
 * Design notes. Deliveries come on the loop's hub, where they are decoded: a parser that recurses over what a stranger
 * sent does not belong on a task's small stack. */
#include "rpc/server.h"
#include "wire/body.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAILURE_BYTES_MAX = 16 << 20 };

/* The caller's timeout has passed since the request came, or more. */
static cel_time deadline_of(const cel_rpc_server *server, const cel_message *message)
{
        char *end = NULL;
        long long ms = message->expiration ? strtoll(message->expiration, &end, 10) : -1;

        if (ms < 0 || !end || end == message->expiration || *end)
                return CEL_TIME_NEVER;
        return cel_time_add_ms(cel_clock_now(server->clock), ms);
}

/* Find out what was asked. On failure, q->why is a sentence. */
static int decode(cel_request *q)
{
        const void *body;
        size_t n;
        int r = cel__body_plain(q->delivery.message, &q->plain, &body, &n, q->why, sizeof(q->why));

        if (r >= 0)
                r = cel__envelope_open(body, n, &q->envelope, q->why, sizeof(q->why));
        if (r < 0)
                return r;
        q->opened = true;
        r = cel__request_decode(&q->envelope, &q->wire, &q->context, q->why, sizeof(q->why));
        if (r >= 0 && q->envelope.version == 2) /* else it is borrowed, and may wait */
                cel__buf_clear(&q->plain, 0);
        return r;
}

static bool is_duplicate(const cel_request *q)
{
        return *q->wire.unique_id &&
               cel__seen_has(q->server->seen, q->wire.unique_id, cel_clock_now(q->server->clock));
}

/* The request that is being handled, and will be acknowledged late, of which this is a copy: its own delivery was lost. */
static cel_request *find_late(const cel_request *copy)
{
        const cel_rpc_server *server = copy->server;

        cel__list_for_each (node, &server->late) {
                cel_request *q = cel__container(node, cel_request, lane_node);

                if (strcmp(q->wire.unique_id, copy->wire.unique_id) == 0 && !q->settled &&
                    server->driver->is_stale(&q->delivery))
                        return q;
        }
        return NULL;
}

static void drop_duplicate(cel_request *copy)
{
        cel_request *q = copy->delivery.message->redelivered ? find_late(copy) : NULL;

        copy->server->stats.duplicates_dropped++;
        if (q) { /* it is settled with the ticket of the copy */
                cel__ticket lost = q->delivery.ticket;

                q->delivery.ticket = copy->delivery.ticket;
                copy->delivery.ticket = lost;
        }
        request_drop(copy, CEL__SETTLE_ACK);
}

static void admit(cel_request *q)
{
        cel_rpc_server *server = q->server;

        server->stats.received++;
        if (is_duplicate(q)) {
                drop_duplicate(q);
                return;
        }
        if (*q->wire.unique_id)
                cel__seen_add(server->seen, q->wire.unique_id, cel_clock_now(server->clock));
        q->lane = dispatch_find(server, &q->wire);
        turns_admit(q);
}

static void note_invalid(cel_rpc_server *server, const char *queue, const char *why)
{
        server->stats.invalid++;
        cel_error(NULL, "RPC-REQUEST-INVALID", "queue %s: a message is no request and is rejected: %s",
                  queue ? queue : "?", why);
}

static void refuse_unread(cel_rpc_server *server, const cel__delivery *delivery, cel__settlement how)
{
        cel__delivery refused = *delivery;

        if (how == CEL__SETTLE_REJECT)
                note_invalid(server, delivery->queue, delivery->refused);
        server->driver->settle(&refused, how);
}

void intake_on_delivery(void *arg, const cel__delivery *delivery)
{
        cel_rpc_server *server = arg;

        turns_drop_stale(server);
        if (!delivery->message) {
                refuse_unread(server, delivery, CEL__SETTLE_REJECT);
                return;
        }
        cel_request *q = calloc(1, sizeof(*q));
        if (!q || server->state >= SERVER_STOPPING) {
                free(q);
                refuse_unread(server, delivery, CEL__SETTLE_REQUEUE);
                return;
        }
        cel__list_init(&q->lane_node);
        cel__list_init(&q->waiting_node);
        q->refs = 1;
        q->server = server;
        q->delivery = *delivery;
        q->deadline = deadline_of(server, delivery->message);
        q->bytes = delivery->message->body_bytes;
        cel__buf_init(&q->plain, CEL__PLAIN_BYTES_MAX);
        cel__buf_init(&q->failure, FAILURE_BYTES_MAX);
        if (!turns_make_room(q))
                return;
        int r = decode(q);
        if (r >= 0) {
                admit(q);
                return;
        }
        if (r != CEL_ENOMEM)
                note_invalid(server, delivery->queue, *q->why ? q->why : cel_error_text(r));
        q->wire.unique_id = "";
        request_drop(q, r == CEL_ENOMEM ? CEL__SETTLE_REQUEUE : CEL__SETTLE_REJECT);
}
