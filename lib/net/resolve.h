/* SPDX-License-Identifier: Apache-2.0
 *
 * Names to addresses. getaddrinfo() does it, in a pool of its own: hosts files and nsswitch count as
 * everywhere else. What it says is remembered for a while: see names.h. */
#ifndef CEL_NET_RESOLVE_H
#define CEL_NET_RESOLVE_H

#include <celadon/ctx.h>
#include <sys/socket.h>

enum { CEL__ADDRESSES_MAX = 8 };

typedef struct cel__address {
        struct sockaddr_storage storage;
        socklen_t bytes;
} cel__address;

/* What the system says about a name. */
typedef struct cel__answer {
        int error;        /* getaddrinfo's; 0: there are addresses */
        int system_error; /* errno, when that is EAI_SYSTEM */
        int n;
        cel__address addresses[CEL__ADDRESSES_MAX]; /* port 0 */
} cel__answer;

/* Find the TCP addresses of `host`; "localhost" is 127.0.0.1, as oslo.messaging has it. Returns how many were
 * put into `ret_addresses`: 1 to CEL__ADDRESSES_MAX.
 * Waits:  for the resolver, the deadline or cancellation; not at all when `host` is an address or known.
 * Errors: CEL_ERESOLVE, CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM, CEL_EFULL, CEL_ESYSTEM. */
int cel__resolve(cel_ctx *ctx, const char *host, uint16_t port,
                 cel__address ret_addresses[CEL__ADDRESSES_MAX]);

/* Ask the system, with these flags for getaddrinfo(). Blocks, unless they include AI_NUMERICHOST. */
void cel__resolve_ask(const char *host, int flags, cel__answer *ret_answer);

#endif
