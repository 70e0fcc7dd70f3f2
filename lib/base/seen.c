/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A ring holds the ids in the order in which they came; beside it, a table of buckets leads
 * from a hash to the newest ring place with that hash, and each place to the one before it. Forgetting
 * overwrites a place; a chain that leads to an overwritten place ends there, because the place's number (a
 * count that never repeats) does not match.
 *
 * Both begin small, and grow only when a place is to be overwritten whose id still counts: a process may have a
 * thousand of these, most of which see little. */
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

enum { PLACES_MIN = 32 };

typedef struct table {
        size_t places_n;
        place *ring;       /* owned */
        size_t buckets_n;  /* a power of two */
        uint64_t *buckets; /* owned; the number of the newest entry, 0: none */
} table;

struct cel__seen {
        size_t ids_max;
        int64_t ns_max;
        uint64_t count; /* entries ever made */
        table t;
};

static void table_fini(table *t)
{
        free(t->ring);
        free(t->buckets);
}

static int table_init(table *t, size_t places_n)
{
        *t = (table){.places_n = places_n, .buckets_n = 1};
        while (t->buckets_n < places_n)
                t->buckets_n *= 2;
        t->ring = calloc(places_n, sizeof(*t->ring));
        t->buckets = calloc(t->buckets_n, sizeof(*t->buckets));
        if (t->ring && t->buckets)
                return 0;
        table_fini(t);
        return CEL_ENOMEM;
}

static place *place_at(const table *t, uint64_t number)
{
        return &t->ring[number % t->places_n];
}

/* Take over the next entry: its place becomes the first of its chain. */
static void table_add(table *t, const place *entry)
{
        uint64_t *bucket = &t->buckets[entry->hash[0] & (t->buckets_n - 1)];
        place *p = place_at(t, entry->number);

        *p = *entry;
        p->previous = *bucket;
        *bucket = p->number;
}

int cel__seen_new(size_t ids_max, int64_t ms_max, cel__seen **ret_seen)
{
        cel__seen *s = calloc(1, sizeof(*s));

        if (!s || table_init(&s->t, ids_max < PLACES_MIN ? ids_max : PLACES_MIN) < 0) {
                free(s);
                return CEL_ENOMEM;
        }
        s->ids_max = ids_max;
        s->ns_max = ms_max * CEL_NS_PER_MS;
        *ret_seen = s;
        return 0;
}

cel__seen *cel__seen_free(cel__seen *s)
{
        if (s)
                table_fini(&s->t);
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
        place *p = place_at(&s->t, number);

        return number > 0 && p->number == number ? p : NULL;
}

static place *find(const cel__seen *s, const char *id)
{
        uint64_t hash[2];

        hash_id(id, hash);
        for (place *p = place_of(s, s->t.buckets[hash[0] & (s->t.buckets_n - 1)]); p;
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
        memset(s->t.ring, 0, s->t.places_n * sizeof(s->t.ring[0]));
        memset(s->t.buckets, 0, s->t.buckets_n * sizeof(s->t.buckets[0]));
        s->count = 0;
}

/* Make more places, and take all entries along. Without memory for that, the oldest are forgotten early. */
static void grow(cel__seen *s)
{
        size_t places_n = s->t.places_n < s->ids_max / 2 ? s->t.places_n * 2 : s->ids_max;
        table larger;

        if (table_init(&larger, places_n) < 0)
                return;
        for (uint64_t number = s->count - s->t.places_n + 1; number <= s->count; number++)
                table_add(&larger, place_at(&s->t, number));
        table_fini(&s->t);
        s->t = larger;
}

void cel__seen_add(cel__seen *s, const char *id, cel_time now)
{
        place entry = {.number = s->count + 1, .at_ns = now.ns};
        const place *oldest = place_at(&s->t, entry.number);

        if (oldest->number > 0 && now.ns - oldest->at_ns <= s->ns_max && s->t.places_n < s->ids_max)
                grow(s);
        s->count++;
        hash_id(id, entry.hash);
        table_add(&s->t, &entry);
}
