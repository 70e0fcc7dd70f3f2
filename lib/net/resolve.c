/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"
#include "net/names.h"
#include "rt/ctx.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

void cel__resolve_ask(const char *host, int flags, cel__answer *ret_answer)
{
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
        struct addrinfo *list = NULL;

        *ret_answer = (cel__answer){.error = getaddrinfo(host, NULL, &hints, &list)};
        ret_answer->system_error = ret_answer->error == EAI_SYSTEM ? errno : 0;
        for (struct addrinfo *a = list; a && ret_answer->n < CEL__ADDRESSES_MAX; a = a->ai_next) {
                cel__address *address = &ret_answer->addresses[ret_answer->n];

                if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
                        continue;
                memcpy(&address->storage, a->ai_addr, a->ai_addrlen);
                address->bytes = a->ai_addrlen;
                ret_answer->n++;
        }
        if (ret_answer->error == 0 && ret_answer->n == 0)
                ret_answer->error = EAI_NONAME;
        if (list)
                freeaddrinfo(list);
}

static void set_port(cel__address *address, uint16_t port)
{
        if (address->storage.ss_family == AF_INET6)
                ((struct sockaddr_in6 *)&address->storage)->sin6_port = htons(port);
        else
                ((struct sockaddr_in *)&address->storage)->sin_port = htons(port);
}

int cel__resolve(cel_ctx *ctx, const char *host, uint16_t port,
                 cel__address ret_addresses[CEL__ADDRESSES_MAX])
{
        cel__answer answer;

        cel__resolve_ask(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, AI_NUMERICHOST, &answer);
        if (answer.error != 0) {
                int r = cel__names_look_up(ctx, host, &answer);

                if (r < 0)
                        return r;
        }
        if (answer.error != 0)
                return cel_fail(ctx, CEL_ERESOLVE, "host \"%s\" cannot be resolved: %s", host,
                                answer.system_error ? strerror(answer.system_error)
                                                    : gai_strerror(answer.error));
        for (int i = 0; i < answer.n; i++) {
                ret_addresses[i] = answer.addresses[i];
                set_port(&ret_addresses[i], port);
        }
        return answer.n;
}
