/* SPDX-License-Identifier: Apache-2.0
 *
 * Celadon's side of bench/micro. All but the raw switch and the timers goes through the public API. */
#include "micro.h"
#include "rt/fiber.h"
#include "rt/timer.h"

#include <celadon/celadon.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        TASKS = 100,     /* that yield in turn, or are spawned together */
        TIMERS = 100000, /* armed meanwhile */
        TIMER_FIRST_S = 100,
        TIMER_RANGE_S = 100, /* in which they are due */
        ITEMS_MAX = 1024,    /* in a channel that is filled as fast as it goes */
        LOOPS = 2, /* one works, the other waits: with one thread only, glibc leaves out what makes its locks safe */
        STACK_BYTES = 64 * 1024,
};

/* --- Running something in a runtime ----------------------------------------------------------- */

typedef struct job {
        double (*measure)(cel_ctx *ctx, unsigned n);
        unsigned n;
        double ns;
} job;

static int run_job(cel_ctx *ctx, void *arg)
{
        job *j = arg;

        j->ns = j->measure(ctx, j->n);
        return 0;
}

static double in_runtime(unsigned loops, double (*measure)(cel_ctx *ctx, unsigned n), unsigned n)
{
        job j = {.measure = measure, .n = n};
        cel_runtime *runtime;

        micro_expect(cel_runtime_new(&(cel_runtime_options){.loops = loops}, &runtime), "runtime");
        micro_expect(cel_runtime_run(runtime, "bench", run_job, &j), "run");
        cel_runtime_free(runtime);
        return j.ns;
}

static cel_scope *open_scope(cel_ctx *ctx)
{
        cel_scope *scope;

        micro_expect(cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope), "scope");
        return scope;
}

static void spawn(cel_ctx *ctx, cel_scope *scope, int loop, cel_task_fn fn, void *arg)
{
        micro_expect(cel_spawn_on(ctx, scope, loop, "task", fn, arg, NULL), "spawn");
}

/* --- One loop --------------------------------------------------------------------------------- */

static cel__fiber here, there;

static void bounce(void *unused)
{
        (void)unused;
        for (;;)
                cel__fiber_switch(&there, &here);
}

static double measure_switch(unsigned n)
{
        void *stack = malloc(STACK_BYTES);

        if (!stack)
                micro_expect(CEL_ENOMEM, "stack");
        cel__fiber_init_thread(&here);
        cel__fiber_init(&there, stack, STACK_BYTES, bounce, NULL);
        double start = micro_cpu_ns();
        for (unsigned i = 0; i < n; i += 2)
                cel__fiber_switch(&here, &there);
        double ns = micro_cpu_ns() - start;
        cel__fiber_fini(&there);
        free(stack);
        return ns;
}

static int yield_often(cel_ctx *ctx, void *arg)
{
        unsigned n = *(unsigned *)arg;
        int r = 0;

        for (unsigned i = 0; i < n && r >= 0; i++)
                r = cel_yield(ctx);
        return r;
}

static double run_yield(cel_ctx *ctx, unsigned n)
{
        cel_scope *scope = open_scope(ctx);
        unsigned each = n / TASKS;

        for (int i = 0; i < TASKS; i++)
                spawn(ctx, scope, CEL_LOOP_OF_SCOPE, yield_often, &each);
        micro_expect(cel_yield(ctx), "yield"); /* each has begun */
        double start = micro_cpu_ns();
        micro_expect(cel_scope_close(ctx, scope), "yield");
        return micro_cpu_ns() - start;
}

static double measure_yield(unsigned n)
{
        return in_runtime(LOOPS, run_yield, n);
}

static int do_nothing(cel_ctx *ctx, void *arg)
{
        (void)ctx, (void)arg;
        return 0;
}

static double run_spawn(cel_ctx *ctx, unsigned n)
{
        double start = micro_cpu_ns();

        for (unsigned i = 0; i < n; i += TASKS) {
                cel_scope *scope = open_scope(ctx);

                for (int k = 0; k < TASKS; k++)
                        spawn(ctx, scope, CEL_LOOP_OF_SCOPE, do_nothing, NULL);
                micro_expect(cel_scope_close(ctx, scope), "spawn");
        }
        return micro_cpu_ns() - start;
}

static double measure_spawn(unsigned n)
{
        return in_runtime(LOOPS, run_spawn, n);
}

static void never_due(cel__timer *timer)
{
        (void)timer;
        abort();
}

