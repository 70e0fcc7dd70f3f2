/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/ctx.h"
#include "base/assert.h"
#include "rt/fork.h"
#include "rt/poller.h"
#include "rt/probe.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A thread's ctx waits on a condition variable of its own or, for a descriptor, in poll(). */
typedef struct thread_ctx {
        cel_ctx ctx;
        pthread_t thread;
        pthread_mutex_t mutex; /* of all below */
        pthread_cond_t cond;
        bool woken;  /* somebody finished the wait in progress */
        int wake_fd; /* owned; an eventfd that ends poll(); -1 until the first wait for a descriptor */
        int fd;      /* borrowed; what poll() watches now, for `fd_events`; -1: nothing */
        int fd_events;
        cel__clock_listener clock_listener;
} thread_ctx;

static thread_ctx *as_thread(cel_ctx *ctx)
{
        return cel__container(ctx, thread_ctx, ctx);
}

/* --- Making and freeing ----------------------------------------------------------------------- */

int cel__ctx_init(cel_ctx *ctx, cel_runtime *runtime, cel__loop *loop, const char *name,
                  const cel_ctx *parent)
{
        memset(ctx, 0, sizeof(*ctx));
        ctx->runtime = runtime;
        ctx->loop = loop;
        ctx->deadline = CEL_TIME_NEVER;
        memcpy(ctx->name, name, strnlen(name, sizeof(ctx->name) - 1)); /* snprintf() takes a task's tenth */
        if (parent && parent->request_id) {
                ctx->request_id = strdup(parent->request_id);
                if (!ctx->request_id)
                        return CEL_ENOMEM;
        }
        return 0;
}

cel__error_detail *cel__error_detail_ref(cel__error_detail *detail)
{
        if (detail)
                atomic_fetch_add_explicit(&detail->refs, 1, memory_order_relaxed);
        return detail;
}

cel__error_detail *cel__error_detail_unref(cel__error_detail *detail)
{
        if (detail && atomic_fetch_sub(&detail->refs, 1) == 1)
                detail->free(detail);
        return NULL;
}

static void drop_error_detail(cel_ctx *ctx)
{
        ctx->error_detail = cel__error_detail_unref(ctx->error_detail);
}

void cel__ctx_fini(cel_ctx *ctx)
{
        drop_error_detail(ctx);
        free(ctx->error_text);
        free(ctx->request_id);
        ctx->error_text = ctx->request_id = NULL;
}

/* Have the thread look again, wherever it waits. */
static void nudge_locked(thread_ctx *thread)
{
        pthread_cond_signal(&thread->cond);
        if (thread->wake_fd >= 0)
                eventfd_write(thread->wake_fd, 1);
}

static void wake_thread(thread_ctx *thread)
{
        pthread_mutex_lock(&thread->mutex);
        nudge_locked(thread);
        pthread_mutex_unlock(&thread->mutex);
}

static void on_clock_advance(cel__clock_listener *listener)
{
        wake_thread(cel__container(listener, thread_ctx, clock_listener));
}

int cel_thread_ctx_new(cel_runtime *runtime, const char *name, cel_ctx **ret_ctx)
{
        thread_ctx *thread = cel__forked ? NULL : calloc(1, sizeof(*thread));

        if (!thread)
                return cel__forked ? CEL_EFORKED : CEL_ENOMEM;
        if (cel__loop_of_thread)
                cel__misuse("thread ctx \"%s\" was made on a loop's thread, which must not block", name);
        int r = cel__ctx_init(&thread->ctx, runtime, NULL, name, NULL);
        if (r < 0) {
                free(thread);
                return r;
        }
        thread->thread = pthread_self();
        thread->wake_fd = thread->fd = -1;
        pthread_mutex_init(&thread->mutex, NULL);
        cel__clock_cond_init(&thread->cond);
        thread->clock_listener.on_advance = on_clock_advance;
        cel__clock_listen(cel__runtime_clock(runtime), &thread->clock_listener);
        *ret_ctx = &thread->ctx;
        return 0;
}

