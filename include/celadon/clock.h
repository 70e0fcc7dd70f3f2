/* SPDX-License-Identifier: Apache-2.0
 *
 * Time. Everything inside Celadon runs on one monotonic clock; wall time is only ever printed. Tests hold the
 * clock in their hand: a runtime given a manual clock sees time pass only when cel_clock_advance_ms() says
 * so. */
#ifndef CELADON_CLOCK_H
#define CELADON_CLOCK_H

#include <celadon/base.h>
#include <stdint.h>

/* A point in time on the runtime's clock, in nanoseconds. A struct, so that it is never mistaken for a
 * duration. */
typedef struct cel_time {
        int64_t ns;
} cel_time;

/* The point in time that never comes: no deadline. */
#define CEL_TIME_NEVER (__extension__(cel_time){INT64_MAX})

#define CEL_NS_PER_US INT64_C(1000)
#define CEL_NS_PER_MS INT64_C(1000000)
#define CEL_NS_PER_S  INT64_C(1000000000)

typedef struct cel_clock cel_clock;

CEL_BEGIN

/* The system's monotonic clock. Static: nothing to free. */
CEL_API cel_clock *cel_clock_system(void);

/* A clock that stands still until it is advanced; it starts at one second. NULL when memory is out.
 * Owns: the clock is yours; free it after every runtime that uses it. */
CEL_API cel_clock *cel_clock_new_manual(void);
CEL_API cel_clock *cel_clock_free(cel_clock *clock);

/* Now, on this clock. Callable from any thread. */
CEL_API cel_time cel_clock_now(cel_clock *clock);

/* Move a manual clock forward by `ms` milliseconds and wake everybody whose time has come. Callable from any
 * thread. */
CEL_API void cel_clock_advance_ms(cel_clock *clock, int64_t ms);

CEL_END

/* `t` plus `ms` milliseconds; never overflows past CEL_TIME_NEVER. A negative `ms` counts as zero. */
static inline cel_time cel_time_add_ms(cel_time t, int64_t ms)
{
        if (ms <= 0)
                return t;
        if (ms > (INT64_MAX - t.ns) / CEL_NS_PER_MS)
                return CEL_TIME_NEVER;
        t.ns += ms * CEL_NS_PER_MS;
        return t;
}

CEL_AUTO_WITH(cel_clock, cel_clock_free)

#endif
