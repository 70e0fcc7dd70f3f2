/* SPDX-License-Identifier: Apache-2.0
 *
 * A dump: what every task is doing, as a text for people. A program under cel_main() writes one to standard
 * error when it gets SIGUSR1. */
#ifndef CELADON_DUMP_H
#define CELADON_DUMP_H

#include <celadon/ctx.h>
#include <stdio.h>

CEL_BEGIN

/* Write to `file`, for each loop, its counters and its tasks, the oldest first: name, request id, whether it
 * runs, is ready or what it waits for, since when, how much of its stack it uses, and its own stack of calls.
 * After 200 tasks of a loop, the others are only counted, by name and what they wait for. Then the offload
 * pools. A loop that does not answer within half a second is reported with what the watchdog knows of it.
 *
 * The times are as of the turn in which a task began to wait. "touched" is what the stack occupies in memory;
 * stacks are used again, so an earlier task may have touched it.
 * Waits:  for the loops; what is written may hold up the calling thread, as all writing to a FILE.
 * Errors: CEL_ENOMEM, CEL_ETIMEDOUT, CEL_ECANCELED: nothing was written; CEL_EIO. */
CEL_API int cel_dump(cel_ctx *ctx, FILE *file);

CEL_END

#endif
