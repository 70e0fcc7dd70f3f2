/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Asking the kernel takes longer than all else that making an id takes, so each thread asks for many
 * bytes at once. A child of a fork has a copy of what was not used yet, and must not use it: it begins anew. */
#include "base/random.h"
#include "base/assert.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

enum { STOCK_BYTES = 256 }; /* so many come at once, whatever signals do */

static _Thread_local struct {
        uint8_t bytes[STOCK_BYTES];
        size_t left; /* at the end of `bytes` */
        unsigned forks;
} stock;

static _Atomic unsigned forks;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
        forks++;
}

static void install(void)
{
        pthread_atfork(NULL, NULL, in_child);
}

static void refill(void)
{
        pthread_once(&once, install);
        while (getrandom(stock.bytes, STOCK_BYTES, 0) != STOCK_BYTES)
                ; /* interrupted by a signal before the kernel's pool was first filled */
        stock.left = STOCK_BYTES;
        stock.forks = forks;
}

void cel__random_bytes(void *to, size_t n)
{
        cel_assert(n <= STOCK_BYTES);
        if (stock.left < n || stock.forks != forks)
                refill();
        memcpy(to, stock.bytes + STOCK_BYTES - stock.left, n);
        stock.left -= n;
}

uint64_t cel__random_below(uint64_t bound)
{
        uint64_t bits;

        cel_assert(bound > 0);
        cel__random_bytes(&bits, sizeof(bits));
        return bits % bound; /* the bias is below bound / 2^64 */
}
