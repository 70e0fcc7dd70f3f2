/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. What rt_random_test.c does for channels, futures and scopes, done for what has more than one
 * step: mutexes that are held across waits, conditions that come back through the mutex, the rate limiter's
 * queue, selects. Actors are tasks that take one command at a time and keep what they hold between them. Each
 * step gives one actor a command, or does random things from outside, before any task has run, and may move
 * the clock first. The model says in which order waits are decided and tasks run; after each step every result
 * is compared.
 *
 * Conditions are waited for by actors that hold no other mutex: two that came back through each other's would
 * wait for ever, as their programs would. */
#include "fixture.h"
#include "test.h"

#include <celadon/channel.h>
#include <celadon/sync.h>
#include <stdlib.h>
#include <string.h>

enum {
        SCHEDULES = 2000,
        STEPS = 120,
        ACTORS = 6,
        MUTEXES = 2, /* and a condition for each */
        PERMITS = 1,
        PERMITS_MAX = 2,
        CHANNELS = 3,
        CASES_MAX = 3,
        WITHIN_MS_MAX = 30,
        TURNS = 3,
        PER_MS = 20,
        BURST = 2,
        PENDING = 1000, /* an outcome that is not there yet; no call returns it */
        LOOK = 1001,    /* the outcome of a wait for a turn: its time has come, or it is the first now */
        NOBODY = -1,
};

typedef enum command_kind {
        LOCK,
        UNLOCK,
        WAIT, /* for a condition */
        ACQUIRE,
        EVENT,
        TURN,
        SEND,
        RECEIVE,
        SELECT,
        COMMAND_KINDS,
        QUIT,
        RELOCK, /* no command: the second half of WAIT */
} command_kind;

typedef struct command_case {
        unsigned channel;
        bool send;
        int item; /* to send; or what came */
} command_case;

typedef struct command {
        command_kind kind;
        unsigned mutex;
        int64_t within_ms; /* 0: no deadline */
        command_case cases[CASES_MAX];
        unsigned n; /* of cases */
} command;

typedef struct actor {
        struct world *world;
        cel_task *task;
        cel_channel *inbox;
        command command; /* the last one, with what came of it */
        bool busy;       /* with it */
        int result, status;
        /* The model's: */
        bool expect_busy, canceled;
        command_kind stage; /* what it waits for while it is busy */
        int outcome;        /* of its wait */
        int waited;         /* RELOCK: the outcome of the wait before */
        int64_t deadline_ns, until_ns;
        int until_outcome;
        unsigned place, timer; /* who came earlier, whose timer was set earlier */
        bool in_line;          /* for a turn */
        int expect_result, expect_status, expect_items[CASES_MAX];
} actor;

typedef struct model_channel {
        int items[4];
        unsigned n, room;
        bool closed;
} model_channel;

typedef struct world {
        fixture f;
        fixture_random *random;
        cel_scope *scope;
        cel_mutex *mutexes[MUTEXES];
        cel_condition *conditions[MUTEXES];
        cel_semaphore *semaphore;
        cel_event *event;
        cel_rate *rate;
        cel_channel *channels[CHANNELS];
        actor actors[ACTORS];
        int next_item;
        /* The model: */
        int64_t now_ns;
        int owners[MUTEXES];
        unsigned permits;
        bool event_set;
        int64_t parts, filled_ns; /* of the rate limiter's bucket */
        model_channel model_channels[CHANNELS];
        unsigned places, timers;
        actor *ready[ACTORS]; /* whose wait was decided, in this order */
        unsigned ready_n;
} world;

static unsigned below(world *w, unsigned n)
{
        return fixture_random_below(w->random, n);
}

/* --- The real thing --------------------------------------------------------------------------- */

static int run_select(cel_ctx *ctx, actor *a)
{
        command *c = &a->command;
        cel_select_case cases[CASES_MAX];

        for (unsigned i = 0; i < c->n; i++)
                cases[i] = (cel_select_case){.channel = a->world->channels[c->cases[i].channel],
                                             .send_item = c->cases[i].send ? &c->cases[i].item : NULL,
                                             .ret_item = c->cases[i].send ? NULL : &c->cases[i].item};
        int r = cel_select(ctx, cases, c->n);
        if (r >= 0)
                a->status = cases[r].status;
        return r;
}

