/* SPDX-License-Identifier: Apache-2.0
 *
 * `idle SECONDS`: a runtime of two loops with tasks that wait, some of them until a deadline that is far away. Print
 * how often any of its threads woke up in that time, and how many KiB are resident. */
#include "micro.h"

#include <celadon/celadon.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TASKS = 1000, LOOPS = 2, FAR_MS = 3600 * 1000 };

typedef struct watcher {
        unsigned seconds;
        cel_future *gate;
} watcher;

/* A figure of a thread's status file; 0 if it has gone. */
static long figure(const char *path, const char *label)
{
        FILE *status = fopen(path, "re");
        char line[256];
        long value = 0;

        while (status && fgets(line, sizeof(line), status))
                if (strncmp(line, label, strlen(label)) == 0)
                        value = strtol(line + strlen(label), NULL, 10);
        if (status)
                fclose(status);
        return value;
}

/* How often the threads of this process, the calling one apart, have left the core to wait. */
static long waits(void)
{
        DIR *threads = opendir("/proc/self/task");
        long own = syscall(SYS_gettid), sum = 0;
        char path[300];

        for (struct dirent *entry; threads && (entry = readdir(threads));) {
                if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == own)
                        continue;
                snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
                sum += figure(path, "voluntary_ctxt_switches:");
        }
        if (threads)
                closedir(threads);
        return sum;
}

static void *watch(void *arg)
{
        watcher *w = arg;

        sleep(1); /* the tasks park meanwhile */
        long before = waits();
        sleep(w->seconds);
        printf("%ld %ld\n", waits() - before, figure("/proc/self/status", "VmRSS:"));
        cel_future_complete(w->gate, 0, NULL);
        return NULL;
}

static int wait_long(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, FAR_MS);

        return cel_await(ctx, arg, NULL);
}

static int run(cel_ctx *ctx, void *arg)
{
        watcher *w = arg;
        cel_scope *scope;
        pthread_t thread;

        micro_expect(cel_future_new(&w->gate), "future");
        micro_expect(cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope), "scope");
        for (int i = 0; i < TASKS; i++)
                micro_expect(cel_spawn_on(ctx, scope, i % LOOPS, "idle", wait_long, w->gate, NULL), "spawn");
        micro_expect(-pthread_create(&thread, NULL, watch, w), "thread");
        micro_expect(cel_scope_close(ctx, scope), "close");
        pthread_join(thread, NULL);
        cel_future_unref(w->gate);
        return 0;
}

int main(int argc, char **argv)
{
        watcher w = {.seconds = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 3};
        cel_runtime *runtime;

        micro_expect(cel_runtime_new(&(cel_runtime_options){.loops = LOOPS}, &runtime), "runtime");
        micro_expect(cel_runtime_run(runtime, "bench", run, &w), "run");
        cel_runtime_free(runtime);
        return 0;
}
