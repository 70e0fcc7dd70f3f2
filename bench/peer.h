/* SPDX-License-Identifier: Apache-2.0
 *
 * What the programs that use librabbitmq alone share. There is nothing to rescue in a benchmark: any failure
 * ends it. */
#ifndef CEL_BENCH_PEER_H
#define CEL_BENCH_PEER_H

#include <amqp.h>

enum { PEER_CHANNEL = 1 };

/* A connection to the broker at `url` (amqp://user:password@host:port/vhost) with PEER_CHANNEL open. */
amqp_connection_state_t peer_connect(const char *url);

/* End the program with a sentence unless `reply` is good; `what` says what it is the reply to. */
void peer_expect(amqp_rpc_reply_t reply, const char *what);

/* The same for calls that return a status. */
void peer_expect_ok(int status, const char *what);

#endif