static int run_command(cel_ctx *ctx, actor *a)
{
        world *w = a->world;
        command *c = &a->command;
        CEL_WITHIN_MS(ctx, c->within_ms ? c->within_ms : INT64_MAX);

        switch (c->kind) {
        case LOCK:
                return cel_mutex_lock(ctx, w->mutexes[c->mutex]);
        case UNLOCK:
                cel_mutex_unlock(ctx, w->mutexes[c->mutex]);
                return 0;
        case WAIT:
                return cel_condition_wait(ctx, w->conditions[c->mutex], w->mutexes[c->mutex]);
        case ACQUIRE:
                return cel_semaphore_acquire(ctx, w->semaphore);
        case EVENT:
                return cel_event_wait(ctx, w->event);
        case TURN:
                return cel_rate_wait(ctx, w->rate);
        case SEND:
                return cel_channel_send(ctx, w->channels[c->cases[0].channel], &c->cases[0].item);
        case RECEIVE:
                return cel_channel_receive(ctx, w->channels[c->cases[0].channel], &c->cases[0].item);
        case SELECT:
                return run_select(ctx, a);
        case COMMAND_KINDS:
        case QUIT:
        case RELOCK:
                break;
        }
        return CEL_EINVAL;
}

static int run_actor(cel_ctx *ctx, void *arg)
{
        actor *a = arg;

        for (;;) {
                ctx->shields++; /* a cancelled actor may have something to unlock */
                int r = cel_channel_receive(ctx, a->inbox, &a->command);
                ctx->shields--;
                if (r < 0 || a->command.kind == QUIT)
                        return r;
                a->result = run_command(ctx, a);
                a->busy = false;
        }
}

/* --- The model: waiting ----------------------------------------------------------------------- */

static void decide(world *w, actor *a, int outcome)
{
        a->outcome = outcome;
        w->ready[w->ready_n++] = a;
}

static void finish(actor *a, int result)
{
        a->expect_busy = false;
        a->expect_result = result;
}

/* Wait for `stage`, until `until_ns` at the latest. What ends it at once is decided at once, and then the actor
 * goes on without letting others run: returns false. */
static bool begin_wait(world *w, actor *a, command_kind stage, int64_t until_ns, int until_outcome)
{
        a->stage = stage;
        a->place = w->places++;
        a->outcome = PENDING;
        a->until_ns = stage == RELOCK ? INT64_MAX : until_ns;
        a->until_outcome = until_outcome;
        if (a->canceled && stage != RELOCK)
                a->outcome = CEL_ECANCELED;
        else if (a->until_ns <= w->now_ns)
                a->outcome = until_outcome;
        else if (a->until_ns != INT64_MAX)
                a->timer = w->timers++;
        return a->outcome == PENDING;
}

static bool waits(const actor *a, command_kind stage, unsigned mutex)
{
        return a->expect_busy && a->stage == stage && a->outcome == PENDING && a->command.mutex == mutex;
}

/* The one that has waited longest for `stage` or `other`, or NULL. `mutex` is 0 where none matters. */
static actor *first_waiting(world *w, command_kind stage, command_kind other, unsigned mutex)
{
        actor *first = NULL;

        for (unsigned i = 0; i < ACTORS; i++) {
                actor *a = &w->actors[i];

                if ((waits(a, stage, mutex) || waits(a, other, mutex)) && (!first || a->place < first->place))
                        first = a;
        }
        return first;
}

static void model_unlock(world *w, unsigned mutex)
{
        actor *next = first_waiting(w, LOCK, RELOCK, mutex);

        w->owners[mutex] = next ? (int)(next - w->actors) : NOBODY;
        if (next)
                decide(w, next, 0);
}

