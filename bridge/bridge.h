/* SPDX-License-Identifier: Apache-2.0
 *
 * The bridge: takes notifications off queues and makes HTTP requests of them. */
#ifndef CELADON_BRIDGE_BRIDGE_H
#define CELADON_BRIDGE_BRIDGE_H

#include "bridge/config.h"

#include <celadon/ctx.h>

/* Run all routes until the program is asked to stop, then drain: requests in flight may end, the rest goes
 * back.
 * Waits:  as long as the bridge runs.
 * Errors: what kept it from starting: the transport's refusal, a queue that cannot be declared; it is logged. */
int bridge_run(cel_ctx *ctx, const bridge_config *config);

#endif
