/* SPDX-License-Identifier: Apache-2.0
 *
 * Probes for perf, bpftrace and SystemTap: an instruction that does nothing, and a note in the program's file
 * that says where it is and where its arguments are. docs/SEEING-INSIDE.md lists them. Built without
 * systemtap's header there are none. */
#ifndef CEL_RT_PROBE_H
#define CEL_RT_PROBE_H

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define CEL__PROBE2(name, a, b)    DTRACE_PROBE2(celadon, name, a, b)
#define CEL__PROBE3(name, a, b, c) DTRACE_PROBE3(celadon, name, a, b, c)
#else
#define CEL__PROBE2(name, a, b)    ((void)(a), (void)(b))
#define CEL__PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
