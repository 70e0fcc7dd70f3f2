/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads and tasks of two loops together, on the real clock: what goes in comes out, limits are kept, and nobody who can go
 * on is left waiting. */
#include "base/assert.h"
#include "fixture.h"
#include "test.h"

#include <celadon/channel.h>
#include <celadon/sync.h>
#include <sched.h>
#include <stdlib.h>

enum { LOOPS = 2, TASKS = 8, THREADS = 3, WORKERS = TASKS + THREADS };

/* Some workers in tasks of either loop and some on threads, all with the same function. */
typedef struct crew {
        cel_runtime *runtime;
        cel_task_fn fn;
        void *arg;
        _Atomic unsigned failed;
} crew;

static int work(cel_ctx *ctx, void *arg)
{
        crew *c = arg;
        int r = c->fn(ctx, c->arg);

        if (r < 0)
                atomic_fetch_add(&c->failed, 1);
        return r;
}

static void *work_on_thread(void *arg)
{
        crew *c = arg;
        cel_auto(cel_ctx) *ctx = NULL;

        cel_assert(cel_thread_ctx_new(c->runtime, "thread", &ctx) == 0);
        work(ctx, c);
        return NULL;
}

static int work_in_tasks(cel_ctx *ctx, void *arg)
{
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope);

        for (int i = 0; i < TASKS && r >= 0; i++)
                r = cel_spawn_on(ctx, scope, i % LOOPS, "worker", work, arg, NULL);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

static void run_crew(cel_runtime *runtime, cel_task_fn fn, void *arg)
{
        crew c = {.runtime = runtime, .fn = fn, .arg = arg};
        pthread_t threads[THREADS];

        for (int i = 0; i < THREADS; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, work_on_thread, &c), 0);
        CHECK_INT(cel_runtime_run(runtime, "tasks", work_in_tasks, &c), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        CHECK_INT(c.failed, 0);
}

/* --- However short the deadlines -------------------------------------------------------------- */

enum { TRIES = 3000, PERMITS = 3, BUFFER_MAX = 2, CHANNELS = 3 };

typedef struct hurry {
        uint64_t seed;
        _Atomic unsigned seeds;
        cel_semaphore *semaphore;
        _Atomic unsigned inside; /* the semaphore */
        cel_mutex *mutex;
        cel_condition *filled, *emptied;
        unsigned buffered, puts, gets; /* under the mutex */
        cel_channel *channels[CHANNELS];
        _Atomic unsigned next, sent, received;
        _Atomic unsigned long sent_sum, received_sum;
        cel_event *event;
        cel_rate *rate;
        _Atomic unsigned turns;
} hurry;

static int enter_and_leave(cel_ctx *ctx, hurry *h)
{
        int r = cel_semaphore_acquire(ctx, h->semaphore);

        if (r < 0)
                return r;
        if (atomic_fetch_add(&h->inside, 1) >= PERMITS)
                return CEL_EPROTO;
        cel_yield(ctx);
        atomic_fetch_sub(&h->inside, 1);
        return cel_semaphore_release(h->semaphore);
}

/* A bounded buffer, as it is made of a mutex and two conditions. */
static int put_or_get(cel_ctx *ctx, hurry *h, bool put)
{
        int r = cel_mutex_lock(ctx, h->mutex);

        if (r < 0)
                return r;
        while (r >= 0 && h->buffered == (put ? BUFFER_MAX : 0))
                r = cel_condition_wait(ctx, put ? h->emptied : h->filled, h->mutex);
        if (r >= 0) {
                h->buffered += put ? 1 : -1U;
                ++*(put ? &h->puts : &h->gets);
                cel_condition_signal(put ? h->filled : h->emptied);
        }
        cel_mutex_unlock(ctx, h->mutex);
        return r;
}

