/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream of bytes, one layer above another: TLS writes to "the stream below", whatever that is. Nothing
 * here waits: a call that cannot go on says for what the descriptor at the bottom must be ready. A stream is
 * used by one thread at a time: its owner's lock sees to that. */
#ifndef CEL_NET_STREAM_H
#define CEL_NET_STREAM_H

#include "rt/ctx.h"
#include "rt/poller.h"

#include <celadon/tls.h>
#include <sys/types.h>

typedef struct cel__stream cel__stream;

typedef struct cel__stream_ops {
        /* Read at most `n` bytes, or write them. Returns how many; 0: the peer has ended the stream (read
         * only).
         * Errors: CEL_EAGAIN: *ret_needs says what to wait for, CEL__READABLE or CEL__WRITABLE; CEL_EIO,
         *         CEL_ETLS: the stream is done for, and `error` is a sentence. */
        ssize_t (*try_read)(cel__stream *stream, void *bytes, size_t n, int *ret_needs);
        ssize_t (*try_write)(cel__stream *stream, const void *bytes, size_t n, int *ret_needs);
        /* End our side; may be called again. Returns 0.
         * Errors: as above; CEL_ENOSUPPORT; CEL_ECLOSED: it only writes, so closing it is the way. */
        int (*try_shutdown)(cel__stream *stream, int *ret_needs);
        /* Without a descriptor only: finish the wait with 0 as soon as it is ready for `needs`, from any thread,
         * until unwatched. */
        void (*watch)(cel__stream *stream, int needs, cel__waiter *waiter);
        void (*unwatch)(cel__stream *stream, cel__waiter *waiter);
        /* Close at once, without a goodbye, and free. */
        void (*destroy)(cel__stream *stream);
} cel__stream_ops;

enum { CEL__STREAM_ERROR_BYTES = 512 };

struct cel__stream {
        const cel__stream_ops *ops;
        int fd; /* at the bottom; for a poller; -1: none, then there is ops->watch */
        /* Of a descriptor. After a read that found less than it had room for, the next one would find nothing: if
         * `heeds_dry`, it says so without asking the kernel, until whoever learns better clears `dry`. */
        bool heeds_dry, dry;
        char error[CEL__STREAM_ERROR_BYTES];
};

static inline cel__stream *cel__stream_free(cel__stream *stream)
{
        if (stream)
                stream->ops->destroy(stream);
        return NULL;
}

/* A stream over a socket or pipe, which must be non-blocking.
 * Owns:   *ret_stream is yours, and takes `fd`, unless this fails.
 * Errors: CEL_ENOMEM. */
int cel__fd_stream_new(int fd, bool is_socket, cel__stream **ret_stream);

/* Two streams in memory; see cel_stream_pair().
 * Errors: CEL_ENOMEM. */
int cel__pair_new(size_t bytes_max, cel__stream **ret_a, cel__stream **ret_b);

/* Connect to `host` (a name or an address) and `port`, trying its addresses in turn; of the time until the
 * deadline, each gets an equal share of what is left.
 * Owns:   *ret_stream is yours.
 * Waits:  for the name and the connection, the deadline or cancellation.
 * Errors: CEL_ERESOLVE, CEL_ECONNECT (all addresses refused; the text has the last one's reason),
 *         CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM. */
int cel__tcp_connect(cel_ctx *ctx, const char *host, uint16_t port, cel__stream **ret_stream);

/* The settings of every TCP socket of ours. */
void cel__tcp_set_options(int fd);

/* cel_tls_new() without a ctx: on CEL_EINVAL, `error` is its text. */
int cel__tls_new(const cel_tls_options *options, cel_tls **ret_tls, char *error, size_t error_bytes);

/* TLS over `below`, as a client of `host`: the peer's certificate must be good, and good for that name or
 * address. With `host` NULL as a server, which needs a certificate. The handshake happens with the first reads and
 * writes.
 * Owns:   *ret_stream is yours, and takes `below`, unless this fails.
 * Errors: CEL_ENOMEM. */
int cel__tls_stream_new(cel_tls *tls, const char *host, cel__stream *below, cel__stream **ret_stream);

#endif
