/* SPDX-License-Identifier: Apache-2.0
 *
 * Deliveries: a method, a content header, body frames; and their settlement. Returned messages come in the
 * same way. */
#include "amqp/connection.h"
#include "base/assert.h"

#include <stdio.h>
#include <string.h>

static void begin(cel__amqp_channel *channel, amqp_bytes_t exchange, amqp_bytes_t routing_key)
{
        /* Short strings: at most 255 bytes. */
        channel->in_exchange_bytes = exchange.len;
        channel->in_routing_key_bytes = routing_key.len;
        memcpy(channel->in_exchange, exchange.bytes, exchange.len);
        memcpy(channel->in_routing_key, routing_key.bytes, routing_key.len);
        channel->refused = NULL;
        channel->skip_bytes = 0;
}

static const char *queue_of_tag(const cel__amqp_channel *channel, amqp_bytes_t tag)
{
        cel__list_for_each (node, &channel->chores) {
                const chore *c = cel__container(node, chore, node);

                if (c->kind == CHORE_CONSUME && strlen(c->tag) == tag.len &&
                    memcmp(c->tag, tag.bytes, tag.len) == 0)
                        return c->queue;
        }
        return NULL;
}

void consume_on_deliver(cel__amqp_channel *channel, const amqp_basic_deliver_t *deliver)
{
        consume_forget(channel);
        begin(channel, deliver->exchange, deliver->routing_key);
        channel->content_kind = CONTENT_DELIVERY;
        channel->delivery_tag = deliver->delivery_tag;
        channel->redelivered = deliver->redelivered;
        const char *queue = queue_of_tag(channel, deliver->consumer_tag);
        snprintf(channel->in_queue, sizeof(channel->in_queue), "%s", queue ? queue : "");
}

void consume_on_return(cel__amqp_channel *channel, const amqp_basic_return_t *returned)
{
        consume_forget(channel);
        begin(channel, returned->exchange, returned->routing_key);
        channel->content_kind = CONTENT_RETURN;
}

void consume_forget(cel__amqp_channel *channel)
{
        channel->content_kind = CONTENT_NONE;
        channel->content = cel__content_free(channel->content);
}

/* Of a stream, the broker says where in it a message stands. */
static void note_place(cel__amqp_channel *channel, const cel__content *content)
{
        int64_t offset;

        if (cel_headers_get_int(content->message.headers, "x-stream-offset", &offset) < 0)
                return;
        pthread_mutex_lock(&channel->amqp->mutex);
        place_delivered(&channel->place, channel->delivery_tag, offset);
        pthread_mutex_unlock(&channel->amqp->mutex);
}

/* The message is complete, or what came of it has been stepped over. */
static void finish(cel__amqp_channel *channel)
{
        cel__content *content = CEL_TAKE(channel->content);
        bool is_return = channel->content_kind == CONTENT_RETURN;

        channel->content_kind = CONTENT_NONE;
        if (content)
                cel__content_set_address(content, channel->in_exchange, channel->in_exchange_bytes,
                                         channel->in_routing_key, channel->in_routing_key_bytes,
                                         channel->redelivered);
        if (is_return) {
                if (content)
                        publish_on_return(channel, &content->message);
        } else if (channel->options.on_delivery) {
                cel__amqp_delivery delivery = {.content = CEL_TAKE(content),
                                               .refused = channel->refused,
                                               .queue = channel->in_queue,
                                               .channel = channel,
                                               .incarnation = channel->incarnation,
                                               .tag = channel->delivery_tag};

                if (delivery.content && *channel->in_queue)
                        delivery.content->message.queue = strcpy(delivery.content->queue, channel->in_queue);
                if (delivery.content && channel->reads_stream)
                        note_place(channel, delivery.content);
                pthread_mutex_lock(&channel->amqp->mutex);
                channel->unsettled++;
                pthread_mutex_unlock(&channel->amqp->mutex);
                cel__amqp_ref(channel->amqp); /* the delivery's */
                channel->options.on_delivery(channel->options.arg, &delivery);
        }
        cel__content_free(content);
}

/* A message that cannot be taken in is refused alone; its body is stepped over. */
static int refuse(cel__amqp_channel *channel, const cel__frame *header, const char *why)
{
        int r = cel__content_announced(header, &channel->skip_bytes);

        channel->refused = why;
        return r < 0 ? r : channel->skip_bytes == 0;
}

