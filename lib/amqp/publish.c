/* SPDX-License-Identifier: Apache-2.0
 *
 * Publishing. Publishes are pipelined; each waits for its own confirmation, matched by delivery tag. A
 * message that no queue takes is returned before it is confirmed, without its tag: it is matched by what it
 * is, and the oldest of equal ones is meant, which is all the same to those who sent equal messages. */
#include "amqp/connection.h"
#include "base/assert.h"

#include <string.h>

static confirm *slot_of(cel__amqp_channel *channel, uint64_t tag)
{
        return &channel->confirms[tag % CONFIRMS_MAX];
}

/* --- Outcomes --------------------------------------------------------------------------------- */

static void settle_locked(cel__amqp_channel *channel, uint64_t tag, int outcome)
{
        confirm *c = slot_of(channel, tag);

        if (c->tag != tag)
                return;
        if (c->wait)
                cel__wait_finish(c->wait, outcome == 0 && c->returned ? CEL_EUNROUTABLE : outcome);
        *c = (confirm){0};
}

void publish_on_ack_locked(cel__amqp_channel *channel, uint64_t tag, bool multiple, int outcome)
{
        if (!channel->confirms || tag >= channel->tag_next)
                return; /* an answer to nothing we sent */
        for (uint64_t t = multiple ? channel->tag_oldest : tag; t <= tag; t++)
                settle_locked(channel, t, outcome);
        while (channel->tag_oldest < channel->tag_next && slot_of(channel, channel->tag_oldest)->tag == 0)
                channel->tag_oldest++;
        if (!cel__list_empty(&channel->amqp->publishers))
                conn_wake_publishers_locked(channel->amqp);
}

static const char *or_empty(const char *text)
{
        return text ? text : "";
}

static bool same_message(const cel_message *a, const cel_message *b)
{
        return a->body_bytes == b->body_bytes && strcmp(or_empty(a->exchange), or_empty(b->exchange)) == 0 &&
               strcmp(or_empty(a->routing_key), or_empty(b->routing_key)) == 0 &&
               strcmp(or_empty(a->message_id), or_empty(b->message_id)) == 0 &&
               (a->body_bytes == 0 || memcmp(a->body, b->body, a->body_bytes) == 0);
}

void publish_on_return(cel__amqp_channel *channel, const cel_message *returned)
{
        pthread_mutex_lock(&channel->amqp->mutex);
        for (uint64_t tag = channel->tag_oldest; channel->confirms && tag < channel->tag_next; tag++) {
                confirm *c = slot_of(channel, tag);

                if (c->tag == tag && c->wait && c->mandatory && !c->returned &&
                    same_message(c->message, returned)) {
                        c->returned = true;
                        break;
                }
        }
        pthread_mutex_unlock(&channel->amqp->mutex);
}

void publish_fail_all_locked(cel__amqp_channel *channel, int code, const char *text)
{
        char quoted[300];

        if (!channel->confirms)
                return;
        for (uint64_t tag = channel->tag_oldest; tag < channel->tag_next; tag++) {
                confirm *c = slot_of(channel, tag);

                if (c->tag != tag)
                        continue;
                /* The broker closes a channel over one publish, and names the exchange it could not use. */
                bool blamed = false;
                if (text && c->wait) {
                        snprintf(quoted, sizeof(quoted), "'%s'", or_empty(c->message->exchange));
                        blamed = strstr(text, quoted) != NULL;
                }
                settle_locked(channel, tag, blamed ? code : CEL_EUNKNOWN);
        }
        channel->tag_oldest = channel->tag_next;
}

/* --- Publishing ------------------------------------------------------------------------------- */

static bool may_publish_locked(cel__amqp_channel *channel)
{
        cel__amqp *amqp = channel->amqp;

        return amqp->state == CONN_OPEN && channel->open && cel__buf_used(&amqp->out) < OUT_BYTES_SOFT &&
               channel->tag_next - channel->tag_oldest < CONFIRMS_MAX;
}