cel_ctx *cel_thread_ctx_free(cel_ctx *ctx)
{
        if (!ctx)
                return NULL;
        cel_assert(!ctx->loop);
        thread_ctx *thread = as_thread(ctx);

        cel__clock_unlisten(cel__runtime_clock(ctx->runtime), &thread->clock_listener);
        if (thread->wake_fd >= 0)
                close(thread->wake_fd);
        pthread_cond_destroy(&thread->cond);
        pthread_mutex_destroy(&thread->mutex);
        cel__ctx_fini(ctx);
        free(thread);
        return NULL;
}

/* --- What a ctx knows ------------------------------------------------------------------------- */

cel_runtime *cel_ctx_runtime(const cel_ctx *ctx)
{
        return ctx->runtime;
}

int cel_ctx_loop(const cel_ctx *ctx)
{
        return ctx->loop ? (int)ctx->loop->number : -1;
}

const char *cel_ctx_name(const cel_ctx *ctx)
{
        return ctx->name;
}

const char *cel_ctx_request_id(const cel_ctx *ctx)
{
        return ctx->request_id ? ctx->request_id : "";
}

void cel_ctx_set_request_id(cel_ctx *ctx, const char *request_id)
{
        char *previous = ctx->request_id;

        /* Without memory: a log line less telling. */
        ctx->request_id = request_id ? strndup(request_id, CEL__REQUEST_ID_BYTES - 1) : NULL;
        atomic_signal_fence(memory_order_release); /* the watchdog's handler may read it */
        free(previous);                            /* only now: `request_id` may point into it */
}

cel_time cel_ctx_now(const cel_ctx *ctx)
{
        return cel_clock_now(cel__runtime_clock(ctx->runtime));
}

cel_time cel_ctx_deadline(const cel_ctx *ctx)
{
        return ctx->deadline;
}

bool cel_ctx_canceled(const cel_ctx *ctx)
{
        return atomic_load_explicit(&ctx->canceled, memory_order_relaxed);
}

void cel_ctx_cancel(cel_ctx *ctx)
{
        if (ctx->loop) {
                cel_task_cancel(cel__ctx_task(ctx));
                return;
        }
        atomic_store(&ctx->canceled, true);
        wake_thread(as_thread(ctx));
}

cel_deadline_scope cel_deadline_enter_ms(cel_ctx *ctx, int64_t ms)
{
        cel_deadline_scope scope = {.ctx = ctx, .previous = ctx->deadline};
        cel_time deadline = cel_time_add_ms(cel_ctx_now(ctx), ms);

        if (deadline.ns < ctx->deadline.ns)
                ctx->deadline = deadline;
        return scope;
}

void cel_deadline_leave(cel_deadline_scope *scope)
{
        scope->ctx->deadline = scope->previous;
}

cel_shield_scope cel_shield_enter_ms(cel_ctx *ctx, int64_t ms)
{
        cel_shield_scope shield = {.ctx = ctx, .previous = ctx->deadline};

        ctx->deadline = cel_time_add_ms(cel_ctx_now(ctx), ms);
        ctx->deaf++;
        return shield;
}

void cel_shield_leave(cel_shield_scope *shield)
{
        shield->ctx->deaf--;
        shield->ctx->deadline = shield->previous;
}

int cel_fail(cel_ctx *ctx, int code, const char *format, ...)
{
        char text[CEL__ERROR_TEXT_BYTES]; /* the arguments may point into the text that is replaced */
        va_list args;

        cel_assert(code < 0);
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);

        if (code != ctx->error_detail_code)
                drop_error_detail(ctx);
        ctx->error_code = code;
        if (!ctx->error_text)
                ctx->error_text = malloc(CEL__ERROR_TEXT_BYTES);
        if (ctx->error_text)
                memcpy(ctx->error_text, text, sizeof(text));
        return code;
}

const char *cel_ctx_error_text(const cel_ctx *ctx, int code)
{
        return ctx->error_text && ctx->error_code == code ? ctx->error_text : cel_error_text(code);
}

void cel__ctx_set_error_detail(cel_ctx *ctx, int code, cel__error_detail *detail)
{
        drop_error_detail(ctx);
        ctx->error_detail = detail;
        ctx->error_detail_code = code;
}

cel__error_detail *cel__ctx_error_detail(const cel_ctx *ctx, int code)
{
        return ctx->error_code == code && ctx->error_detail_code == code ? ctx->error_detail : NULL;
}

