/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A name is asked for by one, its leader, who offloads the question; others wait for the answer,
 * which the job itself makes known: it comes even if the leader has left meanwhile. A question that never ran has
 * lost its leader, and the first of those who wait is the next.
 *
 * A name lives as long as anybody holds it: the table, the job, whoever waits. One that is out of date leaves the
 * table and is asked for anew, while those who wait for it still get what they waited for. The job of a thread
 * that is stuck may outlive the runtime; so the names do too, but for their clock. */
#include "net/names.h"
#include "base/assert.h"
#include "base/hash.h"
#include "rt/ctx.h"
#include "rt/runtime.h"

#include <celadon/offload.h>
#include <ctype.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { BUCKETS = 256, FILES_LOOK_MS = 1000, POOL_THREADS_MAX = 4, POOL_QUEUE_MAX = 1000 };

/* What tells that a file has changed. */
typedef struct stamp {
        struct timespec changed;
        off_t bytes;
        ino_t inode;
} stamp;

typedef struct names {
        cel__attachment attachment;
        cel_pool *pool;        /* owned; the system is asked there */
        pthread_mutex_t mutex; /* of all below */
        unsigned refs;         /* the runtime's, and one for each question under way */
        bool closed;           /* the runtime is gone, and its clock */
        cel_clock *clock;      /* borrowed */
        cel__names_source source;
        stamp stamps[CEL__NAMES_FILES];
        cel_time look_at; /* the files, then */
        cel__list buckets[BUCKETS];
        cel__list used; /* all of the table, the one least lately used first */
        cel_dns_stats stats;
} names;

typedef struct name {
        cel__list in_bucket;
        cel__list in_used;
        names *all;    /* borrowed; the job has a reference */
        unsigned refs; /* the table's, the job's, those of who waits */
        bool asked;    /* somebody leads */
        bool known;
        cel_time good_until;
        cel__list waiters; /* of cel__waiter */
        cel__answer answer;
        char host[];
} name;

/* --- The table, with the mutex held ----------------------------------------------------------- */

static cel__list *bucket_of(names *all, const char *host)
{
        uint64_t hash = CEL__HASH_NONE;

        for (; *host; host++)
                hash = cel__hash_add(hash, (unsigned char)tolower((unsigned char)*host));
        return &all->buckets[hash % BUCKETS];
}

static void name_unref(name *n)
{
        if (--n->refs == 0)
                free(n);
}

static void forget(name *n)
{
        if (cel__list_empty(&n->in_used))
                return;
        cel__list_remove(&n->in_bucket);
        cel__list_remove(&n->in_used);
        n->all->stats.names--;
        name_unref(n);
}

static unsigned forget_all(names *all)
{
        unsigned n = all->stats.names;

        cel__list_for_each (node, &all->used)
                forget(cel__container(node, name, in_used));
        return n;
}

static name *find(names *all, const char *host)
{
        cel__list *bucket = bucket_of(all, host);

        cel__list_for_each (node, bucket) {
                name *n = cel__container(node, name, in_bucket);

                if (strcasecmp(n->host, host) == 0)
                        return n;
        }
        return NULL;
}

/* Make room for one more. */
static bool evict(names *all)
{
        if (all->stats.names < CEL__NAMES_MAX)
                return true;
        cel__list_for_each (node, &all->used) {
                name *n = cel__container(node, name, in_used);

                if (n->known) {
                        forget(n);
                        all->stats.evicted++;
                        return true;
                }
        }
        return false; /* all are being asked for */
}

static int add(names *all, const char *host, name **ret_name)
{
        size_t bytes = strlen(host) + 1;

        if (!evict(all))
                return CEL_EFULL;
        name *n = calloc(1, sizeof(*n) + bytes);
        if (!n)
                return CEL_ENOMEM;
        n->all = all;
        n->refs = 1;
        cel__list_init(&n->waiters);
        memcpy(n->host, host, bytes);
        cel__list_append(bucket_of(all, host), &n->in_bucket);
        cel__list_append(&all->used, &n->in_used);
        all->stats.names++;
        *ret_name = n;
        return 0;
}

/* --- Files that count ------------------------------------------------------------------------- */

static stamp stamp_of(const char *file)
{
        struct stat about;

        if (!file || stat(file, &about) < 0)
                return (stamp){0};
        return (stamp){.changed = about.st_mtim, .bytes = about.st_size, .inode = about.st_ino};
}

