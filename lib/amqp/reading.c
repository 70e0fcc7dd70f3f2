/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes in: frames are cut out of them and handed to whom they concern, on the hub. */
#include "amqp/connection.h"
#include "rt/runtime.h"

#include <celadon/log.h>
#include <stdio.h>

enum { READS_IN_TURN_MAX = 32 }; /* then others have their turn */

static void expectation_meet(expectation *expected, const void *method)
{
        if (expected->on_method)
                expected->on_method(expected->arg, method);
        *expected->met = true;
        cel__wait_finish(expected->wait, 0);
        *expected = (expectation){0};
}

/* connection.close from the broker: the farewell decides whether trying again makes sense. */
static int on_close(cel__amqp *amqp, const amqp_connection_close_t *close)
{
        amqp_connection_close_ok_t ok = {0};
        int code = conn_error_of_reply(close->reply_code);

        pthread_mutex_lock(&amqp->mutex);
        if (amqp->state == CONN_GREETING && close->reply_code == 403) /* authentication_failure_close */
                code = CEL_EAUTH;
        if (amqp->state == CONN_GREETING &&
            close->reply_code == 530) /* an unknown or forbidden virtual host */
                code = CEL_EACCESS;
        conn_send_locked(amqp, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
        conn_flush_locked(amqp);
        pthread_mutex_unlock(&amqp->mutex);
        conn_lost(amqp, code, "the broker closed the connection: %.*s", (int)close->reply_text.len,
                  (const char *)close->reply_text.bytes);
        return CEL_ECLOSED;
}

static void on_blocked(cel__amqp *amqp, bool blocked, amqp_bytes_t reason)
{
        pthread_mutex_lock(&amqp->mutex);
        amqp->blocked = blocked; /* it may come before the supervisor knows that the connection is open */
        if (amqp->state == (blocked ? CONN_OPEN : CONN_BLOCKED))
                conn_enter_locked(amqp, blocked ? CONN_BLOCKED : CONN_OPEN);
        pthread_mutex_unlock(&amqp->mutex);
        conn_tell_state(amqp);
        if (blocked)
                cel_warn(NULL, "TRANSPORT-BLOCKED", "%s: the broker takes no messages: %.*s", amqp->name,
                         (int)reason.len, (const char *)reason.bytes);
        else
                cel_info(NULL, "TRANSPORT-UNBLOCKED", "%s: the broker takes messages again", amqp->name);
}

static int on_connection_method(cel__amqp *amqp, amqp_method_number_t id, void *method)
{
        if (amqp->expected.wait && amqp->expected.id == id) {
                expectation_meet(&amqp->expected, method);
                return 0;
        }
        switch (id) {
        case AMQP_CONNECTION_CLOSE_METHOD:
                return on_close(amqp, method);
        case AMQP_CONNECTION_BLOCKED_METHOD:
                on_blocked(amqp, true, ((amqp_connection_blocked_t *)method)->reason);
                return 0;
        case AMQP_CONNECTION_UNBLOCKED_METHOD:
                on_blocked(amqp, false, amqp_empty_bytes);
                return 0;
        default:
                conn_lost(amqp, CEL_EPROTO, "the broker sent %s where nothing of that kind was due",
                          amqp_method_name(id));
                return CEL_EPROTO;
        }
}

static int on_method_frame(cel__amqp *amqp, const cel__frame *frame)
{
        amqp_method_number_t id;
        void *method;

        recycle_amqp_pool(&amqp->pool);
        int r = cel__method_decode(frame, &amqp->pool, &id, &method);
        if (r < 0) {
                conn_lost(amqp, r, "the broker sent a method that cannot be read");
                return r;
        }
        if (frame->channel == 0)
                return on_connection_method(amqp, id, method);

        cel__amqp_channel *channel = amqp->channels[frame->channel];
        if (channel->expected.wait && channel->expected.id == id) {
                expectation_meet(&channel->expected, method);
                return 0;
        }
        return channel_on_method(channel, id, method);
}

/* One frame. A negative result: the connection is lost, stop reading. */
static int on_frame(cel__amqp *amqp, const cel__frame *frame)
{
        if (frame->channel > amqp->channels_n) {
                conn_lost(amqp, CEL_EPROTO, "the broker sent a frame on channel %u, which is not open",
                          frame->channel);
                return CEL_EPROTO;
        }
        switch (frame->type) {
        case CEL__FRAME_METHOD:
                return on_method_frame(amqp, frame);
        case CEL__FRAME_HEADER:
        case CEL__FRAME_BODY:
                if (frame->channel != 0)
                        return consume_on_content_frame(amqp->channels[frame->channel], frame);
                conn_lost(amqp, CEL_EPROTO, "the broker sent content on channel 0");
                return CEL_EPROTO;
        default: /* a heartbeat: that it came is all it says */
                return 0;
        }
}

/* Hand out all whole frames in `in`. */
static int take_frames(cel__amqp *amqp)
{
        for (;;) {
                cel__frame frame;
                size_t consumed = 0;
                int r = cel__frame_parse(cel__buf_head(&amqp->in), cel__buf_used(&amqp->in),
                                         amqp->frame_bytes_max, &frame, &consumed);

                if (r == 0)
                        return 0;
                if (r < 0) {
                        conn_lost(amqp, r,
                                  r == CEL_EVERSION ? "the broker does not speak AMQP 0-9-1"
                                                    : "what the broker sent is not AMQP");
                        return r;
                }
                r = on_frame(amqp, &frame);
                if (r < 0 || !amqp->stream)
                        return CEL_ECLOSED;
                cel__buf_consume(&amqp->in, consumed);
        }
}

/* Read once. Returns bytes read, 0: nothing to be had now, or an error: the connection is lost. */
static ssize_t read_once(cel__amqp *amqp)
{
        char text[CEL__STREAM_ERROR_BYTES]; /* once the connection is lost */
        int error = 0, needs = 0;
        uint8_t *room = cel__buf_reserve(&amqp->in, READ_BYTES, &error);

        if (!room) {
                conn_lost(amqp, error, "no memory to read into");
                return error;
        }
        pthread_mutex_lock(&amqp->mutex);
        ssize_t n = amqp->stream->ops->try_read(amqp->stream, room, READ_BYTES, &needs);
        /* TLS may want to say something before it can listen. */
        amqp->read_needs = n == CEL_EAGAIN && needs == CEL__WRITABLE ? CEL__WRITABLE : 0;
        if (n > 0)
                amqp->read_at = cel_clock_now(cel__runtime_clock(amqp->runtime));
        else if (n != CEL_EAGAIN)
                snprintf(text, sizeof(text), "%s",
                         n == 0 ? "the broker ended the connection" : amqp->stream->error);
        pthread_mutex_unlock(&amqp->mutex);

        if (n == CEL_EAGAIN)
                return 0;
        if (n <= 0) {
                conn_lost(amqp, n == 0 ? CEL_ECLOSED : (int)n, "%s", text);
                return CEL_ECLOSED;
        }
        cel__buf_commit(&amqp->in, (size_t)n);
        return n;
}

static void pump(cel__amqp *amqp)
{
        for (int i = 0; i < READS_IN_TURN_MAX; i++) {
                ssize_t n = amqp->stream ? read_once(amqp) : CEL_ECLOSED;

                if (n < 0 || (n > 0 && take_frames(amqp) < 0))
                        return;
                if (n < READ_BYTES &&
                    !amqp->tls) /* TLS hands out a record at a time, however much has come */
                        return;
                if (n == 0)
                        return;
        }
        cel__loop_defer(amqp->loop, &amqp->pump); /* TLS may hold bytes that no poller knows of */
}

/* Read what there is, and keep the poller in step with what reading and writing need. */
void conn_read(cel__amqp *amqp)
{
        if (amqp->stream)
                pump(amqp);
        if (!amqp->stream)
                return;
        pthread_mutex_lock(&amqp->mutex);
        conn_want_locked(amqp);
        pthread_mutex_unlock(&amqp->mutex);
}

void conn_on_pump(cel__deferred *deferred)
{
        conn_read(cel__container(deferred, cel__amqp, pump));
}