static int move_item(cel_ctx *ctx, hurry *h, fixture_random *random)
{
        cel_select_case cases[CHANNELS];
        unsigned items[CHANNELS], n = 1 + fixture_random_below(random, CHANNELS);

        for (unsigned i = 0; i < n; i++) {
                bool send = fixture_random_below(random, 2);

                items[i] = atomic_fetch_add(&h->next, 1);
                cases[i] = (cel_select_case){.channel = h->channels[fixture_random_below(random, CHANNELS)],
                                             .send_item = send ? &items[i] : NULL,
                                             .ret_item = send ? NULL : &items[i]};
        }
        int r = cel_select(ctx, cases, n);
        if (r < 0)
                return r;
        if (cases[r].status < 0)
                return cases[r].status;
        atomic_fetch_add(cases[r].send_item ? &h->sent : &h->received, 1);
        atomic_fetch_add(cases[r].send_item ? &h->sent_sum : &h->received_sum, items[r]);
        return 0;
}

static int wait_for_event(cel_ctx *ctx, hurry *h, fixture_random *random)
{
        if (fixture_random_below(random, 2))
                cel_event_set(h->event);
        else
                cel_event_clear(h->event);
        return cel_event_wait(ctx, h->event);
}

static int hurry_along(cel_ctx *ctx, void *arg)
{
        hurry *h = arg;
        fixture_random random = {.state = h->seed + atomic_fetch_add(&h->seeds, 1)};
        int r = 0;

        for (int i = 0; i < TRIES; i++) {
                CEL_WITHIN_MS(ctx, fixture_random_below(&random, 2)); /* nobody waits long: no deadlock */

                switch (fixture_random_below(&random, 6)) {
                case 0:
                        r = enter_and_leave(ctx, h);
                        break;
                case 1:
                        r = put_or_get(ctx, h, true);
                        break;
                case 2:
                        r = put_or_get(ctx, h, false);
                        break;
                case 3:
                        r = move_item(ctx, h, &random);
                        break;
                case 4:
                        r = wait_for_event(ctx, h, &random);
                        break;
                default:
                        r = cel_rate_wait(ctx, h->rate);
                        if (r >= 0)
                                atomic_fetch_add(&h->turns, 1);
                }
                if (r < 0 && r != CEL_ETIMEDOUT)
                        return r;
        }
        return 0;
}

static void check_channels(hurry *h)
{
        unsigned item;

        for (int i = 0; i < CHANNELS; i++) {
                while (cel_channel_try_receive(h->channels[i], &item) == 0) {
                        h->received++;
                        h->received_sum += item;
                }
                cel_channel_unref(h->channels[i]);
        }
        CHECK(atomic_load(&h->sent) > 0);
        CHECK_INT(h->sent, h->received);
        CHECK_INT(h->sent_sum, h->received_sum);
}

TEST(nothing_is_lost_or_doubled_however_short_the_deadlines)
{
        hurry h = {.seed = fixture_random_new().state};
        cel_auto(cel_runtime) *runtime = NULL;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = LOOPS}, &runtime), 0);
        CHECK_INT(cel_semaphore_new(PERMITS, PERMITS, &h.semaphore), 0);
        CHECK_INT(cel_mutex_new(&h.mutex), 0);
        CHECK_INT(cel_condition_new(&h.filled), 0);
        CHECK_INT(cel_condition_new(&h.emptied), 0);
        CHECK_INT(cel_event_new(&h.event), 0);
        for (unsigned i = 0; i < CHANNELS; i++)
                CHECK_INT(cel_channel_new(sizeof(unsigned), i, &h.channels[i]), 0);
        CHECK_INT(cel_rate_new(runtime, 1, 1, 2, &h.rate), 0);

        int64_t begun_ns = cel_clock_now(cel_clock_system()).ns;
        run_crew(runtime, hurry_along, &h);
        int64_t took_ms = (cel_clock_now(cel_clock_system()).ns - begun_ns) / CEL_NS_PER_MS + 1;

        check_channels(&h);
        CHECK_INT(h.puts, h.gets + h.buffered);
        CHECK(h.puts > 0);
        CHECK_INT(cel_semaphore_permits(h.semaphore), PERMITS);
        CHECK(h.turns > 0);
        CHECK(h.turns <= took_ms + 2);
        cel_semaphore_free(h.semaphore);
        cel_condition_free(h.filled);
        cel_condition_free(h.emptied);
        cel_mutex_free(h.mutex);
        cel_event_free(h.event);
        cel_rate_free(h.rate);
}

/* --- Without any deadline --------------------------------------------------------------------- */

