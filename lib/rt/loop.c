/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. libuv watches descriptors and signals; tasks, timers and mail are ours, because their order
 * is part of what the runtime promises. A task never switches to another task: it switches to the hub, which
 * picks the next. The hub is the loop's thread's own stack, so that callbacks of libuv and libcurl run there
 * and not on a task's small stack. */
#include "rt/loop.h"
#include "base/assert.h"
#include "rt/fork.h"
#include "rt/poller.h"
#include "rt/runtime.h"
#include "rt/task.h"
#include "rt/watchdog.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
        TASKS_IN_TURN_MAX = 256, /* before the descriptors get a look */
        LETTERS_IN_TURN_MAX = 1024,
};

_Thread_local cel__loop *cel__loop_of_thread;

/* A descriptor of our own and not libuv's uv_async_t: on the core of whoever wakes it, that has the loop spin until
 * the other has come back from its write, for 20 us. */
static int open_wake(cel__loop *loop)
{
        loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (loop->wake_fd < 0)
                return CEL_ESYSTEM;
        if (uv_poll_init(&loop->uv, &loop->wake, loop->wake_fd) == 0)
                return 0;
        close(loop->wake_fd);
        return CEL_ESYSTEM;
}

static void on_wake(uv_poll_t *handle, int status, int events)
{
        eventfd_t ignored;

        eventfd_read(cel__container(handle, cel__loop, wake)->wake_fd, &ignored);
        (void)status, (void)events; /* the turn that follows looks at mail and timers */
}

static void on_alarm(uv_timer_t *handle)
{
        cel__loop *loop = handle->data;

        loop->alarm_ms = 0;
        /* libuv fires timers before it looks at descriptors, too; without this it would then wait for those alone,
         * although our own timers, which this alarm is for, have not had their turn yet. */
        uv_stop(handle->loop);
}

static void on_clock_advance(cel__clock_listener *listener)
{
        cel__loop_wake(cel__container(listener, cel__loop, clock_listener));
}

int cel__loop_init(cel__loop *loop, cel_runtime *runtime, unsigned number, size_t stack_bytes)
{
        loop->runtime = runtime;
        loop->number = number;
        loop->timer_fd = -1;
        if (uv_loop_init(&loop->uv) < 0)
                return CEL_ESYSTEM;
        if (open_wake(loop) < 0) {
                uv_loop_close(&loop->uv);
                return CEL_ESYSTEM;
        }
        uv_poll_start(&loop->wake, UV_READABLE, on_wake);
        uv_timer_init(&loop->uv, &loop->alarm);
        loop->alarm.data = loop;
        cel__list_init(&loop->ready);
        cel__list_init(&loop->spare_tasks);
        cel__list_init(&loop->roll);
        cel__snapshot_init(&loop->snapshot);
        cel__list_init(&loop->deferred);
        cel__timers_init(&loop->timers);
        cel__stack_pool_init(&loop->stacks, stack_bytes);
        loop->clock_listener.on_advance = on_clock_advance;
        cel__clock_listen(cel__runtime_clock(runtime), &loop->clock_listener);
        return 0;
}

void cel__loop_adopt(cel__loop *loop)
{
        cel__loop_of_thread = loop;
        cel__snapshot_attach(loop);
        cel__fiber_init_thread(&loop->hub);
}

void cel__loop_leave(cel__loop *loop)
{
        if (!cel__loop_is_here(loop))
                return;
        cel__snapshot_detach(loop);
        cel__loop_of_thread = NULL;
}

void cel__loop_send(cel__loop *loop, cel__mail *mail)
{
        /* The letter may be the last: what it brings may end the loop while this thread still wakes it. */
        atomic_fetch_add_explicit(&loop->senders, 1, memory_order_relaxed);
        cel__mail *head = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);

        do {
                mail->next = head;
        } while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &head, mail, memory_order_release,
                                                        memory_order_relaxed));
        if (!head) /* whoever found it empty wakes the loop: many letters, one wake-up */
                cel__loop_wake(loop);
        atomic_fetch_sub_explicit(&loop->senders, 1, memory_order_release);
}

void cel__loop_wake(cel__loop *loop)
{
        eventfd_write(loop->wake_fd, 1);
}

/* Take what is in the mailbox, oldest first. */
static void collect_mail(cel__loop *loop)
{
        cel__mail *newest = atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire);

        while (newest) {
                cel__mail *next = newest->next;

                newest->next = loop->letters;
                loop->letters = newest;
                newest = next;
        }
}

