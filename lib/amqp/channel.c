/* SPDX-License-Identifier: Apache-2.0
 *
 * Channels and their chores. What a caller asks for is put into the channel's list; the supervisor does it,
 * now and in every later incarnation of the channel, and the caller waits for the first outcome only. */
#include "amqp/connection.h"
#include "base/assert.h"
#include "base/random.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        REPLY_MS = 30000, /* a broker that heartbeats but does not answer is given up on */
        CHORES_MAX = 1024,
        RETRY_MS_MIN = 1000, /* of a chore that failed; each try may cost the channel, so it gets rarer */
        RETRY_MS_MAX = 60000,
};

/* --- Chores ----------------------------------------------------------------------------------- */

/* Not inline: gcc 12 would warn of a use after free, where the count says that there is none. */
__attribute__((noinline)) static void chore_unref(chore *c)
{
        if (--c->refs > 0)
                return;
        cel_future_unref(c->outcome);
        free(c->queue);
        free(c->exchange);
        free(c->binding_key);
        free(c);
}

static chore *chore_new(const cel_queue *queue)
{
        chore *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        cel__list_init(&c->node);
        c->refs = 1;
        c->wanted = true;
        c->durable = queue->durable;
        c->auto_delete = queue->auto_delete;
        c->queue = strdup(queue->name);
        c->exchange = queue->exchange ? strdup(queue->exchange) : NULL;
        c->binding_key = strdup(queue->binding_key ? queue->binding_key : "");
        if (!c->queue || !c->binding_key || (queue->exchange && !c->exchange) ||
            cel_future_new(&c->outcome) < 0) {
                chore_unref(c);
                return NULL;
        }
        return c;
}

/* It is over with this chore: out of the list, and whoever waits is told. */
static void chore_end(cel__amqp_channel *channel, chore *c, int status)
{
        if (cel__list_empty(&c->node)) /* ended meanwhile */
                return;
        cel_future_complete(c->outcome, status, NULL);
        cel__list_remove(&c->node);
        channel->chores_n--;
        chore_unref(c);
}

/* No unwanted consumer is left. */
static void tell_quiet(cel__amqp_channel *channel)
{
        if (channel->quiet)
                cel_future_complete(channel->quiet, 0, NULL);
        channel->quiet = cel_future_unref(channel->quiet);
}

static chore *first_unwanted(cel__amqp_channel *channel)
{
        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (!c->wanted)
                        return c;
        }
        return NULL;
}

void channel_end_unwanted(cel__amqp_channel *channel)
{
        chore *c;

        while ((c = first_unwanted(channel)))
                chore_end(channel, c, CEL_ECLOSED);
        tell_quiet(channel);
}

void channel_abandon_chores(cel__amqp_channel *channel)
{
        while (!cel__list_empty(&channel->chores)) {
                chore *c = cel__container(channel->chores.next, chore, node);

                snprintf(c->error_text, sizeof(c->error_text), "the transport is closed");
                chore_end(channel, c, CEL_ECLOSED);
        }
        tell_quiet(channel);
}

static bool same_text(const char *a, const char *b)
{
        return strcmp(a ? a : "", b ? b : "") == 0 && !a == !b;
}

static chore *find_same(cel__amqp_channel *channel, const chore *wanted)
{
        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->wanted && c->kind == wanted->kind && c->durable == wanted->durable &&
                    c->auto_delete == wanted->auto_delete && same_text(c->queue, wanted->queue) &&
                    same_text(c->exchange, wanted->exchange) &&
                    same_text(c->binding_key, wanted->binding_key))
                        return c;
        }
        return NULL;
}

/* Put `c` on the channel's list, or find what was asked for before, which is then to be done once more:
 * somebody may have deleted the queue. Takes `c`; a reference to what will be done is the caller's. */
static int chore_submit(cel_ctx *ctx, cel__amqp_channel *channel, chore *c, chore **ret_chore)
{
        chore *before = find_same(channel, c);
        cel_future *outcome;

        if (!before) {
                if (channel->chores_n == CHORES_MAX) {
                        chore_unref(c);
                        return cel_fail(ctx, CEL_EFULL, "a channel has at most %d declarations and consumers",
                                        CHORES_MAX);
                }
                channel->chores_n++;
                cel__list_append(&channel->chores, &c->node);
                c->refs++;
                *ret_chore = c;
                return 0;
        }
        chore_unref(c);
        if (cel_future_done(before->outcome)) {
                if (cel_future_new(&outcome) < 0)
                        return cel_fail(ctx, CEL_ENOMEM, "out of memory");
                cel_future_unref(before->outcome);
                before->outcome = outcome;
                before->done_in = 0;
        }
        before->refs++;
        *ret_chore = before;
        return 0;
}

