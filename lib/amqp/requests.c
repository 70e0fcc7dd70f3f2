/* SPDX-License-Identifier: Apache-2.0
 *
 * The requests that chores are made of. */
#include "amqp/connection.h"

#include <stdio.h>

static const char STREAM_OFFSET[] = "x-stream-offset";

static int declare_exchange(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c)
{
        amqp_exchange_declare_t exchange = {.exchange = amqp_cstring_bytes(c->exchange),
                                            .type = amqp_cstring_bytes(c->fanout ? "fanout" : "topic"),
                                            .durable = c->durable,
                                            .auto_delete = c->auto_delete || c->fanout};

        return channel_request(ctx, channel, AMQP_EXCHANGE_DECLARE_METHOD, &exchange,
                               AMQP_EXCHANGE_DECLARE_OK_METHOD);
}

/* The arguments that it was given, then its expiry, as oslo.messaging has them. */
static int arguments_of(const chore *c, amqp_pool_t *pool, amqp_table_t *ret_table)
{
        amqp_table_t given;
        int r = cel__table_from_headers(c->arguments, pool, &given);

        if (r < 0)
                return r;
        amqp_table_entry_t *entries =
                amqp_pool_alloc(pool, ((size_t)given.num_entries + 1) * sizeof(*entries));
        if (!entries)
                return CEL_ENOMEM;
        *ret_table = (amqp_table_t){.num_entries = given.num_entries, .entries = entries};
        for (int i = 0; i < given.num_entries; i++)
                entries[i] = given.entries[i];
        if (c->expires_ms > 0)
                entries[ret_table->num_entries++] = (amqp_table_entry_t){
                        .key = amqp_cstring_bytes("x-expires"),
                        .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = (int32_t)c->expires_ms}};
        return 0;
}

static int declare_queue(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c)
{
        amqp_queue_declare_t queue = {
                .queue = amqp_cstring_bytes(c->queue), .durable = c->durable, .auto_delete = c->auto_delete};
        amqp_pool_t pool;

        init_amqp_pool(&pool, 4096);
        int r = arguments_of(c, &pool, &queue.arguments);
        if (r >= 0)
                r = channel_request(ctx, channel, AMQP_QUEUE_DECLARE_METHOD, &queue,
                                    AMQP_QUEUE_DECLARE_OK_METHOD);
        empty_amqp_pool(&pool);
        return r;
}

static int bind_queue(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c)
{
        amqp_queue_bind_t bind = {.queue = amqp_cstring_bytes(c->queue),
                                  .exchange = amqp_cstring_bytes(c->exchange),
                                  .routing_key = amqp_cstring_bytes(c->binding_key)};

        return channel_request(ctx, channel, AMQP_QUEUE_BIND_METHOD, &bind, AMQP_QUEUE_BIND_OK_METHOD);
}

/* As oslo.messaging declares: an exchange, the queue, the binding (oslo-wire section 4). */
int requests_declare(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c)
{
        int r = c->exchange ? declare_exchange(ctx, channel, c) : 0;

        if (r >= 0 && *c->queue)
                r = declare_queue(ctx, channel, c);
        if (r >= 0 && *c->queue && c->exchange)
                r = bind_queue(ctx, channel, c);
        return r;
}

/* A stream's consumer goes on where it was. */
static int consumer_arguments(cel__amqp_channel *channel, const chore *c, cel_headers **ret_arguments)
{
        pthread_mutex_lock(&channel->amqp->mutex);
        bool known = channel->place.known;
        int64_t next = channel->place.next;
        pthread_mutex_unlock(&channel->amqp->mutex);

        cel_auto(cel_headers) *arguments = NULL;
        int r = cel_headers_copy(c->arguments, &arguments);
        if (r >= 0 && channel->reads_stream && known)
                r = cel_headers_set_int(arguments, STREAM_OFFSET, next);
        if (r >= 0)
                *ret_arguments = CEL_TAKE(arguments);
        return r;
}

int requests_consume(cel_ctx *ctx, cel__amqp_channel *channel, chore *c)
{
        cel_auto(cel_headers) *arguments = NULL;
        int64_t offset;
        amqp_pool_t pool;

        if (!*c->tag)
                snprintf(c->tag, sizeof(c->tag), "%u", ++channel->amqp->tags_used);
        amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(c->queue),
                                        .consumer_tag = amqp_cstring_bytes(c->tag)};
        channel->reads_stream = cel_headers_get_int(c->arguments, STREAM_OFFSET, &offset) != CEL_ENOTFOUND;
        init_amqp_pool(&pool, 1024);
        int r = consumer_arguments(channel, c, &arguments);
        if (r >= 0)
                r = cel__table_from_headers(arguments, &pool, &consume.arguments);
        if (r >= 0)
                r = channel_request(ctx, channel, AMQP_BASIC_CONSUME_METHOD, &consume,
                                    AMQP_BASIC_CONSUME_OK_METHOD);
        empty_amqp_pool(&pool);
        return r;
}

int requests_stop_consuming(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c)
{
        amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(c->tag)};

        return channel_request(ctx, channel, AMQP_BASIC_CANCEL_METHOD, &cancel, AMQP_BASIC_CANCEL_OK_METHOD);
}
