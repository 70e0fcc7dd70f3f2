/* SPDX-License-Identifier: Apache-2.0
 *
 * Stacks for tasks, cut from slabs and used again. Below each stack lies a guard: touching it faults. */
#ifndef CEL_RT_STACK_H
#define CEL_RT_STACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cel__stack {
        struct cel__stack *next_free;
        char *guard_lo; /* the guard: [guard_lo, lo) */
        char *lo;       /* the stack: [lo, lo + bytes) */
        size_t bytes;
        bool guarded; /* the guard faults; if not, a canary in the lowest word is checked when the task ends
                       */
} cel__stack;

typedef struct cel__stack_pool {
        pthread_mutex_t mutex;
        size_t stack_bytes;
        cel__stack *free; /* unused stacks */
        unsigned free_n;
        struct slab *slabs;         /* owned */
        unsigned guards_mprotected; /* of this pool's stacks, by mprotect() */
} cel__stack_pool;

/* A pool of stacks of at least `stack_bytes`, rounded up to pages. */
void cel__stack_pool_init(cel__stack_pool *pool, size_t stack_bytes);

/* Unmap everything. No stack may be in use. */
void cel__stack_pool_fini(cel__stack_pool *pool);

/* A stack, or NULL when memory is out. Callable from any thread, as is put. */
cel__stack *cel__stack_get(cel__stack_pool *pool);
void cel__stack_put(cel__stack_pool *pool, cel__stack *stack);

/* Did what ran on this stack write below it? Only unguarded stacks can tell after the fact. */
bool cel__stack_overflowed(const cel__stack *stack);

#endif
