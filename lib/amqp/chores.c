/* SPDX-License-Identifier: Apache-2.0
 *
 * Chores: what is to be declared and consumed on a channel. What a caller asks for is put into the channel's list; the
 * supervisor does it, now and in every later incarnation of the channel, and the caller waits for the first outcome only.
 *
 * Design notes. The broker answers a request that it refuses by closing the channel. So what belongs together, and nothing
 * else, shares a channel: a queue's declarations and its consumer, or those of the few queues of one RPC server. A
 * consumer waits until its queue is declared: while a declaration is refused and tried again, no delivery of another
 * channel's queue is lost to it. */
#include "amqp/connection.h"
#include "base/assert.h"
#include "base/random.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        CHORES_MAX = 1024,
        RETRY_MS_MIN = 1000, /* of a chore that failed; each try costs the channel, so it gets rarer */
        RETRY_MS_MAX = 60000,
};

/* --- What is asked for ------------------------------------------------------------------------ */

/* Not inline: gcc 12 would warn of a use after free, where the count says that there is none. */
__attribute__((noinline)) static void chore_unref(chore *c)
{
        if (--c->refs > 0)
                return;
        cel_future_unref(c->outcome);
        free(c->queue);
        free(c->exchange);
        free(c->binding_key);
        cel_headers_free(c->arguments);
        free(c);
}

static chore *chore_new(chore_kind kind, const cel_queue *queue)
{
        chore *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        cel__list_init(&c->node);
        c->refs = 1;
        c->kind = kind;
        c->wanted = true;
        c->durable = queue->durable;
        c->auto_delete = queue->auto_delete;
        c->fanout = queue->fanout;
        c->expires_ms = queue->expires_ms;
        c->queue = strdup(queue->name ? queue->name : "");
        c->exchange = queue->exchange ? strdup(queue->exchange) : NULL;
        c->binding_key = strdup(queue->binding_key ? queue->binding_key : "");
        if (cel_headers_copy(queue->arguments, &c->arguments) < 0 || !c->queue || !c->binding_key ||
            (queue->exchange && !c->exchange) || cel_future_new(&c->outcome) < 0) {
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

static bool same_arguments(const cel_headers *a, const cel_headers *b)
{
        size_t a_n = 0, b_n = 0;
        const uint8_t *a_bytes = a ? cel__headers_bytes(a, &a_n) : NULL;
        const uint8_t *b_bytes = b ? cel__headers_bytes(b, &b_n) : NULL;

        return a_n == b_n && (a_n == 0 || memcmp(a_bytes, b_bytes, a_n) == 0);
}

static bool is_about(const chore *c, const cel_queue *queue)
{
        return c->durable == queue->durable && c->auto_delete == queue->auto_delete &&
               c->fanout == queue->fanout && c->expires_ms == queue->expires_ms &&
               same_text(c->queue, queue->name ? queue->name : "") &&
               same_text(c->exchange, queue->exchange) &&
               same_text(c->binding_key, queue->binding_key ? queue->binding_key : "") &&
               same_arguments(c->arguments, queue->arguments);
}

static chore *find_same(cel__amqp_channel *channel, chore_kind kind, const cel_queue *queue)
{
        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->wanted && c->kind == kind && is_about(c, queue))
                        return c;
        }
        return NULL;
}

/* Ask for it once more, at once: somebody may have deleted the queue. */
static int ask_again(chore *c)
{
        cel_future *outcome;

        if (!cel_future_done(c->outcome)) /* it is under way */
                return 0;
        if (cel_future_new(&outcome) < 0)
                return CEL_ENOMEM;
        cel_future_unref(c->outcome);
        c->outcome = outcome;
        c->done_in = 0;
        c->retry_ms = 0;
        c->retry_at = (cel_time){0};
        return 0;
}

/* Put it on the channel's list, or find what was asked for before.
 * Owns: *ret_chore is a reference of yours. */
static int chore_submit(cel_ctx *ctx, cel__amqp_channel *channel, chore_kind kind, const cel_queue *queue,
                        chore **ret_chore)
{
        chore *c = find_same(channel, kind, queue);

        if (c) {
                if (ask_again(c) < 0)
                        return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        } else {
                if (channel->chores_n == CHORES_MAX)
                        return cel_fail(ctx, CEL_EFULL, "a channel has at most %d declarations and consumers",
                                        CHORES_MAX);
                c = chore_new(kind, queue);
                if (!c)
                        return cel_fail(ctx, CEL_ENOMEM, "out of memory");
                channel->chores_n++;
                cel__list_append(&channel->chores, &c->node);
        }
        c->refs++;
        *ret_chore = c;
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
                return r < 0 ? cel_fail(ctx, r, "%s \"%s\": %s", *c->queue ? "queue" : "exchange",
                                        *c->queue ? c->queue : c->exchange, c->error_text)
                             : 0;
        /* This caller has left; what it asked for stays wanted, as if it had stayed. */
        return r == CEL_ETIMEDOUT ? conn_timed_out(ctx, amqp) : r;
}

