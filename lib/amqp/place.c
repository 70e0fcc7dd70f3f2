/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/place.h"

#include <stdlib.h>

void place_init(place *p, size_t open_max)
{
        *p = (place){.open_max = open_max};
}

void place_fini(place *p)
{
        free(p->open);
        *p = (place){0};
}

static bool has_room(place *p)
{
        enum { CAPACITY_MIN = 16 };
        size_t capacity = p->open_capacity ? 2 * p->open_capacity : CAPACITY_MIN;

        if (p->open_n < p->open_capacity)
                return true;
        if (p->open_n >= p->open_max)
                return false;
        place_message *open = realloc(p->open, capacity * sizeof(*open));
        if (!open)
                return false;
        p->open = open;
        p->open_capacity = capacity;
        return true;
}

/* Without room it is not remembered: then it does not come again after a loss. */
void place_delivered(place *p, uint64_t tag, int64_t offset)
{
        if (offset < 0 || offset == INT64_MAX) /* no broker counts so */
                return;
        if (has_room(p))
                p->open[p->open_n++] = (place_message){.tag = tag, .offset = offset};
        p->known = true;
        p->next = offset + 1;
}

void place_settled(place *p, uint64_t tag)
{
        for (size_t i = 0; i < p->open_n; i++)
                if (p->open[i].tag == tag) {
                        p->open[i] = p->open[--p->open_n];
                        return;
                }
}

void place_rewind(place *p)
{
        for (size_t i = 0; i < p->open_n; i++)
                if (p->open[i].offset < p->next)
                        p->next = p->open[i].offset;
        p->open_n = 0;
}
