/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A loop may have a million tasks, and to look at each takes 100 ns when it lies far away. So a
 * turn looks at SLICE tasks and leaves a mark in the list; tasks come and go between the turns, and the mark
 * stays where it is. Names and call stacks are only copied here; making text of them is the asker's work. */
#include "rt/roll.h"
#include "base/assert.h"
#include "rt/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLICE = 500 };

static const char *where_of(const cel_task *task)
{
        return task->state == CEL__TASK_PARKED && task->ctx.wait ? task->ctx.wait->where : NULL;
}

/* How much of a stack is in memory. */
static size_t touched(const cel__stack *stack)
{
        unsigned char pages[256];
        size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 0;

        for (size_t at = 0; at < stack->bytes; at += sizeof(pages) * page) {
                size_t n = stack->bytes - at < sizeof(pages) * page ? stack->bytes - at
                                                                    : sizeof(pages) * page;

                if (mincore(stack->lo + at, n, pages) < 0)
                        return 0;
                for (size_t i = 0; i < (n + page - 1) / page; i++)
                        bytes += (pages[i] & 1) ? page : 0;
        }
        return bytes;
}

static void describe(const cel_task *task, cel_time now, cel__roll_task *to)
{
        const char *request_id = cel_ctx_request_id(&task->ctx);

        memcpy(to->name, task->ctx.name, sizeof(to->name));
        snprintf(to->request_id, sizeof(to->request_id), "%s", request_id);
        to->state = task->state;
        to->where = where_of(task);
        to->waited_ns = to->where ? now.ns - task->parked_ns : 0;
        to->stack_bytes = task->stack->bytes;
        to->touched_bytes = touched(task->stack);
        if (task->state == CEL__TASK_RUNNING) /* only a loop that waits inside a task would get here */
                return;
        to->depth_bytes = cel__fiber_depth(&task->fiber);
        to->frames_n = cel__fiber_backtrace(&task->fiber, to->frames, CEL__ROLL_FRAMES_MAX);
}

static void count(cel__roll_call *call, const cel_task *task)
{
        const char *where = where_of(task);
        uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uintptr_t)where;

        call->others_n++;
        for (const char *c = task->ctx.name; *c; c++)
                hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
        for (unsigned i = 0; i < CEL__ROLL_KINDS_MAX; i++) {
                cel__roll_kind *kind = &call->kinds[(hash + i) % CEL__ROLL_KINDS_MAX];

                if (kind->n == 0) {
                        memcpy(kind->name, task->ctx.name, sizeof(kind->name));
                        kind->where = where;
                }
                if (kind->n == 0 || (kind->where == where && strcmp(kind->name, task->ctx.name) == 0)) {
                        kind->n++;
                        return;
                }
        }
        call->rest_n++;
}

static void finish(cel__roll_call *call)
{
        cel__list_remove(&call->mark.node);
        pthread_mutex_lock(&call->mutex);
        call->done = true;
        if (call->wait)
                cel__wait_finish(call->wait, 0);
        pthread_mutex_unlock(&call->mutex);
        cel__roll_call_let_go(call);
}

/* The next slice. On the loop's thread, in its hub. */
static void deliver(cel__mail *mail)
{
        cel__roll_call *call = cel__container(mail, cel__roll_call, mail);
        cel__loop *loop = call->loop;
        cel_time now = cel_clock_now(cel__runtime_clock(loop->runtime));
        cel__list *node = call->begun ? call->mark.node.next : loop->roll.next;

        call->begun = true;
        if (atomic_load(&call->holders) == 1) { /* nobody wants to know any more */
                finish(call);
                return;
        }
        for (unsigned n = 0; node != &loop->roll && n < SLICE; node = node->next, n++) {
                const cel_task *task = cel__container(node, cel__roll, node)->task;

                if (!task)
                        continue;
                if (call->tasks_n < CEL__ROLL_TASKS_MAX)
                        describe(task, now, &call->tasks[call->tasks_n++]);
                else
                        count(call, task);
        }
        if (node == &loop->roll) {
                finish(call);
                return;
        }
        cel__list_remove(&call->mark.node);
        cel__list_append(node, &call->mark.node); /* before it */
        cel__loop_send(loop, &call->mail);
}

int cel__roll_call_begin(cel__loop *loop, cel__roll_call **ret_call)
{
        cel__roll_call *call = calloc(1, sizeof(*call));

        if (!call)
                return CEL_ENOMEM;
        call->loop = loop;
        call->mail.deliver = deliver;
        cel__list_init(&call->mark.node);
        atomic_init(&call->holders, 2);
        pthread_mutex_init(&call->mutex, NULL);
        cel__loop_send(loop, &call->mail);
        *ret_call = call;
        return 0;
}

int cel__roll_call_await(cel_ctx *ctx, cel__roll_call *call, cel_time until)
{
        enum { TOO_LATE = 1 };
        cel__wait wait;

        pthread_mutex_lock(&call->mutex);
        if (call->done) {
                pthread_mutex_unlock(&call->mutex);
                return true;
        }
        cel__wait_begin(&wait, ctx, "dump");
        if (until.ns <= wait.until.ns) {
                wait.until = until;
                wait.until_outcome = TOO_LATE;
        }
        call->wait = &wait;
        pthread_mutex_unlock(&call->mutex);
        int r = cel__wait_block(&wait);
        pthread_mutex_lock(&call->mutex);
        call->wait = NULL;
        bool done = call->done;
        pthread_mutex_unlock(&call->mutex);
        return r < 0 ? r : done;
}

cel__roll_call *cel__roll_call_let_go(cel__roll_call *call)
{
        if (call && atomic_fetch_sub(&call->holders, 1) == 1) {
                pthread_mutex_destroy(&call->mutex);
                free(call);
        }
        return NULL;
}