/* Have it done and wait for the outcome. */
static int chore_await(cel_ctx *ctx, cel__amqp_channel *channel, chore_kind kind, const cel_queue *queue)
{
        cel__amqp *amqp = channel->amqp;
        chore *c = NULL;

        if (ctx->loop != amqp->loop)
                return cel_fail(ctx, CEL_ENOSUPPORT,
                                "declaring and consuming is for tasks of the transport's loop");
        if (amqp->state == CONN_GONE || channel->closing)
                return cel_fail(ctx, CEL_ECLOSED, "%s \"%s\": the transport is closed",
                                queue->name ? "queue" : "exchange",
                                queue->name ? queue->name : queue->exchange);
        int r = chore_submit(ctx, channel, kind, queue, &c);
        if (r < 0)
                return r;
        cel__amqp_ref(amqp);
        channel_attention(channel);
        r = await_outcome(ctx, amqp, c);
        chore_unref(c);
        cel__amqp_unref(amqp);
        return r;
}

/* --- What the supervisor does ----------------------------------------------------------------- */

/* It cannot be done, for the reason in `text`. The first time, that is its outcome; later it is tried again and
 * again, since what was there once may come back. */
static void chore_failed(cel_ctx *ctx, cel__amqp_channel *channel, chore *c, int code, const char *text)
{
        bool news = strcmp(c->error_text, text) != 0;

        snprintf(c->error_text, sizeof(c->error_text), "%s", text);
        c->spared = false;
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

/* Queue or exchange exist and are not durable. Who may do without declares them so (oslo-wire section 15.6). */
static bool falls_back(cel__amqp_channel *channel, chore *c)
{
        if (!channel->options.durable_optional || !c->durable || !same_arguments(c->arguments, NULL) ||
            channel->close_code != CEL_ECONFLICT ||
            !strstr(channel->close_text, "inequivalent arg 'durable'"))
                return false;
        c->durable = false;
        cel_warn(NULL, "TRANSPORT-NOT-DURABLE",
                 "%s: queue \"%s\" or its exchange exists and is not durable: a restart of the broker loses "
                 "what is "
                 "queued",
                 channel->amqp->name, c->queue);
        return true;
}

/* The broker has closed the channel while it did `c`: is that the end of this try? If not, it is done once more. */
static bool is_to_blame(cel__amqp_channel *channel, chore *c)
{
        if (channel->close_method != 0 && channel->close_method != channel->asked)
                return false; /* an acknowledgement, say, was at fault */
        if (!c->spared && (channel->close_method == 0 || channel->close_code == CEL_ENOTFOUND)) {
                c->spared =
                        true; /* it may be no fault of ours; or the queue was deleted after it was declared */
                return false;
        }
        return !falls_back(channel, c);
}

static int undo_chore(cel_ctx *ctx, cel__amqp_channel *channel, chore *c)
{
        bool consumes = c->kind == CHORE_CONSUME && c->done_in == channel->incarnation;
        int r = consumes ? requests_stop_consuming(ctx, channel, c) : 0;

        if (r >= 0)
                chore_end(channel, c, 0);
        return r;
}

static int do_chore(cel_ctx *ctx, cel__amqp_channel *channel, chore *c)
{
        /* Said before it is asked for: the broker may take a consumer back before this task runs again. */
        c->done_in = channel->incarnation;
        int r = c->kind == CHORE_DECLARE ? requests_declare(ctx, channel, c)
                                         : requests_consume(ctx, channel, c);

        if (r >= 0) {
                c->error_text[0] = '\0';
                c->retry_ms = 0;
                c->spared = false;
                if (c->wanted)
                        cel_future_complete(c->outcome, 0, NULL);
                return r;
        }
        c->done_in = 0;
        if (r == CEL_EINVAL) { /* nothing was sent: the channel is as it was */
                chore_failed(ctx, channel, c, r,
                             "a name is longer than AMQP's 255 bytes, or its arguments are too many");
                return 0;
        }
        if (channel->close_code < 0 && is_to_blame(channel, c))
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

static bool is_done(const cel__amqp_channel *channel, const chore *c)
{
        return c->wanted && c->done_in == channel->incarnation;
}

static bool is_declared(const cel__amqp_channel *channel, const char *queue)
{
        cel__list_for_each (node, &channel->chores) {
                const chore *c = cel__container(node, chore, node);

                if (c->kind == CHORE_DECLARE && strcmp(c->queue, queue) == 0 && !is_done(channel, c))
                        return false;
        }
        return true;
}

/* The first chore that is to be done now; NULL: none. */
static chore *next_chore(cel_ctx *ctx, cel__amqp_channel *channel, bool *ret_retry)
{
        cel_time now = cel_ctx_now(ctx);

        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (is_done(channel, c))
                        continue;
                if (!c->wanted)
                        return c;
                if (c->retry_at.ns > now.ns)
                        *ret_retry = true;
                else if (c->kind == CHORE_DECLARE || is_declared(channel, c->queue))
                        return c;
        }
        return NULL;
}

int channel_do_chore(cel_ctx *ctx, cel__amqp_channel *channel, bool *ret_retry)
{
        bool retry = false;
        chore *c = next_chore(ctx, channel, &retry);

        if (c)
                return work_on(ctx, channel, c);
        tell_quiet(channel);
        *ret_retry |= retry;
        return retry ? CHANNEL_IS_WAITING : CHANNEL_IS_SETTLED;
}

void channel_fail_chores(cel_ctx *ctx, cel__amqp_channel *channel, int code, const char *text)
{
        cel_time now = cel_ctx_now(ctx);

        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->retry_at.ns <= now.ns)
                        chore_failed(ctx, channel, c, code, text);
        }
}

