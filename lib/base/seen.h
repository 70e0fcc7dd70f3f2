/* SPDX-License-Identifier: Apache-2.0
 *
 * What has been handled lately: messages are remembered by id for some time, up to some number. A copy that
 * the broker delivers again, because our acknowledgement was lost on the way, is recognised. */
#ifndef CEL_BASE_SEEN_H
#define CEL_BASE_SEEN_H

#include <celadon/clock.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cel__seen cel__seen;

/* Remember at most `ids_max` ids for `ms_max` milliseconds each.
 * Errors: CEL_ENOMEM. */
int cel__seen_new(size_t ids_max, int64_t ms_max, cel__seen **ret_seen);
cel__seen *cel__seen_free(cel__seen *s);

/* Ids are compared by 128 bits of hash: two different ones in 10,000 are taken for equal once in 10^30 runs.
 */
bool cel__seen_has(const cel__seen *s, const char *id, cel_time now);

/* Remember `id`; the oldest is forgotten if there are too many. */
void cel__seen_add(cel__seen *s, const char *id, cel_time now);

/* Forget `id`, if it is known: it was not handled after all. */
void cel__seen_remove(cel__seen *s, const char *id);

/* Forget all. */
void cel__seen_clear(cel__seen *s);

#endif
