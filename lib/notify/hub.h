/* SPDX-License-Identifier: Apache-2.0
 *
 * For work that needs more stack than a task has. */
#ifndef CEL_NOTIFY_HUB_H
#define CEL_NOTIFY_HUB_H

#include <celadon/ctx.h>

/* Have `work` run on the hub of the task's loop, and wait for that.
 * Errors: as cel_await(): then it has not run, and will not. */
int cel__run_on_hub(cel_ctx *ctx, void (*work)(void *arg), void *arg);

#endif
