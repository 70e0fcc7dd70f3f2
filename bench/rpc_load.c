/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SAMPLES_MAX = 16 * 1024 * 1024, WARM_UP_PART = 5 };

struct rpc_load {
        int64_t ns;       /* how long to measure */
        int64_t begin_ns; /* when that begins: it warms up before */
        bool begun;
        size_t calls;
        uint32_t samples[SAMPLES_MAX]; /* µs of each call; touched as it is used */
};

static const int64_t ns_per_s = 1000000000;

int64_t rpc_load_now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * ns_per_s + t.tv_nsec;
}

rpc_load *rpc_load_new(double seconds)
{
        rpc_load *load = calloc(1, sizeof(*load));

        if (!load) {
                fputs("no memory for the samples\n", stderr);
                exit(1);
        }
        load->ns = (int64_t)(seconds * (double)ns_per_s);
        load->begin_ns = rpc_load_now_ns() + load->ns / WARM_UP_PART;
        return load;
}

rpc_load *rpc_load_free(rpc_load *load)
{
        free(load);
        return NULL;
}

static void begin(rpc_load *load, int64_t now_ns)
{
        load->begun = true;
        load->begin_ns = now_ns;
        puts("begin");
        fflush(stdout);
}

bool rpc_load_note(rpc_load *load, int64_t begun_ns)
{
        int64_t now_ns = rpc_load_now_ns();

        if (!load->begun) {
                if (now_ns >= load->begin_ns)
                        begin(load, now_ns);
                return true;
        }
        if (now_ns >= load->begin_ns + load->ns || load->calls == SAMPLES_MAX)
                return false;
        load->samples[load->calls++] = (uint32_t)((now_ns - begun_ns) / 1000);
        return true;
}

static int compare(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

void rpc_load_report(rpc_load *load)
{
        double seconds = (double)load->ns / (double)ns_per_s;
        size_t n = load->calls;

        puts("end"); /* what follows is not the calls' */
        fflush(stdout);
        qsort(load->samples, n, sizeof(load->samples[0]), compare);
        printf("%zu %.6f %u %u\n", n, seconds, load->samples[n / 2], load->samples[n * 99 / 100]);
        fflush(stdout);
        while (getchar() != EOF)
                ;
}
