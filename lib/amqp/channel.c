/* SPDX-License-Identifier: Apache-2.0
 *
 * Channels: opened, kept open, closed; what the broker says on them. */
#include "amqp/connection.h"
#include "base/assert.h"
#include "base/random.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLY_MS = 30000 }; /* a broker that heartbeats but does not answer is given up on */

/* --- What the supervisor does ----------------------------------------------------------------- */

/* A broker that has blocked the connection reads nothing from it: then there is no hurry. */
int channel_request(cel_ctx *ctx, cel__amqp_channel *channel, amqp_method_number_t id, const void *method,
                    amqp_method_number_t wanted)
{
        cel__amqp *amqp = channel->amqp;
        bool sent = false;
        int r;

        channel->asked = id;
        do {
                CEL_WITHIN_MS(ctx, REPLY_MS);

                r = conn_request(ctx, amqp, &channel->expected, channel->number, sent ? 0 : id, method,
                                 wanted);
                sent = true;
        } while (r == CEL_ETIMEDOUT && amqp->state == CONN_BLOCKED && channel->close_code == 0);

        if (r == CEL_ETIMEDOUT && channel->close_code == 0)
                conn_lost(amqp, r, "no %s within %d s", amqp_method_name(wanted), REPLY_MS / 1000);
        if ((r >= 0 || r == CEL_ETIMEDOUT) && (!amqp->stream || channel->close_code < 0))
                return CEL_ECLOSED;
        return r;
}

static int open_channel(cel_ctx *ctx, cel__amqp_channel *channel)
{
        amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
        amqp_confirm_select_t select = {0};
        amqp_basic_qos_t qos = {.prefetch_count = channel->options.prefetch};

        channel->close_code = 0;
        channel->close_method = 0;
        int r = channel_request(ctx, channel, AMQP_CHANNEL_OPEN_METHOD, &open, AMQP_CHANNEL_OPEN_OK_METHOD);
        if (r >= 0 && channel->options.confirms)
                r = channel_request(ctx, channel, AMQP_CONFIRM_SELECT_METHOD, &select,
                                    AMQP_CONFIRM_SELECT_OK_METHOD);
        if (r >= 0 && channel->options.prefetch > 0)
                r = channel_request(ctx, channel, AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD);
        if (r < 0)
                return r;

        pthread_mutex_lock(&channel->amqp->mutex);
        channel->open = true;
        channel->incarnation++;
        channel->tag_next = channel->tag_oldest = 1;
        conn_wake_publishers_locked(channel->amqp);
        pthread_mutex_unlock(&channel->amqp->mutex);
        return 0;
}

static int close_channel(cel_ctx *ctx, cel__amqp_channel *channel)
{
        amqp_channel_close_t close = {.reply_code = 200, .reply_text = amqp_cstring_bytes("")};

        pthread_mutex_lock(&channel->amqp->mutex);
        if (channel->acks_n > 0 && consume_put_acks_locked(channel) < 0)
                channel->amqp->unsettled = true; /* the broker would deliver them again */
        channel_down_locked(channel, "the channel is closed");
        pthread_mutex_unlock(&channel->amqp->mutex);
        return channel_request(ctx, channel, AMQP_CHANNEL_CLOSE_METHOD, &close, AMQP_CHANNEL_CLOSE_OK_METHOD);
}

/* Nobody uses it any more: its number can have another channel. */
static void retire(cel__amqp_channel *channel)
{
        cel_assert(cel__list_empty(&channel->chores));
        consume_forget(channel);
        place_fini(&channel->place);
        channel->closing = false;
        channel->free = true;
}

void channel_retire_closing(cel__amqp_channel *channel)
{
        if (!channel->closing)
                return;
        channel_abandon_chores(channel);
        retire(channel);
}

static int reconcile_closing(cel_ctx *ctx, cel__amqp_channel *channel)
{
        channel_abandon_chores(channel);
        if (channel->open)
                close_channel(ctx, channel);
        if (!channel->amqp->stream) /* lost meanwhile; that has retired it, and it may be in use again */
                return CEL_ECLOSED;
        retire(channel);
        return 0;
}

