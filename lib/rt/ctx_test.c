/* SPDX-License-Identifier: Apache-2.0
 *
 * What only a thread's ctx can get wrong, because others run at the same time; cancelling from another thread; and what
 * a ctx knows. */
#include "fixture.h"
#include "rt/poller.h"
#include "test.h"

#include <celadon/channel.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A thread with a ctx that does one thing and says how it went. */
typedef struct worker {
        fixture *f;
        int (*fn)(cel_ctx *ctx, struct worker *w);
        pthread_t thread;
        sem_t begun;            /* posted by fn when its deadline is set */
        _Atomic(cel_ctx *) ctx; /* for cancelling; valid until `result_read` */
        sem_t result_read;
        _Atomic bool done;
        _Atomic pid_t id; /* the kernel's, of the thread */
        int result;
        cel_channel *channel;
} worker;

static void *worker_main(void *arg)
{
        worker *w = arg;
        cel_auto(cel_ctx) *ctx = NULL;

        if (cel_thread_ctx_new(w->f->runtime, "worker", &ctx) < 0)
                return NULL;
        atomic_store(&w->ctx, ctx);
        atomic_store(&w->id, gettid());
        w->result = w->fn(ctx, w);
        atomic_store(&w->done, true);
        while (sem_wait(&w->result_read) < 0)
                ;
        return NULL;
}

static void worker_start(worker *w, fixture *f, int (*fn)(cel_ctx *ctx, worker *w))
{
        w->f = f;
        w->fn = fn;
        sem_init(&w->begun, 0, 0);
        sem_init(&w->result_read, 0, 0);
        CHECK_INT(pthread_create(&w->thread, NULL, worker_main, w), 0);
        while (sem_wait(&w->begun) < 0)
                ;
}

/* Until the kernel says that the worker sleeps, and not yet because it is done. Whoever wakes it makes it
 * "running" first. */
static void worker_wait_until_it_waits(worker *w)
{
        char path[64], state = 0;

        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)atomic_load(&w->id));
        while (state != 'S') {
                FILE *file = fopen(path, "r");

                CHECK(file != NULL);
                if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
                        state = 0;
                fclose(file);
                sched_yield();
        }
        CHECK(!atomic_load(&w->done));
}

/* Turn the loop and give way until the worker has its result. */
static int worker_join(worker *w)
{
        while (!atomic_load(&w->done)) {
                fixture_settle(w->f);
                sched_yield();
        }
        sem_post(&w->result_read);
        pthread_join(w->thread, NULL);
        sem_destroy(&w->begun);
        sem_destroy(&w->result_read);
        return w->result;
}

static int sleep_100_within_50(cel_ctx *ctx, worker *w)
{
        CEL_WITHIN_MS(ctx, 50);
        sem_post(&w->begun);
        return cel_sleep_ms(ctx, 100);
}

TEST(one_step_of_the_clock_ends_a_threads_wait_whether_or_not_it_has_begun)
{
        fixture f = fixture_new();

        for (int i = 0; i < 200; i++) {
                worker w = {0};

                worker_start(&w, &f, sleep_100_within_50);
                cel_clock_advance_ms(f.clock, 50); /* once, and never again */
                CHECK_INT(worker_join(&w), CEL_ETIMEDOUT);
        }
        fixture_free(&f);
}

static int sleep_then_everything(cel_ctx *ctx, worker *w)
{
        cel_auto(cel_future) *future = NULL;
        int value = 1;

        sem_post(&w->begun);
        if (cel_sleep_ms(ctx, 1000) != CEL_ECANCELED || !cel_ctx_canceled(ctx))
                return CEL_EPROTO;
        /* … and so does every wait from now on. */
        if (cel_sleep_ms(ctx, 0) != CEL_ECANCELED || cel_yield(ctx) != CEL_ECANCELED ||
            cel_channel_send(ctx, w->channel, &value) != CEL_ECANCELED ||
            cel_channel_receive(ctx, w->channel, &value) != CEL_ECANCELED || cel_future_new(&future) < 0)
                return CEL_EPROTO;
        return cel_await(ctx, future, NULL);
}

