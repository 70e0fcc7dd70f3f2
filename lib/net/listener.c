/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking connections, and the addresses of Unix sockets. */
#include "net/resolve.h"
#include "net/streams.h"
#include "rt/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { TRIES_IN_TURN_MAX = 32 }; /* that found a connection; then others have their turn */

struct cel_listener {
        cel__source source;
        int fd;         /* owned */
        unsigned tries; /* since somebody last waited; under the source's mutex */
        char *path;     /* owned; of the Unix socket to remove when it closes; NULL: none */
        dev_t path_dev;
        ino_t path_ino; /* what the path was when it was made: another's is left alone */
        uint16_t port;
        char address[CEL__STREAM_NAME_BYTES];
};

/* --- Addresses -------------------------------------------------------------------------------- */

static void print_address(char text[CEL__STREAM_NAME_BYTES], const cel__address *address)
{
        char host[INET6_ADDRSTRLEN] = "?";
        const struct sockaddr_in *v4 = (const void *)&address->storage;
        const struct sockaddr_in6 *v6 = (const void *)&address->storage;
        bool is_v6 = address->storage.ss_family == AF_INET6;

        inet_ntop(is_v6 ? AF_INET6 : AF_INET, is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr, host,
                  sizeof(host));
        snprintf(text, CEL__STREAM_NAME_BYTES, "%s port %u", host,
                 ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

static int unix_address(cel_ctx *ctx, const char *path, cel__address *ret_address)
{
        struct sockaddr_un *name = (void *)&ret_address->storage;
        size_t n = strlen(path);

        if (n == 0 || n >= sizeof(name->sun_path))
                return cel_fail(ctx, CEL_EINVAL,
                                "a Unix socket's path has 1 to %zu bytes; this one has %zu: \"%s\"",
                                sizeof(name->sun_path) - 1, n, path);
        memset(name, 0, sizeof(*name));
        name->sun_family = AF_UNIX;
        memcpy(name->sun_path, path, n + 1);
        ret_address->bytes = sizeof(*name);
        return 0;
}

static int open_socket(const cel__address *address)
{
        return socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static const struct sockaddr *sockaddr_of(const cel__address *address)
{
        return (const void *)&address->storage;
}

/* Owns: takes `fd`, also on failure. */
static int stream_of(cel_ctx *ctx, int fd, const char *name, cel_stream **ret_stream)
{
        cel__stream *below;
        int r = cel__fd_stream_new(fd, true, &below);

        if (r < 0) {
                close(fd);
                return cel_fail(ctx, r, "%s: no memory for a stream", name);
        }
        r = cel__stream_wrap(below, name, ret_stream);
        if (r < 0) {
                cel__stream_free(below);
                return cel_fail(ctx, r, "%s: no memory for a stream", name);
        }
        return 0;
}

int cel_unix_connect(cel_ctx *ctx, const char *path, cel_stream **ret_stream)
{
        char name[CEL__STREAM_NAME_BYTES];
        cel__address address;
        int r = cel__call_begin(ctx, "connect");

        if (r >= 0)
                r = unix_address(ctx, path, &address);
        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "unix %s", path);
        int fd = open_socket(&address);
        if (fd < 0)
                return cel_fail(ctx, CEL_ECONNECT, "%s: no socket: %s", name, strerror(errno));
        if (connect(fd, sockaddr_of(&address), address.bytes) < 0) {
                int error = errno; /* connecting to a Unix socket is done at once, or not at all */

                close(fd);
                return cel_fail(ctx, CEL_ECONNECT, "%s: %s", name,
                                error == EAGAIN ? "too many wait to be accepted there" : strerror(error));
        }
        return stream_of(ctx, fd, name, ret_stream);
}

/* --- Listening -------------------------------------------------------------------------------- */

static cel_listener *from_source(cel__source *source)
{
        return cel__container(source, cel_listener, source);
}

static void release(cel__source *source)
{
        cel_listener *listener = from_source(source);
        struct stat now;

        if (listener->path && lstat(listener->path, &now) == 0 && now.st_dev == listener->path_dev &&
            now.st_ino == listener->path_ino)
                unlink(listener->path);
        close(listener->fd);
}

static void destroy(cel__source *source)
{
        cel_listener *listener = from_source(source);

        cel__source_fini(source);
        free(listener->path);
        free(listener);
}

/* Has a dead process left the socket there? */
static bool is_left_behind(const char *path, const cel__address *address)
{
        struct stat about;
        int fd = lstat(path, &about) == 0 && S_ISSOCK(about.st_mode) ? open_socket(address) : -1;

        if (fd < 0)
                return false;
        bool refused = connect(fd, sockaddr_of(address), address->bytes) < 0 && errno == ECONNREFUSED;
        close(fd);
        return refused;
}

/* Bind and listen; returns 0 or an errno value. */
static int listen_at(int fd, const char *path, const cel__address *address)
{
        static const int on = 1;

        if (!path)
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        int r = bind(fd, sockaddr_of(address), address->bytes);
        if (r < 0 && errno == EADDRINUSE && path && is_left_behind(path, address)) {
                unlink(path);
                r = bind(fd, sockaddr_of(address), address->bytes);
        }
        return r < 0 || listen(fd, SOMAXCONN) < 0 ? errno : 0;
}

static int fail_to_listen(cel_ctx *ctx, const char *address, int error)
{
        int code = error == EADDRINUSE                 ? CEL_EBUSY
                   : error == EACCES || error == EPERM ? CEL_EACCESS
                                                       : CEL_ESYSTEM;

        return cel_fail(ctx, code, "%s: cannot listen: %s", address, strerror(error));
}

static int listener_new(cel_ctx *ctx, const char *path, const char *address, int fd,
                        cel_listener **ret_listener)
{
        cel_listener *listener = calloc(1, sizeof(*listener));
        struct stat about = {0};

        if (listener && path)
                listener->path = strdup(path);
        if (!listener || (path && !listener->path)) {
                free(listener);
                return cel_fail(ctx, CEL_ENOMEM, "%s: no memory to listen", address);
        }
        cel__source_init(&listener->source, fd, release, destroy);
        listener->source.one_by_one = true;
        listener->fd = fd;
        if (path)
                lstat(path, &about);
        listener->path_dev = about.st_dev;
        listener->path_ino = about.st_ino;
        snprintf(listener->address, sizeof(listener->address), "%s", address);
        *ret_listener = listener;
        return 0;
}

static int listen_on(cel_ctx *ctx, const char *path, const char *text, const cel__address *address,
                     cel_listener **ret_listener)
{
        int fd = open_socket(address);

        if (fd < 0)
                return fail_to_listen(ctx, text, errno);
        if (!path)
                cel__tcp_set_options(fd); /* what is accepted inherits them */
        int error = listen_at(fd, path, address);
        int r = error ? fail_to_listen(ctx, text, error) : listener_new(ctx, path, text, fd, ret_listener);
        if (r < 0)
                close(fd);
        if (r < 0 && path && !error)
                unlink(path);
        return r;
}

int cel_tcp_listen(cel_ctx *ctx, const char *host, uint16_t port, cel_listener **ret_listener)
{
        cel__address addresses[CEL__ADDRESSES_MAX], bound = {.bytes = sizeof(bound.storage)};
        char text[CEL__STREAM_NAME_BYTES];
        cel_listener *listener;

        int r = cel__call_begin(ctx, "listen");
        if (r >= 0)
                r = cel__resolve(ctx, host, port, addresses);
        if (r < 0)
                return r;
        print_address(text, &addresses[0]);
        r = listen_on(ctx, NULL, text, &addresses[0], &listener);
        if (r < 0)
                return r;
        getsockname(listener->fd, (struct sockaddr *)&bound.storage, &bound.bytes);
        print_address(listener->address, &bound);
        listener->port = ntohs(bound.storage.ss_family == AF_INET6
                                       ? ((const struct sockaddr_in6 *)&bound.storage)->sin6_port
                                       : ((const struct sockaddr_in *)&bound.storage)->sin_port);
        *ret_listener = listener;
        return 0;
}

int cel_unix_listen(cel_ctx *ctx, const char *path, cel_listener **ret_listener)
{
        char text[CEL__STREAM_NAME_BYTES];
        cel__address address;

        int r = cel__call_begin(ctx, "listen");
        if (r >= 0)
                r = unix_address(ctx, path, &address);
        if (r < 0)
                return r;
        snprintf(text, sizeof(text), "unix %s", path);
        return listen_on(ctx, path, text, &address, ret_listener);
}

uint16_t cel_listener_port(const cel_listener *listener)
{
        return listener->port;
}

const char *cel_listener_address(const cel_listener *listener)
{
        return listener->address;
}

void cel_listener_close(cel_listener *listener)
{
        cel__source_close(&listener->source);
}

cel_listener *cel_listener_ref(cel_listener *listener)
{
        cel__source_ref(&listener->source);
        return listener;
}

cel_listener *cel_listener_unref(cel_listener *listener)
{
        if (listener)
                cel__source_unref(&listener->source);
        return NULL;
}

/* --- Accepting -------------------------------------------------------------------------------- */

/* Was it only this connection that failed, before we came to it? See accept(2), "Error handling". */
static bool is_gone(int error)
{
        static const int gone[] = {EINTR,  ECONNABORTED, ENETDOWN,    EPROTO, ENOPROTOOPT, EHOSTDOWN,
                                   ENONET, EHOSTUNREACH, ENETUNREACH, EPERM,  ETIMEDOUT};

        for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
                if (error == gone[i])
                        return true;
        return false;
}

/* The descriptor of the next connection, or an error. */
static int accept_locked(cel_ctx *ctx, cel_listener *listener, cel__address *ret_peer)
{
        int r = 0;

        if (++listener->tries > TRIES_IN_TURN_MAX) {
                listener->tries = 0;
                r = cel__source_take_turn_locked(&listener->source, ctx);
        }
        while (r >= 0) {
                cel__source_waiter waiter;

                ret_peer->bytes = sizeof(ret_peer->storage);
                int fd = accept4(listener->fd, (struct sockaddr *)&ret_peer->storage, &ret_peer->bytes,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd >= 0)
                        return fd;
                if (is_gone(errno))
                        continue;
                if (errno != EAGAIN)
                        return cel_fail(ctx, CEL_ESYSTEM, "%s: cannot accept: %s", listener->address,
                                        strerror(errno));
                listener->tries = 0;
                r = cel__source_wait_locked(&listener->source, ctx, &waiter, CEL__READABLE, "accept");
        }
        return r;
}

static int fail_to_accept(cel_ctx *ctx, const cel_listener *listener, int r)
{
        return r == CEL_ECLOSED ? cel_fail(ctx, r, "%s: closed", listener->address) : r;
}

int cel_accept(cel_ctx *ctx, cel_listener *listener, cel_stream **ret_stream)
{
        char name[CEL__STREAM_NAME_BYTES];
        cel__address peer;

        int r = cel__source_enter(&listener->source, ctx, "accept");
        if (r < 0)
                return fail_to_accept(ctx, listener, r);
        int fd = accept_locked(ctx, listener, &peer);
        if (fd < 0)
                r = fail_to_accept(ctx, listener, fd);
        else if (listener->path) /* whoever connects to a Unix socket has no name of his own */
                snprintf(name, sizeof(name), "%s", listener->address);
        else
                print_address(name, &peer);
        cel__source_leave_locked(&listener->source);
        return r < 0 ? r : stream_of(ctx, fd, name, ret_stream);
}