/* --- Waiting ---------------------------------------------------------------------------------- */

static void on_due(cel__timer *timer)
{
        cel__wait *wait = cel__container(timer, cel__wait, timer);

        cel__wait_finish(wait, wait->until_outcome);
}

static void check_thread(const cel_ctx *ctx, const char *where)
{
        const thread_ctx *thread = cel__container(ctx, const thread_ctx, ctx);

        if (!pthread_equal(thread->thread, pthread_self()))
                cel__misuse("the ctx of thread \"%s\" was used to wait for \"%s\" on another thread",
                            ctx->name, where);
}

_Static_assert(offsetof(cel_task, ctx) == 0, "cel__ctx_check() takes a running task for its ctx");

void cel__ctx_check_closely(const cel_ctx *ctx, const char *where)
{
        const cel__loop *loop = ctx->loop;

        if (!loop) {
                check_thread(ctx, where);
                return;
        }
        const cel_task *running = loop->running;
        if (!cel__loop_is_here(loop))
                cel__misuse("the ctx of task \"%s\" was used to wait for \"%s\" on another thread", ctx->name,
                            where);
        if (!running)
                cel__misuse(
                        "the ctx of task \"%s\" was used to wait for \"%s\" in loop code, which cannot wait: "
                        "spawn a task",
                        ctx->name, where);
        cel__misuse("the ctx of task \"%s\" was used to wait for \"%s\" by task \"%s\": a ctx belongs to one "
                    "task",
                    ctx->name, where, running->ctx.name);
}

int cel__ctx_enter(cel_ctx *ctx, const char *where)
{
        cel__ctx_check(ctx, where);
        return cel__forked ? cel__fork_fail(ctx) : 0;
}

int cel__ctx_bare(cel_ctx *ctx, int code)
{
        if (code < 0)
                ctx->error_code = 0;
        return code;
}

int cel__ctx_begin(cel_ctx *ctx, const char *where)
{
        int r = cel__ctx_enter(ctx, where);

        return r >= 0 && cel__ctx_must_cancel(ctx) ? cel__ctx_bare(ctx, CEL_ECANCELED) : r;
}

void cel__wait_begin(cel__wait *wait, cel_ctx *ctx, const char *where)
{
        cel__ctx_check(ctx, where);
        wait->ctx = ctx;
        wait->where = where;
        atomic_init(&wait->outcome, CEL__WAIT_PENDING);
        wait->until = ctx->shields > 0 ? CEL_TIME_NEVER : ctx->deadline;
        wait->until_outcome = CEL_ETIMEDOUT;
        cel__timer_init(&wait->timer, on_due);
}

static bool decide(cel__wait *wait, int outcome)
{
        int pending = CEL__WAIT_PENDING;

        return atomic_compare_exchange_strong(&wait->outcome, &pending, outcome);
}

bool cel__wait_finish(cel__wait *wait, int outcome)
{
        cel_ctx *ctx = wait->ctx;

        if (!decide(wait, outcome))
                return false;
        if (ctx->loop) {
                cel__task_wake(cel__ctx_task(ctx));
        } else {
                thread_ctx *thread = as_thread(ctx);

                pthread_mutex_lock(&thread->mutex);
                thread->woken = true;
                nudge_locked(thread);
                pthread_mutex_unlock(&thread->mutex);
        }
        return true;
}

static unsigned shields_of(const cel_ctx *ctx)
{
        return ctx->shields + ctx->deaf;
}

bool cel__ctx_must_cancel(const cel_ctx *ctx)
{
        if (atomic_load_explicit(&ctx->canceled, memory_order_relaxed) && shields_of(ctx) == 0)
                return true;
        for (const cel__interrupt *i = ctx->interrupt; i; i = i->outer)
                if (atomic_load_explicit(&i->raised, memory_order_relaxed) && shields_of(ctx) == i->shields)
                        return true;
        return false;
}

void cel__interrupt_enter(cel__interrupt *interrupt, cel_ctx *ctx)
{
        *interrupt = (cel__interrupt){.ctx = ctx, .outer = ctx->interrupt, .shields = shields_of(ctx)};
        ctx->interrupt = interrupt;
}

