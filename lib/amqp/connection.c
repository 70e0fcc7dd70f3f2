/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Bytes come in on the loop's hub: frames are cut out of them and handed to whom they concern,
 * which never waits. Bytes go out under the mutex, whole frames only, from whichever thread has something to
 * say; a turn's frames are gathered and written once. Tasks only ever wait for outcomes. */
#include "amqp/connection.h"
#include "base/assert.h"
#include "rt/runtime.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_BYTES_KEEP = 256 * 1024 };

static const char *const state_name[CONN_STATES] = {
        [CONN_DOWN] = "down", [CONN_CONNECTING] = "connecting", [CONN_GREETING] = "greeting",
        [CONN_OPEN] = "open", [CONN_BLOCKED] = "blocked",       [CONN_CLOSING] = "closing",
        [CONN_GONE] = "gone",
};

static const bool may_enter[CONN_STATES][CONN_STATES] = {
        [CONN_DOWN] = {[CONN_CONNECTING] = true, [CONN_GONE] = true},
        [CONN_CONNECTING] = {[CONN_GREETING] = true, [CONN_DOWN] = true},
        [CONN_GREETING] = {[CONN_OPEN] = true, [CONN_DOWN] = true},
        [CONN_OPEN] = {[CONN_BLOCKED] = true, [CONN_CLOSING] = true, [CONN_DOWN] = true},
        [CONN_BLOCKED] = {[CONN_OPEN] = true, [CONN_CLOSING] = true, [CONN_DOWN] = true},
        [CONN_CLOSING] = {[CONN_DOWN] = true},
};

void conn_enter_locked(cel__amqp *amqp, conn_state next)
{
        if (!may_enter[amqp->state][next])
                cel__misuse("AMQP connection %s cannot go from %s to %s", amqp->name, state_name[amqp->state],
                            state_name[next]);
        amqp->state = next;
        conn_wake_publishers_locked(amqp);
}

void conn_tell_state(cel__amqp *amqp)
{
        conn_state state = amqp->state; /* changes on this loop only */

        if (state != amqp->told_state)
                cel_debug(NULL, "AMQP-STATE", "%s: %s -> %s", amqp->name, state_name[amqp->told_state],
                          state_name[state]);
        amqp->told_state = state;
}

bool conn_is_open(conn_state state)
{
        return state == CONN_OPEN || state == CONN_BLOCKED;
}

void conn_wake_publishers_locked(cel__amqp *amqp)
{
        for (cel__list *node; (node = cel__list_pop(&amqp->publishers));)
                cel__wait_finish(cel__container(node, cel__waiter, node)->wait, 0);
}

void conn_attention(cel__amqp *amqp)
{
        char token = 0;

        cel_channel_try_send(amqp->attention, &token); /* full: it will look anyway */
}

int conn_error_of_reply(unsigned reply_code)
{
        switch (reply_code) {
        case 311: /* CONTENT_TOO_LARGE */
                return CEL_ETOOBIG;
        case 312: /* NO_ROUTE */
                return CEL_EUNROUTABLE;
        case 403: /* ACCESS_REFUSED */
                return CEL_EACCESS;
        case 404: /* NOT_FOUND */
                return CEL_ENOTFOUND;
        case 405: /* RESOURCE_LOCKED */
                return CEL_EBUSY;
        case 406: /* PRECONDITION_FAILED */
                return CEL_ECONFLICT;
        case 540: /* NOT_IMPLEMENTED */
                return CEL_ENOSUPPORT;
        default:
                return CEL_ECLOSED;
        }
}

/* --- Bytes out -------------------------------------------------------------------------------- */

void conn_want_locked(cel__amqp *amqp)
{
        if (amqp->poller)
                cel__poller_want(amqp->poller, CEL__READABLE | amqp->read_needs | amqp->write_needs);
}

/* Append the acknowledgements of all channels. */
static int put_acks_locked(cel__amqp *amqp)
{
        while (!cel__list_empty(&amqp->acking)) {
                int r = consume_put_acks_locked(cel__container(amqp->acking.next, cel__amqp_channel, acking));

                if (r < 0)
                        return r;
        }
        return 0;
}

