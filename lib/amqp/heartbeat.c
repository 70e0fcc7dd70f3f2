/* SPDX-License-Identifier: Apache-2.0
 *
 * Heartbeats. The guardian sends them, from its own thread and under the connection's mutex, so that nothing
 * a handler does can starve them; nobody else does, so that the way which matters in need is the way that is
 * always used.
 *
 * If a loop is stuck for too long, heartbeating ends on purpose: the broker then gives the work to somebody
 * else. */
#include "amqp/connection.h"
#include "rt/runtime.h"

#include <celadon/log.h>

/* The standard asks for one heartbeat in each period; half of it leaves room for a slow machine. */
static int64_t period_ns(const cel__amqp *amqp)
{
        return (int64_t)amqp->heartbeat_s * CEL_NS_PER_S / 2;
}

/* May the guardian heartbeat on behalf of a busy loop? */
static bool loop_is_trusted(const cel__amqp *amqp, int64_t busy_ms)
{
        return busy_ms < cel__runtime_wedge_ms_max(amqp->runtime);
}

/* A heartbeat is due. With the mutex held. */
static void send_locked(cel__amqp *amqp)
{
        /* What the loop has no time to send is as good as a heartbeat. */
        if (cel__buf_used(&amqp->out) == 0)
                cel__frame_put_heartbeat(&amqp->out);
        if (conn_flush_locked(amqp) < 0 || cel__buf_used(&amqp->out) > 0)
                conn_flush_later_locked(amqp);
}

static cel_time on_due(cel__ward *ward, cel_time now)
{
        cel__amqp *amqp = cel__container(ward, cel__amqp, ward);
        int64_t period = period_ns(amqp), busy_ms = cel__loop_busy_ms(amqp->loop, now);
        bool trusted = loop_is_trusted(amqp, busy_ms), news = false;

        pthread_mutex_lock(&amqp->mutex);
        cel_time next = {amqp->written_at.ns + period};
        if (next.ns <= now.ns) {
                next.ns = now.ns + period;
                if (amqp->stream && trusted)
                        send_locked(amqp);
                news = amqp->stream && !trusted && !amqp->wedge_told;
                amqp->wedge_told |= news;
        }
        /* Two periods without a byte, and nobody is busy instead of reading them: the peer is silent. */
        if (now.ns - amqp->read_at.ns > 4 * period && busy_ms == 0) {
                amqp->silent = true;
                conn_flush_later_locked(amqp);
        }
        pthread_mutex_unlock(&amqp->mutex);

        if (news) /* told without the mutex: whoever writes the log may publish */
                cel_error(NULL, "LOOP-WEDGED",
                          "%s: its loop has been stuck for %lld ms: no more heartbeats, the broker will give "
                          "its work to others",
                          amqp->name, (long long)busy_ms);
        return next;
}

int heartbeat_start(cel__amqp *amqp)
{
        if (amqp->heartbeat_s == 0)
                return 0;
        amqp->ward.on_due = on_due;
        amqp->ward.due = (cel_time){amqp->written_at.ns + period_ns(amqp)};
        int r = cel__guardian_watch(cel__runtime_guardian(amqp->runtime), &amqp->ward);
        amqp->warded = r >= 0;
        return r;
}

void heartbeat_stop(cel__amqp *amqp)
{
        if (amqp->warded)
                cel__guardian_unwatch(cel__runtime_guardian(amqp->runtime), &amqp->ward);
        amqp->warded = false;
}

static bool is_silent(cel__amqp *amqp)
{
        pthread_mutex_lock(&amqp->mutex);
        bool silent = amqp->silent;
        amqp->silent = false;
        pthread_mutex_unlock(&amqp->mutex);
        return silent;
}

void heartbeat_check(cel__amqp *amqp)
{
        if (!is_silent(amqp))
                return;
        conn_read(
                amqp); /* it may have spoken, and nobody listened yet: this thread may have been kept from running */

        pthread_mutex_lock(&amqp->mutex);
        int64_t quiet_ns = cel_clock_now(cel__runtime_clock(amqp->runtime)).ns - amqp->read_at.ns;
        bool lost = amqp->stream && quiet_ns > 4 * period_ns(amqp);
        pthread_mutex_unlock(&amqp->mutex);
        if (lost)
                conn_lost(amqp, CEL_ETIMEDOUT, "the broker has not been heard for %lld s",
                          (long long)(quiet_ns / CEL_NS_PER_S));
}
