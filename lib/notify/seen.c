/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A ring holds the ids in the order in which they came; beside it, a table of buckets leads
 * from a hash to the newest ring place with that hash, and each place to the one before it. Forgetting
 * overwrites a place; a chain that leads to an overwritten place ends there, because the place's number (a
 * count that never repeats) does not match. */
#include "notify/seen.h"

#include <celadon/error.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
        uint64_t hash[2];
        int64_t at_ns;
        uint64_t number;   /* of this entry, from 1; 0: never used */
        uint64_t previous; /* number of the entry before it in its chain; 0: none */
} place;

struct seen {
        size_t ids_max;
        int64_t ns_max;
        uint64_t count;    /* entries ever made */
        size_t buckets_n;  /* a power of two */
        uint64_t *buckets; /* owned; the number of the newest entry, 0: none */
        place ring[];
};

int seen_new(size_t ids_max, int64_t ms_max, seen **ret_seen)
{
        seen *s = calloc(1, sizeof(*s) + ids_max * sizeof(s->ring[0]));
        size_t buckets_n = 1;

        if (!s)
                return CEL_ENOMEM;
        while (buckets_n < ids_max)
                buckets_n *= 2;
        s->buckets = calloc(buckets_n, sizeof(*s->buckets));
        if (!s->buckets) {
                free(s);
                return CEL_ENOMEM;
        }
        s->buckets_n = buckets_n;
        s->ids_max = ids_max;
        s->ns_max = ms_max * CEL_NS_PER_MS;
        *ret_seen = s;
        return 0;
}

seen *seen_free(seen *s)
{
        if (s)
                free(s->buckets);
        free(s);
        return NULL;
}

/* FNV-1a, twice with different beginnings. The ids are random already; nobody gains by a collision but a lost
 * duplicate. */
static void hash_id(const char *id, uint64_t hash[2])
{
        hash[0] = UINT64_C(0xcbf29ce484222325);
        hash[1] = UINT64_C(0x9ae16a3b2f90404f);
        for (; *id; id++) {
                hash[0] = (hash[0] ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
                hash[1] = (hash[1] ^ (unsigned char)*id) * UINT64_C(0x9e3779b97f4a7c15);
                hash[1] ^= hash[1] >> 32;
        }
}

static const place *place_of(const seen *s, uint64_t number)
{
        const place *p = &s->ring[number % s->ids_max];

        return number > 0 && p->number == number ? p : NULL;
}

bool seen_has(const seen *s, const char *id, cel_time now)
{
        uint64_t hash[2];

        hash_id(id, hash);
        for (const place *p = place_of(s, s->buckets[hash[0] & (s->buckets_n - 1)]); p;
             p = place_of(s, p->previous))
                if (p->hash[0] == hash[0] && p->hash[1] == hash[1])
                        return now.ns - p->at_ns <= s->ns_max;
        return false;
}

void seen_add(seen *s, const char *id, cel_time now)
{
        uint64_t number = ++s->count;
        place *p = &s->ring[number % s->ids_max];

        p->number = number;
        p->at_ns = now.ns;
        hash_id(id, p->hash);
        uint64_t *bucket = &s->buckets[p->hash[0] & (s->buckets_n - 1)];
        p->previous = *bucket;
        *bucket = number;
}
