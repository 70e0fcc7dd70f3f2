/* SPDX-License-Identifier: Apache-2.0
 *
 * Where in a stream a consumer is. The broker forgets it with the consumer: whoever comes back says where to go on, which is
 * the first message that it has not settled. */
#ifndef CEL_AMQP_PLACE_H
#define CEL_AMQP_PLACE_H

#include <celadon/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct place_message {
        uint64_t tag;
        int64_t offset;
} place_message;

typedef struct place {
        bool known;
        int64_t next;        /* behind the last message that came */
        place_message *open; /* owned; came, and are not settled: at most as many as the prefetch allows */
        size_t open_n, open_capacity, open_max;
} place;

void place_init(place *p, size_t open_max);
void place_fini(place *p);

/* A message came. */
void place_delivered(place *p, uint64_t tag, int64_t offset);

/* It is settled. */
void place_settled(place *p, uint64_t tag);

/* Tags mean nothing any more: what is not settled will come again. */
void place_rewind(place *p);

#endif
