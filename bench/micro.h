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

/* Keep this core busy for `ns`. */
void micro_spin(double ns);

/* End the program unless `r` is 0 or more. */
void micro_expect(int r, const char *what);

/* --- How soon another thread takes note of something ------------------------------------------ */

/* One thread calls micro_call() and `tell`, the other is woken by that and calls micro_answer(); once for each
 * sample, long enough apart that the other waits in the kernel by then. Returns the median, `n` times. */
double micro_latency(unsigned n, void (*tell)(void *arg), void *arg);
void micro_answer(void);

#endif
