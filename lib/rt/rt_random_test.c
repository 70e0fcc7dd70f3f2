/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. The test keeps a model of everything that waits: plain structs that say until when, in whose
 * list and what the outcome will be. Each step does one random thing to the runtime and to the model, lets
 * all tasks run, and compares every outcome. The clock is manual, so the runtime's behaviour is exactly
 * determined; the model need not guess.
 *
 * Two things make it more than a list of cases: a step may move the clock and then act, more than once,
 * before any task has run, so that a wait whose time has passed is still there to be finished, and one that
 * is decided is still in somebody's list; and operations await each other, so that one outcome leads to
 * others.
 *
 * A second test has threads and tasks pass items to each other on the real clock and checks that none is lost
 * or doubled. */
#include "fixture.h"
#include "test.h"

#include <celadon/channel.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
        SCHEDULES = 2000,
        STEPS = 60,
        OPS_MAX = STEPS,
        CHANNELS = 3,
        FUTURES = 4,
        CHILDREN_MAX = 4,
        WITHIN_MS_MAX = 30,
        PENDING = 1, /* an outcome that is not there yet; no operation returns it */
};

typedef enum op_kind { SLEEP, SEND, RECEIVE, AWAIT, AWAIT_ANY, AWAIT_OP, SCOPE, OP_KINDS } op_kind;

typedef struct child {
        int64_t ms;
        bool fails;
        int result; /* what it returned */
        /* The model's: */
        int64_t wakes_ms;
        int expected;
} child;

/* One task that waits once. */
typedef struct op {
        op_kind kind;
        struct world *world;
        cel_task *task;
        int64_t within_ms; /* 0: no deadline */
        int64_t ms;        /* SLEEP */
        unsigned channel;
        int item; /* SEND: what; RECEIVE: what came */
        unsigned futures[3];
        unsigned futures_n;
        struct op *other; /* AWAIT_OP */
        cel_scope_mode mode;
        child children[CHILDREN_MAX];
        unsigned children_n;
        /* The model's: */
        int64_t until_ms; /* -1: no deadline */
        int64_t wakes_ms; /* SLEEP */
        int expected;
        int expected_item;
        int failure;    /* SCOPE: of its children */
        unsigned place; /* in its channel's list: lower came earlier */
        bool ended;     /* its task has run since its outcome was decided */
} op;

typedef struct model_channel {
        int items[4];
        unsigned n, room;
        bool closed;
} model_channel;

typedef struct world {
        fixture f;
        fixture_random *random;
        cel_scope *scope;
        cel_channel *channels[CHANNELS];
        cel_future *futures[FUTURES];
        op ops[OPS_MAX];
        unsigned ops_n;
        /* The model: */
        int64_t now_ms;
        model_channel model_channels[CHANNELS];
        bool completed[FUTURES];
        int statuses[FUTURES];
        unsigned places;
} world;

static unsigned below(world *w, unsigned n)
{
        return fixture_random_below(w->random, n);
}

/* --- The real thing --------------------------------------------------------------------------- */

static int run_child(cel_ctx *ctx, void *arg)
{
        child *c = arg;
        int r = cel_sleep_ms(ctx, c->ms);

        return c->result = r < 0 ? r : c->fails ? CEL_EPROTO : 0;
}

static int run_scope(cel_ctx *ctx, op *o)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, o->mode, &scope);

        for (unsigned i = 0; i < o->children_n && r >= 0; i++)
                r = cel_spawn(ctx, scope, "child", run_child, &o->children[i], NULL);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

static int run_op(cel_ctx *ctx, void *arg)
{
        op *o = arg;
        cel_future *futures[3];
        CEL_WITHIN_MS(ctx, o->within_ms ? o->within_ms : INT64_MAX);

        for (unsigned i = 0; i < o->futures_n; i++)
                futures[i] = o->world->futures[o->futures[i]];
        switch (o->kind) {
        case SLEEP:
                return cel_sleep_ms(ctx, o->ms);
        case SEND:
                return cel_channel_send(ctx, o->world->channels[o->channel], &o->item);
        case RECEIVE:
                return cel_channel_receive(ctx, o->world->channels[o->channel], &o->item);
        case AWAIT:
                return cel_await(ctx, futures[0], NULL);
        case AWAIT_ANY:
                return cel_await_any(ctx, futures, o->futures_n);
        case AWAIT_OP:
                return cel_task_await(ctx, o->other->task);
        case SCOPE:
                return run_scope(ctx, o);
        case OP_KINDS:
                break;
        }
        return CEL_EINVAL;
}

