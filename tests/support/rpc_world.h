/* SPDX-License-Identifier: Apache-2.0
 *
 * A server on a bus that the test plays, for the tests of its parts. Handlers are tasks of the loop, so there is one
 * kind of ctx; what waits for the server is tested with that, too, since a server belongs to its loop. */
#ifndef CEL_TESTS_SUPPORT_RPC_WORLD_H
#define CEL_TESTS_SUPPORT_RPC_WORLD_H

#include "bus.h"
#include "fixture.h"

#include <celadon/rpc_server.h>

typedef struct world {
        fixture f;
        bus bus;
        cel_rpc_server *server;
        cel_rpc_server_options options;
        cel_endpoint endpoints[3];
        cel_future *gate; /* what world_slow() waits for */
        unsigned called, canceled;
        unsigned looked_up;
        int serializing, deserializing; /* what that comes to */
        char seen[256];                 /* by the last handler */
} world;

/* Handlers: a + b; nothing before the gate opens; a NotFound; null. `arg` of their endpoint is the world. */
int world_add(cel_ctx *ctx, cel_request *q);
int world_slow(cel_ctx *ctx, cel_request *q);
int world_raise_error(cel_ctx *ctx, cel_request *q);
int world_nothing(cel_ctx *ctx, cel_request *q);

/* These as "add", "slow", "raise_error" (which is expected) and "nothing"; "few", a slow one of which two run at once;
 * "break_down", which fails with CEL_EIO; "_hidden", as "add". Of version 1.3. */
extern const cel_method world_methods[];

void world_init(world *w);
void world_fini(world *w);

/* Make the server, as w->options say, and start it. */
void world_start(world *w);

/* Tasks that do one of both; `arg` is the world. */
int world_make_server(cel_ctx *ctx, void *arg);
int world_start_server(cel_ctx *ctx, void *arg);

/* Let the slow ones end. */
void world_open_gate(world *w);

/* Deliver a request for `method`, with a 2 and b 3; `rest` comes behind it. */
unsigned world_ask(world *w, const char *method, const char *rest);
#define CALL ", \"_msg_id\": \"m1\", \"_reply_q\": \"reply_q\""

/* What the last reply has. */
void world_check_last(const world *w, const char *key, const char *expected_value);
void world_check_failure(const world *w, const char *class_name, const char *module, const char *message);

#endif