/* The broker has no number for it. */
static int reconcile_surplus(cel_ctx *ctx, cel__amqp_channel *channel, bool *ret_retry)
{
        char text[ERROR_TEXT_BYTES];

        snprintf(text, sizeof(text), "the broker allows %u channels for each connection",
                 channel->amqp->channel_max);
        channel_fail_chores(ctx, channel, CEL_EFULL, text);
        *ret_retry |= !cel__list_empty(&channel->chores);
        return 0;
}

void channel_attention(cel__amqp_channel *channel)
{
        channel->settled = false;
        conn_attention(channel->amqp);
}

/* Bring one channel to what is wanted of it. CEL_ECLOSED: the connection is gone. */
static int reconcile(cel_ctx *ctx, cel__amqp_channel *channel, bool *ret_retry)
{
        while (channel->amqp->stream) {
                if (channel->free || channel->settled)
                        return 0;
                if (channel->closing)
                        return reconcile_closing(ctx, channel);
                if (channel->number > channel->amqp->channel_max)
                        return reconcile_surplus(ctx, channel, ret_retry);
                int r = channel->open ? channel_do_chore(ctx, channel, ret_retry)
                                      : open_channel(ctx, channel);
                if (r == CHANNEL_IS_SETTLED)
                        channel->settled = true;
                if (r == CHANNEL_IS_SETTLED || r == CHANNEL_IS_WAITING)
                        return 0;
                if (r < 0 && r != CEL_ECLOSED)
                        return r;
        }
        return CEL_ECLOSED;
}

