/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library's parts need of the runtime. */
#ifndef CEL_RT_RUNTIME_H
#define CEL_RT_RUNTIME_H

#include "rt/loop.h"

#include <celadon/offload.h>
#include <celadon/runtime.h>

typedef struct cel__guardian cel__guardian;

cel_clock *cel__runtime_clock(const cel_runtime *runtime);
cel__loop *cel__runtime_loop(cel_runtime *runtime);

/* The library's own tasks live here: connections, mostly. When the program's first task has ended, they are
 * cancelled and waited for. */
cel_scope *cel__runtime_system_scope(cel_runtime *runtime);

cel__guardian *cel__runtime_guardian(cel_runtime *runtime);

/* For how long a loop may be stuck before its connections stop heartbeating. */
int64_t cel__runtime_wedge_ms_max(const cel_runtime *runtime);

/* Count a task in or out.
 * Errors: CEL_EFULL. */
int cel__runtime_task_enter(cel_runtime *runtime);
void cel__runtime_task_leave(cel_runtime *runtime);

/* The named pool that all name resolution goes through; made when first asked for.
 * Errors: CEL_ENOMEM. */
int cel__runtime_dns_pool(cel_runtime *runtime, cel_pool **ret_pool);

#endif