static int on_header(cel__amqp_channel *channel, const cel__frame *frame)
{
        int r = cel__content_new_from_header(frame, channel->amqp->body_bytes_max, &channel->content);

        if (r == CEL_EDECODE)
                return refuse(channel, frame, "its properties cannot be read");
        if (r == CEL_ETOOBIG)
                return refuse(channel, frame, "it is larger than this side takes");
        return r;
}

static int on_body(cel__amqp_channel *channel, const cel__frame *frame)
{
        if (!channel->refused)
                return cel__content_add_body(channel->content, frame);
        if (frame->payload_bytes > channel->skip_bytes)
                return CEL_EPROTO;
        channel->skip_bytes -= frame->payload_bytes;
        return channel->skip_bytes == 0;
}

int consume_on_content_frame(cel__amqp_channel *channel, const cel__frame *frame)
{
        bool is_header = frame->type == CEL__FRAME_HEADER;
        bool begun = channel->content || channel->refused;
        int r;

        if (!channel->open)
                return 0; /* still on its way when the channel was closed */
        if (channel->content_kind == CONTENT_NONE || is_header == begun)
                r = CEL_EPROTO;
        else
                r = is_header ? on_header(channel, frame) : on_body(channel, frame);
        if (r < 0) {
                conn_lost(channel->amqp, r,
                          r == CEL_EPROTO ? "the broker sent a message in the wrong order of frames"
                                          : "no memory for a message");
                return r;
        }
        if (r == 1)
                finish(channel);
        return 0;
}

static bool is_stale_locked(const cel__amqp_delivery *delivery)
{
        return !delivery->channel->open || delivery->channel->incarnation != delivery->incarnation;
}

bool cel__amqp_is_stale(const cel__amqp_delivery *delivery)
{
        pthread_mutex_lock(&delivery->channel->amqp->mutex);
        bool stale = is_stale_locked(delivery);
        pthread_mutex_unlock(&delivery->channel->amqp->mutex);
        return stale;
}

void consume_forget_acks_locked(cel__amqp_channel *channel)
{
        cel__list_remove(&channel->acking);
        channel->acks_n = 0;
}

int consume_put_acks_locked(cel__amqp_channel *channel)
{
        amqp_basic_ack_t ack = {.delivery_tag = channel->ack_tag, .multiple = channel->acks_n > 1};
        int r = cel__frame_put_method(&channel->amqp->out, channel->number, AMQP_BASIC_ACK_METHOD, &ack);

        if (r >= 0)
                consume_forget_acks_locked(channel);
        return r;
}

/* What is acknowledged in one turn is sent as one, where nothing before it is unsettled: the broker has less to do. */
static void gather_ack_locked(cel__amqp_channel *channel, uint64_t tag)
{
        if (channel->acks_n++ == 0)
                cel__list_append(&channel->amqp->acking, &channel->acking);
        channel->ack_tag = tag;
        conn_flush_later_locked(channel->amqp);
}

static int settle_locked(cel__amqp_channel *channel, uint64_t tag, cel__settlement how)
{
        amqp_basic_ack_t ack = {.delivery_tag = tag};
        amqp_basic_nack_t nack = {.delivery_tag = tag, .requeue = how == CEL__SETTLE_REQUEUE};

        channel->unsettled--;
        if (how != CEL__SETTLE_ACK)
                return conn_send_locked(channel->amqp, channel->number, AMQP_BASIC_NACK_METHOD, &nack);
        if (channel->unsettled > 0)
                return conn_send_locked(channel->amqp, channel->number, AMQP_BASIC_ACK_METHOD, &ack);
        gather_ack_locked(channel, tag);
        return 0;
}

int cel__amqp_settle(const cel__amqp_delivery *delivery, cel__settlement how)
{
        cel__amqp_channel *channel = delivery->channel;
        cel__amqp *amqp = channel->amqp;
        int r = CEL_ECLOSED;

        pthread_mutex_lock(&amqp->mutex);
        if (!is_stale_locked(delivery)) {
                place_settled(&channel->place, delivery->tag);
                r = settle_locked(channel, delivery->tag, how);
        }
        if (r < 0 && r != CEL_ECLOSED) { /* the broker would wait for it for ever */
                amqp->unsettled = true;
                conn_flush_later_locked(amqp);
        }
        pthread_mutex_unlock(&amqp->mutex);
        cel__amqp_unref(amqp);
        return r;
}