/* Whether the mutex was free; it is the actor's then. */
static bool model_seize(world *w, actor *a, unsigned mutex)
{
        if (w->owners[mutex] != NOBODY)
                return false;
        w->owners[mutex] = (int)(a - w->actors);
        return true;
}

static void come_back_from_condition(world *w, actor *a)
{
        a->waited = a->outcome;
        if (model_seize(w, a, a->command.mutex))
                finish(a, a->waited);
        else
                begin_wait(w, a, RELOCK, INT64_MAX, 0);
}

/* --- The model: turns ------------------------------------------------------------------------- */

static const int64_t parts_of_turn = PER_MS * CEL_NS_PER_MS;

static void fill(world *w)
{
        w->parts += (w->now_ns - w->filled_ns) * TURNS;
        if (w->parts > parts_of_turn * BURST)
                w->parts = parts_of_turn * BURST;
        w->filled_ns = w->now_ns;
}

static actor *first_in_line(world *w)
{
        actor *first = NULL;

        for (unsigned i = 0; i < ACTORS; i++)
                if (w->actors[i].in_line && (!first || w->actors[i].place < first->place))
                        first = &w->actors[i];
        return first;
}

static bool take_turn(world *w)
{
        fill(w);
        if (w->parts < parts_of_turn)
                return false;
        w->parts -= parts_of_turn;
        return true;
}

static bool model_try_turn(world *w)
{
        return !first_in_line(w) && take_turn(w);
}

static void serve_line(world *w)
{
        for (actor *first; (first = first_in_line(w)) && first->outcome == PENDING;) {
                if (!take_turn(w)) {
                        decide(w, first, LOOK);
                        return;
                }
                decide(w, first, 0);
                first->in_line = false;
        }
}

static void leave_line(world *w, actor *a, int result)
{
        bool first = first_in_line(w) == a;

        a->in_line = false;
        finish(a, result);
        if (first)
                serve_line(w);
}

/* Stand in line, or stay where one stands; only the first watches the clock. */
static void wait_in_line(world *w, actor *a)
{
        unsigned place = a->in_line ? a->place : w->places;
        int64_t due_ns = INT64_MAX;

        if (!first_in_line(w) || first_in_line(w) == a)
                due_ns = w->now_ns + (parts_of_turn - w->parts + TURNS - 1) / TURNS;
        bool turn_first = due_ns != INT64_MAX && due_ns <= a->deadline_ns;
        bool pending = begin_wait(w, a, TURN, turn_first ? due_ns : a->deadline_ns,
                                  turn_first ? LOOK : CEL_ETIMEDOUT);

        a->place = place;
        a->in_line = true;
        if (!pending)
                leave_line(w, a, a->outcome);
}

static void come_back_from_line(world *w, actor *a)
{
        if (a->outcome != LOOK)
                leave_line(w, a, a->outcome);
        else if (take_turn(w))
                leave_line(w, a, 0);
        else
                wait_in_line(w, a);
}

/* --- The model: channels ---------------------------------------------------------------------- */

/* Who has waited longest to send to the channel, or to receive from it, and with which case. */
static actor *first_at_channel(world *w, unsigned channel, bool send, unsigned *ret_case)
{
        actor *first = NULL;

        for (unsigned i = 0; i < ACTORS; i++) {
                actor *a = &w->actors[i];

                if (!waits(a, SELECT, a->command.mutex) || (first && first->place < a->place))
                        continue;
                for (unsigned k = a->command.n; k-- > 0;) {
                        if (a->command.cases[k].channel != channel || a->command.cases[k].send != send)
                                continue;
                        first = a;
                        *ret_case = k;
                }
        }
        return first;
}

/* `a` has waited, and case `k` happens. */
static void happen(world *w, actor *a, unsigned k, int status)
{
        a->expect_status = status;
        decide(w, a, a->command.kind == SELECT ? (int)k : status);
}