/* Wait until publishing is possible. With the mutex held on entry and exit; it is released meanwhile. */
static int await_turn_locked(cel_ctx *ctx, cel__amqp_channel *channel)
{
        cel__amqp *amqp = channel->amqp;

        while (!may_publish_locked(channel)) {
                cel__wait wait;
                cel__waiter waiter = {.wait = &wait};

                if (amqp->state == CONN_GONE || amqp->state == CONN_CLOSING)
                        return CEL_ECLOSED;
                cel__wait_begin(&wait, ctx, "publish");
                cel__list_append(&amqp->publishers, &waiter.node);
                pthread_mutex_unlock(&amqp->mutex);
                int r = cel__wait_block(&wait);
                pthread_mutex_lock(&amqp->mutex);
                cel__list_remove(&waiter.node);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Append the message and take a slot for its confirmation. */
static int send_locked(cel__amqp_channel *channel, const cel_message *message, bool mandatory,
                       cel__wait *wait, uint64_t *ret_tag)
{
        cel__amqp *amqp = channel->amqp;
        int r = cel__frame_put_publish(&amqp->out, channel->number, message, mandatory,
                                       amqp->frame_bytes_max);

        if (r < 0)
                return r;
        *ret_tag = channel->tag_next++;
        *slot_of(channel, *ret_tag) =
                (confirm){.tag = *ret_tag, .wait = wait, .message = message, .mandatory = mandatory};
        conn_flush_later_locked(amqp);
        return 0;
}

static int explain(cel_ctx *ctx, cel__amqp_channel *channel, const cel_message *message, int r)
{
        const char *exchange = or_empty(message->exchange), *key = or_empty(message->routing_key);

        switch (r) {
        case CEL_EUNROUTABLE:
                return cel_fail(ctx, r, "no queue is bound to exchange \"%s\" with key \"%s\"", exchange,
                                key);
        case CEL_ENACK:
                return cel_fail(ctx, r, "the broker refused a message for exchange \"%s\", key \"%s\"",
                                exchange, key);
        case CEL_EUNKNOWN:
                return cel_fail(ctx, r, "the connection broke before the broker confirmed the message");
        case CEL_ENOTFOUND:
        case CEL_EACCESS:
                pthread_mutex_lock(&channel->amqp->mutex);
                cel_fail(ctx, r, "%s", channel->close_text);
                pthread_mutex_unlock(&channel->amqp->mutex);
                return r;
        default:
                return r;
        }
}

static int publish(cel_ctx *ctx, cel__amqp_channel *channel, const cel_message *message, unsigned flags)
{
        cel__amqp *amqp = channel->amqp;
        cel__wait wait;
        uint64_t tag;

        pthread_mutex_lock(&amqp->mutex);
        int r = await_turn_locked(ctx, channel);
        bool sent = false;
        if (r >= 0) {
                cel__wait_begin(&wait, ctx, "confirm");
                r = send_locked(channel, message, flags & CEL_PUBLISH_MANDATORY, &wait, &tag);
                sent = r >= 0;
        }
        pthread_mutex_unlock(&amqp->mutex);
        if (!sent)
                return r == CEL_ETIMEDOUT ? conn_timed_out(ctx, amqp) : r;

        r = cel__wait_block(&wait);

        pthread_mutex_lock(&amqp->mutex);
        confirm *c = slot_of(channel, tag);
        if (c->tag == tag && c->wait == &wait) { /* this caller leaves before the answer */
                c->wait = NULL;
                c->message = NULL;
        }
        pthread_mutex_unlock(&amqp->mutex);
        return explain(ctx, channel, message, r);
}

int cel__amqp_publish(cel_ctx *ctx, cel__amqp_channel *channel, const cel_message *message, unsigned flags)
{
        cel__amqp *amqp = cel__amqp_ref(channel->amqp); /* the transport may be freed while this waits */

        cel_assert(channel->confirms);
        int r = publish(ctx, channel, message, flags);
        cel__amqp_unref(amqp);
        return r;
}