/* Deliver some letters, so that a flood of them leaves tasks and descriptors their turn. */
static bool deliver_mail(cel__loop *loop)
{
        unsigned n = 0;

        if (!loop->letters)
                collect_mail(loop);
        for (; loop->letters && n < LETTERS_IN_TURN_MAX; n++) {
                cel__mail *mail = loop->letters;

                loop->letters = mail->next; /* before: delivering may free it, or send it again */
                cel__count(&loop->counters.letters);
                mail->deliver(mail);
        }
        return n > 0;
}

static bool has_mail(const cel__loop *loop)
{
        return loop->letters || atomic_load(&loop->mailbox);
}

bool cel__loop_drain(cel__loop *loop)
{
        bool any = false;

        while (deliver_mail(loop))
                any = true;
        while (atomic_load_explicit(&loop->senders, memory_order_acquire) > 0)
                sched_yield();
        return any;
}

void cel__loop_fini(cel__loop *loop)
{
        cel__loop_detach(loop);
        cel__loop_leave(loop);
        cel__clock_unlisten(cel__runtime_clock(loop->runtime), &loop->clock_listener);
        cel_assert(cel__list_empty(&loop->ready));
        uv_close((uv_handle_t *)&loop->wake, NULL);
        uv_close((uv_handle_t *)&loop->alarm, NULL);
        uv_run(&loop->uv, UV_RUN_NOWAIT); /* lets closed handles call back */
        if (uv_loop_close(&loop->uv) < 0)
                cel__misuse("a runtime was freed while descriptors or signals were still watched");
        cel__snapshot_fini(&loop->snapshot);
        close(loop->wake_fd);
        cel__timers_fini(&loop->timers);
        cel__task_free_spare(loop);
        cel__stack_pool_fini(&loop->stacks);
}

void cel__loop_defer(cel__loop *loop, cel__deferred *deferred)
{
        if (cel__list_empty(&deferred->node))
                cel__list_append(&loop->deferred, &deferred->node);
        cel__loop_rouse(loop);
}

static bool run_ready_tasks(cel__loop *loop)
{
        unsigned n = 0;

        while (n < TASKS_IN_TURN_MAX && !cel__list_empty(&loop->ready)) {
                cel__task_run(cel__task_from_ready_node(cel__list_pop(&loop->ready)));
                n++;
                if (cel__forked) /* the child came back from that task; all else is the parent's */
                        break;
        }
        return n > 0;
}

/* Those that are due now; what they defer again has its turn after the descriptors. */
static bool run_deferred(cel__loop *loop)
{
        cel__list due;
        cel__list *node;
        bool any = !cel__list_empty(&loop->deferred);

        cel__list_init(&due);
        while ((node = cel__list_pop(&loop->deferred)))
                cel__list_append(&due, node);
        while ((node = cel__list_pop(&due))) {
                cel__deferred *deferred = cel__container(node, cel__deferred, node);

                deferred->run(deferred);
        }
        return any;
}

/* Have libuv wake us when the first timer is due. A manual clock wakes us itself. */
static void set_alarm(cel__loop *loop, cel_clock *clock)
{
        cel_time next = cel__timers_next(&loop->timers);

        if (cel__clock_manual(clock))
                return;
        if (next.ns == CEL_TIME_NEVER.ns) {
                if (loop->alarm_ms != 0)
                        uv_timer_stop(&loop->alarm);
                loop->alarm_ms = 0;
                return;
        }
        /* Both clocks are CLOCK_MONOTONIC. Rounded up: a timer never fires early. */
        int64_t due_ms = next.ns / CEL_NS_PER_MS + 1;
        if (loop->alarm_ms == due_ms)
                return;
        uv_update_time(&loop->uv);
        int64_t wait_ms = due_ms - (int64_t)uv_now(&loop->uv);
        uv_timer_start(&loop->alarm, on_alarm, (uint64_t)(wait_ms > 0 ? wait_ms : 0), 0);
        loop->alarm_ms = due_ms;
}

/* --- For a foreign loop ----------------------------------------------------------------------- */

static void on_timer_fd(void *arg, int events)
{
        cel__loop *loop = arg;
        uint64_t expirations;
        ssize_t ignored = read(loop->timer_fd, &expirations, sizeof(expirations));

        (void)ignored, (void)events;
        loop->timer_fd_ns = CEL_TIME_NEVER.ns;
}

int cel__loop_fd(cel__loop *loop)
{
        if (loop->timer_fd >= 0)
                return uv_backend_fd(&loop->uv);
        loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (loop->timer_fd < 0)
                return CEL_ESYSTEM;
        loop->timer_fd_ns = CEL_TIME_NEVER.ns;
        int r = cel__poller_new(loop, loop->timer_fd, on_timer_fd, loop, &loop->timer_poller);
        if (r < 0) {
                close(loop->timer_fd);
                loop->timer_fd = -1;
                return r;
        }
        cel__poller_want(loop->timer_poller, CEL__READABLE);
        cel__loop_wake(loop); /* so that a first turn is made, which has it watched */
        return uv_backend_fd(&loop->uv);
}