static bool same(const stamp *a, const stamp *b)
{
        return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
               a->bytes == b->bytes && a->inode == b->inode;
}

/* Returns whether any has changed since the last look. */
static bool look_at_files(names *all)
{
        bool changed = false;

        for (int i = 0; i < CEL__NAMES_FILES; i++) {
                stamp now = stamp_of(all->source.files[i]);

                changed |= !same(&now, &all->stamps[i]);
                all->stamps[i] = now;
        }
        return changed;
}

static void heed_files(names *all, cel_time now)
{
        if (now.ns < all->look_at.ns)
                return;
        all->look_at = cel_time_add_ms(now, FILES_LOOK_MS);
        if (look_at_files(all))
                all->stats.invalidated += forget_all(all);
}

/* --- All names of a runtime ------------------------------------------------------------------- */

static void release_locked(names *all)
{
        bool last = --all->refs == 0;

        pthread_mutex_unlock(&all->mutex);
        if (!last)
                return;
        pthread_mutex_destroy(&all->mutex);
        free(all);
}

static void names_free(cel__attachment *attachment)
{
        names *all = cel__container(attachment, names, attachment);

        cel_pool_free(all->pool); /* its jobs need the rest */
        pthread_mutex_lock(&all->mutex);
        all->closed = true;
        forget_all(all);
        release_locked(all);
}

static void ask_system(const char *host, cel__answer *ret_answer)
{
        cel__resolve_ask(host, AI_ADDRCONFIG, ret_answer);
}

static names *names_new(cel_runtime *runtime)
{
        names *all = calloc(1, sizeof(*all));

        if (!all)
                return NULL;
        /* Hosts that do not answer hold up names only. */
        if (cel_pool_new(runtime, "cel-dns", POOL_THREADS_MAX, POOL_QUEUE_MAX, &all->pool) < 0) {
                free(all);
                return NULL;
        }
        all->attachment.free = names_free;
        pthread_mutex_init(&all->mutex, NULL);
        all->refs = 1;
        all->clock = cel__runtime_clock(runtime);
        all->source = (cel__names_source){.ask = ask_system, .files = {"/etc/hosts", "/etc/resolv.conf"}};
        look_at_files(all);
        all->look_at = cel_time_add_ms(cel_clock_now(all->clock), FILES_LOOK_MS);
        for (int i = 0; i < BUCKETS; i++)
                cel__list_init(&all->buckets[i]);
        cel__list_init(&all->used);
        return all;
}

/* Those of `runtime`; NULL when memory is out. */
static names *names_of(cel_runtime *runtime)
{
        cel__attachment *there = cel__runtime_attached(runtime, CEL__SLOT_NAMES);

        if (!there) {
                names *made = names_new(runtime);

                if (!made)
                        return NULL;
                there = cel__runtime_attach(runtime, CEL__SLOT_NAMES, &made->attachment);
                if (there != &made->attachment)
                        names_free(&made->attachment);
        }
        return cel__container(there, names, attachment);
}

/* --- Asking ----------------------------------------------------------------------------------- */

static int64_t good_ms(const cel__answer *answer)
{
        switch (answer->error) {
        case 0:
                return CEL__NAMES_GOOD_MS;
        case EAI_NONAME:
        case EAI_NODATA:
                return CEL__NAMES_NONE_MS;
        default:
                return CEL__NAMES_FAILED_MS;
        }
}

/* The job, on a thread of the pool. */
static int ask(void *arg)
{
        name *n = arg;
        names *all = n->all;
        cel__answer answer;

        all->source.ask(n->host, &answer);

        pthread_mutex_lock(&all->mutex);
        n->answer = answer;
        n->known = true;
        if (!all->closed)
                n->good_until = cel_time_add_ms(cel_clock_now(all->clock), good_ms(&answer));
        all->stats.failures += answer.error != 0;
        for (cel__list *node; (node = cel__list_pop(&n->waiters));)
                cel__wait_finish(cel__container(node, cel__waiter, node)->wait, 0);
        pthread_mutex_unlock(&all->mutex);
        return 0;
}