/* Wait for the outcome of a chore that is on the list. Another caller may ask for the same and have it done
 * once more, which makes a new outcome: this one's is held on to. */
static int await_outcome(cel_ctx *ctx, cel__amqp *amqp, const chore *c)
{
        cel_future *outcome = cel_future_ref(c->outcome);
        int r = cel_await(ctx, outcome, NULL);
        bool done = cel_future_done(outcome);

        cel_future_unref(outcome);
        if (done)
                return r < 0 ? cel_fail(ctx, r, "queue \"%s\": %s", c->queue, c->error_text) : 0;
        /* This caller has left; what it asked for stays wanted, as if it had stayed. */
        return r == CEL_ETIMEDOUT ? conn_timed_out(ctx, amqp) : r;
}

/* Have `c` done and wait for the outcome. Takes `c`; NULL: there was no memory for it. */
static int chore_await(cel_ctx *ctx, cel__amqp_channel *channel, chore *c)
{
        cel__amqp *amqp = channel->amqp;
        int r = 0;

        if (!c)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        if (ctx->loop != amqp->loop)
                r = cel_fail(ctx, CEL_ENOSUPPORT,
                             "declaring and consuming is for tasks of the transport's loop");
        else if (amqp->state == CONN_GONE || channel->closing)
                r = cel_fail(ctx, CEL_ECLOSED, "the transport is closed");
        if (r < 0) {
                chore_unref(c);
                return r;
        }
        r = chore_submit(ctx, channel, c, &c);
        if (r < 0)
                return r;
        cel__amqp_ref(amqp);
        conn_attention(amqp);
        r = await_outcome(ctx, amqp, c);
        chore_unref(c);
        cel__amqp_unref(amqp);
        return r;
}

/* --- What the supervisor does ----------------------------------------------------------------- */

/* One request on a channel. CEL_ECLOSED and the connection still up: the broker closed the channel, and said
 * why; maybe after it had answered, but before this task ran again. */
static int request(cel_ctx *ctx, cel__amqp_channel *channel, amqp_method_number_t id, const void *method,
                   amqp_method_number_t wanted)
{
        CEL_WITHIN_MS(ctx, REPLY_MS);
        int r = conn_request(ctx, channel->amqp, &channel->expected, channel->number, id, method, wanted);

        if (r == CEL_ETIMEDOUT)
                conn_lost(channel->amqp, r, "no %s within %d s", amqp_method_name(wanted), REPLY_MS / 1000);
        if (r >= 0 && (!channel->amqp->stream || channel->close_code < 0))
                return CEL_ECLOSED;
        return r;
}

static int open_channel(cel_ctx *ctx, cel__amqp_channel *channel)
{
        amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
        amqp_confirm_select_t select = {0};
        amqp_basic_qos_t qos = {.prefetch_count = channel->options.prefetch};

        channel->close_code = 0;
        int r = request(ctx, channel, AMQP_CHANNEL_OPEN_METHOD, &open, AMQP_CHANNEL_OPEN_OK_METHOD);
        if (r >= 0 && channel->options.confirms)
                r = request(ctx, channel, AMQP_CONFIRM_SELECT_METHOD, &select, AMQP_CONFIRM_SELECT_OK_METHOD);
        if (r >= 0 && channel->options.prefetch > 0)
                r = request(ctx, channel, AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD);
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
        channel_down_locked(channel, CEL_EUNKNOWN);
        pthread_mutex_unlock(&channel->amqp->mutex);
        return request(ctx, channel, AMQP_CHANNEL_CLOSE_METHOD, &close, AMQP_CHANNEL_CLOSE_OK_METHOD);
}

/* As oslo.messaging declares: a topic exchange, the queue, the binding (oslo-wire section 4). */
static int declare(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c)
{
        int r = 0;

        if (c->exchange) {
                amqp_exchange_declare_t exchange = {.exchange = amqp_cstring_bytes(c->exchange),
                                                    .type = amqp_cstring_bytes("topic"),
                                                    .durable = c->durable,
                                                    .auto_delete = c->auto_delete};
                r = request(ctx, channel, AMQP_EXCHANGE_DECLARE_METHOD, &exchange,
                            AMQP_EXCHANGE_DECLARE_OK_METHOD);
        }
        if (r >= 0) {
                amqp_queue_declare_t queue = {.queue = amqp_cstring_bytes(c->queue),
                                              .durable = c->durable,
                                              .auto_delete = c->auto_delete};
                r = request(ctx, channel, AMQP_QUEUE_DECLARE_METHOD, &queue, AMQP_QUEUE_DECLARE_OK_METHOD);
        }
        if (r >= 0 && c->exchange) {
                amqp_queue_bind_t bind = {.queue = amqp_cstring_bytes(c->queue),
                                          .exchange = amqp_cstring_bytes(c->exchange),
                                          .routing_key = amqp_cstring_bytes(c->binding_key)};
                r = request(ctx, channel, AMQP_QUEUE_BIND_METHOD, &bind, AMQP_QUEUE_BIND_OK_METHOD);
        }
        return r;
}

