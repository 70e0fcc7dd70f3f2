/* SPDX-License-Identifier: Apache-2.0
 *
 * A handler's task: call who wants what is in the batch, and settle it. */
#include "base/assert.h"
#include "notify/deserialize.h"

#include <celadon/log.h>
#include <stdlib.h>
#include <strings.h>

void job_end(job *j, cel__settlement how)
{
        cel_notification_listener *listener = j->listener;

        /* Remembered even if the acknowledgement comes too late: the copy that follows is not handled again. */
        if (j->passed_on)
                cel__seen_remove(listener->handled, job_id(j));
        else if (how == CEL__SETTLE_ACK && *job_id(j))
                cel__seen_add(listener->handled, job_id(j), cel_clock_now(listener->clock));
        listener->bytes -= j->held_bytes;
        job_free(j, listener->driver, how);
}

/* What the handler's result means for the message. */
static cel__settlement verdict(cel_ctx *ctx, const cel_notification_listener *listener, int result)
{
        if (result == CEL_HANDLED || result == CEL_PASSED_ON)
                return CEL__SETTLE_ACK;
        if (result == CEL_REQUEUE && !listener->allow_requeue)
                cel_warn(ctx, "NOTIFICATION-NOT-REQUEUED",
                         "a handler gives a message back, but this listener does not allow it: the message "
                         "is dropped");
        cel_assert(result < 0 || result == CEL_REQUEUE);
        if (result < 0 && result != CEL_ECANCELED)
                cel_warn(ctx, "NOTIFICATION-FAILED", "a handler failed: %s", cel_ctx_error_text(ctx, result));
        /* Cancelled is not handled, whatever the rule for failures. */
        return listener->allow_requeue || result == CEL_ECANCELED ? CEL__SETTLE_REQUEUE : CEL__SETTLE_ACK;
}

static void settle(cel_ctx *ctx, job *j, int result)
{
        j->passed_on = result == CEL_PASSED_ON;
        job_end(j, verdict(ctx, j->listener, result));
}

static void handle_invalid(cel_ctx *ctx, job *j)
{
        cel_notification_listener *listener = j->listener;
        const cel_message *message = j->delivery.message;

        if (listener->on_invalid) {
                settle(ctx, j, listener->on_invalid(ctx, message, j->why, listener->arg));
                return;
        }
        cel_error(ctx, "NOTIFICATION-INVALID", "queue %s: a message is no notification and is rejected: %s",
                  message->queue ? message->queue : "?", j->why);
        job_end(j, CEL__SETTLE_REJECT);
}

/* --- One notification ------------------------------------------------------------------------- */

static void handle_one(cel_ctx *ctx, job *j)
{
        cel_notification_listener *listener = j->listener;
        int result = CEL_HANDLED;

        for (unsigned e = 0; e < listener->endpoints.n && result == CEL_HANDLED; e++) {
                const cel__endpoint *endpoint = &listener->endpoints.list[e];

                if (j->endpoints & (cel__endpoint_set)1 << e)
                        result = endpoint->on_notification(ctx, &j->notification, endpoint->arg);
        }
        settle(ctx, j, result);
}

/* --- Several ---------------------------------------------------------------------------------- */

/* Those of `n` jobs that endpoint `e` wants, together. */
static int call_endpoint(cel_ctx *ctx, const cel_notification_listener *listener, job *const *jobs,
                         unsigned n, unsigned e, const cel_notification **wanted)
{
        const cel__endpoint *endpoint = &listener->endpoints.list[e];
        unsigned wanted_n = 0;

        for (unsigned i = 0; i < n; i++)
                if (jobs[i]->endpoints & (cel__endpoint_set)1 << e)
                        wanted[wanted_n++] = &jobs[i]->notification;
        return wanted_n == 0 ? CEL_HANDLED : endpoint->on_batch(ctx, wanted, wanted_n, endpoint->arg);
}

static void handle_group(cel_ctx *ctx, const cel_notification_listener *listener, job **jobs, unsigned n,
                         const cel_notification **wanted)
{
        int result = CEL_HANDLED;

        for (unsigned e = 0; e < listener->endpoints.n && result == CEL_HANDLED; e++)
                result = call_endpoint(ctx, listener, jobs, n, e, wanted);
        cel__settlement how = verdict(ctx, listener, result);
        for (unsigned i = 0; i < n; i++) {
                jobs[i]->passed_on = result == CEL_PASSED_ON;
                job_end(jobs[i], how);
        }
}

/* Bring the jobs of the first one's priority to the front, all in their order. Returns how many there are. */
static unsigned gather(job **jobs, unsigned n, job **others)
{
        const char *priority = jobs[0]->notification.priority;
        unsigned same_n = 0, others_n = 0;

        for (unsigned i = 0; i < n; i++) {
                if (strcasecmp(jobs[i]->notification.priority, priority) == 0)
                        jobs[same_n++] = jobs[i];
                else
                        others[others_n++] = jobs[i];
        }
        for (unsigned i = 0; i < others_n; i++)
                jobs[same_n + i] = others[i];
        return same_n;
}

static void handle_several(cel_ctx *ctx, batch *b)
{
        cel_auto_free void *room = calloc(b->n, sizeof(void *));

        for (unsigned done = 0, n; done < b->n; done += n) {
                if (!room) {
                        n = 1;
                        job_end(b->jobs[done], CEL__SETTLE_REQUEUE);
                        continue;
                }
                n = gather(&b->jobs[done], b->n - done, room);
                handle_group(ctx, b->listener, &b->jobs[done], n, room);
        }
}

/* --- A task ----------------------------------------------------------------------------------- */

/* Deserialize the jobs of a batch, and settle those with which that fails, and those that no filter lets pass. */
static void deserialize(cel_ctx *ctx, batch *b)
{
        unsigned kept = 0, wanted = 0;

        for (unsigned i = 0; i < b->n; i++) {
                int r = job_deserialize(ctx, b->jobs[i]);

                if (r < 0)
                        settle(ctx, b->jobs[i], r);
                else
                        b->jobs[kept++] = b->jobs[i];
        }
        int r = kept > 0 ? jobs_filter(ctx, b->jobs, kept) : 0;
        for (unsigned i = 0; i < kept; i++) {
                if (r < 0)
                        job_end(b->jobs[i], CEL__SETTLE_REQUEUE); /* whatever the rule for handlers */
                else if (!b->jobs[i]->endpoints)
                        job_end(b->jobs[i], CEL__SETTLE_ACK);
                else
                        b->jobs[wanted++] = b->jobs[i];
        }
        b->n = wanted;
}

static void handle_valid(cel_ctx *ctx, batch *b)
{
        if (is_deserializing(b->listener))
                deserialize(ctx, b);
        if (b->listener->endpoints.list[0].on_batch)
                handle_several(ctx, b);
        else if (b->n > 0)
                handle_one(ctx, b->jobs[0]);
}

int batch_work(cel_ctx *ctx, void *arg)
{
        batch *b = arg;
        cel_notification_listener *listener = b->listener;

        if (!b->jobs[0]->valid)
                handle_invalid(ctx, b->jobs[0]);
        else
                handle_valid(ctx, b);
        free(b);
        listener->running--;
        if (listener->open || !cel__list_empty(&listener->pending))
                cel__loop_defer(listener->loop, &listener->begin);
        return 0;
}