int channels_reconcile(cel_ctx *ctx, cel__amqp *amqp, bool *ret_retry)
{
        for (unsigned i = 1; i <= amqp->channels_n; i++) {
                int r = reconcile(ctx, amqp->channels[i], ret_retry);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- What the broker says --------------------------------------------------------------------- */

void channel_down_locked(cel__amqp_channel *channel, const char *text)
{
        channel->open = channel->settled = false;
        place_rewind(&channel->place);
        channel->unsettled = 0;
        consume_forget_acks_locked(channel);
        publish_fail_all_locked(channel, CEL_EUNKNOWN, text);
}

void channel_forget_place(cel__amqp_channel *channel)
{
        pthread_mutex_lock(&channel->amqp->mutex);
        channel->place.known = false;
        pthread_mutex_unlock(&channel->amqp->mutex);
}

static void on_close(cel__amqp_channel *channel, const amqp_channel_close_t *close)
{
        amqp_channel_close_ok_t ok = {0};
        cel__amqp *amqp = channel->amqp;

        pthread_mutex_lock(&amqp->mutex);
        channel->close_code = conn_error_of_reply(close->reply_code);
        snprintf(channel->close_text, sizeof(channel->close_text), "%.*s", (int)close->reply_text.len,
                 (const char *)close->reply_text.bytes);
        channel->close_method = (amqp_method_number_t)close->class_id << 16 | close->method_id;
        bool expected = channel->expected.wait || channel->tag_next > channel->tag_oldest;
        if (channel->close_method == AMQP_BASIC_PUBLISH_METHOD)
                publish_fail_all_locked(channel, channel->close_code, channel->close_text);
        channel_down_locked(channel, channel->close_text);
        conn_send_locked(amqp, channel->number, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
        pthread_mutex_unlock(&amqp->mutex);

        consume_forget(channel);
        if (!expected)
                cel_warn(NULL, "TRANSPORT-CHANNEL-CLOSED",
                         "%s: the broker closed channel %u: %s; opening it again", amqp->name,
                         channel->number, channel->close_text);
        if (channel->expected.wait)
                cel__wait_finish(channel->expected.wait, CEL_ECLOSED);
        channel->expected = (expectation){0};
        channel_end_unwanted(channel);
        conn_attention(amqp);
}

/* The broker ended a consumer: its queue was deleted, or its node is gone. Both are declared again. */
static void on_cancel(cel__amqp_channel *channel, const amqp_basic_cancel_t *cancel)
{
        const char *queue = channel_consumer_ended(channel, cancel->consumer_tag);

        if (!queue)
                return;
        cel_warn(NULL, "TRANSPORT-CONSUMER-CANCELLED",
                 "%s: the broker ended the consumer of queue \"%s\"; declaring it again", channel->amqp->name,
                 queue);
        channel_attention(channel);
}

int channel_on_method(cel__amqp_channel *channel, amqp_method_number_t id, void *method)
{
        cel__amqp *amqp = channel->amqp;

        switch (id) {
        case AMQP_BASIC_DELIVER_METHOD:
                consume_on_deliver(channel, method);
                return 0;
        case AMQP_BASIC_RETURN_METHOD:
                consume_on_return(channel, method);
                return 0;
        case AMQP_BASIC_ACK_METHOD:
        case AMQP_BASIC_NACK_METHOD: {
                const amqp_basic_ack_t *ack = method;
                const amqp_basic_nack_t *nack = method;
                bool positive = id == AMQP_BASIC_ACK_METHOD;

                pthread_mutex_lock(&amqp->mutex);
                publish_on_ack_locked(channel, positive ? ack->delivery_tag : nack->delivery_tag,
                                      positive ? ack->multiple : nack->multiple, positive ? 0 : CEL_ENACK);
                pthread_mutex_unlock(&amqp->mutex);
                return 0;
        }
        case AMQP_BASIC_CANCEL_METHOD:
                on_cancel(channel, method);
                return 0;
        case AMQP_CHANNEL_CLOSE_METHOD:
                on_close(channel, method);
                return 0;
        case AMQP_CHANNEL_CLOSE_OK_METHOD: /* nobody waits for it any more */
                return 0;
        default:
                conn_lost(amqp, CEL_EPROTO,
                          "the broker sent %s on channel %u where nothing of that kind was due",
                          amqp_method_name(id), channel->number);
                return CEL_EPROTO;
        }
}

/* --- What callers ask for --------------------------------------------------------------------- */

static cel__amqp_channel *find_free(cel__amqp *amqp)
{
        for (unsigned i = 1; i <= amqp->channels_n; i++)
                if (amqp->channels[i]->free)
                        return amqp->channels[i];
        return NULL;
}

static cel__amqp_channel *channel_new(cel__amqp *amqp)
{
        cel__amqp_channel *channel = calloc(1, sizeof(*channel));

        if (!channel)
                return NULL;
        channel->amqp = amqp;
        channel->number = (uint16_t)(amqp->channels_n + 1);
        channel->free = true;
        cel__list_init(&channel->chores);
        cel__list_init(&channel->acking);
        amqp->channels[++amqp->channels_n] = channel;
        return channel;
}

/* What it was goes on counting: its incarnation, which tells old deliveries from new ones. */
static void take_into_use(cel__amqp_channel *channel, const cel__amqp_channel_options *options)
{
        channel->options = *options;
        channel->free = false;
        channel->close_code = 0;
        channel->close_method = 0;
        channel->close_text[0] = '\0';
        channel->tag_next = channel->tag_oldest = 1;
        place_init(&channel->place, options->prefetch);
        channel_attention(channel);
}

int cel__amqp_channel_open(cel_ctx *ctx, cel__amqp *amqp, const cel__amqp_channel_options *options,
                           cel__amqp_channel **ret_channel)
{
        if (ctx->loop != amqp->loop)
                return cel_fail(ctx, CEL_ENOSUPPORT, "channels are for tasks of the transport's loop");
        cel__amqp_channel *channel = find_free(amqp);
        if (!channel && amqp->channels_n == CHANNELS_MAX)
                return cel_fail(ctx, CEL_EFULL, "a connection has at most %d channels", CHANNELS_MAX);
        if (!channel)
                channel = channel_new(amqp);
        if (channel && options->confirms)
                channel->confirms = calloc(CONFIRMS_MAX, sizeof(*channel->confirms));
        if (!channel || (options->confirms && !channel->confirms))
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        take_into_use(channel, options);
        *ret_channel = channel;
        return 0;
}

void cel__amqp_channel_close(cel__amqp_channel *channel)
{
        cel_assert(!channel->confirms); /* calls may wait in that table */
        channel->closing = true;
        channel->options.on_delivery = NULL;
        if (channel->amqp->stream)
                channel_attention(channel);
        else
                channel_retire_closing(channel);
}

void channel_free(cel__amqp_channel *channel)
{
        cel_assert(cel__list_empty(&channel->chores));
        consume_forget(channel);
        place_fini(&channel->place);
        free(channel->confirms);
        free(channel);
}