static cel_time some_time(cel_time now)
{
        return cel_time_add_ms(now, 1000 * (TIMER_FIRST_S + random() % TIMER_RANGE_S) + random() % 1000);
}

static double measure_timer(unsigned n)
{
        cel__timer *armed = calloc(TIMERS, sizeof(*armed)), one;
        cel_time *times = calloc(TIMERS, sizeof(*times));
        cel_time now = cel_clock_now(cel_clock_system());
        cel__timers timers;

        if (!armed || !times)
                micro_expect(CEL_ENOMEM, "timers");
        cel__timers_init(&timers);
        for (int i = 0; i < TIMERS; i++) {
                cel__timer_init(&armed[i], never_due);
                micro_expect(cel__timer_set(&timers, &armed[i], some_time(now)), "timer");
                times[i] = some_time(now);
        }
        cel__timer_init(&one, never_due);
        double start = micro_cpu_ns();
        for (unsigned i = 0; i < n; i++) {
                micro_expect(cel__timer_set(&timers, &one, times[i % TIMERS]), "timer");
                cel__timer_unset(&timers, &one);
        }
        double ns = micro_cpu_ns() - start;
        cel__timers_fini(&timers);
        free(times);
        free(armed);
        return ns;
}

/* --- Channels --------------------------------------------------------------------------------- */

typedef struct flow {
        cel_channel *to, *from; /* `from` NULL: one way only */
        unsigned n;
        int loop;        /* the receiver's; the sender is on loop 0 */
        micro_core core; /* likewise */
} flow;

static cel_channel *make_channel(size_t items_max)
{
        cel_channel *channel;

        micro_expect(cel_channel_new(sizeof(unsigned), items_max, &channel), "channel");
        return channel;
}

static int send_all(cel_ctx *ctx, void *arg)
{
        flow *f = arg;
        unsigned back;
        int r = 0;

        for (unsigned i = 0; i < f->n && r >= 0; i++) {
                r = cel_channel_send(ctx, f->to, &i);
                if (r >= 0 && f->from)
                        r = cel_channel_receive(ctx, f->from, &back);
        }
        return r;
}

static int receive_all(cel_ctx *ctx, void *arg)
{
        flow *f = arg;
        unsigned item;
        int r = 0;

        micro_pin(f->core);
        for (unsigned i = 0; i < f->n && r >= 0; i++) {
                r = cel_channel_receive(ctx, f->to, &item);
                if (r >= 0 && f->from)
                        r = cel_channel_send(ctx, f->from, &item);
        }
        return r;
}

static double run_flow(cel_ctx *ctx, flow f)
{
        double (*now_ns)(void) = f.loop == 0 ? micro_cpu_ns : micro_now_ns;
        cel_scope *scope = open_scope(ctx);

        micro_pin(MICRO_FIRST);
        spawn(ctx, scope, f.loop, receive_all, &f);
        double start = now_ns();
        micro_expect(send_all(ctx, &f), "send");
        micro_expect(cel_scope_close(ctx, scope), "receive");
        double ns = now_ns() - start;
        cel_channel_unref(f.to);
        cel_channel_unref(f.from);
        return ns;
}

static double run_channel(cel_ctx *ctx, unsigned n)
{
        return run_flow(ctx, (flow){.to = make_channel(0), .n = n});
}

static double measure_channel(unsigned n)
{
        return in_runtime(LOOPS, run_channel, n);
}

static double run_handoff(cel_ctx *ctx, unsigned n)
{
        return run_flow(ctx, (flow){make_channel(1), make_channel(1), n / 2, 1, MICRO_OTHER});
}

static double measure_handoff(unsigned n)
{
        return in_runtime(LOOPS, run_handoff, n);
}

static double run_handoff_near(cel_ctx *ctx, unsigned n)
{
        return run_flow(ctx, (flow){make_channel(1), make_channel(1), n / 2, 1, MICRO_FIRST});
}

static double measure_handoff_near(unsigned n)
{
        return in_runtime(LOOPS, run_handoff_near, n);
}

static double run_stream(cel_ctx *ctx, unsigned n)
{
        return run_flow(ctx, (flow){make_channel(ITEMS_MAX), NULL, n, 1, MICRO_OTHER});
}

static double measure_stream(unsigned n)
{
        return in_runtime(LOOPS, run_stream, n);
}

/* --- From a thread that is no loop's ---------------------------------------------------------- */

