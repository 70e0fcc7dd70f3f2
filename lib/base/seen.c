/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A ring holds the ids in the order in which they came; beside it, a table of buckets leads
 * from a hash to the newest ring place with that hash, and each place to the one before it. Forgetting
 * overwrites a place; a chain that leads to an overwritten place ends there, because the place's number (a
 * count that never repeats) does not match. */
#include "base/seen.h"
#include "base/hash.h"

#include <celadon/error.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
        uint64_t hash[2];
        int64_t at_ns;
        uint64_t number;   /* of this entry, from 1; 0: never used */
        uint64_t previous; /* number of the entry before it in its chain; 0: none */
} place;

struct cel__seen {
        size_t ids_max;
        int64_t ns_max;
        uint64_t count;    /* entries ever made */
        size_t buckets_n;  /* a power of two */
        uint64_t *buckets; /* owned; the number of the newest entry, 0: none */
        place ring[];
};

int cel__seen_new(size_t ids_max, int64_t ms_max, cel__seen **ret_seen)
{
        cel__seen *s = calloc(1, sizeof(*s) + ids_max * sizeof(s->ring[0]));
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

cel__seen *cel__seen_free(cel__seen *s)
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
        hash[0] = CEL__HASH_NONE;
        hash[1] = UINT64_C(0x9ae16a3b2f90404f);
        for (; *id; id++) {
                hash[0] = cel__hash_add(hash[0], (unsigned char)*id);
                hash[1] = (hash[1] ^ (unsigned char)*id) * UINT64_C(0x9e3779b97f4a7c15);
                hash[1] ^= hash[1] >> 32;
        }
}

static place *place_of(const cel__seen *s, uint64_t number)
{
        place *p = (place *)(uintptr_t)&s->ring[number % s->ids_max];

        return number > 0 && p->number == number ? p : NULL;
}

static place *find(const cel__seen *s, const char *id)
{
        uint64_t hash[2];

        hash_id(id, hash);
        for (place *p = place_of(s, s->buckets[hash[0] & (s->buckets_n - 1)]); p;
             p = place_of(s, p->previous))
                if (p->hash[0] == hash[0] && p->hash[1] == hash[1])
                        return p;
        return NULL;
}

bool cel__seen_has(const cel__seen *s, const char *id, cel_time now)
{
        const place *p = find(s, id);

        return p && now.ns - p->at_ns <= s->ns_max;
}

void cel__seen_remove(cel__seen *s, const char *id)
{
        place *p = find(s, id);

        if (p)
                p->hash[0] = ~p->hash[0]; /* nobody's, but its chain goes on */
}

void cel__seen_clear(cel__seen *s)
{
        memset(s->buckets, 0,
               s->buckets_n * sizeof(s->buckets[0])); /* nothing leads to what is in the ring */
}

void cel__seen_add(cel__seen *s, const char *id, cel_time now)
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