static int model_send(world *w, unsigned channel, int item)
{
        model_channel *c = &w->model_channels[channel];
        unsigned k;

        if (c->closed)
                return CEL_ECLOSED;
        actor *receiver = first_at_channel(w, channel, false, &k);
        if (receiver) {
                receiver->expect_items[k] = item;
                happen(w, receiver, k, 0);
                return 0;
        }
        if (c->n == c->room)
                return CEL_EAGAIN;
        c->items[c->n++] = item;
        return 0;
}

static int model_receive(world *w, unsigned channel, int *ret_item)
{
        model_channel *c = &w->model_channels[channel];
        unsigned k;
        actor *sender = first_at_channel(w, channel, true, &k);

        if (sender) /* as if there were one place more */
                c->items[c->n++] = sender->command.cases[k].item;
        if (c->n == 0)
                return c->closed ? CEL_ECLOSED : CEL_EAGAIN;
        if (sender)
                happen(w, sender, k, 0);
        *ret_item = c->items[0];
        memmove(c->items, c->items + 1, --c->n * sizeof(c->items[0]));
        return 0;
}

static void model_close(world *w, unsigned channel)
{
        actor *a;
        unsigned k;

        w->model_channels[channel].closed = true;
        for (int send = 1; send >= 0; send--)
                while ((a = first_at_channel(w, channel, send, &k)))
                        happen(w, a, k, CEL_ECLOSED);
}

static void start_select(world *w, actor *a)
{
        command *c = &a->command;

        for (unsigned k = 0; k < c->n; k++) {
                int r = c->cases[k].send ? model_send(w, c->cases[k].channel, c->cases[k].item)
                                         : model_receive(w, c->cases[k].channel, &a->expect_items[k]);

                if (r == CEL_EAGAIN)
                        continue;
                a->expect_status = r;
                finish(a, c->kind == SELECT ? (int)k : r);
                return;
        }
        begin_wait(w, a, SELECT, a->deadline_ns, CEL_ETIMEDOUT);
}

/* --- The model: running ----------------------------------------------------------------------- */

static void start_waiting(world *w, actor *a)
{
        command *c = &a->command;

        switch (c->kind) {
        case LOCK:
                if (model_seize(w, a, c->mutex))
                        finish(a, 0);
                else
                        begin_wait(w, a, LOCK, a->deadline_ns, CEL_ETIMEDOUT);
                return;
        case ACQUIRE:
                if (w->permits > 0) {
                        w->permits--;
                        finish(a, 0);
                } else {
                        begin_wait(w, a, ACQUIRE, a->deadline_ns, CEL_ETIMEDOUT);
                }
                return;
        case EVENT:
                if (w->event_set)
                        finish(a, 0);
                else
                        begin_wait(w, a, EVENT, a->deadline_ns, CEL_ETIMEDOUT);
                return;
        case TURN:
                if (model_try_turn(w))
                        finish(a, 0);
                else
                        wait_in_line(w, a);
                return;
        default:
                start_select(w, a);
        }
}

static void start_command(world *w, actor *a)
{
        command *c = &a->command;

        a->expect_busy = true;
        a->deadline_ns = c->within_ms ? w->now_ns + c->within_ms * CEL_NS_PER_MS : INT64_MAX;
        for (unsigned k = 0; k < CASES_MAX; k++)
                a->expect_items[k] = c->cases[k].item;
        if (c->kind == UNLOCK) {
                model_unlock(w, c->mutex);
                finish(a, 0);
        } else if (a->canceled) {
                finish(a, CEL_ECANCELED);
        } else if (c->kind == WAIT) {
                begin_wait(w, a, WAIT, a->deadline_ns, CEL_ETIMEDOUT);
                model_unlock(w, c->mutex);
        } else {
                start_waiting(w, a);
        }
}

static void run_ready(world *w)
{
        while (w->ready_n > 0) {
                actor *a = w->ready[0];

                memmove(w->ready, w->ready + 1, --w->ready_n * sizeof(actor *));
                if (a->stage == WAIT)
                        come_back_from_condition(w, a);
                else if (a->stage == TURN)
                        come_back_from_line(w, a);
                else
                        finish(a, a->stage == RELOCK ? a->waited : a->outcome);
        }
}

