/* SPDX-License-Identifier: Apache-2.0
 *
 * The task that keeps a connection up. First connecting and reconnecting are one path, and so are first
 * declaring and restoring: the supervisor looks at what is wanted and at what is, and does the difference. */
#include "amqp/connection.h"
#include "base/assert.h"
#include "base/random.h"

#include <celadon/log.h>
#include <stdio.h>
#include <string.h>

enum {
        CONNECT_MS = 5000,
        HANDSHAKE_MS = 10000,
        GOODBYE_MS = 1500,
        RETRY_MS_MIN = 500,
        RETRY_MS_MAX = 1500,
        STEADY_MS = 5000, /* up for so long: the next loss starts with a short wait again */
};

static const cel__url_host no_host = {.name = "localhost"};

static const cel__url_host *next_host(cel__amqp *amqp)
{
        if (amqp->url->hosts_n == 0)
                return &no_host;
        return &amqp->url->hosts[retry_host(&amqp->retry)];
}

static void enter(cel__amqp *amqp, conn_state next)
{
        pthread_mutex_lock(&amqp->mutex);
        conn_enter_locked(amqp, next);
        pthread_mutex_unlock(&amqp->mutex);
        conn_tell_state(amqp);
}

static uint16_t port_of(const cel__url_host *host)
{
        return host->port ? host->port : 5672; /* oslo.messaging's default, with TLS too */
}

static const char *host_name(const cel__url_host *host)
{
        return *host->name ? host->name : "localhost";
}

/* TCP and, if wanted, the TLS layer; its handshake comes with the first bytes. */
static int connect_stream(cel_ctx *ctx, cel__amqp *amqp, const cel__url_host *host, cel__stream **ret_stream)
{
        const char *name = host_name(host);
        cel__stream *tcp, *tls;
        CEL_WITHIN_MS(ctx, CONNECT_MS);

        int r = cel__tcp_connect(ctx, name, port_of(host), &tcp);
        if (r < 0 || !amqp->tls) {
                if (r >= 0)
                        *ret_stream = tcp;
                return r;
        }
        r = cel__tls_stream_new(amqp->tls, name, tcp, &tls);
        if (r < 0) {
                cel__stream_free(tcp);
                return cel_fail(ctx, r, "no memory for TLS");
        }
        *ret_stream = tls;
        return 0;
}

static int greet(cel_ctx *ctx, cel__amqp *amqp, const cel__url_host *host)
{
        CEL_WITHIN_MS(ctx, HANDSHAKE_MS);
        int r = conn_handshake(ctx, amqp, host);

        if (r == CEL_ETIMEDOUT)
                return cel_fail(ctx, r, "the broker accepted the connection but did not greet in time");
        return r;
}

/* Open, or blocked right away: a broker short of memory says so behind its greeting. */
static void open_up(cel__amqp *amqp)
{
        pthread_mutex_lock(&amqp->mutex);
        conn_note_failure_locked(amqp, 0, "");
        if (amqp->was_open)
                amqp->up_again_at = cel_clock_now(cel__runtime_clock(amqp->runtime));
        amqp->was_open = true;
        conn_enter_locked(amqp, CONN_OPEN);
        if (amqp->blocked)
                conn_enter_locked(amqp, CONN_BLOCKED);
        pthread_mutex_unlock(&amqp->mutex);
        conn_tell_state(amqp);
}

/* Whoever waits for a few attempts only looks again. */
static void count_failed_attempt(cel__amqp *amqp)
{
        pthread_mutex_lock(&amqp->mutex);
        amqp->attempts_failed++;
        conn_wake_publishers_locked(amqp);
        pthread_mutex_unlock(&amqp->mutex);
}

static int connect_once(cel_ctx *ctx, cel__amqp *amqp, const cel__url_host *host)
{
        cel__stream *stream = NULL;

        snprintf(amqp->peer, sizeof(amqp->peer), "%.255s port %u", host_name(host), port_of(host));
        enter(amqp, CONN_CONNECTING);
        int r = connect_stream(ctx, amqp, host, &stream);
        if (r >= 0) {
                r = conn_attach(amqp, stream);
                if (r < 0)
                        cel__stream_free(stream);
        }
        if (r < 0) {
                pthread_mutex_lock(&amqp->mutex);
                conn_note_failure_locked(amqp, r, cel_ctx_error_text(ctx, r));
                conn_enter_locked(amqp, CONN_DOWN);
                pthread_mutex_unlock(&amqp->mutex);
                conn_tell_state(amqp);
                return r;
        }
        enter(amqp, CONN_GREETING);
        r = greet(ctx, amqp, host);
        if (r < 0) /* unless it was lost meanwhile, for a reason that is known better */
                conn_lost(amqp, r, "%s", cel_ctx_error_text(ctx, r));
        else
                open_up(amqp);
        return r;
}

/* Wait until there is something to do, for at most `ms`. */
static int await_attention(cel_ctx *ctx, cel__amqp *amqp, int64_t ms)
{
        char token;
        CEL_WITHIN_MS(ctx, ms);

        return cel_channel_receive(ctx, amqp->attention, &token);
}

