/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a connection, for those who use it. */
#include "amqp/connection.h"
#include "base/assert.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <stdio.h>
#include <stdlib.h>

static int conn_new(cel_ctx *ctx, const cel__amqp_options *options, cel__amqp **ret_amqp)
{
        cel__amqp *amqp = calloc(1, sizeof(*amqp));

        if (!amqp)
                return CEL_ENOMEM;
        if (cel_channel_new(1, 1, &amqp->attention) < 0) {
                free(amqp);
                return CEL_ENOMEM;
        }
        amqp->runtime = cel_ctx_runtime(ctx);
        amqp->loop = ctx->loop;
        atomic_init(&amqp->refs, 1);
        amqp->url = options->url;
        snprintf(amqp->name, sizeof(amqp->name), "%s", options->name);
        amqp->login = options->login;
        amqp->heartbeat_s_wanted = options->heartbeat_s;
        amqp->body_bytes_max = options->body_bytes_max;
        retry_init(&amqp->retry, &options->retry, amqp->url->hosts_n);
        cel__list_init(&amqp->publishers);
        cel__list_init(&amqp->acking);
        conn_init_io(amqp);
        pthread_mutex_init(&amqp->mutex, NULL);
        *ret_amqp = amqp;
        return 0;
}

static void conn_free(cel__amqp *amqp)
{
        cel_assert(!amqp->stream && cel__list_empty(&amqp->publishers));
        for (unsigned i = 1; i <= amqp->channels_n; i++)
                channel_free(amqp->channels[i]);
        conn_fini_io(amqp);
        cel_task_unref(amqp->supervisor);
        cel_channel_unref(amqp->attention);
        cel_tls_unref(amqp->tls);
        cel__url_free(amqp->url);
        pthread_mutex_destroy(&amqp->mutex);
        free(amqp);
}

cel__amqp *cel__amqp_ref(cel__amqp *amqp)
{
        atomic_fetch_add(&amqp->refs, 1);
        return amqp;
}

static void deliver_last_unref(cel__mail *mail)
{
        conn_free(cel__container(mail, cel__amqp, rouse));
}

cel__amqp *cel__amqp_unref(cel__amqp *amqp)
{
        if (!amqp || atomic_fetch_sub(&amqp->refs, 1) > 1)
                return NULL;
        if (cel__loop_is_here(amqp->loop)) {
                conn_free(amqp);
        } else { /* what it holds is the loop's; the letter is free, for it would hold a reference */
                amqp->rouse.deliver = deliver_last_unref;
                cel__loop_send(amqp->loop, &amqp->rouse);
        }
        return NULL;
}

int cel__amqp_open(cel_ctx *ctx, const cel__amqp_options *options, cel__amqp **ret_amqp)
{
        char error[CEL__STREAM_ERROR_BYTES] = "out of memory";
        cel__amqp *amqp;
        int r = conn_new(ctx, options, &amqp);

        if (r < 0) {
                cel__url_free(options->url);
                return cel_fail(ctx, r, "%s", error);
        }
        if (options->tls) {
                cel_tls_options tls = {.ca_file = options->ca_file,
                                       .cert_file = options->cert_file,
                                       .key_file = options->key_file};

                r = cel__tls_new(&tls, &amqp->tls, error, sizeof(error));
        }
        if (r >= 0) {
                cel__amqp_ref(amqp); /* the supervisor's */
                r = cel__task_spawn_on(cel__runtime_system_scope(amqp->runtime), amqp->loop, ctx, amqp->name,
                                       conn_supervise, amqp, &amqp->supervisor);
                if (r < 0)
                        atomic_fetch_sub(&amqp->refs, 1);
        }
        if (r < 0) {
                cel__amqp_unref(amqp); /* and the URL with it */
                return cel_fail(ctx, r, "%s", error);
        }
        *ret_amqp = amqp;
        return 0;
}

/* How long somebody waits for the connection. */
typedef struct patience {
        bool refusal_ends;      /* when the broker refuses who we are, even if it once did not */
        unsigned *attempts;     /* how many may fail; NULL: any number */
        unsigned failed_before; /* when the wait began */
} patience;

