/* SPDX-License-Identifier: Apache-2.0 */
#include "micro.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
        ENOUGH_MS = 200, /* what a measure runs for, at least */
        OPERATIONS_FIRST = 1000,
        OPERATIONS_MAX = 1 << 30,
        SAMPLES_MAX = 1 << 20,
        PAUSE_US = 50, /* in which the other thread goes to sleep */
};

static double read_ns(clockid_t clock)
{
        struct timespec now;

        clock_gettime(clock, &now);
        return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double micro_now_ns(void)
{
        return read_ns(CLOCK_MONOTONIC);
}

double micro_cpu_ns(void)
{
        return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static cpu_set_t allowed; /* the cores that we may use */

void micro_pin(micro_core core)
{
        unsigned chosen = 0, seen = 0;
        cpu_set_t one;

        for (unsigned i = 0; i < CPU_SETSIZE && seen <= core; i++)
                if (CPU_ISSET(i, &allowed)) {
                        chosen = i;
                        seen++;
                }
        CPU_ZERO(&one);
        CPU_SET(chosen, &one);
        micro_expect(sched_setaffinity(0, sizeof(one), &one), "affinity"); /* 0: of this thread */
}

void micro_expect(int r, const char *what)
{
        if (r >= 0)
                return;
        fprintf(stderr, "%s: %d\n", what, r);
        exit(1);
}

int micro_main(int argc, char **argv, const micro_measure *measures)
{
        while (argc == 2 && measures->name && strcmp(measures->name, argv[1]) != 0)
                measures++;
        if (argc != 2 || !measures->name) {
                fprintf(stderr, "usage: %s MEASURE\n", argv[0]);
                return 2;
        }
        micro_expect(sched_getaffinity(0, sizeof(allowed), &allowed), "affinity");
        unsigned n = OPERATIONS_FIRST;
        double ns = measures->run(n);
        while (ns < ENOUGH_MS * 1e6 && n < OPERATIONS_MAX) {
                double more = 1.2 * ENOUGH_MS * 1e6 / ns;

                n = (unsigned)(n * (more < 2 ? 2 : more > 10 ? 10 : more));
                ns = measures->run(n);
        }
        printf("%.3f\n", ns / n);
        return 0;
}

/* --- Latency ---------------------------------------------------------------------------------- */

static double samples[SAMPLES_MAX];
static _Atomic(double) called_ns, answered_ns;

void micro_answer(void)
{
        atomic_store(&answered_ns, micro_now_ns());
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

double micro_latency(unsigned n, void (*tell)(void *arg), void *arg)
{
        n = n < SAMPLES_MAX ? n : SAMPLES_MAX;
        for (unsigned i = 0; i < n; i++) {
                for (double end = micro_now_ns() + PAUSE_US * 1e3; micro_now_ns() < end;)
                        sched_yield(); /* the other may need this core */
                atomic_store(&answered_ns, 0);
                atomic_store(&called_ns, micro_now_ns());
                tell(arg);
                while (atomic_load(&answered_ns) == 0)
                        sched_yield();
                samples[i] = atomic_load(&answered_ns) - atomic_load(&called_ns);
        }
        qsort(samples, n, sizeof(*samples), compare);
        return samples[n / 2] * n;
}
