/* SPDX-License-Identifier: Apache-2.0
 *
 * The peers of bench/micro in C: Boost.Context, libuv, POSIX threads, and bare eventfd with epoll. Nothing of
 * Celadon. */
#include "micro.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

enum {
        TIMERS = 100000,
        TIMER_FIRST_S = 100,
        TIMER_RANGE_S = 100,
        ITEMS_MAX = 1024,
        STACK_BYTES = 64 * 1024,
};

static void check(bool good, const char *what)
{
        micro_expect(good ? 0 : -1, what);
}

/* --- Boost.Context: its two functions in assembly, in C's calling convention ------------------ */

typedef void *fcontext;
typedef struct transfer {
        fcontext from;
        void *data;
} transfer;

/* Looked up when the program runs, so that Celadon builds without Boost; a call costs what one into a shared
 * library does. */
static transfer (*jump)(fcontext to, void *data);
static fcontext (*make)(void *stack_top, size_t bytes, void (*fn)(transfer from));

static void look_up(void *library, const char *name, void *ret_function)
{
        void *symbol = dlsym(library, name);

        check(symbol != NULL, name);
        memcpy(ret_function, &symbol, sizeof(symbol)); /* C has no cast between these */
}

static void bounce(transfer from)
{
        for (;;)
                from = jump(from.from, NULL);
}

static double measure_boost_switch(unsigned n)
{
        void *library = dlopen("libboost_context.so", RTLD_NOW);
        char *stack = malloc(STACK_BYTES);

        check(library && stack, "libboost_context.so");
        look_up(library, "jump_fcontext", &jump);
        look_up(library, "make_fcontext", &make);
        transfer there = {make(stack + STACK_BYTES, STACK_BYTES, bounce), NULL};
        double start = micro_cpu_ns();
        for (unsigned i = 0; i < n; i += 2)
                there = jump(there.from, NULL);
        double ns = micro_cpu_ns() - start;
        free(stack);
        return ns;
}

/* --- libuv ------------------------------------------------------------------------------------ */

static void never_due(uv_timer_t *timer)
{
        (void)timer;
        abort();
}

static uint64_t some_ms(void)
{
        return (uint64_t)(1000 * (TIMER_FIRST_S + random() % TIMER_RANGE_S) + random() % 1000);
}

static double measure_uv_timer(unsigned n)
{
        uv_timer_t *armed = calloc(TIMERS, sizeof(*armed)), one;
        uint64_t *times = calloc(TIMERS, sizeof(*times));
        uv_loop_t loop;

        check(armed && times && uv_loop_init(&loop) == 0, "libuv");
        for (int i = 0; i < TIMERS; i++) {
                uv_timer_init(&loop, &armed[i]);
                uv_timer_start(&armed[i], never_due, some_ms(), 0);
                times[i] = some_ms();
        }
        uv_timer_init(&loop, &one);
        double start = micro_cpu_ns();
        for (unsigned i = 0; i < n; i++) {
                uv_timer_start(&one, never_due, times[i % TIMERS], 0);
                uv_timer_stop(&one);
        }
        return micro_cpu_ns() - start; /* the loop is left behind: closing 100,000 timers teaches nothing */
}

/* --- POSIX threads: a bounded queue, as everybody writes it ----------------------------------- */

typedef struct queue {
        pthread_mutex_t mutex;
        pthread_cond_t can_put, can_take;
        unsigned items[ITEMS_MAX];
        unsigned first, n, n_max;
} queue;

static queue there, back;

static void queue_init(queue *q, unsigned n_max)
{
        *q = (queue){.n_max = n_max};
        pthread_mutex_init(&q->mutex, NULL);
        pthread_cond_init(&q->can_put, NULL);
        pthread_cond_init(&q->can_take, NULL);
}

static void queue_put(queue *q, unsigned item)
{
        pthread_mutex_lock(&q->mutex);
        while (q->n == q->n_max)
                pthread_cond_wait(&q->can_put, &q->mutex);
        q->items[(q->first + q->n++) % ITEMS_MAX] = item;
        pthread_cond_signal(&q->can_take);
        pthread_mutex_unlock(&q->mutex);
}

static unsigned queue_take(queue *q)
{
        pthread_mutex_lock(&q->mutex);
        while (q->n == 0)
                pthread_cond_wait(&q->can_take, &q->mutex);
        unsigned item = q->items[q->first];
        q->first = (q->first + 1) % ITEMS_MAX;
        q->n--;
        pthread_cond_signal(&q->can_put);
        pthread_mutex_unlock(&q->mutex);
        return item;
}

static micro_core core; /* of the other thread */

static pthread_t start_thread(void *(*fn)(void *arg), void *arg)
{
        pthread_t thread;

        check(pthread_create(&thread, NULL, fn, arg) == 0, "thread");
        return thread;
}

