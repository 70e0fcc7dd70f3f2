/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"
#include "net/streams.h"
#include "rt/ctx.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Those that oslo.messaging's peers use: dead peers are noticed, small frames leave at once. */
void cel__tcp_set_options(int fd)
{
        static const struct {
                int level, name, value;
        } options[] = {
                {SOL_SOCKET, SO_KEEPALIVE, 1},   {IPPROTO_TCP, TCP_NODELAY, 1},
                {IPPROTO_TCP, TCP_KEEPIDLE, 60}, {IPPROTO_TCP, TCP_KEEPINTVL, 10},
                {IPPROTO_TCP, TCP_KEEPCNT, 9},
        };

        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
                setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                           sizeof(options[i].value));
}

/* Connect `fd`; returns 0, a CEL_E… code, or an errno value. */
static int connect_fd(cel_ctx *ctx, int fd, const cel__address *address)
{
        int error = 0;
        socklen_t error_bytes = sizeof(error);

        if (connect(fd, (const struct sockaddr *)&address->storage, address->bytes) == 0)
                return 0;
        if (errno != EINPROGRESS)
                return errno;
        int r = cel__fd_wait(ctx, fd, CEL__WRITABLE, "connect");
        if (r < 0)
                return r;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes);
        return error;
}

static int connect_one(cel_ctx *ctx, const char *host, uint16_t port, const cel__address *address,
                       cel__stream **ret_stream)
{
        int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return cel_fail(ctx, CEL_ECONNECT, "%s port %u: no socket: %s", host, port, strerror(errno));
        cel__tcp_set_options(fd);
        int r = connect_fd(ctx, fd, address);
        if (r != 0) {
                close(fd);
                if (r == CEL_ETIMEDOUT)
                        return cel_fail(ctx, r, "%s port %u: no answer in time", host, port);
                if (r < 0)
                        return r;
                return cel_fail(ctx, CEL_ECONNECT, "%s port %u: %s", host, port, strerror(r));
        }
        r = cel__fd_stream_new(fd, true, ret_stream);
        if (r < 0)
                close(fd);
        return r;
}

/* Give one of `left` addresses its share of the time: one that does not answer must leave some to the others.
 * Returns the deadline that was in force. */
static cel_time share_deadline(cel_ctx *ctx, int left)
{
        cel_time whole = ctx->deadline;

        if (left > 1 && whole.ns != CEL_TIME_NEVER.ns) {
                int64_t now_ns = cel_ctx_now(ctx).ns;

                if (whole.ns > now_ns)
                        ctx->deadline.ns = now_ns + (whole.ns - now_ns) / left;
        }
        return whole;
}

int cel__tcp_connect(cel_ctx *ctx, const char *host, uint16_t port, cel__stream **ret_stream)
{
        cel__address addresses[CEL__ADDRESSES_MAX];
        int r = cel__call_begin(ctx, "connect");

        if (r < 0)
                return r;
        r = cel__resolve(ctx, host, port, addresses);
        int n = r;

        for (int i = 0; i < n; i++) {
                cel_time whole = share_deadline(ctx, n - i);

                r = connect_one(ctx, host, port, &addresses[i], ret_stream);
                ctx->deadline = whole;
                if (r != CEL_ECONNECT && r != CEL_ETIMEDOUT)
                        return r;
        }
        return r;
}

int cel_tcp_connect(cel_ctx *ctx, const char *host, uint16_t port, cel_stream **ret_stream)
{
        char name[CEL__STREAM_NAME_BYTES];
        cel__stream *below;

        int r = cel__tcp_connect(ctx, host, port, &below);
        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "%.255s port %u", host, port);
        r = cel__stream_wrap(below, name, ret_stream);
        if (r < 0)
                cel__stream_free(below);
        return r;
}