int conn_flush_locked(cel__amqp *amqp)
{
        if (!amqp->stream)
                return 0;
        int r = put_acks_locked(amqp);
        if (r < 0)
                return r;
        while (cel__buf_used(&amqp->out) > 0) {
                int needs = 0;
                ssize_t n = amqp->stream->ops->try_write(amqp->stream, cel__buf_head(&amqp->out),
                                                         cel__buf_used(&amqp->out), &needs);

                if (n == CEL_EAGAIN) {
                        amqp->write_needs = needs;
                        return 0;
                }
                if (n < 0)
                        return (int)n;
                cel__buf_consume(&amqp->out, (size_t)n);
                amqp->written_at = cel_clock_now(cel__runtime_clock(amqp->runtime));
        }
        amqp->write_needs = 0;
        cel__buf_clear(&amqp->out, OUT_BYTES_KEEP);
        if (!cel__list_empty(&amqp->publishers))
                conn_wake_publishers_locked(amqp);
        return 0;
}

/* On the loop: write, and have the poller tell when more can be written. */
static void flush_here(cel__amqp *amqp)
{
        char text[CEL__STREAM_ERROR_BYTES] = "no memory for an acknowledgement";

        pthread_mutex_lock(&amqp->mutex);
        int r = amqp->stream && amqp->unsettled ? CEL_ENOMEM : conn_flush_locked(amqp);
        if (r < 0 && r != CEL_ENOMEM)
                snprintf(text, sizeof(text), "%s", amqp->stream->error);
        else
                conn_want_locked(amqp);
        pthread_mutex_unlock(&amqp->mutex);
        if (r < 0)
                conn_lost(amqp, r, "%s", text);
}

static void on_flush(cel__deferred *deferred)
{
        flush_here(cel__container(deferred, cel__amqp, flush));
}

void conn_flush_later_locked(cel__amqp *amqp)
{
        if (cel__loop_is_here(amqp->loop)) {
                cel__loop_defer(amqp->loop, &amqp->flush);
        } else if (!atomic_exchange(&amqp->rouse_sent, true)) {
                cel__amqp_ref(amqp);
                cel__loop_send(amqp->loop, &amqp->rouse);
        }
}

static void deliver_rouse(cel__mail *mail)
{
        cel__amqp *amqp = cel__container(mail, cel__amqp, rouse);

        atomic_store(&amqp->rouse_sent, false);
        flush_here(amqp);
        heartbeat_check(amqp);
        cel__amqp_unref(amqp);
}

int conn_send_locked(cel__amqp *amqp, uint16_t channel, amqp_method_number_t id, const void *method)
{
        /* Lost while this task was about to answer: what is put into `out` now would be the next broker's. Nothing overtakes
         * acknowledgements: a channel may be closed by this. */
        int r = amqp->stream ? put_acks_locked(amqp) : CEL_ECLOSED;

        if (r >= 0)
                r = cel__frame_put_method(&amqp->out, channel, id, method);
        if (r >= 0)
                conn_flush_later_locked(amqp);
        return r;
}

/* --- The stream ------------------------------------------------------------------------------- */

static void on_ready(void *arg, int events)
{
        cel__amqp *amqp = arg;

        /* TLS may have to read before it can write, and to write before it can read: both are tried. */
        if ((events & CEL__WRITABLE) || amqp->tls)
                flush_here(amqp);
        conn_read(amqp);
}

void conn_init_io(cel__amqp *amqp)
{
        cel__buf_init(&amqp->in, FRAME_BYTES_MAX + READ_BYTES);
        cel__buf_init(&amqp->out, OUT_BYTES_MAX);
        init_amqp_pool(&amqp->pool, 16 * 1024);
        cel__list_init(&amqp->flush.node);
        cel__list_init(&amqp->pump.node);
        amqp->flush.run = on_flush;
        amqp->pump.run = conn_on_pump;
        amqp->rouse.deliver = deliver_rouse;
}

void conn_fini_io(cel__amqp *amqp)
{
        cel__list_remove(&amqp->flush.node);
        cel__list_remove(&amqp->pump.node);
        cel__buf_fini(&amqp->in);
        cel__buf_fini(&amqp->out);
        empty_amqp_pool(&amqp->pool);
}

