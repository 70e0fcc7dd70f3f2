/* SPDX-License-Identifier: Apache-2.0
 *
 * Publishing. Publishes are pipelined; each waits for its own confirmation, matched by delivery tag. A
 * message that no queue takes is returned before it is confirmed, without its tag: it is matched by what it
 * is, and the oldest of equal ones is meant, which is all the same to those who sent equal messages. */
#include "amqp/connection.h"
#include "base/assert.h"

#include <stdio.h>
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

static uint64_t add_to_digest(uint64_t digest, const void *bytes, size_t n)
{
        for (const uint8_t *at = bytes; n > 0; at++, n--)
                digest = (digest ^ *at) * UINT64_C(0x100000001b3); /* FNV-1a */
        return (digest ^ 0xff) * UINT64_C(0x100000001b3);          /* no part is confused with the next */
}

/* What same_message() compares, in short: for a message that is not there any more. */
static uint64_t digest_of(const cel_message *message)
{
        const char *texts[] = {or_empty(message->exchange), or_empty(message->routing_key),
                               or_empty(message->message_id)};
        uint64_t digest = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                digest = add_to_digest(digest, texts[i], strlen(texts[i]));
        return add_to_digest(digest, message->body, message->body_bytes);
}

/* A publish whose caller has left is returned like any other, or else its return would be taken for that of a later, equal
 * one. */
void publish_on_return(cel__amqp_channel *channel, const cel_message *returned)
{
        uint64_t digest = 0;

        pthread_mutex_lock(&channel->amqp->mutex);
        for (uint64_t tag = channel->tag_oldest; channel->confirms && tag < channel->tag_next; tag++) {
                confirm *c = slot_of(channel, tag);

                if (c->tag != tag || !c->mandatory || c->returned)
                        continue;
                if (!c->wait && digest == 0)
                        digest = digest_of(returned);
                if (c->wait ? same_message(c->message, returned) : c->digest == digest) {
                        c->returned = true;
                        break;
                }
        }
        pthread_mutex_unlock(&channel->amqp->mutex);
}

/* Does the broker's sentence name the exchange of this publish? */
static bool is_named(const confirm *c, const char *text)
{
        const char *exchange = c->wait ? or_empty(c->message->exchange) : "";
        char quoted[300];

        snprintf(quoted, sizeof(quoted), "'%s'", *exchange ? exchange : "amq.default");
        return c->wait && strstr(text, quoted);
}

void publish_fail_all_locked(cel__amqp_channel *channel, int code, const char *text)
{
        unsigned open = 0;

        if (!channel->confirms)
                return;
        for (uint64_t tag = channel->tag_oldest; tag < channel->tag_next; tag++)
                open += slot_of(channel, tag)->tag == tag;
        for (uint64_t tag = channel->tag_oldest; tag < channel->tag_next; tag++) {
                confirm *c = slot_of(channel, tag);

                if (c->tag != tag)
                        continue;
                /* The broker closes a channel over one publish, but does not say over which: unless it is the only one,
                 * or the sentence names the exchange, nobody knows. */
                bool guilty = code != CEL_EUNKNOWN && (open == 1 || is_named(c, text));
                if (c->wait)
                        snprintf(c->why, ERROR_TEXT_BYTES, "%s", text);
                settle_locked(channel, tag, guilty ? code : CEL_EUNKNOWN);
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
                       cel__wait *wait, char *why, uint64_t *ret_tag)
{
        cel__amqp *amqp = channel->amqp;
        int r = cel__frame_put_publish(&amqp->out, channel->number, message, mandatory,
                                       amqp->frame_bytes_max);

        if (r < 0)
                return r;
        *ret_tag = channel->tag_next++;
        *slot_of(channel, *ret_tag) = (confirm){
                .tag = *ret_tag, .wait = wait, .why = why, .message = message, .mandatory = mandatory};
        conn_flush_later_locked(amqp);
        return 0;
}

/* `why` is what the broker said, or why the connection broke; "": nothing. */
static int explain(cel_ctx *ctx, const cel_message *message, int r, const char *why)
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
                return cel_fail(ctx, r, "the connection broke before the broker confirmed the message: %s",
                                why);
        default:
                return r < 0 && *why ? cel_fail(ctx, r, "%s", why) : r;
        }
}

/* Why it was not sent. */
static int explain_unsent(cel_ctx *ctx, cel__amqp *amqp, int r)
{
        switch (r) {
        case CEL_ETIMEDOUT:
                return conn_timed_out(ctx, amqp);
        case CEL_EINVAL:
                return cel_fail(ctx, r, "a string of the message is longer than AMQP's 255 bytes");
        case CEL_ETOOBIG:
                return cel_fail(ctx, r, "the message's headers exceed the broker's frame, or its body %d MiB",
                                OUT_BYTES_MAX / (1024 * 1024));
        default:
                return r;
        }
}

static int publish(cel_ctx *ctx, cel__amqp_channel *channel, const cel_message *message, unsigned flags)
{
        cel__amqp *amqp = channel->amqp;
        char why[ERROR_TEXT_BYTES] = "";
        cel__wait wait;
        uint64_t tag;

        pthread_mutex_lock(&amqp->mutex);
        int r = await_turn_locked(ctx, channel);
        bool sent = false;
        if (r >= 0) {
                cel__wait_begin(&wait, ctx, "confirm");
                r = send_locked(channel, message, flags & CEL_PUBLISH_MANDATORY, &wait, why, &tag);
                sent = r >= 0;
        }
        pthread_mutex_unlock(&amqp->mutex);
        if (!sent)
                return explain_unsent(ctx, amqp, r);

        r = cel__wait_block(&wait);

        pthread_mutex_lock(&amqp->mutex);
        confirm *c = slot_of(channel, tag);
        if (c->tag == tag && c->wait == &wait) {                   /* this caller leaves before the answer */
                c->digest = c->mandatory ? digest_of(message) : 0; /* nothing else is returned */
                c->wait = NULL;
                c->why = NULL;
                c->message = NULL;
        }
        pthread_mutex_unlock(&amqp->mutex);
        return explain(ctx, message, r, why);
}

int cel__amqp_publish(cel_ctx *ctx, cel__amqp_channel *channel, const cel_message *message, unsigned flags)
{
        cel__amqp *amqp = cel__amqp_ref(channel->amqp); /* the transport may be freed while this waits */

        cel_assert(channel->confirms);
        int r = publish(ctx, channel, message, flags);
        cel__amqp_unref(amqp);
        return r;
}