/* Run `main` on a thread of its own, while the loop waits for it. */
typedef struct outsider {
        cel_runtime *runtime;
        cel_future *done;
        double (*main)(struct outsider *outsider);
        unsigned n;
        flow flow;
        micro_core core; /* of the thread; the loop is on the first */
        double ns;
} outsider;

static void *outsider_main(void *arg)
{
        outsider *o = arg;

        micro_pin(o->core);
        o->ns = o->main(o);
        cel_future_complete(o->done, 0, NULL);
        return NULL;
}

static double run_outsider(cel_ctx *ctx, outsider *o)
{
        pthread_t thread;

        micro_pin(MICRO_FIRST);
        o->runtime = cel_ctx_runtime(ctx);
        micro_expect(cel_future_new(&o->done), "future");
        micro_expect(-pthread_create(&thread, NULL, outsider_main, o), "thread");
        if (o->flow.to)
                micro_expect(receive_all(ctx, &o->flow), "receive");
        micro_expect(cel_await(ctx, o->done, NULL), "await");
        pthread_join(thread, NULL);
        cel_future_unref(o->done);
        return o->ns;
}

static double send_from_thread(outsider *o)
{
        cel_ctx *ctx;

        micro_expect(cel_thread_ctx_new(o->runtime, "outsider", &ctx), "ctx");
        double start = micro_now_ns();
        micro_expect(send_all(ctx, &o->flow), "send");
        double ns = micro_now_ns() - start;
        cel_thread_ctx_free(ctx);
        return ns;
}

static double run_thread_handoff(cel_ctx *ctx, unsigned n)
{
        outsider o = {.main = send_from_thread,
                      .core = MICRO_OTHER,
                      .flow = {.to = make_channel(1), .from = make_channel(1), .n = n / 2}};
        double ns = run_outsider(ctx, &o);

        cel_channel_unref(o.flow.to);
        cel_channel_unref(o.flow.from);
        return ns;
}

static double measure_thread_handoff(unsigned n)
{
        return in_runtime(1, run_thread_handoff, n);
}

static void on_latency_post(void *unused)
{
        (void)unused;
        micro_answer();
}

static void post_once(void *runtime)
{
        micro_expect(cel_post(runtime, on_latency_post, NULL), "post");
}

static double post_slowly(outsider *o)
{
        return micro_latency(o->n, post_once, o->runtime);
}

static double run_post_latency(cel_ctx *ctx, unsigned n)
{
        outsider o = {.main = post_slowly, .n = n, .core = MICRO_OTHER};

        return run_outsider(ctx, &o);
}

static double measure_post_latency(unsigned n)
{
        return in_runtime(1, run_post_latency, n);
}

static double run_post_latency_near(cel_ctx *ctx, unsigned n)
{
        outsider o = {.main = post_slowly, .n = n, .core = MICRO_FIRST};

        return run_outsider(ctx, &o);
}

static double measure_post_latency_near(unsigned n)
{
        return in_runtime(1, run_post_latency_near, n);
}

static _Atomic unsigned posts_run;

static void on_post(void *unused)
{
        (void)unused;
        atomic_store_explicit(&posts_run, atomic_load_explicit(&posts_run, memory_order_relaxed) + 1,
                              memory_order_release);
}

static double post_all(outsider *o)
{
        atomic_store(&posts_run, 0);
        double start = micro_now_ns();
        for (unsigned i = 0; i < o->n; i++) {
                int r;

                while ((r = cel_post(o->runtime, on_post, NULL)) == CEL_EFULL)
                        sched_yield();
                micro_expect(r, "post");
        }
        while (atomic_load_explicit(&posts_run, memory_order_acquire) < o->n)
                sched_yield();
        return micro_now_ns() - start;
}

static double run_post(cel_ctx *ctx, unsigned n)
{
        outsider o = {.main = post_all, .n = n, .core = MICRO_OTHER};

        return run_outsider(ctx, &o);
}

static double measure_post(unsigned n)
{
        return in_runtime(1, run_post, n);
}

int main(int argc, char **argv)
{
        static const micro_measure measures[] = {
                {"switch", measure_switch},
                {"yield", measure_yield},
                {"spawn", measure_spawn},
                {"timer", measure_timer},
                {"channel", measure_channel},
                {"handoff", measure_handoff},
                {"handoff-near", measure_handoff_near},
                {"thread-handoff", measure_thread_handoff},
                {"stream", measure_stream},
                {"post-latency", measure_post_latency},
                {"post-latency-near", measure_post_latency_near},
                {"post", measure_post},
                {0},
        };

        return micro_main(argc, argv, measures);
}