/* --- The model: what is finished by whom ------------------------------------------------------ */

/* The operation of `kind` that has waited longest for `channel`, or NULL. */
static op *first_waiting(world *w, op_kind kind, unsigned channel)
{
        op *first = NULL;

        for (unsigned i = 0; i < w->ops_n; i++) {
                op *o = &w->ops[i];

                if (o->kind == kind && o->channel == channel && o->expected == PENDING &&
                    (!first || o->place < first->place))
                        first = o;
        }
        return first;
}

static int model_try_send(world *w, unsigned channel, int item)
{
        model_channel *c = &w->model_channels[channel];
        op *receiver;

        if (c->closed)
                return CEL_ECLOSED;
        receiver = first_waiting(w, RECEIVE, channel);
        if (receiver) {
                receiver->expected = 0;
                receiver->expected_item = item;
                return 0;
        }
        if (c->n == c->room)
                return CEL_EAGAIN;
        c->items[c->n++] = item;
        return 0;
}

static int model_try_receive(world *w, unsigned channel, int *ret_item)
{
        model_channel *c = &w->model_channels[channel];
        op *sender = first_waiting(w, SEND, channel);

        if (sender) /* as if there were one place more: its item is the last */
                c->items[c->n++] = sender->item;
        if (c->n == 0)
                return c->closed ? CEL_ECLOSED : CEL_EAGAIN;
        if (sender)
                sender->expected = 0;
        *ret_item = c->items[0];
        memmove(c->items, c->items + 1, --c->n * sizeof(c->items[0]));
        return 0;
}

static void model_close(world *w, unsigned channel)
{
        w->model_channels[channel].closed = true;
        for (unsigned i = 0; i < w->ops_n; i++) {
                op *o = &w->ops[i];

                if ((o->kind == SEND || o->kind == RECEIVE) && o->channel == channel &&
                    o->expected == PENDING)
                        o->expected = CEL_ECLOSED;
        }
}

/* The lowest future of an AWAIT or AWAIT_ANY that is complete: its outcome; or PENDING. */
static int model_futures(const world *w, const op *o)
{
        for (unsigned i = 0; i < o->futures_n; i++)
                if (w->completed[o->futures[i]])
                        return o->kind == AWAIT ? w->statuses[o->futures[i]] : (int)i;
        return PENDING;
}

static void model_complete(world *w, unsigned future, int status)
{
        w->completed[future] = true;
        w->statuses[future] = status;
        for (unsigned i = 0; i < w->ops_n; i++) {
                op *o = &w->ops[i];
                bool may_still_choose = o->expected == PENDING || (o->expected >= 0 && !o->ended);

                if ((o->kind == AWAIT || o->kind == AWAIT_ANY) && may_still_choose)
                        o->expected = model_futures(w, o);
        }
}

static void end_children(op *o)
{
        for (unsigned i = 0; i < o->children_n; i++)
                if (o->children[i].expected == PENDING)
                        o->children[i].expected = CEL_ECANCELED;
}

static void model_cancel(op *o)
{
        if (o->expected == PENDING)
                o->expected = CEL_ECANCELED;
}

/* --- The model: time -------------------------------------------------------------------------- */

/* Children whose time has come end in that order, and all of them before anybody has run. */
static void expire_scope(world *w, op *o, bool timed_out)
{
        bool any_left = false;
        child *next;

        do {
                next = NULL;
                any_left = false;
                for (unsigned i = 0; i < o->children_n; i++) {
                        child *c = &o->children[i];

                        if (c->expected == PENDING && c->wakes_ms > w->now_ms)
                                any_left = true;
                        if (c->expected == PENDING && c->wakes_ms <= w->now_ms &&
                            (!next || c->wakes_ms < next->wakes_ms))
                                next = c;
                }
                if (next) {
                        next->expected = next->fails ? CEL_EPROTO : 0;
                        if (next->fails)
                                o->failure = CEL_EPROTO;
                }
        } while (next);

        if (o->expected != PENDING)
                ; /* cancelled, but nobody has run since */
        else if (timed_out)
                o->expected = CEL_ETIMEDOUT;
        else if (!any_left || (o->failure && o->mode == CEL_SCOPE_FAIL_FAST))
                o->expected = o->failure;
        if (o->expected != PENDING)
                end_children(o);
}

