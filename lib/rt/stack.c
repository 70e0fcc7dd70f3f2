/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. One mmap() for each stack would run into vm.max_map_count, so stacks are cut from slabs. A
 * guard made with MADV_GUARD_INSTALL (Linux 6.13) costs no mapping; without it, mprotect() makes guards up to
 * a budget, each of which costs two; beyond that a canary takes over. The guard state of a slab's memory
 * stays as it is for the slab's life, so a stack that is used again costs nothing. */
#include "rt/stack.h"
#include "base/assert.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum {
        STACKS_IN_SLAB = 32,
        GUARD_BYTES = 64 * 1024,       /* code built without -fstack-clash-protection steps over a page */
        GUARDS_MPROTECTED_MAX = 16000, /* of the process: each splits a mapping, the kernel allows 65,530 */
        FREE_WARM_MAX = 1024,          /* unused stacks that keep their pages; those beyond give them back */
};

static _Atomic unsigned guards_mprotected;

static const uint64_t CANARY = UINT64_C(0xce1ad0c0ffee5afe);

typedef struct slab {
        struct slab *next;
        void *mapping;
        size_t mapping_bytes;
        cel__stack stacks[STACKS_IN_SLAB];
} slab;

static size_t page_bytes(void)
{
        return (size_t)sysconf(_SC_PAGESIZE);
}

void cel__stack_pool_init(cel__stack_pool *pool, size_t stack_bytes)
{
        size_t page = page_bytes();

        *pool = (cel__stack_pool){.stack_bytes = (stack_bytes + page - 1) / page * page};
        pthread_mutex_init(&pool->mutex, NULL);
}

void cel__stack_pool_fini(cel__stack_pool *pool)
{
        while (pool->slabs) {
                slab *next = pool->slabs->next;

                munmap(pool->slabs->mapping, pool->slabs->mapping_bytes);
                free(pool->slabs);
                pool->slabs = next;
        }
        atomic_fetch_sub(&guards_mprotected, pool->guards_mprotected);
        pthread_mutex_destroy(&pool->mutex);
}

static bool install_guard(cel__stack_pool *pool, char *guard, size_t bytes)
{
        if (madvise(guard, bytes, MADV_GUARD_INSTALL) == 0)
                return true;
        if (atomic_fetch_add(&guards_mprotected, 1) < GUARDS_MPROTECTED_MAX &&
            mprotect(guard, bytes, PROT_NONE) == 0) {
                pool->guards_mprotected++;
                return true;
        }
        atomic_fetch_sub(&guards_mprotected, 1);
        return false;
}

static bool add_slab(cel__stack_pool *pool)
{
        size_t guard_bytes = GUARD_BYTES < page_bytes() ? page_bytes() : GUARD_BYTES;
        size_t pitch = guard_bytes + pool->stack_bytes;
        slab *s = calloc(1, sizeof(*s));

        if (!s)
                return false;
        s->mapping_bytes = pitch * STACKS_IN_SLAB;
        s->mapping = mmap(NULL, s->mapping_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (s->mapping == MAP_FAILED) {
                free(s);
                return false;
        }
        /* A huge page under a stack would make a parked task cost 2 MiB. */
        madvise(s->mapping, s->mapping_bytes, MADV_NOHUGEPAGE);

        for (int i = STACKS_IN_SLAB - 1; i >= 0; i--) {
                cel__stack *stack = &s->stacks[i];

                stack->guard_lo = (char *)s->mapping + (size_t)i * pitch;
                stack->lo = stack->guard_lo + guard_bytes;
                stack->bytes = pool->stack_bytes;
                stack->guarded = install_guard(pool, stack->guard_lo, guard_bytes);
                stack->next_free = pool->free;
                pool->free = stack;
        }
        pool->free_n += STACKS_IN_SLAB;
        s->next = pool->slabs;
        pool->slabs = s;
        return true;
}

cel__stack *cel__stack_get(cel__stack_pool *pool)
{
        cel__stack *stack = NULL;

        pthread_mutex_lock(&pool->mutex);
        if (pool->free || add_slab(pool)) {
                stack = pool->free;
                pool->free = stack->next_free;
                pool->free_n--;
        }
        pthread_mutex_unlock(&pool->mutex);

        if (stack && !stack->guarded)
                *(uint64_t *)(void *)stack->lo = CANARY;
        return stack;
}

void cel__stack_put(cel__stack_pool *pool, cel__stack *stack)
{
        pthread_mutex_lock(&pool->mutex);
        if (pool->free_n >= FREE_WARM_MAX)
                madvise(stack->lo, stack->bytes, MADV_DONTNEED);
        stack->next_free = pool->free;
        pool->free = stack;
        pool->free_n++;
        pthread_mutex_unlock(&pool->mutex);
}

bool cel__stack_overflowed(const cel__stack *stack)
{
        return !stack->guarded && *(const uint64_t *)(const void *)stack->lo != CANARY;
}