/* The job is done with, whether it ran or not. */
static void end_job(void *arg)
{
        name *n = arg;
        names *all = n->all;

        pthread_mutex_lock(&all->mutex);
        n->asked = false;
        if (!n->known) {
                cel__list *node;

                while ((node = cel__list_pop(&n->waiters)))
                        if (cel__wait_finish(cel__container(node, cel__waiter, node)->wait, 0))
                                break; /* it leads now */
                if (!node)
                        forget(n);
        }
        name_unref(n);
        release_locked(all);
}

/* Have the system asked, with the mutex held; it is released meanwhile. */
static int lead_locked(cel_ctx *ctx, name *n)
{
        names *all = n->all;

        n->asked = true;
        n->refs++;
        all->refs++;
        all->stats.misses++;
        pthread_mutex_unlock(&all->mutex);
        int r = cel_offload(ctx, all->pool, ask, n, end_job, NULL);
        if (r >= 0)
                end_job(n); /* on an error, the pool calls it */
        pthread_mutex_lock(&all->mutex);
        return r;
}

/* Wait for what somebody else has asked for, with the mutex held; it is released meanwhile. */
static int follow_locked(cel_ctx *ctx, name *n)
{
        cel__wait wait;
        cel__waiter waiter = {.wait = &wait};

        cel__wait_begin(&wait, ctx, "name");
        cel__list_append(&n->waiters, &waiter.node);
        pthread_mutex_unlock(&n->all->mutex);
        int r = cel__wait_block(&wait);
        pthread_mutex_lock(&n->all->mutex);
        cel__list_remove(&waiter.node);
        return r;
}

/* Wait until `n`, which the caller holds, is known. */
static int learn_locked(cel_ctx *ctx, name *n)
{
        int r = 0;

        n->all->stats.shared += n->asked;
        while (r >= 0 && !n->known)
                r = n->asked ? follow_locked(ctx, n) : lead_locked(ctx, n);
        return r;
}

static int look_up_locked(cel_ctx *ctx, names *all, const char *host, cel__answer *ret_answer)
{
        cel_time now = cel_clock_now(all->clock);
        int r = 0;

        heed_files(all, now);
        name *n = find(all, host);
        if (n && n->known && now.ns >= n->good_until.ns) {
                forget(n);
                n = NULL;
        }
        if (!n)
                r = add(all, host, &n);
        if (r < 0)
                return cel_fail(ctx, r, "host \"%s\": %s", host,
                                r == CEL_EFULL ? "too many names are being asked for" : cel_error_text(r));
        cel__list_remove(&n->in_used);
        cel__list_append(&all->used, &n->in_used);
        n->refs++;
        if (n->known)
                all->stats.hits++;
        else
                r = learn_locked(ctx, n);
        if (r >= 0)
                *ret_answer = n->answer;
        name_unref(n);
        return r < 0 ? r : 0;
}

int cel__names_look_up(cel_ctx *ctx, const char *host, cel__answer *ret_answer)
{
        int r = cel__ctx_enter(ctx, "name");

        if (r < 0)
                return r;
        names *all = names_of(ctx->runtime);
        if (!all)
                return cel_fail(ctx, CEL_ENOMEM, "host \"%s\": no memory to remember it", host);
        pthread_mutex_lock(&all->mutex);
        r = look_up_locked(ctx, all, host, ret_answer);
        pthread_mutex_unlock(&all->mutex);
        return r;
}

int cel__names_set_source(cel_runtime *runtime, const cel__names_source *source)
{
        names *all = names_of(runtime);

        if (!all)
                return CEL_ENOMEM;
        pthread_mutex_lock(&all->mutex);
        all->source = *source;
        look_at_files(all);
        pthread_mutex_unlock(&all->mutex);
        return 0;
}

/* --- For everybody ---------------------------------------------------------------------------- */

cel_dns_stats cel_dns_get_stats(cel_runtime *runtime)
{
        names *all = names_of(runtime);
        cel_dns_stats stats = {0};

        if (!all)
                return stats;
        pthread_mutex_lock(&all->mutex);
        stats = all->stats;
        pthread_mutex_unlock(&all->mutex);
        return stats;
}

void cel_dns_forget(cel_runtime *runtime)
{
        names *all = names_of(runtime);

        if (!all)
                return;
        pthread_mutex_lock(&all->mutex);
        forget_all(all);
        pthread_mutex_unlock(&all->mutex);
}