TEST(cancelling_a_threads_ctx_from_another_thread_ends_its_wait_and_every_later_one)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;

        CHECK_INT(cel_channel_new(sizeof(int), 1, &channel), 0);
        for (int i = 0; i < 200; i++) {
                worker w = {.channel = channel};

                worker_start(&w, &f, sleep_then_everything);
                if (i % 2) /* every other one while it surely waits, the rest whenever it happens */
                        worker_wait_until_it_waits(&w);
                cel_ctx_cancel(atomic_load(&w.ctx));
                CHECK_INT(worker_join(&w), CEL_ECANCELED);
        }
        fixture_free(&f);
}

/* --- A task, cancelled from elsewhere --------------------------------------------------------- */

static int spin_until_canceled(cel_ctx *ctx, void *arg)
{
        atomic_store((_Atomic bool *)arg, true);
        while (!cel_ctx_canceled(ctx))
                sched_yield();
        return cel_sleep_ms(ctx, 1);
}

typedef struct canceler {
        cel_task *task;
        _Atomic bool spinning;
} canceler;

static void *thread_cancels(void *arg)
{
        canceler *c = arg;

        while (!atomic_load(&c->spinning))
                sched_yield();
        cel_task_cancel(c->task);
        cel_task_cancel(c->task);
        return NULL;
}

TEST(a_task_that_only_looks_sees_that_another_thread_cancelled_it)
{
        fixture f = fixture_new();
        canceler c = {0};
        pthread_t thread;

        CHECK_INT(cel__task_spawn(f.scope, NULL, "spinner", spin_until_canceled, &c.spinning, &c.task), 0);
        CHECK_INT(pthread_create(&thread, NULL, thread_cancels, &c), 0);
        fixture_settle(&f);
        CHECK_RESULT(c.task, CEL_ECANCELED);
        pthread_join(thread, NULL);
        cel_task_unref(c.task);
        fixture_free(&f);
}

static int sleep_long(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_sleep_ms(ctx, 1000000);
}

TEST(a_task_that_waits_is_cancelled_from_another_thread)
{
        fixture f = fixture_new();
        canceler c = {.task = fixture_spawn(&f, "sleeper", sleep_long, NULL), .spinning = true};
        pthread_t thread;

        CHECK_INT(pthread_create(&thread, NULL, thread_cancels, &c), 0);
        fixture_wait(&f, c.task);
        CHECK_RESULT(c.task, CEL_ECANCELED);
        pthread_join(thread, NULL);
        fixture_free(&f);
}

/* --- What a ctx knows ------------------------------------------------------------------------- */

/* A ctx for the test's own thread. */
static cel_ctx *own_ctx(fixture *f, const char *name)
{
        cel_ctx *ctx;

        cel__loop_leave(cel__runtime_loop(f->runtime)); /* a loop's thread must not block */
        CHECK_INT(cel_thread_ctx_new(f->runtime, name, &ctx), 0);
        cel__loop_adopt(cel__runtime_loop(f->runtime));
        return ctx;
}

TEST(a_name_is_cut_at_47_bytes_and_a_request_id_at_63)
{
        fixture f = fixture_new();
        char text[100];

        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        cel_ctx *ctx = own_ctx(&f, text);
        CHECK_INT(strlen(cel_ctx_name(ctx)), 47);
        CHECK_STR(cel_ctx_request_id(ctx), "");
        cel_ctx_set_request_id(ctx, text);
        CHECK_INT(strlen(cel_ctx_request_id(ctx)), 63);
        CHECK(cel_ctx_runtime(ctx) == f.runtime);
        cel_thread_ctx_free(ctx);
        fixture_free(&f);
}

