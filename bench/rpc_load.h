/* SPDX-License-Identifier: Apache-2.0
 *
 * What the clients that bench/rpc runs have in common, whatever they call with. Each of them calls for a while to
 * warm up, says "begin", calls for as long as it was told, says "end", prints one line of results, and stays until
 * its input ends: so bench/rpc can look from outside what both sides took between begin and end. */
#ifndef CEL_BENCH_RPC_LOAD_H
#define CEL_BENCH_RPC_LOAD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rpc_load rpc_load;

/* Ends the program if there is no memory for it. */
rpc_load *rpc_load_new(double seconds);
rpc_load *rpc_load_free(rpc_load *load);

int64_t rpc_load_now_ns(void);

/* A call that began at `begun_ns` has its reply. Returns whether to go on. */
bool rpc_load_note(rpc_load *load, int64_t begun_ns);

/* Say "end", print "calls seconds p50-µs p99-µs", and wait for the end of the input. */
void rpc_load_report(rpc_load *load);

#endif
