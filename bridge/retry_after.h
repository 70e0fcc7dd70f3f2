/* SPDX-License-Identifier: Apache-2.0
 *
 * When an API wants to be asked again. */
#ifndef CELADON_BRIDGE_RETRY_AFTER_H
#define CELADON_BRIDGE_RETRY_AFTER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct bridge_retry_after {
        bool given; /* the API says when: after `ms`, at least 1 */
        bool never; /* it says not to ask again, by a negative number */
        int64_t ms; /* at most BRIDGE_RETRY_AFTER_MS_MAX */
} bridge_retry_after;

#define BRIDGE_RETRY_AFTER_MS_MAX (INT64_C(366) * 24 * 3600 * 1000)

/* Read a Retry-After header: seconds, also with a fraction, or a date in any of HTTP's three forms (RFC 9110, 5.6.7).
 * `now_ms` is the time of day, since 1970. What is past, zero or none of these says nothing; NULL likewise. */
bridge_retry_after bridge_read_retry_after(const char *value, int64_t now_ms);

/* The same from RateLimit-Remaining and RateLimit-Reset, or their elders with X-: when nothing remains, reset is in
 * seconds from now, or since 1970 where it is that large. */
bridge_retry_after bridge_read_rate_limit(const char *remaining, const char *reset, int64_t now_ms);

#endif
