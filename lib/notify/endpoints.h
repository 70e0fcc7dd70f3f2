/* SPDX-License-Identifier: Apache-2.0
 *
 * The endpoints of a listener: who wants which notification. */
#ifndef CEL_NOTIFY_ENDPOINTS_H
#define CEL_NOTIFY_ENDPOINTS_H

#include "notify/filter.h"
#include "notify/priority.h"

#include <stdint.h>

enum { CEL__ENDPOINTS_MAX = 64 };

typedef uint64_t cel__endpoint_set; /* a bit for each */

typedef struct cel__endpoint {
        unsigned priorities; /* a bit for each; 0: any, even one that oslo.messaging does not know */
        cel__filter *filter; /* owned; NULL: everything */
        cel_notification_fn on_notification;
        cel_notification_batch_fn on_batch;
        void *arg; /* borrowed */
} cel__endpoint;

typedef struct cel__endpoints {
        cel__endpoint list[CEL__ENDPOINTS_MAX];
        unsigned n;
} cel__endpoints;

/* Read the endpoints of `options`, or the one that its callback is; on failure, `why` is a sentence. On the hub, for the
 * filters' sake.
 * Owns:   `endpoints` is yours, also on failure: cel__endpoints_fini() it.
 * Errors: CEL_EINVAL, CEL_ENOMEM. */
int cel__endpoints_init(cel__endpoints *endpoints, const cel_notification_listener_options *options,
                        char *why, size_t why_bytes);
void cel__endpoints_fini(cel__endpoints *endpoints);

/* Which priorities to listen to: `names` is NULL-terminated. */
void cel__endpoints_priorities(const cel__endpoints *endpoints, const char *names[CEL__PRIORITIES_N + 1]);

/* Who wants notifications of this priority? */
cel__endpoint_set cel__endpoints_for(const cel__endpoints *endpoints, const char *priority);

/* Take those out of `set` whose filter does not let `message` pass. On the hub. Errors: CEL_ENOMEM. */
int cel__endpoints_filter(cel__endpoints *endpoints, const json_t *message, cel__endpoint_set *set);

#endif
