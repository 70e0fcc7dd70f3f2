/* SPDX-License-Identifier: Apache-2.0
 *
 * What has been handled lately: messages are remembered by id for some time, up to some number. A copy that
 * the broker delivers again, because our acknowledgement was lost on the way, is recognised. */
#ifndef CEL_NOTIFY_SEEN_H
#define CEL_NOTIFY_SEEN_H

#include <celadon/clock.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct seen seen;

/* Remember at most `ids_max` ids for `ms_max` milliseconds each.
 * Errors: CEL_ENOMEM. */
int seen_new(size_t ids_max, int64_t ms_max, seen **ret_seen);
seen *seen_free(seen *s);

/* Ids are compared by 128 bits of hash: two different ones in 10,000 are taken for equal once in 10^30 runs.
 */
bool seen_has(const seen *s, const char *id, cel_time now);

/* Remember `id`; the oldest is forgotten if there are too many. */
void seen_add(seen *s, const char *id, cel_time now);

#endif