void cel__interrupt_leave(cel__interrupt *interrupt)
{
        cel_assert(interrupt->ctx->interrupt == interrupt);
        interrupt->ctx->interrupt = interrupt->outer;
}

void cel__interrupt_raise(cel__interrupt *interrupt)
{
        cel_ctx *ctx = interrupt->ctx;

        atomic_store(&interrupt->raised, true);
        if (ctx->loop)
                cel__task_look(cel__ctx_task(ctx));
        else
                wake_thread(as_thread(ctx));
}

static int block_task(cel__wait *wait)
{
        cel_ctx *ctx = wait->ctx;
        cel__loop *loop = ctx->loop;

        if (cel__ctx_must_cancel(ctx) && decide(wait, CEL_ECANCELED))
                return CEL_ECANCELED;
        if (wait->until.ns != CEL_TIME_NEVER.ns) {
                if (cel_ctx_now(ctx).ns >= wait->until.ns && decide(wait, wait->until_outcome))
                        return wait->until_outcome;
                int r = cel__timer_set(&loop->timers, &wait->timer, wait->until);
                if (r < 0 && decide(wait, r))
                        return r;
        }
        /* Whoever decides now also wakes this task, exactly once; so it parks exactly once. */
        ctx->wait = wait;
        CEL__PROBE3(task_wait, cel__ctx_task(ctx), ctx->name, wait->where);
        cel__task_park(cel__ctx_task(ctx));
        ctx->wait = NULL;
        cel__timer_unset(&loop->timers, &wait->timer);
        return atomic_load(&wait->outcome);
}

/* How long poll() may wait, in ms, rounded up; -1: for as long as it takes. A manual clock nudges. */
static int poll_ms(cel_clock *clock, cel_time until)
{
        if (cel__clock_manual(clock) || until.ns == CEL_TIME_NEVER.ns)
                return -1;
        int64_t ms = (until.ns - cel_clock_now(clock).ns) / CEL_NS_PER_MS + 1;
        return ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

static struct pollfd poll_for(int fd, int events)
{
        return (struct pollfd){.fd = fd,
                               .events = (short)(((events & CEL__READABLE) ? POLLIN : 0) |
                                                 ((events & CEL__WRITABLE) ? POLLOUT : 0))};
}

/* Wait for a nudge or for the descriptor, with the mutex held, which is released meanwhile. Returns what the
 * descriptor is ready for, or 0. */
static int poll_locked(thread_ctx *thread, int timeout_ms)
{
        struct pollfd fds[] = {poll_for(thread->fd, thread->fd_events),
                               {.fd = thread->wake_fd, .events = POLLIN}};
        eventfd_t nudges;

        pthread_mutex_unlock(&thread->mutex);
        int n = poll(fds, 2, timeout_ms);
        pthread_mutex_lock(&thread->mutex);
        if (n > 0 && fds[1].revents)
                eventfd_read(thread->wake_fd, &nudges);
        if (n <= 0 || !fds[0].revents)
                return 0;
        if (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)) /* reading or writing will say why */
                return thread->fd_events;
        return ((fds[0].revents & POLLIN) ? CEL__READABLE : 0) |
               ((fds[0].revents & POLLOUT) ? CEL__WRITABLE : 0);
}

/* `fd` may be -1: then the wait is for what finishes it, and nothing else. */
static int block_thread(cel__wait *wait, int fd, int events)
{
        cel_ctx *ctx = wait->ctx;
        thread_ctx *thread = as_thread(ctx);
        cel_clock *clock = cel__runtime_clock(ctx->runtime);

        pthread_mutex_lock(&thread->mutex);
        ctx->wait = wait;
        thread->fd = fd;
        thread->fd_events = events;
        while (!thread->woken) {
                if (cel__ctx_must_cancel(ctx) && decide(wait, CEL_ECANCELED))
                        break;
                if (wait->until.ns != CEL_TIME_NEVER.ns && cel_clock_now(clock).ns >= wait->until.ns &&
                    decide(wait, wait->until_outcome))
                        break;
                if (fd < 0) {
                        cel__clock_wait(clock, &thread->cond, &thread->mutex, wait->until);
                        continue;
                }
                int ready = poll_locked(thread, poll_ms(clock, wait->until));
                if (ready && decide(wait, ready))
                        break;
        }
        thread->woken = false;
        thread->fd = -1;
        ctx->wait = NULL;
        pthread_mutex_unlock(&thread->mutex);
        return atomic_load(&wait->outcome);
}