static bool is_refused(const cel__amqp *amqp)
{
        return amqp->failure == CEL_EAUTH || amqp->failure == CEL_EACCESS || amqp->failure == CEL_ETLS ||
               amqp->failure == CEL_EVERSION;
}

/* Has it come to an end that waiting will not change? Fills in `text`. With the mutex held. */
static int up_outcome_locked(const cel__amqp *amqp, const patience *p, char text[ERROR_TEXT_BYTES])
{
        unsigned failed = amqp->attempts_failed - p->failed_before;

        if (conn_is_open(amqp->state)) {
                if (p->attempts)
                        *p->attempts -= failed;
                return 1;
        }
        if (amqp->state == CONN_GONE) {
                snprintf(text, ERROR_TEXT_BYTES, "the transport is closed");
                return CEL_ECLOSED;
        }
        if (amqp->state == CONN_DOWN && is_refused(amqp) && (p->refusal_ends || !amqp->was_open)) {
                snprintf(text, ERROR_TEXT_BYTES, "%s", amqp->failure_text);
                return amqp->failure;
        }
        if (p->attempts && failed >= *p->attempts) {
                snprintf(text, ERROR_TEXT_BYTES, "not connected after %u attempt%s: %.400s", failed,
                         failed == 1 ? "" : "s", amqp->failure_text);
                return amqp->failure < 0 ? amqp->failure : CEL_ECONNECT;
        }
        return 0;
}

static int await_up(cel_ctx *ctx, cel__amqp *amqp, const patience *p)
{
        for (;;) {
                cel__wait wait;
                cel__waiter waiter = {.wait = &wait};
                char text[ERROR_TEXT_BYTES];

                pthread_mutex_lock(&amqp->mutex);
                int r = up_outcome_locked(amqp, p, text);
                cel__wait_begin(&wait, ctx, "connection");
                if (r == 0)
                        cel__list_append(&amqp->publishers, &waiter.node);
                pthread_mutex_unlock(&amqp->mutex);
                if (r != 0)
                        return r < 0 ? cel_fail(ctx, r, "%s", text) : 0;

                r = cel__wait_block(&wait);
                pthread_mutex_lock(&amqp->mutex);
                cel__list_remove(&waiter.node);
                pthread_mutex_unlock(&amqp->mutex);
                if (r < 0)
                        return r == CEL_ETIMEDOUT ? conn_timed_out(ctx, amqp) : r;
        }
}

int cel__amqp_ready(cel_ctx *ctx, cel__amqp *amqp)
{
        cel__amqp_ref(amqp);
        int r = await_up(ctx, amqp, &(patience){.refusal_ends = true});
        cel__amqp_unref(amqp);
        return r;
}

int cel__amqp_await_up(cel_ctx *ctx, cel__amqp *amqp, unsigned *attempts)
{
        patience p = {.attempts = attempts};

        cel__amqp_ref(amqp);
        pthread_mutex_lock(&amqp->mutex);
        p.failed_before = amqp->attempts_failed;
        pthread_mutex_unlock(&amqp->mutex);
        int r = await_up(ctx, amqp, &p);
        cel__amqp_unref(amqp);
        return r;
}

bool cel__amqp_is_settling(cel__amqp *amqp)
{
        enum { SETTLING_MS = 3000 };

        pthread_mutex_lock(&amqp->mutex);
        cel_time again_at = amqp->up_again_at;
        pthread_mutex_unlock(&amqp->mutex);
        return again_at.ns != 0 && cel_clock_now(cel__runtime_clock(amqp->runtime)).ns <
                                           cel_time_add_ms(again_at, SETTLING_MS).ns;
}

cel__amqp *cel__amqp_free(cel__amqp *amqp)
{
        if (!amqp)
                return NULL;
        amqp->closing = true;
        cel_task_cancel(amqp->supervisor);
        return cel__amqp_unref(amqp);
}

void cel__amqp_close(cel_ctx *ctx, cel__amqp *amqp)
{
        enum { GOODBYE_MS = 2000 };
        CEL_WITHIN_MS(ctx, GOODBYE_MS);

        amqp->closing = true;
        conn_attention(amqp);
        cel_task_await(ctx, amqp->supervisor);
        cel__amqp_free(amqp);
}