TEST(a_request_id_can_be_set_to_itself_or_a_part_of_itself)
{
        fixture f = fixture_new();
        cel_ctx *ctx = own_ctx(&f, "ctx");

        cel_ctx_set_request_id(ctx, "req-1234");
        cel_ctx_set_request_id(ctx, cel_ctx_request_id(ctx));
        CHECK_STR(cel_ctx_request_id(ctx), "req-1234");
        cel_ctx_set_request_id(ctx, cel_ctx_request_id(ctx) + 4);
        CHECK_STR(cel_ctx_request_id(ctx), "1234");
        cel_thread_ctx_free(ctx);
        fixture_free(&f);
}

TEST(an_error_text_belongs_to_its_code_and_may_be_used_to_make_the_next)
{
        fixture f = fixture_new();
        cel_ctx *ctx = own_ctx(&f, "ctx");

        CHECK_STR(cel_ctx_error_text(ctx, CEL_EIO), "input or output failed");
        CHECK_INT(cel_fail(ctx, CEL_EPROTO, "frame of %d bytes", 9), CEL_EPROTO);
        CHECK_STR(cel_ctx_error_text(ctx, CEL_EPROTO), "frame of 9 bytes");
        CHECK_STR(cel_ctx_error_text(ctx, CEL_EIO), "input or output failed");
        CHECK_INT(cel_fail(ctx, CEL_EIO, "read: %s", cel_ctx_error_text(ctx, CEL_EPROTO)), CEL_EIO);
        CHECK_STR(cel_ctx_error_text(ctx, CEL_EIO), "read: frame of 9 bytes");
        for (int i = 0; i < 100; i++)
                cel_fail(ctx, CEL_EIO, "again and %s", cel_ctx_error_text(ctx, CEL_EIO));
        CHECK_INT(strlen(cel_ctx_error_text(ctx, CEL_EIO)), 511);
        cel_thread_ctx_free(ctx);
        fixture_free(&f);
}

TEST(a_sleep_whose_end_is_the_deadline_ends_well_and_one_after_it_times_out)
{
        fixture f = fixture_new();
        cel_ctx *ctx = own_ctx(&f, "ctx");

        CHECK_INT(cel_ctx_deadline(ctx).ns, CEL_TIME_NEVER.ns);
        {
                CEL_WITHIN_MS(ctx, 0);
                CHECK_INT(cel_ctx_deadline(ctx).ns, cel_ctx_now(ctx).ns);
                CHECK_INT(cel_sleep_ms(ctx, 0), 0);
                CHECK_INT(cel_sleep_ms(ctx, -5), 0);
                CHECK_INT(cel_sleep_ms(ctx, 1), CEL_ETIMEDOUT);
                CHECK_INT(cel_sleep_ms(ctx, INT64_MAX), CEL_ETIMEDOUT);
        }
        CHECK_INT(cel_ctx_deadline(ctx).ns, CEL_TIME_NEVER.ns);
        CHECK_INT(cel_yield(ctx), 0);
        cel_thread_ctx_free(ctx);
        CHECK(cel_thread_ctx_free(NULL) == NULL);
        fixture_free(&f);
}

/* --- Waiting for a descriptor, with either ctx ------------------------------------------------ */

typedef struct fd_wait {
        int fd, events;
        int64_t within_ms; /* 0: no deadline */
} fd_wait;

static int wait_for_fd(cel_ctx *ctx, void *arg)
{
        const fd_wait *w = arg;
        CEL_WITHIN_MS(ctx, w->within_ms ? w->within_ms : INT64_MAX);

        return cel__fd_wait(ctx, w->fd, w->events, "test");
}

TEST_BOTH(a_wait_for_a_descriptor_ends_when_it_is_ready_and_says_for_what)
{
        fixture f = fixture_new();
        int ends[2];

        CHECK_INT(pipe(ends), 0);
        fd_wait w = {.fd = ends[0], .events = CEL__READABLE};
        fixture_actor *reader = fixture_act(&f, kind, "reader", wait_for_fd, &w);
        CHECK_WAITS(reader);
        CHECK_INT(write(ends[1], "x", 1), 1);
        fixture_settle(&f);
        CHECK_DONE(reader, CEL__READABLE);
        fd_wait room = {.fd = ends[1], .events = CEL__READABLE | CEL__WRITABLE};
        CHECK_DONE(fixture_act(&f, kind, "writer", wait_for_fd, &room), CEL__WRITABLE);
        fixture_free(&f);
        close(ends[0]);
        close(ends[1]);
}

