/* SPDX-License-Identifier: Apache-2.0
 *
 * Names. The system resolves them, hosts files and all, in a pool of its own; what it said is remembered for 30
 * seconds, and that it said no for 1 to 5, for at most 1,024 names. Many who ask for one name at once share one
 * answer. When /etc/hosts or /etc/resolv.conf changes, everything is asked anew, a second later at most. */
#ifndef CELADON_DNS_H
#define CELADON_DNS_H

#include <celadon/ctx.h>
#include <stdint.h>

typedef struct cel_dns_stats {
        unsigned names;       /* remembered now */
        uint64_t hits;        /* answered from memory */
        uint64_t misses;      /* the system was asked */
        uint64_t shared;      /* waited for what another had asked for already */
        uint64_t failures;    /* the system had no answer */
        uint64_t evicted;     /* forgotten to make room */
        uint64_t invalidated; /* forgotten because a file changed */
} cel_dns_stats;

CEL_BEGIN

/* Callable from any thread. */
CEL_API cel_dns_stats cel_dns_get_stats(cel_runtime *runtime);

/* Forget every name. Callable from any thread. */
CEL_API void cel_dns_forget(cel_runtime *runtime);

CEL_END

#endif
