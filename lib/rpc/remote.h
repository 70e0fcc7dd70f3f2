/* SPDX-License-Identifier: Apache-2.0
 *
 * A remote error, as a ctx keeps it. */
#ifndef CEL_RPC_REMOTE_H
#define CEL_RPC_REMOTE_H

#include "rt/ctx.h"

#include <celadon/rpc.h>

/* Read a failure as it was sent.
 * Owns:   *ret_detail is a reference of yours.
 * Errors: CEL_EDECODE, with a sentence in `why`; CEL_ENOMEM. */
int remote_read(const char *text, size_t n, cel__error_detail **ret_detail, char *why, size_t why_bytes);

/* Record CEL_EREMOTE with this detail, which nobody else has and which is taken, in the ctx. `allowed_modules` ends with
 * NULL, or is NULL. Returns CEL_EREMOTE. */
int remote_fail(cel_ctx *ctx, cel__error_detail *detail, const char *const *allowed_modules);

#endif