enum { ITEMS = 1000, PRODUCERS = WORKERS / 2 };

/* Producers and consumers that wait for as long as it takes: a wake-up that is lost hangs the test. */
typedef struct line {
        cel_channel *channels[2];
        cel_mutex *mutex;
        cel_condition *changed;
        unsigned baton; /* whose turn it is, under the mutex */
        _Atomic unsigned workers, producing;
        _Atomic unsigned sent, received;
        cel_semaphore *tokens;
        _Atomic unsigned tokens_taken;
} line;

/* Send ITEMS items, sometimes to the one channel and sometimes to the other, whichever has a receiver. */
static int produce(cel_ctx *ctx, line *l)
{
        int r = 0;

        for (int i = 0; i < ITEMS && r >= 0; i++) {
                cel_select_case cases[] = {{.channel = l->channels[i % 2], .send_item = &i},
                                           {.channel = l->channels[1 - i % 2], .send_item = &i}};

                r = cel_select(ctx, cases, 2);
                atomic_fetch_add(&l->sent, r >= 0);
                if (r >= 0)
                        r = cel_semaphore_release(l->tokens);
        }
        if (atomic_fetch_sub(&l->producing, 1) == 1)
                for (int i = 0; i < 2; i++)
                        cel_channel_close(l->channels[i]);
        return r;
}

static int consume(cel_ctx *ctx, line *l)
{
        cel_channel *left = l->channels[0], *right = l->channels[1];

        while (left || right) {
                int item;
                cel_select_case cases[] = {{.channel = left, .ret_item = &item},
                                           {.channel = right, .ret_item = &item}};
                int r = cel_select(ctx, cases, 2);

                if (r < 0)
                        return r;
                if (cases[r].status == CEL_ECLOSED) {
                        *(r == 0 ? &left : &right) = NULL;
                        continue;
                }
                atomic_fetch_add(&l->received, 1);
                r = cel_semaphore_acquire(ctx, l->tokens);
                if (r < 0)
                        return r;
                atomic_fetch_add(&l->tokens_taken, 1);
        }
        return 0;
}

/* Pass the baton around, each in its turn. */
static int pass_baton(cel_ctx *ctx, line *l, unsigned me)
{
        int r = cel_mutex_lock(ctx, l->mutex);

        if (r < 0)
                return r;
        for (int round = 0; round < 50 && r >= 0; round++) {
                while (l->baton % WORKERS != me && r >= 0)
                        r = cel_condition_wait(ctx, l->changed, l->mutex);
                l->baton++;
                cel_condition_broadcast(l->changed);
        }
        cel_mutex_unlock(ctx, l->mutex);
        return r;
}

static int stand_in_line(cel_ctx *ctx, void *arg)
{
        line *l = arg;
        unsigned me = atomic_fetch_add(&l->workers, 1);
        int r = pass_baton(ctx, l, me);

        if (r < 0)
                return r;
        return me < PRODUCERS ? produce(ctx, l) : consume(ctx, l);
}

TEST(nobody_who_can_go_on_is_left_waiting)
{
        line l = {.producing = PRODUCERS};
        cel_auto(cel_runtime) *runtime = NULL;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = LOOPS}, &runtime), 0);
        CHECK_INT(cel_channel_new(sizeof(int), 0, &l.channels[0]), 0);
        CHECK_INT(cel_channel_new(sizeof(int), 1, &l.channels[1]), 0);
        CHECK_INT(cel_mutex_new(&l.mutex), 0);
        CHECK_INT(cel_condition_new(&l.changed), 0);
        CHECK_INT(cel_semaphore_new(0, PRODUCERS * ITEMS, &l.tokens), 0);
        run_crew(runtime, stand_in_line, &l);
        CHECK_INT(l.baton, 50 * WORKERS);
        CHECK_INT(l.sent, PRODUCERS * ITEMS);
        CHECK_INT(l.received, PRODUCERS * ITEMS);
        CHECK_INT(l.tokens_taken, PRODUCERS * ITEMS);
        CHECK_INT(cel_semaphore_permits(l.tokens), 0);
        cel_semaphore_free(l.tokens);
        cel_condition_free(l.changed);
        cel_mutex_free(l.mutex);
        for (int i = 0; i < 2; i++)
                cel_channel_unref(l.channels[i]);
}