static void expire(world *w)
{
        for (unsigned i = 0; i < w->ops_n; i++) {
                op *o = &w->ops[i];
                bool timed_out = o->until_ms >= 0 && o->until_ms <= w->now_ms;

                if (o->kind == SCOPE)
                        expire_scope(w, o, timed_out);
                if (o->expected != PENDING)
                        continue;
                if (o->kind == SLEEP && o->wakes_ms <= w->now_ms &&
                    (o->until_ms < 0 || o->wakes_ms <= o->until_ms))
                        o->expected = 0;
                else if (timed_out && o->kind != SCOPE)
                        o->expected = CEL_ETIMEDOUT;
        }
}

/* Operations that await others, which may await others. They only ever await older ones. */
static void follow_operations(world *w)
{
        for (unsigned i = 0; i < w->ops_n; i++)
                if (w->ops[i].kind == AWAIT_OP && w->ops[i].expected == PENDING)
                        w->ops[i].expected = w->ops[i].other->expected;
}

/* Let all tasks run, in the runtime and in the model, and compare. */
static void settle_and_compare(world *w)
{
        fixture_settle(&w->f);
        expire(w);
        follow_operations(w);
        for (unsigned i = 0; i < w->ops_n; i++) {
                op *o = &w->ops[i];
                int actual = cel_future_done(cel_task_future(o->task)) ? cel_task_future(o->task)->status
                                                                       : PENDING;

                if (actual != o->expected)
                        printf("# operation %u of kind %d\n", i, (int)o->kind);
                CHECK_INT(actual, o->expected);
                o->ended = actual != PENDING;
                if (o->kind == RECEIVE && actual == 0)
                        CHECK_INT(o->item, o->expected_item);
                for (unsigned c = 0; c < o->children_n; c++)
                        CHECK_INT(o->children[c].result, o->children[c].expected);
        }
        for (unsigned i = 0; i < CHANNELS; i++)
                CHECK_INT(cel_channel_items(w->channels[i]), w->model_channels[i].n);
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* AWAIT_ANY returns an index, and 1 would look like PENDING: the future at place 1 is the one at place 0
 * again, so that 1 is never the lowest complete one. */
static void choose_futures(world *w, op *o)
{
        o->futures_n = o->kind == AWAIT ? 1 : 1 + below(w, 3);
        for (unsigned i = 0; i < o->futures_n; i++)
                o->futures[i] = below(w, FUTURES);
        if (o->futures_n > 1)
                o->futures[1] = o->futures[0];
}

static void choose_children(world *w, op *o)
{
        o->mode = below(w, 2) ? CEL_SCOPE_FAIL_FAST : CEL_SCOPE_COLLECT_ALL;
        o->children_n = below(w, CHILDREN_MAX + 1);
        for (unsigned i = 0; i < o->children_n; i++) {
                child *c = &o->children[i];

                *c = (child){.ms = 1 + below(w, WITHIN_MS_MAX), .fails = below(w, 4) == 0, .result = PENDING};
                c->wakes_ms = w->now_ms + c->ms;
                c->expected = PENDING;
        }
}

/* What a new operation finds. */
static int model_start(world *w, op *o)
{
        int r = PENDING;

        switch (o->kind) {
        case SEND:
                r = model_try_send(w, o->channel, o->item);
                return r == CEL_EAGAIN ? PENDING : r;
        case RECEIVE:
                r = model_try_receive(w, o->channel, &o->expected_item);
                return r == CEL_EAGAIN ? PENDING : r;
        case AWAIT:
        case AWAIT_ANY:
                return model_futures(w, o);
        case AWAIT_OP:
                return o->other->expected;
        case SLEEP:
        case SCOPE:
        case OP_KINDS:
                break;
        }
        return PENDING;
}

static void start_op(world *w)
{
        op *o = &w->ops[w->ops_n];

        *o = (op){.world = w, .kind = (op_kind)below(w, OP_KINDS), .until_ms = -1, .expected = PENDING};
        if (o->kind == AWAIT_OP && w->ops_n == 0)
                o->kind = SLEEP;
        if (below(w, 2)) {
                o->within_ms = 1 + below(w, WITHIN_MS_MAX);
                o->until_ms = w->now_ms + o->within_ms;
        }
        o->ms = 1 + below(w, WITHIN_MS_MAX);
        o->wakes_ms = w->now_ms + o->ms;
        o->channel = below(w, CHANNELS);
        o->item = (int)w->ops_n;
        o->place = w->places++;
        if (o->kind == AWAIT || o->kind == AWAIT_ANY)
                choose_futures(w, o);
        if (o->kind == AWAIT_OP)
                o->other = &w->ops[below(w, w->ops_n)];
        if (o->kind == SCOPE)
                choose_children(w, o);

        CHECK_INT(cel__task_spawn(w->scope, NULL, "op", run_op, o, &o->task), 0);
        if (below(w, 20) == 0) { /* cancelled before it ever ran */
                cel_task_cancel(o->task);
                bool returns_at_once = o->kind == AWAIT || o->kind == AWAIT_ANY || o->kind == AWAIT_OP;
                int found = returns_at_once ? model_start(w, o) : PENDING;

                o->expected = found == PENDING ? CEL_ECANCELED : found;
                if (o->kind == SCOPE) /* no child to wait for: nothing to be cancelled in */
                        o->expected = o->children_n ? CEL_ECANCELED : 0;
                if (o->kind == SCOPE)
                        end_children(o);
        } else {
                o->expected = model_start(w, o);
        }
        w->ops_n++;
}

/* What can be done from outside, whether or not the tasks have run since the clock moved. */
static void act(world *w)
{
        unsigned channel = below(w, CHANNELS), future = below(w, FUTURES);
        int item = 1000 + (int)below(w, 1000), got = -1, expected = -1;

        switch (below(w, 6)) {
        case 0:
                CHECK_INT(cel_channel_try_send(w->channels[channel], &item),
                          model_try_send(w, channel, item));
                break;
        case 1:
                CHECK_INT(cel_channel_try_receive(w->channels[channel], &got),
                          model_try_receive(w, channel, &expected));
                CHECK_INT(got, expected);
                break;
        case 2:
                CHECK_INT(cel_future_complete(w->futures[future], 5 + (int)future, NULL),
                          !w->completed[future]);
                if (!w->completed[future])
                        model_complete(w, future, 5 + (int)future);
                break;
        case 3:
                if (below(w, 10) == 0) {
                        cel_channel_close(w->channels[channel]);
                        model_close(w, channel);
                }
                break;
        default:
                if (w->ops_n > 0) {
                        op *o = &w->ops[below(w, w->ops_n)];

                        cel_task_cancel(o->task);
                        model_cancel(o);
                }
        }
}

static void step(world *w)
{
        switch (below(w, 4)) {
        case 0:
        case 1:
                start_op(w);
                break;
        case 2:
                for (unsigned i = 1 + below(w, 3); i > 0; i--)
                        act(w);
                break;
        default: {
                int64_t ms = below(w, 12);

                cel_clock_advance_ms(w->f.clock, ms);
                w->now_ms += ms;
                for (unsigned i = below(w, 3); i > 0; i--)
                        act(w);
        }
        }
        settle_and_compare(w);
}

static void run_schedule(fixture_random *random)
{
        world *w = calloc(1, sizeof(*w));

        CHECK(w != NULL);
        w->f = fixture_new();
        w->random = random;
        CHECK_INT(cel__scope_new(w->f.runtime, cel__runtime_loop(w->f.runtime), CEL_SCOPE_COLLECT_ALL,
                                 &w->scope),
                  0);
        for (unsigned i = 0; i < CHANNELS; i++) {
                CHECK_INT(cel_channel_new(sizeof(int), i, &w->channels[i]), 0);
                w->model_channels[i].room = i;
        }
        for (unsigned i = 0; i < FUTURES; i++)
                CHECK_INT(cel_future_new(&w->futures[i]), 0);

        for (unsigned i = 0; i < STEPS; i++)
                step(w);

        cel_scope_cancel(w->scope);
        for (unsigned i = w->ops_n; i-- > 0;) /* youngest first: who awaits another is cancelled with it */
                model_cancel(&w->ops[i]);
        settle_and_compare(w);
        CHECK_INT(cel_scope_tasks(w->scope), 0);
        CHECK_INT(cel__runtime_loop(w->f.runtime)->timers.n, 0); /* whoever is awake has unset its timer */
        for (unsigned i = 0; i < w->ops_n; i++)
                cel_task_unref(w->ops[i].task);
        for (unsigned i = 0; i < FUTURES; i++)
                cel_future_unref(w->futures[i]);
        for (unsigned i = 0; i < CHANNELS; i++)
                cel_channel_unref(w->channels[i]);
        cel__scope_free(w->scope);
        fixture_free(&w->f);
        free(w);
}

TEST(thousands_of_random_schedules_go_as_the_model_says)
{
        fixture_random random = fixture_random_new();
        const char *given = getenv("CEL_TEST_SCHEDULES");
        int schedules = given ? atoi(given) : SCHEDULES;

        for (int i = 0; i < schedules; i++)
                run_schedule(&random);
}

/* --- Threads and tasks together --------------------------------------------------------------- */

enum { EXCHANGE_TASKS = 6, EXCHANGE_THREADS = 3, TRIES = 3000 };

/* What came in and what came out, as counts and sums that are the same only if nothing was lost, doubled or
 * changed. */
typedef struct exchange {
        cel_runtime *runtime;
        cel_channel *channels[2];
        _Atomic unsigned sent, received;
        _Atomic unsigned long sent_sum, received_sum;
        _Atomic unsigned next;
        _Atomic unsigned seeds;
        _Atomic unsigned ended;
        uint64_t seed;
} exchange;

static int exchange_items(cel_ctx *ctx, void *arg)
{
        exchange *x = arg;
        fixture_random random = {.state = x->seed + atomic_fetch_add(&x->seeds, 1)};

        for (int i = 0; i < TRIES; i++) {
                cel_channel *channel = x->channels[fixture_random_below(&random, 2)];
                bool hurry = fixture_random_below(&random, 4) == 0;
                unsigned item = 0;
                int r;
                CEL_WITHIN_MS(ctx, fixture_random_below(&random, 2)); /* nobody waits long: no deadlock */

                if (fixture_random_below(&random, 2)) {
                        item = atomic_fetch_add(&x->next, 1);
                        r = hurry ? cel_channel_try_send(channel, &item)
                                  : cel_channel_send(ctx, channel, &item);
                        if (r >= 0) {
                                atomic_fetch_add(&x->sent, 1);
                                atomic_fetch_add(&x->sent_sum, item);
                        }
                } else {
                        r = hurry ? cel_channel_try_receive(channel, &item)
                                  : cel_channel_receive(ctx, channel, &item);
                        if (r >= 0) {
                                atomic_fetch_add(&x->received, 1);
                                atomic_fetch_add(&x->received_sum, item);
                        }
                }
                if (r < 0 && r != CEL_ETIMEDOUT && r != CEL_EAGAIN)
                        return r;
        }
        return 0;
}

static void *exchange_on_thread(void *arg)
{
        exchange *x = arg;
        cel_auto(cel_ctx) *ctx = NULL;

        if (cel_thread_ctx_new(x->runtime, "thread", &ctx) < 0 || exchange_items(ctx, x) < 0)
                abort();
        return NULL;
}

static int exchange_in_tasks(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        for (int i = 0; i < EXCHANGE_TASKS && r >= 0; i++)
                r = cel_spawn(ctx, scope, "exchanger", exchange_items, arg, NULL);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

TEST(threads_and_tasks_lose_and_double_no_item_however_short_their_deadlines)
{
        exchange x = {.seed = fixture_random_new().state};
        pthread_t threads[EXCHANGE_THREADS];
        unsigned item;

        CHECK_INT(cel_runtime_new(NULL, &x.runtime), 0);
        CHECK_INT(cel_channel_new(sizeof(item), 0, &x.channels[0]), 0);
        CHECK_INT(cel_channel_new(sizeof(item), 3, &x.channels[1]), 0);
        for (int i = 0; i < EXCHANGE_THREADS; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, exchange_on_thread, &x), 0);
        CHECK_INT(cel_runtime_run(x.runtime, "tasks", exchange_in_tasks, &x), 0);
        for (int i = 0; i < EXCHANGE_THREADS; i++)
                pthread_join(threads[i], NULL);
        for (int i = 0; i < 2; i++) {
                while (cel_channel_try_receive(x.channels[i], &item) == 0) {
                        x.received++;
                        x.received_sum += item;
                }
                cel_channel_unref(x.channels[i]);
        }
        CHECK(atomic_load(&x.sent) > 0);
        CHECK_INT(x.sent, x.received);
        CHECK_INT(x.sent_sum, x.received_sum);
        cel_runtime_free(x.runtime);
}
