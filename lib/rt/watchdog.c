/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A loop pays for being watched with what it writes anyway: a stamp each turn that is zero while
 * it waits, and counters of turns and of switches to a task. The guardian looks at them twice in `hold_ms`.
 * Found busy, with both counters where they stood, the loop has been held by one and the same since the look
 * that saw them first. So a hold shorter than hold_ms is never named, one longer than one and a half times
 * that always is, and no switch costs a look at the clock.
 *
 * The guardian looks only while there is something to see. The first loop that stops waiting arms the
 * watchdog; a look that finds all loops waiting disarms it, and then nobody's clock ticks. Neither may miss
 * the other: the loop writes its stamp and then reads `armed`; the watchdog clears `armed` and then reads the
 * stamps once more. A loop that was idle thus costs the guardian two wake-ups, one that is busy 2 in hold_ms,
 * however often it waits between.
 *
 * On a machine with more to do than it can, a thread may not get to run for as long. That time, which the
 * kernel counts, is taken off: the task is not to blame. The kernel counts it when it is over, so it is taken
 * off once more when the thread has answered.
 *
 * The stack is asked for in one look and told in a later one, because the guardian must not wait for a thread
 * that may never answer: it sends heartbeats meanwhile. */
#include "rt/watchdog.h"
#include "base/assert.h"
#include "rt/guardian.h"
#include "rt/probe.h"
#include "rt/symbols.h"

#include <celadon/log.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum hold_state {
        FREE,
        SEEN,  /* busy */
        ASKED, /* held for too long; its stack is asked for */
        TOLD,  /* named */
} hold_state;

typedef struct watched {
        hold_state state;
        uint64_t switches, turns;
        int64_t delay_ns;  /* then: for how long the thread had been kept from running */
        cel_time asked_at; /* of real time, which is what a thread takes to answer */
        cel__hold hold;    /* `since`: when the counters were first seen there */
} watched;

struct cel__watchdog {
        cel__ward ward;
        cel_runtime *runtime; /* borrowed */
        int64_t hold_ms;
        _Atomic bool armed;
        pthread_mutex_t mutex; /* of `loops`, which the guardian alone writes */
        watched loops[];
};

enum { TEXT_BYTES = 3072, ANSWER_MS_MAX = 1000 };

/* "a+0x1 (program) < b+0x2 (program)" */
static void format_stack(const cel__sight *sight, char *text, size_t bytes)
{
        cel__symbols *symbols = cel__symbols_new();
        size_t n = 0;

        text[0] = '\0';
        for (unsigned i = 0; i < sight->frames_n && n < bytes; i++) {
                char name[CEL__SYMBOL_BYTES];

                cel__symbols_name(symbols, sight->frames[i], i > 0, name, sizeof(name));
                n += (size_t)snprintf(text + n, bytes - n, "%s%s", i > 0 ? " < " : "", name);
        }
        cel__symbols_free(symbols);
}

/* "task "x" [request id]" */
static void format_holder(const cel__sight *sight, char *text, size_t bytes)
{
        if (sight->frames_n == 0)
                snprintf(text, bytes, "somebody");
        else if (!*sight->task)
                snprintf(text, bytes, "code of the loop itself");
        else
                snprintf(text, bytes, "task \"%s\"%s%s", sight->task,
                         *sight->request_id ? " of request " : "", sight->request_id);
}

static long long ms_between(cel_time from, cel_time to)
{
        return (long long)(to.ns - from.ns) / CEL_NS_PER_MS;
}

/* For how long the loop is held, not counting the time that its thread was kept from running. */
static long long held_ms(const watched *w, cel_time now, int64_t delay_ns)
{
        return ms_between(w->hold.since, (cel_time){now.ns - (delay_ns - w->delay_ns)});
}

static void tell(const watched *w, const cel__loop *loop, long long ms)
{
        const cel__sight *sight = &w->hold.sight;
        char holder[160], stack[TEXT_BYTES];

        CEL__PROBE2(loop_held, loop->number, sight->task);
        format_holder(sight, holder, sizeof(holder));
        if (sight->frames_n > 0)
                format_stack(sight, stack, sizeof(stack));
        else
                snprintf(stack, sizeof(stack), "unknown, the thread has not answered in time");
        cel_warn(NULL, "LOOP-HELD", "%s has held loop %u for %lld ms; its stack: %s", holder, loop->number,
                 ms, stack);
}

static void tell_end(const watched *w, const cel__loop *loop, long long ms)
{
        char holder[160];

        format_holder(&w->hold.sight, holder, sizeof(holder));
        cel_warn(NULL, "LOOP-RELEASED", "%s let go of loop %u after %lld ms", holder, loop->number, ms);
}

/* Has the thread had time enough to answer? One that waits in the kernel may never. */
static bool is_overdue(const watched *w)
{
        return ms_between(w->asked_at, cel_clock_now(cel_clock_system())) >= ANSWER_MS_MAX;
}

