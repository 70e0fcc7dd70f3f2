/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. The counter's file holds "<process group>:<counter>:<start time of the group's leader>"; a counter of another
 * group, or of one that had the same number before, begins anew. oslo.messaging has it under a lock file of
 * oslo.concurrency's: $OSLO_LOCK_PATH/oslo_read_shm_<host>_<process>. The same is locked here, or the counter's own file if no
 * Python peer can be concerned, because OSLO_LOCK_PATH is not set. The lock is one of the open file, which excludes others of
 * this process as well. */
#include "driver/queue_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MODE = 0644, STAT_START_TIME = 22 };

static int fail(queue_manager_draw *draw, const char *what, const char *file)
{
        snprintf(draw->error, sizeof(draw->error), "use_queue_manager: %s %.150s: %.60s", what, file,
                 strerror(errno));
        return CEL_ESYSTEM;
}

/* When a process started, in the kernel's ticks: field 22 of its line, where the second field, its name in brackets, may hold
 * anything. 0: it is gone. */
static unsigned long long start_time(long pid)
{
        char file[64], line[1024];
        FILE *stat;

        snprintf(file, sizeof(file), "/proc/%ld/stat", pid);
        stat = fopen(file, "re");
        if (!stat)
                return 0;
        char *at = fgets(line, sizeof(line), stat) ? strrchr(line, ')') : NULL;
        fclose(stat);
        for (int field = 2; at && field < STAT_START_TIME; field++)
                at = strchr(at + 1, ' ');
        return at ? strtoull(at + 1, NULL, 10) : 0;
}

static int lock(queue_manager_draw *draw, int fd, const char *file)
{
        struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int r;

        do
                r = fcntl(fd, F_OFD_SETLKW, &all);
        while (r < 0 && errno == EINTR);
        return r < 0 ? fail(draw, "cannot lock", file) : 0;
}

/* Open and lock what Python's peers lock; *ret_fd is -1 if there is nothing of that kind. Closing it unlocks it. */
static int lock_as_oslo(queue_manager_draw *draw, int *ret_fd)
{
        const char *folder = getenv("OSLO_LOCK_PATH");
        char file[512];

        *ret_fd = -1;
        if (!folder || !*folder)
                return 0;
        snprintf(file, sizeof(file), "%s/oslo_read_shm_%s_%s", folder, draw->hostname, draw->processname);
        int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        if (fd < 0)
                return fail(draw, "cannot open", file);
        int r = lock(draw, fd, file);
        if (r < 0) {
                close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

/* What comes after what the file holds. */
static long long next_number(const char *text, long group, unsigned long long started)
{
        unsigned long long had_started;
        long long number;
        long had_group;

        if (sscanf(text, "%ld:%lld:%llu", &had_group, &number, &had_started) != 3 || number < 0)
                return 1;
        return had_group == group && had_started == started ? number + 1 : 1;
}

static int count(queue_manager_draw *draw, int fd, const char *file)
{
        long group = getpgrp();
        unsigned long long started = start_time(group > 0 ? group : (long)getpid());
        char text[128] = "";

        if (pread(fd, text, sizeof(text) - 1, 0) < 0)
                return fail(draw, "cannot read", file);
        draw->number = next_number(text, group, started);
        int n = snprintf(text, sizeof(text), "%ld:%lld:%llu", group, draw->number, started);
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
                return fail(draw, "cannot write", file);
        return 0;
}

int queue_manager_run(void *arg)
{
        queue_manager_draw *draw = arg;
        char file[512];
        int lock_fd;

        snprintf(file, sizeof(file), "%s/%s_%s_qmanager", draw->folder, draw->hostname, draw->processname);
        int r = lock_as_oslo(draw, &lock_fd);
        if (r < 0)
                return r;
        int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        r = fd < 0 ? fail(draw, "cannot open", file) : 0;
        if (r >= 0)
                r = lock(draw, fd, file); /* as well: of processes that know no OSLO_LOCK_PATH */
        if (r >= 0)
                r = count(draw, fd, file);
        if (fd >= 0)
                close(fd);
        if (lock_fd >= 0)
                close(lock_fd);
        return r;
}

/* --- Names ------------------------------------------------------------------------------------ */

void queue_manager_init(queue_manager *m, const char *hostname, const char *processname)
{
        char host[sizeof(m->hostname)] = "localhost";

        gethostname(host, sizeof(host) - 1);
        m->pool = NULL;
        snprintf(m->hostname, sizeof(m->hostname), "%s", hostname ? hostname : host);
        snprintf(m->processname, sizeof(m->processname), "%.*s", QUEUE_MANAGER_NAME_BYTES_MAX,
                 processname ? processname : program_invocation_short_name);
}

void queue_manager_fini(queue_manager *m)
{
        m->pool = cel_pool_free(m->pool);
}

static int draw(cel_ctx *ctx, queue_manager *m, long long *ret_number)
{
        queue_manager_draw *d = calloc(1, sizeof(*d));
        int drawn;

        if (!d)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        d->folder = "/dev/shm";
        strcpy(d->hostname, m->hostname);
        strcpy(d->processname, m->processname);
        int r = cel_offload(ctx, m->pool, queue_manager_run, d, free, &drawn);
        if (r < 0) /* and it is the pool's */
                return r;
        if (drawn < 0)
                r = cel_fail(ctx, drawn, "%s", d->error);
        else
                *ret_number = d->number;
        free(d);
        return r;
}

int queue_manager_name(cel_ctx *ctx, queue_manager *m, const char *prefix, char *name, size_t name_bytes)
{
        enum { WAITING_MAX = 1024 };
        long long number = 0;
        int r = 0;

        if (!m->pool)
                r = cel_pool_new(cel_ctx_runtime(ctx), "queue-names", 1, WAITING_MAX, &m->pool);
        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        r = draw(ctx, m, &number);
        if (r >= 0)
                snprintf(name, name_bytes, "%s%s:%s:%lld", prefix, m->hostname, m->processname, number);
        return r;
}
