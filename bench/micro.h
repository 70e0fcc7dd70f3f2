/* SPDX-License-Identifier: Apache-2.0
 *
 * What the programs of bench/micro share: each is called as `PROGRAM MEASURE` and prints how many nanoseconds one
 * operation took. There is nothing to rescue in a benchmark: any failure ends it. */
#ifndef CEL_BENCH_MICRO_H
#define CEL_BENCH_MICRO_H

/* Does something `n` times and returns how many nanoseconds that took, set-up apart. */
typedef double (*micro_fn)(unsigned n);

typedef struct micro_measure {
        const char *name; /* NULL ends a table of these */
        micro_fn run;
} micro_measure;

/* Run the measure that argv[1] names, with more and more operations until they take long enough. Returns main()'s
 * status. */
int micro_main(int argc, char **argv, const micro_measure *measures);

double micro_now_ns(void);

/* What this process has spent on a core: for whatever happens on one thread, so that other processes do not count. */
double micro_cpu_ns(void);

/* Where a thread runs decides what waking it costs; so the threads of one measure are told. */
typedef enum micro_core {
        MICRO_FIRST,
        MICRO_OTHER, /* the first again, if there is one only */
} micro_core;

/* Have the calling thread run on that core only. */
void micro_pin(micro_core core);

/* End the program unless `r` is 0 or more. */
void micro_expect(int r, const char *what);

/* --- How soon another thread takes note of something ------------------------------------------ */

/* One thread calls this, and it calls `tell`; the other is woken by that and calls micro_answer(). Again for each of
 * `n` samples, long enough apart that the other waits in the kernel by then. Returns the median, `n` times. */
double micro_latency(unsigned n, void (*tell)(void *arg), void *arg);
void micro_answer(void);

#endif
