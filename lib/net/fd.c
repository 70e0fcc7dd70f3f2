/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams over descriptors. */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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

static ssize_t read_outcome(cel__stream *stream, ssize_t got, size_t n, int *ret_needs)
{
        stream->dry = stream->heeds_dry && got > 0 && (size_t)got < n;
        return outcome(stream, got, "reading failed", CEL__READABLE, ret_needs);
}

static ssize_t dry(int *ret_needs)
{
        *ret_needs = CEL__READABLE;
        return CEL_EAGAIN;
}

static void fd_destroy(cel__stream *stream)
{
        close(stream->fd);
        free(stream);
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static ssize_t socket_try_read(cel__stream *stream, void *bytes, size_t n, int *ret_needs)
{
        return stream->dry ? dry(ret_needs)
                           : read_outcome(stream, recv(stream->fd, bytes, n, 0), n, ret_needs);
}

static ssize_t socket_try_write(cel__stream *stream, const void *bytes, size_t n, int *ret_needs)
{
        return outcome(stream, send(stream->fd, bytes, n, MSG_NOSIGNAL), "writing failed", CEL__WRITABLE,
                       ret_needs);
}

static int socket_try_shutdown(cel__stream *stream, int *ret_needs)
{
        int r = shutdown(stream->fd, SHUT_WR);

        /* A peer that has reset the connection reads no end any more. */
        return r < 0 && errno == ENOTCONN ? 0 : (int)outcome(stream, r, "ending failed", 0, ret_needs);
}

static const cel__stream_ops socket_ops = {
        .try_read = socket_try_read,
        .try_write = socket_try_write,
        .try_shutdown = socket_try_shutdown,
        .destroy = fd_destroy,
};

/* --- Pipes and terminals ---------------------------------------------------------------------- */

static ssize_t pipe_try_read(cel__stream *stream, void *bytes, size_t n, int *ret_needs)
{
        return stream->dry ? dry(ret_needs) : read_outcome(stream, read(stream->fd, bytes, n), n, ret_needs);
}

/* Writing into a pipe that nobody reads raises a signal, and no flag says it must not: it is kept from this thread,
 * and taken away if it came. */
static ssize_t write_without_signal(int fd, const void *bytes, size_t n)
{
        sigset_t sigpipe, pending, before;

        sigemptyset(&sigpipe);
        sigaddset(&sigpipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
        ssize_t put = write(fd, bytes, n);
        int error = errno;
        if (put < 0 && error == EPIPE && !sigismember(&before, SIGPIPE)) {
                sigpending(&pending);
                if (sigismember(&pending, SIGPIPE))
                        sigtimedwait(&sigpipe, NULL, &(struct timespec){0});
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        errno = error;
        return put;
}

static ssize_t pipe_try_write(cel__stream *stream, const void *bytes, size_t n, int *ret_needs)
{
        return outcome(stream, write_without_signal(stream->fd, bytes, n), "writing failed", CEL__WRITABLE,
                       ret_needs);
}

static int pipe_try_shutdown(cel__stream *stream, int *ret_needs)
{
        (void)ret_needs;
        if ((fcntl(stream->fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
                return CEL_ECLOSED;
        snprintf(stream->error, sizeof(stream->error), "only a socket can end its writing and go on reading");
        return CEL_ENOSUPPORT;
}

static const cel__stream_ops pipe_ops = {
        .try_read = pipe_try_read,
        .try_write = pipe_try_write,
        .try_shutdown = pipe_try_shutdown,
        .destroy = fd_destroy,
};

/* ---------------------------------------------------------------------------------------------- */

int cel__fd_stream_new(int fd, bool is_socket, cel__stream **ret_stream)
{
        cel__stream *stream = calloc(1, sizeof(*stream));

        if (!stream)
                return CEL_ENOMEM;
        stream->ops = is_socket ? &socket_ops : &pipe_ops;
        stream->fd = fd;
        *ret_stream = stream;
        return 0;
}
