/* SPDX-License-Identifier: Apache-2.0 */
#include "rt/poller.h"
#include "base/assert.h"

#include <stdlib.h>

struct cel__poller {
        uv_poll_t uv;
        void (*on_ready)(void *arg, int events);
        void *arg; /* borrowed */
        int wanted;
};

int cel__poller_new(cel__loop *loop, int fd, void (*on_ready)(void *arg, int events), void *arg,
                    cel__poller **ret_poller)
{
        cel__poller *poller = calloc(1, sizeof(*poller));

        if (!poller)
                return CEL_ENOMEM;
        poller->on_ready = on_ready;
        poller->arg = arg;
        if (uv_poll_init(&loop->uv, &poller->uv, fd) < 0) {
                free(poller);
                return CEL_ESYSTEM;
        }
        cel__count(&loop->counters.descriptors);
        *ret_poller = poller;
        return 0;
}

static void on_closed(uv_handle_t *handle)
{
        free(cel__container(handle, cel__poller, uv));
}

cel__poller *cel__poller_free(cel__poller *poller)
{
        if (poller) {
                cel__uncount(&cel__container(poller->uv.loop, cel__loop, uv)->counters.descriptors);
                uv_close((uv_handle_t *)&poller->uv, on_closed);
        }
        return NULL;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
        cel__poller *poller = cel__container(handle, cel__poller, uv);
        int ready = 0;

        cel__loop_awake(cel__container(handle->loop, cel__loop, uv));
        if (status < 0) { /* libuv has stopped watching; we promise to tell as long as it holds */
                int wanted = poller->wanted;

                ready = CEL__READABLE | CEL__WRITABLE;
                poller->wanted = 0;
                cel__poller_want(poller, wanted);
        }
        if (events & UV_READABLE)
                ready |= CEL__READABLE;
        if (events & UV_WRITABLE)
                ready |= CEL__WRITABLE;
        poller->on_ready(poller->arg, ready & poller->wanted);
}

void cel__poller_want(cel__poller *poller, int events)
{
        int uv_events = 0;

        if (events == poller->wanted)
                return;
        poller->wanted = events;
        if (events & CEL__READABLE)
                uv_events |= UV_READABLE;
        if (events & CEL__WRITABLE)
                uv_events |= UV_WRITABLE;
        if (events)
                uv_poll_start(&poller->uv, uv_events, on_poll);
        else
                uv_poll_stop(&poller->uv);
}