const char *channel_consumer_ended(cel__amqp_channel *channel, amqp_bytes_t tag)
{
        const char *queue = NULL;

        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->wanted && c->kind == CHORE_CONSUME && strlen(c->tag) == tag.len &&
                    memcmp(c->tag, tag.bytes, tag.len) == 0) {
                        queue = c->queue;
                        c->done_in = 0;
                }
        }
        if (queue)
                channel_forget_place(channel);
        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (queue && c->kind == CHORE_DECLARE && strcmp(c->queue, queue) == 0)
                        c->done_in = 0;
        }
        return queue;
}

/* --- What callers ask for --------------------------------------------------------------------- */

int cel__amqp_declare(cel_ctx *ctx, cel__amqp_channel *channel, const cel_queue *queue)
{
        return chore_await(ctx, channel, CHORE_DECLARE, queue);
}

void cel__amqp_forget(cel__amqp_channel *channel, const cel_queue *queue)
{
        chore *c = find_same(channel, CHORE_DECLARE, queue);

        if (!c)
                return;
        snprintf(c->error_text, sizeof(c->error_text), "it is not to be declared any more");
        chore_end(channel, c, CEL_ECLOSED);
}

int cel__amqp_consume(cel_ctx *ctx, cel__amqp_channel *channel, const char *queue,
                      const cel_headers *arguments)
{
        return chore_await(ctx, channel, CHORE_CONSUME, &(cel_queue){.name = queue, .arguments = arguments});
}

int cel__amqp_cancel_consumers(cel_ctx *ctx, cel__amqp_channel *channel)
{
        cel__amqp *amqp = channel->amqp;

        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (c->kind == CHORE_CONSUME)
                        c->wanted = false;
        }
        channel_attention(channel);
        if (!channel->open) { /* nobody consumes, and nobody will */
                channel_end_unwanted(channel);
                return 0;
        }
        if (!channel->quiet && cel_future_new(&channel->quiet) < 0)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel_future *quiet = cel_future_ref(channel->quiet);
        cel__amqp_ref(amqp);
        int r = cel_await(ctx, quiet, NULL);
        cel_future_unref(quiet);
        cel__amqp_unref(amqp);
        return r;
}

void cel__amqp_delete_queue(cel__amqp_channel *channel, const char *queue)
{
        amqp_queue_delete_t method = {.queue = amqp_cstring_bytes(queue), .nowait = true};
        bool ours = false;

        cel__list_for_each (node, &channel->chores) {
                chore *c = cel__container(node, chore, node);

                if (strcmp(c->queue, queue) == 0) {
                        c->wanted = false; /* nobody declares or consumes it again */
                        ours = true;
                }
        }
        channel->settled = false;
        pthread_mutex_lock(&channel->amqp->mutex);
        if (ours && channel->open &&
            conn_send_locked(channel->amqp, channel->number, AMQP_QUEUE_DELETE_METHOD, &method) >= 0)
                conn_flush_later_locked(channel->amqp);
        pthread_mutex_unlock(&channel->amqp->mutex);
}