int cel__wait_block(cel__wait *wait)
{
        if (cel__forked)
                return cel__fork_fail(wait->ctx);
        return cel__ctx_bare(wait->ctx, wait->ctx->loop ? block_task(wait) : block_thread(wait, -1, 0));
}

/* --- Descriptors ------------------------------------------------------------------------------ */

static void on_ready(void *arg, int events)
{
        if (events)
                cel__wait_finish(arg, events);
}

static int block_task_fd(cel__wait *wait, int fd, int events)
{
        cel_ctx *ctx = wait->ctx;
        cel__poller *poller;
        int r = cel__poller_new(ctx->loop, fd, on_ready, wait, &poller);

        if (r < 0 && decide(wait, r))
                return cel_fail(ctx, r, "descriptor %d cannot be watched: %s", fd, cel_error_text(r));
        if (r < 0) /* somebody has finished it already: take that in */
                return cel__wait_block(wait);
        cel__poller_want(poller, events);
        r = cel__wait_block(wait);
        cel__poller_free(poller);
        return r;
}

static int block_thread_fd(cel__wait *wait, int fd, int events)
{
        thread_ctx *thread = as_thread(wait->ctx);

        pthread_mutex_lock(&thread->mutex);
        if (thread->wake_fd < 0)
                thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        bool can_wait = thread->wake_fd >= 0;
        pthread_mutex_unlock(&thread->mutex);
        if (can_wait)
                return cel__ctx_bare(wait->ctx, block_thread(wait, fd, events));
        if (decide(wait, CEL_ESYSTEM))
                return cel_fail(wait->ctx, CEL_ESYSTEM, "no descriptor is left to wait with");
        return cel__wait_block(wait); /* somebody has finished it already: take that in */
}

int cel__wait_block_fd(cel__wait *wait, int fd, int events)
{
        if (cel__forked)
                return cel__fork_fail(wait->ctx);
        return wait->ctx->loop ? block_task_fd(wait, fd, events) : block_thread_fd(wait, fd, events);
}

int cel_fd_wait(cel_ctx *ctx, int fd, int events)
{
        return cel__fd_wait(ctx, fd, events, "descriptor");
}

int cel__fd_wait(cel_ctx *ctx, int fd, int events, const char *where)
{
        cel__wait wait;

        cel__wait_begin(&wait, ctx, where);
        return cel__wait_block_fd(&wait, fd, events);
}

bool cel__thread_waits(cel_ctx *ctx)
{
        thread_ctx *thread = as_thread(ctx);
        bool waits = false;

        pthread_mutex_lock(&thread->mutex);
        if (ctx->wait && !thread->woken && !cel__ctx_must_cancel(ctx)) {
                struct pollfd fd = poll_for(thread->fd, thread->fd_events);

                waits = ctx->wait->until.ns > cel_ctx_now(ctx).ns && poll(&fd, 1, 0) <= 0;
        }
        pthread_mutex_unlock(&thread->mutex);
        return waits;
}

int cel_sleep_ms(cel_ctx *ctx, int64_t ms)
{
        cel_time morning = cel_time_add_ms(cel_ctx_now(ctx), ms);
        cel__wait wait;

        cel__wait_begin(&wait, ctx, "sleep");
        if (morning.ns <= wait.until.ns) {
                wait.until = morning;
                wait.until_outcome = 0;
        }
        return cel__wait_block(&wait);
}

int cel_yield(cel_ctx *ctx)
{
        cel__wait wait;

        int r = cel__ctx_enter(ctx, "yield");
        if (r < 0)
                return r;
        if (!ctx->loop)
                sched_yield();
        if (cel__ctx_must_cancel(ctx))
                return cel__ctx_bare(ctx, CEL_ECANCELED);
        if (!ctx->loop)
                return 0;
        cel__wait_begin(&wait, ctx, "yield");
        wait.until = CEL_TIME_NEVER;
        cel__wait_finish(&wait, 0); /* puts this task behind those that are ready */
        return cel__wait_block(&wait);
}