int conn_attach(cel__amqp *amqp, cel__stream *stream)
{
        int r = cel__poller_new(amqp->loop, stream->fd, on_ready, amqp, &amqp->poller);

        if (r < 0)
                return r;
        cel_assert(cel__buf_used(&amqp->out) == 0);
        pthread_mutex_lock(&amqp->mutex);
        amqp->stream = stream;
        amqp->read_needs = amqp->write_needs = 0;
        amqp->silent = amqp->wedge_told = amqp->blocked = amqp->unsettled = false;
        amqp->heartbeat_s = 0;
        amqp->read_at = amqp->written_at = cel_clock_now(cel__runtime_clock(amqp->runtime));
        amqp->frame_bytes_max = CEL__FRAME_BYTES_MIN;
        conn_want_locked(amqp);
        pthread_mutex_unlock(&amqp->mutex);
        return 0;
}

/* --- Requests --------------------------------------------------------------------------------- */

int conn_request(cel_ctx *ctx, cel__amqp *amqp, expectation *expected, uint16_t channel,
                 amqp_method_number_t id, const void *method, amqp_method_number_t wanted)
{
        cel__wait wait;
        bool met = false;
        int r = 0;

        if (!amqp->stream)
                return CEL_ECLOSED;
        cel_assert(!expected->wait);
        cel__wait_begin(&wait, ctx, amqp_method_name(wanted));
        expected->wait = &wait;
        expected->met = &met;
        expected->id = wanted;
        if (id) {
                pthread_mutex_lock(&amqp->mutex);
                r = conn_send_locked(amqp, channel, id, method);
                pthread_mutex_unlock(&amqp->mutex);
        }
        if (r >= 0)
                r = cel__wait_block(&wait);
        if (expected->wait == &wait)
                *expected = (expectation){0};
        return r == CEL_ETIMEDOUT && met ? 0 : r; /* the answer came before this task ran again */
}

static void fail_expectation(expectation *expected)
{
        if (expected->wait)
                cel__wait_finish(expected->wait, CEL_ECLOSED);
        *expected = (expectation){0};
}

/* --- Loss -------------------------------------------------------------------------------------- */

void conn_lost(cel__amqp *amqp, int code, const char *format, ...)
{
        char text[ERROR_TEXT_BYTES];
        va_list args;

        if (!amqp->stream)
                return;
        va_start(args, format);
        int head = snprintf(text, sizeof(text), "%s: ", amqp->peer);
        vsnprintf(text + head, sizeof(text) - (size_t)head, format, args);
        va_end(args);
        heartbeat_stop(amqp);

        pthread_mutex_lock(&amqp->mutex);
        conn_note_failure_locked(amqp, code, text);
        amqp->poller = cel__poller_free(amqp->poller);
        amqp->stream = cel__stream_free(amqp->stream);
        cel__buf_clear(&amqp->out, 0);
        for (unsigned i = 1; i <= amqp->channels_n; i++)
                channel_down_locked(amqp->channels[i], text);
        if (amqp->state != CONN_DOWN)
                conn_enter_locked(amqp, CONN_DOWN);
        pthread_mutex_unlock(&amqp->mutex);
        conn_tell_state(amqp);

        cel__buf_clear(&amqp->in, 0);
        fail_expectation(&amqp->expected);
        for (unsigned i = 1; i <= amqp->channels_n; i++) {
                fail_expectation(&amqp->channels[i]->expected);
                consume_forget(amqp->channels[i]);
                channel_end_unwanted(amqp->channels[i]);
                channel_retire_closing(amqp->channels[i]);
        }
        conn_attention(amqp);
}

void conn_note_failure_locked(cel__amqp *amqp, int code, const char *text)
{
        amqp->failure = code;
        snprintf(amqp->failure_text, sizeof(amqp->failure_text), "%s", text);
}

int conn_timed_out(cel_ctx *ctx, cel__amqp *amqp)
{
        char text[ERROR_TEXT_BYTES];

        pthread_mutex_lock(&amqp->mutex);
        bool failing = amqp->failure < 0;
        snprintf(text, sizeof(text), "%s", amqp->failure_text);
        pthread_mutex_unlock(&amqp->mutex);
        return failing ? cel_fail(ctx, CEL_ETIMEDOUT, "not connected in time: %s", text) : CEL_ETIMEDOUT;
}
