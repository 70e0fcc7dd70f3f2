/* SPDX-License-Identifier: Apache-2.0
 *
 * A process that forks while a runtime lives leaves its child one thread of many, locks that nobody will release
 * and descriptors that two now share. The child may exec; every call of ours in it fails with CEL_EFORKED. */
#ifndef CEL_RT_FORK_H
#define CEL_RT_FORK_H

#include <celadon/ctx.h>

/* Set in such a child, once and for all. */
extern bool cel__forked;

/* A runtime was made (1) or freed (-1). */
void cel__fork_count_runtime(int change);

/* CEL_EFORKED, with a text that says what to do instead. */
int cel__fork_fail(cel_ctx *ctx);

#endif