TEST_BOTH(a_wait_for_a_descriptor_ends_by_its_deadline_and_by_cancellation)
{
        fixture f = fixture_new();
        int ends[2], other[2];

        CHECK_INT(pipe(ends), 0);
        CHECK_INT(pipe(other), 0);
        fd_wait w = {.fd = ends[0], .events = CEL__READABLE, .within_ms = 50};
        fd_wait forever = {.fd = other[0], .events = CEL__READABLE};
        fixture_actor *hasty = fixture_act(&f, kind, "hasty", wait_for_fd, &w);
        fixture_actor *patient = fixture_act(&f, kind, "patient", wait_for_fd, &forever);
        fixture_advance_ms(&f, 49);
        CHECK_WAITS(hasty);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(hasty, CEL_ETIMEDOUT);
        CHECK_WAITS(patient);
        fixture_cancel(patient);
        CHECK_DONE(patient, CEL_ECANCELED);
        fixture_free(&f);
        for (int i = 0; i < 2; i++) {
                close(ends[i]);
                close(other[i]);
        }
}

/* --- What an error says ----------------------------------------------------------------------- */

static int time_out_with_a_text(cel_ctx *ctx, void *arg)
{
        (void)arg;
        return cel_fail(ctx, CEL_ETIMEDOUT, "broker-a took too long");
}

static int time_out_twice(cel_ctx *ctx, void *arg)
{
        time_out_with_a_text(ctx, arg);
        CEL_WITHIN_MS(ctx, 0);
        return cel_sleep_ms(ctx, 1000);
}

TEST_BOTH(the_text_of_an_older_failure_is_not_taken_for_a_newer_ones)
{
        fixture f = fixture_new();
        fixture_actor *a = fixture_act(&f, kind, "unlucky", time_out_twice, NULL);

        CHECK_DONE(a, CEL_ETIMEDOUT);
        CHECK_STR(fixture_actor_text(a), "deadline passed");
        fixture_free(&f);
}

static int await_failing(cel_ctx *ctx, void *arg)
{
        return cel_task_await(ctx, arg);
}

TEST_BOTH(whoever_awaits_a_task_that_failed_gets_its_text)
{
        fixture f = fixture_new();
        cel_task *task = fixture_spawn(&f, "failing", time_out_with_a_text, NULL);
        fixture_actor *a = fixture_act(&f, kind, "waiter", await_failing, task);

        CHECK_DONE(a, CEL_ETIMEDOUT);
        CHECK_STR(fixture_actor_text(a), "broker-a took too long");
        fixture_free(&f);
}

/* --- Cleaning up that must wait --------------------------------------------------------------- */

typedef struct farewell {
        int during, after;
} farewell;

static int clean_up_when_canceled(cel_ctx *ctx, void *arg)
{
        farewell *f = arg;
        int r = cel_sleep_ms(ctx, 1000000);
        {
                CEL_SHIELDED_MS(ctx, 100);
                f->during = cel_sleep_ms(ctx, 50);
                if (f->during == 0)
                        f->during = cel_sleep_ms(ctx, 1000);
        }
        f->after = cel_sleep_ms(ctx, 1);
        return r;
}

TEST_BOTH(a_shielded_block_waits_although_cancelled_but_no_longer_than_it_said)
{
        fixture f = fixture_new();
        farewell g = {1, 1};
        fixture_actor *a = fixture_act(&f, kind, "leaving", clean_up_when_canceled, &g);

        fixture_cancel(a);
        CHECK_WAITS(a);
        fixture_advance_ms(&f, 50);
        CHECK_WAITS(a);
        fixture_cancel(a); /* again, while it is shielded */
        fixture_advance_ms(&f, 49);
        CHECK_WAITS(a);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(a, CEL_ECANCELED);
        CHECK_INT(g.during, CEL_ETIMEDOUT);
        CHECK_INT(g.after, CEL_ECANCELED);
        fixture_free(&f);
}