static void *echo_all(void *n)
{
        micro_pin(core);
        for (unsigned i = *(unsigned *)n; i > 0; i--)
                queue_put(&back, queue_take(&there));
        return NULL;
}

static double hand_off(unsigned n, micro_core other)
{
        n /= 2;
        core = other;
        micro_pin(MICRO_FIRST);
        queue_init(&there, 1);
        queue_init(&back, 1);
        pthread_t thread = start_thread(echo_all, &n);
        double start = micro_now_ns();
        for (unsigned i = 0; i < n; i++) {
                queue_put(&there, i);
                queue_take(&back);
        }
        double ns = micro_now_ns() - start;
        pthread_join(thread, NULL);
        return ns;
}

static double measure_pthread_handoff(unsigned n)
{
        return hand_off(n, MICRO_OTHER);
}

static double measure_pthread_handoff_near(unsigned n)
{
        return hand_off(n, MICRO_FIRST);
}

static void *take_all(void *n)
{
        micro_pin(core);
        for (unsigned i = *(unsigned *)n; i > 0; i--)
                queue_take(&there);
        return NULL;
}

static double measure_pthread_stream(unsigned n)
{
        core = MICRO_OTHER;
        micro_pin(MICRO_FIRST);
        queue_init(&there, ITEMS_MAX);
        pthread_t thread = start_thread(take_all, &n);
        double start = micro_now_ns();
        for (unsigned i = 0; i < n; i++)
                queue_put(&there, i);
        pthread_join(thread, NULL);
        return micro_now_ns() - start;
}

static void *answer_all(void *unused)
{
        (void)unused;
        micro_pin(MICRO_FIRST);
        while (queue_take(&there) > 0)
                micro_answer();
        return NULL;
}

static void put_one(void *unused)
{
        (void)unused;
        queue_put(&there, 1);
}

/* Told from this thread, which runs on that core; whoever is told runs on the first. */
static double wake_with_condition(unsigned n, micro_core teller)
{
        micro_pin(teller);
        queue_init(&there, 1);
        pthread_t thread = start_thread(answer_all, NULL);
        double ns = micro_latency(n, put_one, NULL);

        queue_put(&there, 0);
        pthread_join(thread, NULL);
        return ns;
}

static double measure_pthread_latency(unsigned n)
{
        return wake_with_condition(n, MICRO_OTHER);
}

static double measure_pthread_latency_near(unsigned n)
{
        return wake_with_condition(n, MICRO_FIRST);
}

static void *do_nothing(void *unused)
{
        return unused;
}

static double measure_pthread_spawn(unsigned n)
{
        double start = micro_now_ns();

        for (unsigned i = 0; i < n; i++)
                pthread_join(start_thread(do_nothing, NULL), NULL);
        return micro_now_ns() - start;
}

/* --- eventfd and epoll: the least that wakes a loop ------------------------------------------- */

static int event_fd;
static _Atomic bool stop;

static void *epoll_main(void *unused)
{
        struct epoll_event event = {.events = EPOLLIN};
        int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        eventfd_t ignored;

        micro_pin(MICRO_FIRST);
        check(epoll_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event) == 0, "epoll");
        while (!atomic_load(&stop)) {
                epoll_wait(epoll_fd, &event, 1, -1);
                eventfd_read(event_fd, &ignored);
                micro_answer();
        }
        close(epoll_fd);
        return unused;
}

static void write_event(void *unused)
{
        (void)unused;
        eventfd_write(event_fd, 1);
}

static double wake_with_eventfd(unsigned n, micro_core teller)
{
        micro_pin(teller);
        event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        atomic_store(&stop, false);
        check(event_fd >= 0, "eventfd");
        pthread_t thread = start_thread(epoll_main, NULL);
        double ns = micro_latency(n, write_event, NULL);

        atomic_store(&stop, true);
        eventfd_write(event_fd, 1);
        pthread_join(thread, NULL);
        close(event_fd);
        return ns;
}

static double measure_epoll_latency(unsigned n)
{
        return wake_with_eventfd(n, MICRO_OTHER);
}

static double measure_epoll_latency_near(unsigned n)
{
        return wake_with_eventfd(n, MICRO_FIRST);
}

int main(int argc, char **argv)
{
        static const micro_measure measures[] = {
                {"boost-switch", measure_boost_switch},
                {"libuv-timer", measure_uv_timer},
                {"pthread-spawn", measure_pthread_spawn},
                {"pthread-handoff", measure_pthread_handoff},
                {"pthread-handoff-near", measure_pthread_handoff_near},
                {"pthread-stream", measure_pthread_stream},
                {"pthread-latency", measure_pthread_latency},
                {"pthread-latency-near", measure_pthread_latency_near},
                {"epoll-latency", measure_epoll_latency},
                {"epoll-latency-near", measure_epoll_latency_near},
                {0},
        };

        return micro_main(argc, argv, measures);
}