/* Timers fire in the order of their times; those of one instant in the order they were set. */
static void expire(world *w)
{
        for (;;) {
                actor *first = NULL;

                for (unsigned i = 0; i < ACTORS; i++) {
                        actor *a = &w->actors[i];

                        if (!a->expect_busy || a->outcome != PENDING || a->until_ns > w->now_ns)
                                continue;
                        if (!first || a->until_ns < first->until_ns ||
                            (a->until_ns == first->until_ns && a->timer < first->timer))
                                first = a;
                }
                if (!first)
                        return;
                decide(w, first, first->until_outcome);
        }
}

static void compare(world *w)
{
        for (unsigned i = 0; i < ACTORS; i++) {
                actor *a = &w->actors[i];

                if (a->busy != a->expect_busy || (!a->busy && a->result != a->expect_result))
                        printf("# actor %u, command %d, mutex %u, result %d, expected %d\n", i,
                               (int)a->command.kind, a->command.mutex, a->busy ? PENDING : a->result,
                               a->expect_busy ? PENDING : a->expect_result);
                CHECK_INT(a->busy, a->expect_busy);
                if (a->busy)
                        continue;
                CHECK_INT(a->result, a->expect_result);
                if (a->command.kind == SELECT && a->result >= 0)
                        CHECK_INT(a->status, a->expect_status);
                for (unsigned k = 0; k < CASES_MAX; k++)
                        CHECK_INT(a->command.cases[k].item, a->expect_items[k]);
        }
        for (unsigned i = 0; i < CHANNELS; i++)
                CHECK_INT(cel_channel_items(w->channels[i]), w->model_channels[i].n);
        CHECK_INT(cel_semaphore_permits(w->semaphore), w->permits);
        CHECK_INT(cel_event_is_set(w->event), w->event_set);
}

static void settle_and_compare(world *w)
{
        fixture_settle(&w->f);
        expire(w);
        run_ready(w);
        compare(w);
}

/* --- Steps ------------------------------------------------------------------------------------ */

static void give(world *w, actor *a, command c)
{
        a->busy = true;
        CHECK_INT(cel_channel_try_send(a->inbox, &c), 0);
        a->command = c;
        start_command(w, a);
        settle_and_compare(w);
}

static unsigned held_by(const world *w, unsigned i, unsigned *ret_mutex)
{
        unsigned n = 0;

        for (unsigned m = 0; m < MUTEXES; m++) {
                if (w->owners[m] != (int)i)
                        continue;
                *ret_mutex = m;
                n++;
        }
        return n;
}

static void start_actor(world *w, unsigned i)
{
        actor *a = &w->actors[i];

        *a = (actor){.world = w};
        CHECK_INT(cel_channel_new(sizeof(command), 1, &a->inbox), 0);
        CHECK_INT(cel__task_spawn(w->scope, NULL, "actor", run_actor, a, &a->task), 0);
        fixture_settle(&w->f);
}

static void end_actor(world *w, actor *a)
{
        CHECK_INT(cel_channel_try_send(a->inbox, &(command){.kind = QUIT}), 0);
        fixture_settle(&w->f);
        CHECK_RESULT(a->task, 0);
        cel_task_unref(a->task);
        cel_channel_unref(a->inbox);
}

static void choose_cases(world *w, command *c)
{
        c->n = c->kind == SELECT ? 1 + below(w, CASES_MAX) : 1;
        for (unsigned k = 0; k < c->n; k++) {
                bool send = c->kind == SELECT ? below(w, 2) : c->kind == SEND;

                c->cases[k] = (command_case){below(w, CHANNELS), send, send ? w->next_item++ : -1};
        }
}