/* Serve the open connection until it is lost or not wanted any more. */
static int keep_up(cel_ctx *ctx, cel__amqp *amqp)
{
        for (;;) {
                bool retry = false;
                int r = channels_reconcile(ctx, amqp, &retry);

                if (r < 0)
                        return r;
                r = await_attention(ctx, amqp,
                                    retry ? RETRY_MS_MIN +
                                                    (int64_t)cel__random_below(RETRY_MS_MAX - RETRY_MS_MIN)
                                          : INT64_MAX);
                if (r < 0 && r != CEL_ETIMEDOUT)
                        return r;
                if (amqp->closing || !amqp->stream)
                        return CEL_ECLOSED;
        }
}

/* Why it is to be tried again; it was up since `up_since`, if it was. */
static retry_reason reason_of(cel_ctx *ctx, const cel__amqp *amqp, bool was_up, cel_time up_since)
{
        if (was_up)
                return cel_ctx_now(ctx).ns - up_since.ns > STEADY_MS * CEL_NS_PER_MS ? RETRY_LOST_LATE
                                                                                     : RETRY_LOST;
        return amqp->failure == CEL_ECONNECT || amqp->failure == CEL_ECLOSED || amqp->failure == CEL_EIO
                       ? RETRY_UNREACHED
                       : RETRY_REFUSED;
}

/* Wait before trying again, unless it is not wanted any more. */
static int back_off(cel_ctx *ctx, cel__amqp *amqp, int64_t wait_ms)
{
        cel_time until = cel_time_add_ms(cel_ctx_now(ctx), wait_ms);

        for (;;) {
                int64_t left_ms = (until.ns - cel_ctx_now(ctx).ns) / CEL_NS_PER_MS + 1;
                int r = await_attention(ctx, amqp, left_ms);

                if (r == CEL_ETIMEDOUT || amqp->closing)
                        return 0;
                if (r < 0)
                        return r;
                if (cel_ctx_now(ctx).ns >= until.ns)
                        return 0;
        }
}

/* One line when it goes down, one when it comes back, and one when the reason changes. */
static void tell_down(cel__amqp *amqp, char told[ERROR_TEXT_BYTES])
{
        if (strcmp(told, amqp->failure_text) == 0)
                return;
        snprintf(told, ERROR_TEXT_BYTES, "%s", amqp->failure_text);
        cel_warn(NULL, "TRANSPORT-DOWN", "%s: %s; trying again", amqp->name, told);
}

static void tell_up(cel__amqp *amqp, char told[ERROR_TEXT_BYTES])
{
        told[0] = '\0';
        cel_info(NULL, "TRANSPORT-UP", "%s: connected to %s", amqp->name, amqp->peer);
}

static void say_goodbye(cel_ctx *ctx, cel__amqp *amqp)
{
        amqp_connection_close_t close = {.reply_code = 200, .reply_text = amqp_cstring_bytes("")};
        CEL_WITHIN_MS(ctx, GOODBYE_MS);

        enter(amqp, CONN_CLOSING);
        conn_request(ctx, amqp, &amqp->expected, 0, AMQP_CONNECTION_CLOSE_METHOD, &close,
                     AMQP_CONNECTION_CLOSE_OK_METHOD);
}

static void end_for_good(cel__amqp *amqp)
{
        pthread_mutex_lock(&amqp->mutex);
        conn_flush_locked(amqp); /* acknowledgements, mostly; as far as the socket takes them */
        pthread_mutex_unlock(&amqp->mutex);
        conn_lost(amqp, CEL_ECLOSED, "the transport is closed");
        enter(amqp, CONN_GONE);
        for (unsigned i = 1; i <= amqp->channels_n; i++)
                channel_abandon_chores(amqp->channels[i]);
}

int conn_supervise(cel_ctx *ctx, void *arg)
{
        cel__amqp *amqp = arg;
        char told[ERROR_TEXT_BYTES] = "";
        int r = 0;

        while (!amqp->closing && r != CEL_ECANCELED) {
                r = connect_once(ctx, amqp, next_host(amqp));
                bool was_up = r >= 0;
                cel_time up_since = cel_ctx_now(ctx);

                if (!was_up) {
                        count_failed_attempt(amqp);
                } else {
                        tell_up(amqp, told);
                        r = keep_up(ctx, amqp);
                        if (r < 0 && r != CEL_ECANCELED && !amqp->closing) /* unless it is lost already */
                                conn_lost(amqp, r, "%s", cel_error_text(r));
                }
                if (amqp->closing || r == CEL_ECANCELED)
                        break;
                int64_t wait_ms = retry_wait_ms(&amqp->retry, reason_of(ctx, amqp, was_up, up_since));
                if (retry_all_tried(&amqp->retry))
                        tell_down(amqp, told);
                if (wait_ms > 0)
                        r = back_off(ctx, amqp, wait_ms);
        }
        if (amqp->stream && r != CEL_ECANCELED)
                say_goodbye(ctx, amqp);
        end_for_good(amqp);
        cel__amqp_unref(amqp);
        return 0;
}
