/* SPDX-License-Identifier: Apache-2.0
 *
 * When to connect again, and to which of several hosts. */
#ifndef CEL_AMQP_RETRY_H
#define CEL_AMQP_RETRY_H

#include "amqp/amqp.h"

#include <stdbool.h>

typedef struct retry_plan {
        cel__amqp_retry options;
        size_t hosts_n;
        size_t order[CEL__URL_HOSTS_MAX]; /* shuffled */
        size_t at;                        /* of the next host, in `order`, counting on */
        int64_t failures;                 /* attempts that failed, one after the other */
        int64_t wait_ms;                  /* the last wait, without schedule */
} retry_plan;

/* How the last attempt ended. */
typedef enum retry_reason {
        RETRY_UNREACHED, /* nobody answered: to try costs nobody anything */
        RETRY_REFUSED,   /* somebody answered, and refused; he may be drowning */
        RETRY_LOST,      /* it was up, not for long */
        RETRY_LOST_LATE, /* it was up for long enough to begin with a short wait again */
} retry_reason;

void retry_init(retry_plan *r, const cel__amqp_retry *options, size_t hosts_n);

/* Which host to try next, by its place in the URL. */
size_t retry_host(retry_plan *r);

/* How long to wait before that; 0: not at all. */
int64_t retry_wait_ms(retry_plan *r, retry_reason reason);

/* Has each host failed as often as the others, so that it is known now that none can be reached? */
bool retry_all_tried(const retry_plan *r);

#endif