static void give_command(world *w)
{
        unsigned i = below(w, ACTORS), held = 0, n;
        actor *a = &w->actors[i];
        command c = {.kind = (command_kind)below(w, COMMAND_KINDS), .mutex = below(w, MUTEXES)};

        if (a->busy)
                return;
        n = held_by(w, i, &held);
        if (a->canceled && n == 0 && below(w, 2)) {
                end_actor(w, a);
                start_actor(w, i);
                return;
        }
        if (below(w, 2))
                c.within_ms = 1 + below(w, WITHIN_MS_MAX);
        if (c.kind == LOCK && w->owners[c.mutex] == (int)i)
                c.kind = below(w, 2) ? UNLOCK : WAIT;
        if (c.kind == WAIT && n != 1)
                c.kind = n ? UNLOCK : LOCK;
        if (c.kind == UNLOCK && n == 0)
                c.kind = LOCK;
        if (c.kind == UNLOCK || c.kind == WAIT)
                c.mutex = held;
        if (c.kind == SEND || c.kind == RECEIVE || c.kind == SELECT)
                choose_cases(w, &c);
        if (c.kind != LOCK && c.kind != UNLOCK && c.kind != WAIT)
                c.mutex = 0;
        give(w, a, c);
}

static void act_on_channel(world *w)
{
        unsigned channel = below(w, CHANNELS);
        int item = w->next_item++, got = -1, expected = -1;
        cel_select_case cases[] = {{.channel = w->channels[channel], .ret_item = &got},
                                   {.channel = w->channels[channel], .send_item = &item}};
        int r;

        switch (below(w, 6)) {
        case 0:
        case 1:
                CHECK_INT(cel_channel_try_send(w->channels[channel], &item), model_send(w, channel, item));
                break;
        case 2:
        case 3:
                CHECK_INT(cel_channel_try_receive(w->channels[channel], &got),
                          model_receive(w, channel, &expected));
                CHECK_INT(got, expected);
                break;
        case 4:
                r = model_receive(w, channel, &expected) != CEL_EAGAIN ? 0
                    : model_send(w, channel, item) != CEL_EAGAIN       ? 1
                                                                       : CEL_EAGAIN;
                CHECK_INT(cel_try_select(cases, 2), r);
                CHECK_INT(got, expected);
                break;
        default:
                if (below(w, 8) == 0) {
                        cel_channel_close(w->channels[channel]);
                        model_close(w, channel);
                }
        }
}

static void act_on_semaphore(world *w)
{
        if (below(w, 3) == 0) {
                CHECK_INT(cel_semaphore_try_acquire(w->semaphore), w->permits ? 0 : CEL_EAGAIN);
                w->permits -= w->permits ? 1 : 0;
                return;
        }
        CHECK_INT(cel_semaphore_release(w->semaphore), w->permits == PERMITS_MAX ? CEL_EFULL : 0);
        actor *next = first_waiting(w, ACQUIRE, ACQUIRE, 0);
        if (next)
                decide(w, next, 0);
        else if (w->permits < PERMITS_MAX)
                w->permits++;
}

static void act_on_event(world *w)
{
        actor *a;

        w->event_set = below(w, 2);
        if (!w->event_set) {
                cel_event_clear(w->event);
                return;
        }
        cel_event_set(w->event);
        while ((a = first_waiting(w, EVENT, EVENT, 0)))
                decide(w, a, 0);
}

static void signal_condition(world *w, bool all)
{
        unsigned m = below(w, MUTEXES);
        actor *a;

        if (all)
                cel_condition_broadcast(w->conditions[m]);
        else
                cel_condition_signal(w->conditions[m]);
        while ((a = first_waiting(w, WAIT, WAIT, m))) {
                decide(w, a, 0);
                if (!all)
                        return;
        }
}

static void cancel_actor(world *w, actor *a)
{
        cel_task_cancel(a->task);
        a->canceled = true;
        if (a->expect_busy && a->outcome == PENDING && a->stage != RELOCK)
                decide(w, a, CEL_ECANCELED);
}

/* What can be done from outside, whether or not the tasks have run since the clock moved. */
static void act(world *w)
{
        switch (below(w, 9)) {
        case 0:
        case 1:
        case 2:
                act_on_channel(w);
                break;
        case 3:
                act_on_semaphore(w);
                break;
        case 4:
                act_on_event(w);
                break;
        case 5:
        case 6:
                signal_condition(w, below(w, 3) == 0);
                break;
        case 7:
                CHECK_INT(cel_rate_try(w->rate), model_try_turn(w) ? 0 : CEL_EAGAIN);
                break;
        default:
                if (below(w, 3) == 0)
                        cancel_actor(w, &w->actors[below(w, ACTORS)]);
        }
}

