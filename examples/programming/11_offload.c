/* SPDX-License-Identifier: Apache-2.0
 *
 * A call that blocks runs on a thread of a pool, and the task waits for it. */
#include <celadon/celadon.h>
#include <stdio.h>
#include <unistd.h>

typedef struct reading {
        int fd;
        char byte;
} reading;

/* Stands for a library that knows nothing of tasks: it blocks its thread until the device answers. */
static int read_device(void *arg)
{
        reading *it = arg;

        return read(it->fd, &it->byte, 1) == 1 ? 0 : CEL_EIO;
}

static int ask_device(cel_ctx *ctx, cel_pool *pool, int fd)
{
        reading *it = calloc(1, sizeof(*it)); /* on the heap: the thread may need it for longer than we do */
        int result;

        if (!it)
                return CEL_ENOMEM;
        it->fd = fd;
        int r = cel_offload(ctx, pool, read_device, it, free, &result);
        if (r < 0)
                return r; /* `it` is the pool's now, which frees it when the call comes back */
        if (result >= 0)
                printf("the device says %c\n", it->byte);
        free(it);
        return result;
}

static int ask_twice(cel_ctx *ctx, void *device)
{
        cel_auto(cel_pool) *pool = NULL;
        const int *fds = device;

        int r = cel_pool_new(cel_ctx_runtime(ctx), "device", 4, 100, &pool); /* 4 threads, 100 in line */
        if (r >= 0)
                r = ask_device(ctx, pool, fds[0]);
        if (r < 0)
                return r;
        CEL_WITHIN_MS(ctx, 20);
        r = ask_device(ctx, pool, fds[0]);
        printf("%s; calls left behind: %u\n", cel_error_text(r),
               (unsigned)cel_pool_get_stats(pool).jobs_abandoned);
        close(fds[1]); /* the device comes back */
        return r == CEL_ETIMEDOUT ? 0 : r;
}

int main(void)
{
        int device[2]; /* a pipe with one byte inside: it answers once, and then hangs */

        if (pipe(device) < 0 || write(device[1], "A", 1) != 1)
                return EXIT_FAILURE;
        return cel_main(ask_twice, device);
}