/* --- Two alone -------------------------------------------------------------------------------- */

enum { MEETINGS = 20000 };

/* Nobody else comes by: if the two miss each other once, they wait for ever. */
typedef struct pair {
        cel_runtime *runtime;
        cel_channel *channels[2];
        _Atomic unsigned arrivals;
} pair;

/* Go on together, as nearly at one moment as can be had: whoever is woken is late. */
static void start_together(pair *p, unsigned meeting)
{
        atomic_fetch_add(&p->arrivals, 1);
        for (unsigned spins = 0; atomic_load(&p->arrivals) < 2 * (meeting + 1); spins++)
                if (spins > 1000)
                        sched_yield();
}

static int meet(cel_ctx *ctx, pair *p, bool send)
{
        int item = 0, r = 0;

        for (int i = 0; i < MEETINGS && r >= 0; i++) {
                cel_select_case cases[] = {
                        {.channel = p->channels[send],
                         .send_item = send ? &i : NULL,
                         .ret_item = send ? NULL : &item},
                        {.channel = p->channels[!send],
                         .send_item = send ? &i : NULL,
                         .ret_item = send ? NULL : &item},
                };

                start_together(p, (unsigned)i);
                r = cel_select(ctx, cases, 2);
                if (!send && item != i)
                        return CEL_EPROTO;
        }
        return r;
}

static int send_in_task(cel_ctx *ctx, void *arg)
{
        return meet(ctx, arg, true);
}

static void *meet_on_thread(pair *p, bool send)
{
        cel_auto(cel_ctx) *ctx = NULL;

        cel_assert(cel_thread_ctx_new(p->runtime, "one", &ctx) == 0);
        cel_assert(meet(ctx, p, send) >= 0);
        return NULL;
}

static void *receive_on_thread(void *arg)
{
        return meet_on_thread(arg, false);
}

static void *send_on_thread(void *arg)
{
        return meet_on_thread(arg, true);
}

TEST(two_selects_that_look_at_the_same_moment_do_not_miss_each_other)
{
        pair p = {0};
        pthread_t sender, receiver;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = LOOPS}, &p.runtime), 0);
        for (int i = 0; i < 2; i++)
                CHECK_INT(cel_channel_new(sizeof(int), 0, &p.channels[i]), 0);
        CHECK_INT(pthread_create(&receiver, NULL, receive_on_thread, &p), 0);
        CHECK_INT(cel_runtime_run(p.runtime, "sender", send_in_task, &p) >= 0, 1);
        pthread_join(receiver, NULL);
        atomic_store(&p.arrivals, 0);
        CHECK_INT(pthread_create(&receiver, NULL, receive_on_thread, &p), 0);
        CHECK_INT(pthread_create(&sender, NULL, send_on_thread, &p), 0);
        pthread_join(sender, NULL);
        pthread_join(receiver, NULL);
        for (int i = 0; i < 2; i++)
                cel_channel_unref(p.channels[i]);
        cel_runtime_free(p.runtime);
}

/* --- Cancelled at any moment ------------------------------------------------------------------ */

enum { VICTIMS = 4000 };

/* Tasks that take something and give it back, cancelled by a thread while other threads give and take. */
typedef struct hunt {
        cel_runtime *runtime;
        cel_semaphore *semaphore;
        cel_mutex *mutex;
        cel_channel *channels[2];
        cel_channel *prey; /* of cel_task *: references that the hunter drops */
        unsigned locked;   /* under the mutex, counted by all */
        _Atomic unsigned locks, sent, received, kinds;
        _Atomic bool over;
} hunt;

static int lock_once(cel_ctx *ctx, hunt *h)
{
        int r = cel_mutex_lock(ctx, h->mutex);

        if (r < 0)
                return r;
        unsigned n = h->locked;
        r = cel_yield(ctx);
        h->locked = n + 1;
        atomic_fetch_add(&h->locks, 1);
        cel_mutex_unlock(ctx, h->mutex);
        return r;
}