void cel__loop_arm_fd(cel__loop *loop)
{
        int64_t next_ns = cel__timers_next(&loop->timers).ns;
        struct itimerspec at = {0}; /* disarmed */

        loop->at_rest = true;
        if (loop->timer_fd < 0 || next_ns == loop->timer_fd_ns ||
            cel__clock_manual(cel__runtime_clock(loop->runtime)))
                return;
        if (next_ns != CEL_TIME_NEVER.ns) {
                at.it_value.tv_sec = next_ns / CEL_NS_PER_S;
                at.it_value.tv_nsec = next_ns % CEL_NS_PER_S;
        }
        timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
        loop->timer_fd_ns = next_ns;
}

void cel__loop_detach(cel__loop *loop)
{
        loop->at_rest = false;
        if (loop->timer_fd < 0)
                return;
        loop->timer_poller = cel__poller_free(loop->timer_poller);
        close(loop->timer_fd);
        loop->timer_fd = -1;
}

/* --- Turns ------------------------------------------------------------------------------------ */

/* The turn's stamp: others see that the loop is busy. */
static void stamp(cel__loop *loop, cel_time now)
{
        if (atomic_load_explicit(&loop->busy_since_ns, memory_order_relaxed) == 0) {
                atomic_store(&loop->busy_since_ns, now.ns); /* before it looks whether it is watched */
                cel__watchdog_arm(loop->runtime->watchdog);
        } else {
                atomic_store_explicit(&loop->busy_since_ns, now.ns, memory_order_relaxed);
        }
}

void cel__loop_awake(cel__loop *loop)
{
        if (atomic_load_explicit(&loop->busy_since_ns, memory_order_relaxed) == 0)
                stamp(loop, cel_clock_now(cel__runtime_clock(loop->runtime)));
}

/* The last turn ends now, for those who waited for this one. */
static void end_turn(cel__loop *loop, cel_time now)
{
        if (loop->turn_ns != 0)
                cel__count_lag(&loop->counters, now.ns - loop->turn_ns);
        loop->turn_ns = 0;
}

/* Is there nothing to do but to wait? */
static bool is_idle(cel__loop *loop, cel_clock *clock)
{
        if (has_mail(loop) || !cel__list_empty(&loop->ready) || !cel__list_empty(&loop->deferred))
                return false;
        cel_time now = cel_clock_now(clock);
        end_turn(loop, now);
        return cel__timers_next(&loop->timers).ns > now.ns;
}

/* Look at the descriptors. Returns whether it has waited for them. */
static bool poll_descriptors(cel__loop *loop, cel_clock *clock, bool may_wait)
{
        bool wait = may_wait && is_idle(loop, clock);

        if (wait) {
                set_alarm(loop, clock);
                atomic_store_explicit(&loop->busy_since_ns, 0, memory_order_relaxed);
        }
        uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        return wait;
}

bool cel__loop_turn(cel__loop *loop, bool may_wait)
{
        cel_clock *clock = cel__runtime_clock(loop->runtime);

        if (cel__forked)
                return false;
        loop->at_rest = false;
        /* Waiting comes first, so that whoever turns the loop sees what the turn has done before it waits
         * again. */
        bool waited = poll_descriptors(loop, clock, may_wait);
        bool had_news = atomic_load_explicit(&loop->busy_since_ns, memory_order_relaxed) != 0;
        cel_time now = cel_clock_now(clock);

        end_turn(loop, now);
        loop->turn_ns = now.ns;
        stamp(loop, now);
        cel__count(&loop->counters.turns);
        bool busy = deliver_mail(loop);
        busy |= cel__timers_fire(&loop->timers, now) > 0;
        busy |= run_ready_tasks(loop);
        if (cel__forked)
                return false;
        busy |= run_deferred(loop);
        busy |= !cel__list_empty(&loop->ready) || !cel__list_empty(&loop->deferred) || has_mail(loop);
        cel__counter_set(&loop->counters.timers, loop->timers.n);
        if (waited) {
                cel__count(&loop->counters.wakeups);
                if (!busy && !had_news)
                        cel__count(&loop->counters.wakeups_empty);
        }
        if (!busy) { /* whoever drives the loop step by step waits now */
                atomic_store_explicit(&loop->busy_since_ns, 0, memory_order_relaxed);
                loop->turn_ns = 0;
        }
        return busy;
}

int64_t cel__loop_busy_ms(const cel__loop *loop, cel_time now)
{
        int64_t since = atomic_load_explicit(&loop->busy_since_ns, memory_order_relaxed);

        return since == 0 || since > now.ns ? 0 : (now.ns - since) / CEL_NS_PER_MS;
}
