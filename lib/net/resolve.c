/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"
#include "rt/runtime.h"

#include <celadon/offload.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One question; on the heap, because whoever asked may leave before the answer. */
typedef struct question {
        char *host; /* owned */
        char port[8];
        int flags;
        int error; /* getaddrinfo's */
        int n;
        cel__address addresses[CEL__ADDRESSES_MAX];
} question;

static void question_free(void *arg)
{
        question *q = arg;

        free(q->host);
        free(q);
}

static int ask(void *arg)
{
        question *q = arg;
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = q->flags};
        struct addrinfo *list = NULL;

        q->error = getaddrinfo(q->host, q->port, &hints, &list);
        for (struct addrinfo *a = list; a && q->n < CEL__ADDRESSES_MAX; a = a->ai_next) {
                cel__address *address = &q->addresses[q->n];

                if (a->ai_addrlen > sizeof(address->storage))
                        continue;
                memcpy(&address->storage, a->ai_addr, a->ai_addrlen);
                address->bytes = a->ai_addrlen;
                q->n++;
        }
        if (list)
                freeaddrinfo(list);
        return q->n;
}

static question *question_new(const char *host, uint16_t port)
{
        question *q = calloc(1, sizeof(*q));

        if (!q)
                return NULL;
        q->host = strdup(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host);
        if (!q->host) {
                free(q);
                return NULL;
        }
        snprintf(q->port, sizeof(q->port), "%u", port);
        return q;
}

int cel__resolve(cel_ctx *ctx, const char *host, uint16_t port,
                 cel__address ret_addresses[CEL__ADDRESSES_MAX])
{
        question *q = question_new(host, port);
        cel_pool *pool;

        if (!q)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        q->flags = AI_NUMERICHOST | AI_NUMERICSERV;
        int r = ask(q); /* an address needs no resolver and no thread */
        if (q->error != 0) {
                q->flags = AI_ADDRCONFIG | AI_NUMERICSERV;
                r = cel__runtime_dns_pool(cel_ctx_runtime(ctx), &pool);
                if (r >= 0) {
                        int offloaded = cel_offload(ctx, pool, ask, q, question_free, &r);

                        if (offloaded < 0)
                                return offloaded; /* the pool frees the question */
                }
        }
        if (r == 0)
                r = cel_fail(ctx, CEL_ERESOLVE, "host \"%s\" cannot be resolved: %s", host,
                             gai_strerror(q->error));
        if (r > 0)
                memcpy(ret_addresses, q->addresses, (size_t)r * sizeof(*ret_addresses));
        question_free(q);
        return r;
}
