/* SPDX-License-Identifier: Apache-2.0
 *
 * `parked N`: start N tasks that wait for a future, and print how many bytes each of them keeps resident, how many
 * of the kernel's page tables come on top, and how many nanoseconds starting and ending one takes. */
#include "micro.h"

#include <celadon/celadon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct lot {
        unsigned n;
        cel_future *gate;
        _Atomic unsigned parked;
} lot;

/* A figure of /proc/self/status, in bytes. */
static double memory_bytes(const char *label)
{
        FILE *status = fopen("/proc/self/status", "re");
        char line[256];
        double kib = -1;

        if (!status)
                return -1;
        while (fgets(line, sizeof(line), status))
                if (strncmp(line, label, strlen(label)) == 0)
                        kib = strtod(line + strlen(label), NULL);
        fclose(status);
        return kib * 1024;
}

static int park(cel_ctx *ctx, void *arg)
{
        lot *l = arg;

        l->parked++;
        return cel_await(ctx, l->gate, NULL);
}

static int run(cel_ctx *ctx, void *arg)
{
        lot *l = arg;
        cel_scope *scope;

        micro_expect(cel_future_new(&l->gate), "future");
        micro_expect(cel_scope_open(ctx, CEL_SCOPE_FAIL_FAST, &scope), "scope");
        double resident = memory_bytes("VmRSS:"), tables = memory_bytes("VmPTE:"), start = micro_now_ns();
        for (unsigned i = 0; i < l->n; i++) {
                micro_expect(cel_spawn(ctx, scope, "parked", park, l, NULL), "spawn");
                if (i % 1000 == 0)
                        micro_expect(cel_yield(ctx), "yield");
        }
        while (l->parked < l->n)
                micro_expect(cel_yield(ctx), "yield");
        double parked = micro_now_ns();
        resident = memory_bytes("VmRSS:") - resident;
        tables = memory_bytes("VmPTE:") - tables;

        double end = micro_now_ns();
        cel_future_complete(l->gate, 0, NULL);
        micro_expect(cel_scope_close(ctx, scope), "close");
        end = micro_now_ns() - end;
        cel_future_unref(l->gate);
        printf("%.0f %.0f %.0f %.0f\n", resident / l->n, tables / l->n, (parked - start) / l->n, end / l->n);
        return 0;
}

int main(int argc, char **argv)
{
        lot l = {.n = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0};
        cel_runtime *runtime;

        if (l.n == 0) {
                fprintf(stderr, "usage: %s TASKS\n", argv[0]);
                return 2;
        }
        micro_expect(cel_runtime_new(&(cel_runtime_options){.tasks_max = l.n + 1}, &runtime), "runtime");
        micro_expect(cel_runtime_run(runtime, "bench", run, &l), "run");
        cel_runtime_free(runtime);
        return 0;
}
