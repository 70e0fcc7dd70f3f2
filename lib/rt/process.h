/* SPDX-License-Identifier: Apache-2.0
 *
 * What cel_process_capture() needs of a process. */
#ifndef CEL_RT_PROCESS_H
#define CEL_RT_PROCESS_H

#include <celadon/process.h>

/* A descriptor that is readable once the program has ended. Borrowed. */
int cel__process_pidfd(const cel_process *process);

/* May something be started on behalf of this ctx now?
 * Errors: CEL_ECANCELED, CEL_ETIMEDOUT. */
int cel__process_may_begin(cel_ctx *ctx);

/* Close our ends of the pipes that nobody took. */
void cel__process_close_pipes(cel_process *process);

/* Stop the program because waiting for it failed with `code`; returns `code`, with a text. */
int cel__process_give_up(cel_ctx *ctx, cel_process *process, int code);

#endif