static int consume(cel_ctx *ctx, cel__amqp_channel *channel, chore *c)
{
        if (!*c->tag)
                snprintf(c->tag, sizeof(c->tag), "%u", ++channel->tags_used);
        amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(c->queue),
                                        .consumer_tag = amqp_cstring_bytes(c->tag)};

        return request(ctx, channel, AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD);
}

static int stop_consuming(cel_ctx *ctx, cel__amqp_channel *channel, const chore *c)
{
        amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(c->tag)};

        return request(ctx, channel, AMQP_BASIC_CANCEL_METHOD, &cancel, AMQP_BASIC_CANCEL_OK_METHOD);
}

/* It cannot be done, for the reason in `text`. The first time, that is its outcome; later it is tried again and
 * again, since what was there once may come back. */
static void chore_failed(cel_ctx *ctx, cel__amqp_channel *channel, chore *c, int code, const char *text)
{
        bool news = strcmp(c->error_text, text) != 0;

        snprintf(c->error_text, sizeof(c->error_text), "%s", text);
        if (!cel_future_done(c->outcome)) {
                chore_end(channel, c, code);
                return;
        }
        if (news)
                cel_warn(NULL, "TRANSPORT-NOT-RESTORED", "%s: queue \"%s\": %s; trying again",
                         channel->amqp->name, c->queue, c->error_text);
        c->retry_ms = c->retry_ms == 0 ? RETRY_MS_MIN : c->retry_ms * 2;
        if (c->retry_ms > RETRY_MS_MAX)
                c->retry_ms = RETRY_MS_MAX;
        c->retry_at = cel_time_add_ms(cel_ctx_now(ctx),
                                      c->retry_ms / 2 + (int64_t)cel__random_below((uint64_t)c->retry_ms));
}

static int undo_chore(cel_ctx *ctx, cel__amqp_channel *channel, chore *c)
{
        bool consumes = c->kind == CHORE_CONSUME && c->done_in == channel->incarnation;
        int r = consumes ? stop_consuming(ctx, channel, c) : 0;

        if (r >= 0)
                chore_end(channel, c, 0);
        return r;
}

static int do_chore(cel_ctx *ctx, cel__amqp_channel *channel, chore *c)
{
        /* Said before it is asked for: the broker may take a consumer back before this task runs again. */
        c->done_in = channel->incarnation;
        int r = c->kind == CHORE_DECLARE ? declare(ctx, channel, c) : consume(ctx, channel, c);

        if (r >= 0) {
                c->error_text[0] = '\0';
                c->retry_ms = 0;
                if (c->wanted)
                        cel_future_complete(c->outcome, 0, NULL);
                return r;
        }
        c->done_in = 0;
        if (r == CEL_EINVAL) { /* nothing was sent: the channel is as it was */
                chore_failed(ctx, channel, c, r, "a name is longer than AMQP's 255 bytes");
                return 0;
        }
        if (channel->close_code < 0)
                chore_failed(ctx, channel, c, channel->close_code, channel->close_text);
        return r;
}

/* Do or undo it. It may be ended by others while this task waits, so it is held on to. */
static int work_on(cel_ctx *ctx, cel__amqp_channel *channel, chore *c)
{
        c->refs++;
        int r = c->wanted ? do_chore(ctx, channel, c) : undo_chore(ctx, channel, c);
        chore_unref(c);
        return r;
}

/* The first chore that is to be done now; NULL: none. */
static chore *next_chore(cel_ctx *ctx, cel__amqp_channel *channel, bool *ret_retry)
{
        cel_time now = cel_ctx_now(ctx);

        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->wanted && c->done_in == channel->incarnation)
                        continue;
                if (!c->wanted || c->retry_at.ns <= now.ns)
                        return c;
                *ret_retry = true;
        }
        return NULL;
}

