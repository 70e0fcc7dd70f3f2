/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver "test" keeps. From any thread. */
#ifndef CEL_NOTIFY_KEPT_H
#define CEL_NOTIFY_KEPT_H

#include <jansson.h>
#include <pthread.h>

typedef struct cel__kept {
        pthread_mutex_t mutex;
        json_t *list; /* owned; an array, oldest first; NULL: empty */
} cel__kept;

void cel__kept_init(cel__kept *kept);
void cel__kept_fini(cel__kept *kept);

/* Keep `entry`, and not more than the last 1,000. Takes it, also on failure. Errors: CEL_ENOMEM. */
int cel__kept_add(cel__kept *kept, json_t *entry);

/* Take all: an array that is yours. NULL: no memory. */
json_t *cel__kept_take(cel__kept *kept);

#endif