/* --- Interrupts ------------------------------------------------------------------------------- */

typedef struct parts {
        cel__interrupt outer, inner;
        int in_shield, in_inner, still, in_outer, after;
} parts;

/* Sleeps in each of its parts, and writes down what that came to. */
static int sleep_in_parts(cel_ctx *ctx, void *arg)
{
        parts *p = arg;

        cel__interrupt_enter(&p->outer, ctx);
        cel__interrupt_enter(&p->inner, ctx);
        {
                CEL_SHIELDED_MS(ctx, 20);

                p->in_shield = cel_sleep_ms(ctx, 10);
        }
        p->in_inner = cel_sleep_ms(ctx, 10);
        p->still = cel_yield(ctx);
        cel__interrupt_leave(&p->inner);
        p->in_outer = cel_sleep_ms(ctx, 10);
        cel__interrupt_leave(&p->outer);
        p->after = cel_sleep_ms(ctx, 10);
        return 0;
}

static int sleep_shielded(cel_ctx *ctx, void *arg)
{
        CEL_SHIELDED_MS(ctx, 1000);

        return sleep_in_parts(ctx, arg);
}

TEST_BOTH(an_interrupt_ends_what_waits_within_it_and_nothing_else)
{
        fixture f = fixture_new();
        parts p = {0};

        fixture_actor *sleeper = fixture_act(&f, kind, "sleeper", sleep_in_parts, &p);
        cel__interrupt_raise(&p.inner); /* in the shield, which holds it off */
        fixture_settle(&f);
        fixture_advance_ms(&f, 10);
        CHECK_INT(p.in_shield, 0);
        CHECK_INT(p.in_inner, CEL_ECANCELED);
        CHECK_INT(p.still, CEL_ECANCELED);
        CHECK_WAITS(sleeper); /* in the outer part */
        fixture_advance_ms(&f, 10);
        fixture_advance_ms(&f, 10);
        CHECK_DONE(sleeper, 0);
        CHECK_INT(p.in_outer, 0);
        CHECK_INT(p.after, 0);
        fixture_free(&f);
}

TEST_BOTH(an_interrupt_ends_what_waits_in_an_inner_one_and_under_a_shield_that_is_outside_of_it)
{
        fixture f = fixture_new();
        parts p = {0};

        fixture_actor *sleeper = fixture_act(&f, kind, "sleeper", sleep_shielded, &p);
        fixture_advance_ms(&f, 10);
        cel__interrupt_raise(&p.outer);
        fixture_settle(&f);
        CHECK_INT(p.in_inner, CEL_ECANCELED);
        CHECK_INT(p.in_outer, CEL_ECANCELED);
        CHECK_WAITS(sleeper); /* behind both */
        fixture_advance_ms(&f, 10);
        CHECK_DONE(sleeper, 0);
        CHECK_INT(p.after, 0);
        fixture_free(&f);
}

static void *raise_inner(void *arg)
{
        cel__interrupt_raise(&((parts *)arg)->inner);
        cel__interrupt_raise(&((parts *)arg)->outer);
        return NULL;
}

TEST_BOTH(an_interrupt_is_raised_from_another_thread)
{
        fixture f = fixture_new();
        parts p = {0};
        pthread_t thread;

        fixture_actor *sleeper = fixture_act(&f, kind, "sleeper", sleep_in_parts, &p);
        fixture_advance_ms(&f, 10);
        CHECK_INT(pthread_create(&thread, NULL, raise_inner, &p), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        fixture_settle(&f);
        CHECK_INT(p.in_inner, CEL_ECANCELED);
        CHECK_INT(p.in_outer, CEL_ECANCELED);
        fixture_advance_ms(&f, 10);
        CHECK_DONE(sleeper, 0);
        CHECK_INT(p.after, 0);
        fixture_free(&f);
}