/* Bring one channel to what is wanted of it. CEL_ECLOSED: the connection is gone. */
static int reconcile(cel_ctx *ctx, cel__amqp_channel *channel, bool *ret_retry)
{
        while (channel->amqp->stream) {
                int r;

                if (channel->closing) {
                        channel_abandon_chores(channel);
                        if (channel->open)
                                close_channel(ctx, channel);
                        return channel->amqp->stream ? 0 : CEL_ECLOSED;
                }
                if (!channel->open) {
                        r = open_channel(ctx, channel);
                } else {
                        chore *c = next_chore(ctx, channel, ret_retry);

                        if (!c) {
                                tell_quiet(channel);
                                return 0;
                        }
                        r = work_on(ctx, channel, c);
                }
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

void channel_down_locked(cel__amqp_channel *channel, int confirm_outcome)
{
        channel->open = false;
        publish_fail_all_locked(channel, confirm_outcome, NULL);
}

static void on_close(cel__amqp_channel *channel, const amqp_channel_close_t *close)
{
        amqp_channel_close_ok_t ok = {0};
        cel__amqp *amqp = channel->amqp;

        pthread_mutex_lock(&amqp->mutex);
        channel->close_code = conn_error_of_reply(close->reply_code);
        snprintf(channel->close_text, sizeof(channel->close_text), "%.*s", (int)close->reply_text.len,
                 (const char *)close->reply_text.bytes);
        bool expected = channel->expected.wait || channel->tag_next > channel->tag_oldest;
        publish_fail_all_locked(channel, channel->close_code, channel->close_text);
        channel_down_locked(channel, CEL_EUNKNOWN);
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
        const chore *ended = NULL;

        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->kind == CHORE_CONSUME && strlen(c->tag) == cancel->consumer_tag.len &&
                    memcmp(c->tag, cancel->consumer_tag.bytes, cancel->consumer_tag.len) == 0) {
                        ended = c;
                        c->done_in = 0;
                }
        }
        if (!ended)
                return;
        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->kind == CHORE_DECLARE && strcmp(c->queue, ended->queue) == 0)
                        c->done_in = 0;
        }
        cel_warn(NULL, "TRANSPORT-CONSUMER-CANCELLED",
                 "%s: the broker ended the consumer of queue \"%s\"; declaring it again", channel->amqp->name,
                 ended->queue);
        conn_attention(channel->amqp);
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

int cel__amqp_channel_open(cel_ctx *ctx, cel__amqp *amqp, const cel__amqp_channel_options *options,
                           cel__amqp_channel **ret_channel)
{
        if (ctx->loop != amqp->loop)
                return cel_fail(ctx, CEL_ENOSUPPORT, "channels are for tasks of the transport's loop");
        if (amqp->channels_n == CHANNELS_MAX)
                return cel_fail(ctx, CEL_EFULL, "a connection has at most %d channels", CHANNELS_MAX);
        cel__amqp_channel *channel = calloc(1, sizeof(*channel));
        if (channel && options->confirms) {
                channel->confirms = calloc(CONFIRMS_MAX, sizeof(*channel->confirms));
                if (!channel->confirms) {
                        free(channel);
                        channel = NULL;
                }
        }
        if (!channel)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        channel->amqp = amqp;
        channel->options = *options;
        channel->number = (uint16_t)(amqp->channels_n + 1);
        channel->tag_next = channel->tag_oldest = 1;
        cel__list_init(&channel->chores);
        amqp->channels[++amqp->channels_n] = channel;
        conn_attention(amqp);
        *ret_channel = channel;
        return 0;
}

void cel__amqp_channel_close(cel__amqp_channel *channel)
{
        channel->closing = true;
        channel->options.on_delivery = NULL;
        conn_attention(channel->amqp);
}

void channel_free(cel__amqp_channel *channel)
{
        cel_assert(cel__list_empty(&channel->chores));
        tell_quiet(channel);
        consume_forget(channel);
        free(channel->confirms);
        free(channel);
}

int cel__amqp_declare(cel_ctx *ctx, cel__amqp_channel *channel, const cel_queue *queue)
{
        chore *c = chore_new(queue);

        if (c)
                c->kind = CHORE_DECLARE;
        return chore_await(ctx, channel, c);
}

int cel__amqp_consume(cel_ctx *ctx, cel__amqp_channel *channel, const char *queue)
{
        chore *c = chore_new(&(cel_queue){.name = queue});

        if (c)
                c->kind = CHORE_CONSUME;
        return chore_await(ctx, channel, c);
}

int cel__amqp_cancel_consumers(cel_ctx *ctx, cel__amqp_channel *channel)
{
        cel__amqp *amqp = channel->amqp;

        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->kind == CHORE_CONSUME)
                        c->wanted = false;
        }
        if (!channel->open) { /* nobody consumes, and nobody will */
                channel_end_unwanted(channel);
                return 0;
        }
        if (!channel->quiet && cel_future_new(&channel->quiet) < 0)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel_future *quiet = cel_future_ref(channel->quiet);
        cel__amqp_ref(amqp);
        conn_attention(amqp);
        int r = cel_await(ctx, quiet, NULL);
        cel_future_unref(quiet);
        cel__amqp_unref(amqp);
        return r;
}