/* The next step of a hold of `ms` so far that goes on (or, with `over`, has ended meanwhile). */
static void pursue(const cel__watchdog *watchdog, watched *w, cel__loop *loop, long long ms, bool over)
{
        if (w->state == SEEN && !over && ms >= watchdog->hold_ms) {
                w->hold.sight = (cel__sight){0};
                cel__snapshot_ask(loop, w->switches);
                w->asked_at = cel_clock_now(cel_clock_system());
                w->state = ASKED;
        } else if (w->state == ASKED) {
                if (!cel__snapshot_take(loop, &w->hold.sight) && !over && !is_overdue(w))
                        return;
                cel__snapshot_forget(loop);
                if (ms < watchdog->hold_ms) { /* it was not the task that was slow, but the machine */
                        w->state = SEEN;
                        return;
                }
                w->state = TOLD;
                cel__count(&loop->counters.holds);
                tell(w, loop, ms);
        }
        if (w->state == TOLD && over)
                tell_end(w, loop, ms);
}

/* Returns whether the loop is busy. */
static bool look_at(cel__watchdog *watchdog, watched *w, cel__loop *loop, cel_time now)
{
        bool busy = atomic_load(&loop->busy_since_ns) != 0;
        uint64_t switches = cel__counter_get(&loop->counters.switches);
        uint64_t turns = cel__counter_get(&loop->counters.turns);
        bool same = busy && w->state != FREE && switches == w->switches && turns == w->turns;
        bool is_real = !cel__clock_manual(cel__runtime_clock(watchdog->runtime));
        int64_t delay_ns = is_real && (busy || w->state != FREE) ? cel__snapshot_delay_ns(loop) : 0;

        pthread_mutex_lock(&watchdog->mutex);
        pursue(watchdog, w, loop, held_ms(w, now, delay_ns), !same);
        if (!same) {
                w->state = busy ? SEEN : FREE;
                w->switches = switches;
                w->turns = turns;
                w->delay_ns = delay_ns;
                w->hold.since = now;
        }
        pthread_mutex_unlock(&watchdog->mutex);
        return busy;
}

static bool all_wait(const cel__watchdog *watchdog)
{
        for (unsigned i = 0; i < watchdog->runtime->loops_n; i++)
                if (atomic_load(&watchdog->runtime->loops[i].busy_since_ns) != 0)
                        return false;
        return true;
}

static cel_time next_look(const cel__watchdog *watchdog, cel_time now)
{
        return (cel_time){now.ns + watchdog->hold_ms * CEL_NS_PER_MS / 2};
}

static cel_time on_due(cel__ward *ward, cel_time now)
{
        cel__watchdog *watchdog = cel__container(ward, cel__watchdog, ward);
        bool busy = false;

        for (unsigned i = 0; i < watchdog->runtime->loops_n; i++)
                busy |= look_at(watchdog, &watchdog->loops[i], &watchdog->runtime->loops[i], now);
        if (!busy) {
                atomic_store(&watchdog->armed, false);
                if (all_wait(watchdog)) /* whoever stops waiting from here on arms it again */
                        return CEL_TIME_NEVER;
                atomic_store(&watchdog->armed, true);
        }
        return next_look(watchdog, now);
}

int cel__watchdog_new(cel_runtime *runtime, int64_t hold_ms, cel__watchdog **ret_watchdog)
{
        cel__watchdog *watchdog =
                calloc(1, sizeof(*watchdog) + runtime->loops_n * sizeof(watchdog->loops[0]));

        if (!watchdog)
                return CEL_ENOMEM;
        watchdog->runtime = runtime;
        watchdog->hold_ms = hold_ms;
        watchdog->ward.on_due = on_due;
        watchdog->ward.due = CEL_TIME_NEVER;
        cel__list_init(&watchdog->ward.node);
        pthread_mutex_init(&watchdog->mutex, NULL);
        *ret_watchdog = watchdog;
        return 0;
}

cel__watchdog *cel__watchdog_free(cel__watchdog *watchdog)
{
        if (!watchdog)
                return NULL;
        cel__guardian_unwatch(watchdog->runtime->guardian, &watchdog->ward);
        pthread_mutex_destroy(&watchdog->mutex);
        free(watchdog);
        return NULL;
}

void cel__watchdog_arm(cel__watchdog *watchdog)
{
        if (!watchdog || atomic_load(&watchdog->armed) || atomic_exchange(&watchdog->armed, true))
                return;
        cel_time now = cel_clock_now(cel__runtime_clock(watchdog->runtime));
        if (cel__guardian_set_due(watchdog->runtime->guardian, &watchdog->ward, next_look(watchdog, now)) < 0)
                cel_warn(NULL, "WATCHDOG-OFF",
                         "the guardian's thread cannot be started: loops are not watched");
}

bool cel__watchdog_holds(cel__watchdog *watchdog, unsigned loop, cel__hold *ret_hold)
{
        if (!watchdog)
                return false;
        pthread_mutex_lock(&watchdog->mutex);
        const watched *w = &watchdog->loops[loop];
        bool held = w->state == TOLD;
        if (held)
                *ret_hold = w->hold;
        pthread_mutex_unlock(&watchdog->mutex);
        return held;
}

bool cel__watchdog_is_armed(const cel__watchdog *watchdog)
{
        return atomic_load(&watchdog->armed);
}