static int select_once(cel_ctx *ctx, hunt *h)
{
        int item = 1, got;
        cel_select_case cases[] = {{.channel = h->channels[0], .send_item = &item},
                                   {.channel = h->channels[1], .ret_item = &got}};
        int r = cel_select(ctx, cases, 2);

        if (r >= 0)
                atomic_fetch_add(r == 0 ? &h->sent : &h->received, 1);
        return r;
}

static int permit_once(cel_ctx *ctx, hunt *h)
{
        int r = cel_semaphore_acquire(ctx, h->semaphore);

        if (r < 0)
                return r;
        cel_yield(ctx);
        return cel_semaphore_release(h->semaphore);
}

static int run_victim(cel_ctx *ctx, void *arg)
{
        hunt *h = arg;

        switch (atomic_fetch_add(&h->kinds, 1) % 3) {
        case 0:
                return lock_once(ctx, h);
        case 1:
                return select_once(ctx, h);
        default:
                return permit_once(ctx, h);
        }
}

static int spawn_victims(cel_ctx *ctx, void *arg)
{
        hunt *h = arg;
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);

        for (int i = 0; i < VICTIMS && r >= 0; i++) {
                cel_task *task;

                r = cel_spawn_on(ctx, scope, i % LOOPS, "victim", run_victim, h, &task);
                if (r >= 0)
                        r = cel_channel_send(ctx, h->prey, &task);
        }
        cel_channel_close(h->prey);
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed == CEL_ECANCELED ? 0 : closed; /* that is how victims end */
}

static void *hunter(void *arg)
{
        hunt *h = arg;
        cel_auto(cel_ctx) *ctx = NULL;
        cel_task *task;

        cel_assert(cel_thread_ctx_new(h->runtime, "hunter", &ctx) == 0);
        while (cel_channel_receive(ctx, h->prey, &task) >= 0) {
                cel_task_cancel(task);
                cel_task_unref(task);
        }
        return NULL;
}

/* Gives and takes, so that the victims are sometimes served the moment they are cancelled. */
static void *bystander(void *arg)
{
        hunt *h = arg;
        cel_auto(cel_ctx) *ctx = NULL;
        int item = 1;

        cel_assert(cel_thread_ctx_new(h->runtime, "bystander", &ctx) == 0);
        while (!atomic_load(&h->over)) {
                CEL_WITHIN_MS(ctx, 1);

                lock_once(ctx, h);
                permit_once(ctx, h);
                if (cel_channel_try_receive(h->channels[0], &item) == 0)
                        atomic_fetch_add(&h->received, 1);
                if (cel_channel_try_send(h->channels[1], &item) == 0)
                        atomic_fetch_add(&h->sent, 1);
        }
        return NULL;
}

TEST(tasks_that_are_cancelled_at_any_moment_take_nothing_along)
{
        hunt h = {0};
        pthread_t threads[2];
        int item;

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = LOOPS}, &h.runtime), 0);
        CHECK_INT(cel_semaphore_new(2, 2, &h.semaphore), 0);
        CHECK_INT(cel_mutex_new(&h.mutex), 0);
        CHECK_INT(cel_channel_new(sizeof(int), 0, &h.channels[0]), 0);
        CHECK_INT(cel_channel_new(sizeof(int), 1, &h.channels[1]), 0);
        CHECK_INT(cel_channel_new(sizeof(cel_task *), 16, &h.prey), 0);
        CHECK_INT(pthread_create(&threads[0], NULL, hunter, &h), 0);
        CHECK_INT(pthread_create(&threads[1], NULL, bystander, &h), 0);
        CHECK_INT(cel_runtime_run(h.runtime, "spawner", spawn_victims, &h), 0);
        atomic_store(&h.over, true);
        for (int i = 0; i < 2; i++)
                pthread_join(threads[i], NULL);
        while (cel_channel_try_receive(h.channels[1], &item) == 0)
                h.received++;
        CHECK_INT(h.sent, h.received);
        CHECK_INT(h.locked, h.locks);
        CHECK_INT(cel_semaphore_permits(h.semaphore), 2);
        cel_semaphore_free(h.semaphore);
        cel_mutex_free(h.mutex);
        for (int i = 0; i < 2; i++)
                cel_channel_unref(h.channels[i]);
        cel_channel_unref(h.prey);
        cel_runtime_free(h.runtime);
}
