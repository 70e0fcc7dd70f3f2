/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"
#include "net/stream.h"
#include "rt/ctx.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- The stream ------------------------------------------------------------------------------- */

static ssize_t outcome(cel__stream *stream, ssize_t n, const char *doing, int needs, int *ret_needs)
{
        if (n >= 0)
                return n;
        if (errno == EAGAIN || errno == EINTR) {
                *ret_needs = needs;
                return CEL_EAGAIN;
        }
        snprintf(stream->error, sizeof(stream->error), "%s: %s", doing, strerror(errno));
        return CEL_EIO;
}

static ssize_t tcp_try_read(cel__stream *stream, void *bytes, size_t n, int *ret_needs)
{
        return outcome(stream, recv(stream->fd, bytes, n, 0), "reading failed", CEL__READABLE, ret_needs);
}

static ssize_t tcp_try_write(cel__stream *stream, const void *bytes, size_t n, int *ret_needs)
{
        return outcome(stream, send(stream->fd, bytes, n, MSG_NOSIGNAL), "writing failed", CEL__WRITABLE,
                       ret_needs);
}

static void tcp_destroy(cel__stream *stream)
{
        close(stream->fd);
        free(stream);
}

static const cel__stream_ops tcp_ops = {tcp_try_read, tcp_try_write, tcp_destroy};

/* --- Connecting ------------------------------------------------------------------------------- */

/* The settings that oslo.messaging's peers use: dead peers are noticed, small frames leave at once. */
static void set_options(int fd)
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
        set_options(fd);
        int r = connect_fd(ctx, fd, address);
        if (r != 0) {
                close(fd);
                if (r == CEL_ETIMEDOUT)
                        return cel_fail(ctx, r, "%s port %u: no answer in time", host, port);
                if (r < 0)
                        return r;
                return cel_fail(ctx, CEL_ECONNECT, "%s port %u: %s", host, port, strerror(r));
        }
        cel__stream *stream = calloc(1, sizeof(*stream));
        if (!stream) {
                close(fd);
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        }
        stream->ops = &tcp_ops;
        stream->fd = fd;
        *ret_stream = stream;
        return 0;
}

int cel__tcp_connect(cel_ctx *ctx, const char *host, uint16_t port, cel__stream **ret_stream)
{
        cel__address addresses[CEL__ADDRESSES_MAX];
        int n = cel__resolve(ctx, host, port, addresses);
        int r = n;

        for (int i = 0; i < n; i++) {
                r = connect_one(ctx, host, port, &addresses[i], ret_stream);
                if (r != CEL_ECONNECT)
                        return r;
        }
        return r;
}