static void step(world *w)
{
        unsigned what = below(w, 8);

        if (what < 5) {
                give_command(w);
                return;
        }
        if (what == 7) {
                int64_t ms = below(w, 12);

                cel_clock_advance_ms(w->f.clock, ms);
                w->now_ns += ms * CEL_NS_PER_MS;
        }
        for (unsigned i = below(w, 4); i > 0; i--)
                act(w);
        settle_and_compare(w);
}

/* --- Schedules -------------------------------------------------------------------------------- */

static world *world_new(fixture_random *random)
{
        world *w = calloc(1, sizeof(*w));

        CHECK(w != NULL);
        w->f = fixture_new();
        w->random = random;
        CHECK_INT(cel__scope_new(w->f.runtime, cel__runtime_loop(w->f.runtime), CEL_SCOPE_COLLECT_ALL,
                                 &w->scope),
                  0);
        for (unsigned i = 0; i < MUTEXES; i++) {
                CHECK_INT(cel_mutex_new(&w->mutexes[i]), 0);
                CHECK_INT(cel_condition_new(&w->conditions[i]), 0);
                w->owners[i] = NOBODY;
        }
        CHECK_INT(cel_semaphore_new(PERMITS, PERMITS_MAX, &w->semaphore), 0);
        w->permits = PERMITS;
        CHECK_INT(cel_event_new(&w->event), 0);
        CHECK_INT(cel_rate_new(w->f.runtime, TURNS, PER_MS, BURST, &w->rate), 0);
        w->parts = parts_of_turn * BURST;
        for (unsigned i = 0; i < CHANNELS; i++) {
                CHECK_INT(cel_channel_new(sizeof(int), i, &w->channels[i]), 0);
                w->model_channels[i].room = i;
        }
        for (unsigned i = 0; i < ACTORS; i++)
                start_actor(w, i);
        return w;
}

static void world_free(world *w)
{
        for (unsigned i = 0; i < MUTEXES; i++) {
                cel_mutex_free(w->mutexes[i]);
                cel_condition_free(w->conditions[i]);
        }
        cel_semaphore_free(w->semaphore);
        cel_event_free(w->event);
        cel_rate_free(w->rate);
        for (unsigned i = 0; i < CHANNELS; i++)
                cel_channel_unref(w->channels[i]);
        cel__scope_free(w->scope);
        fixture_free(&w->f);
        free(w);
}

/* Everybody is cancelled, unlocks what it holds and ends. */
static void end_all(world *w)
{
        unsigned mutex;

        for (unsigned i = 0; i < ACTORS; i++)
                cancel_actor(w, &w->actors[i]);
        settle_and_compare(w);
        for (unsigned round = 0; round < MUTEXES * ACTORS; round++)
                for (unsigned i = 0; i < ACTORS; i++)
                        if (!w->actors[i].busy && held_by(w, i, &mutex) > 0)
                                give(w, &w->actors[i], (command){.kind = UNLOCK, .mutex = mutex});
        CHECK_INT(cel__runtime_loop(w->f.runtime)->timers.n, 0);
        for (unsigned i = 0; i < ACTORS; i++) {
                CHECK(!w->actors[i].busy);
                end_actor(w, &w->actors[i]);
        }
        CHECK_INT(cel_scope_tasks(w->scope), 0);
}

TEST(thousands_of_random_schedules_go_as_the_model_says)
{
        fixture_random random = fixture_random_new();
        const char *given = getenv("CEL_TEST_SCHEDULES");
        int schedules = given ? atoi(given) : SCHEDULES;

        for (int i = 0; i < schedules; i++) {
                world *w = world_new(&random);

                for (unsigned k = 0; k < STEPS; k++)
                        step(w);
                end_all(w);
                world_free(w);
        }
}
