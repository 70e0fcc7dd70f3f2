/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream of bytes, one layer above another: TLS writes to "the stream below", whatever that is. Nothing
 * here waits: a call that cannot go on says for what the descriptor at the bottom must be ready. A stream is
 * used by one thread at a time: its owner's lock sees to that. */
#ifndef CEL_NET_STREAM_H
#define CEL_NET_STREAM_H

#include "rt/poller.h"

#include <celadon/ctx.h>
#include <sys/types.h>

typedef struct cel__stream cel__stream;

typedef struct cel__stream_ops {
        /* Read at most `n` bytes, or write them. Returns how many; 0: the peer has ended the stream (read
         * only).
         * Errors: CEL_EAGAIN: *ret_needs says what to wait for, CEL__READABLE or CEL__WRITABLE; CEL_EIO,
         *         CEL_ETLS: the stream is done for, and `error` is a sentence. */
        ssize_t (*try_read)(cel__stream *stream, void *bytes, size_t n, int *ret_needs);
        ssize_t (*try_write)(cel__stream *stream, const void *bytes, size_t n, int *ret_needs);
        /* Close at once, without a goodbye, and free. */
        void (*destroy)(cel__stream *stream);
} cel__stream_ops;

enum { CEL__STREAM_ERROR_BYTES = 512 };

struct cel__stream {
        const cel__stream_ops *ops;
        int fd; /* at the bottom; for a poller */
        char error[CEL__STREAM_ERROR_BYTES];
};

static inline cel__stream *cel__stream_free(cel__stream *stream)
{
        if (stream)
                stream->ops->destroy(stream);
        return NULL;
}

/* Connect to `host` (a name or an address) and `port`, trying its addresses in turn.
 * Owns:   *ret_stream is yours.
 * Waits:  for the name and the connection, the deadline or cancellation.
 * Errors: CEL_ERESOLVE, CEL_ECONNECT (all addresses refused; the text has the last one's reason),
 *         CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM. */
int cel__tcp_connect(cel_ctx *ctx, const char *host, uint16_t port, cel__stream **ret_stream);

typedef struct cel__tls_options {
        const char *ca_file;   /* PEM; NULL: the system's store */
        const char *cert_file; /* PEM, our own; NULL: none */
        const char *key_file;  /* PEM; NULL: in cert_file */
} cel__tls_options;

/* What several TLS streams share.
 * Errors: CEL_EINVAL (a file that cannot be used: `error` says which and why), CEL_ENOMEM. */
typedef struct cel__tls cel__tls;
int cel__tls_new(const cel__tls_options *options, cel__tls **ret_tls, char *error, size_t error_bytes);
cel__tls *cel__tls_free(cel__tls *tls);

/* TLS over `below`, as a client of `host`: the peer's certificate must be good, and good for that name or
 * address. The handshake happens with the first reads and writes.
 * Owns:   *ret_stream is yours, and takes `below`, unless this fails. */
int cel__tls_stream_new(cel__tls *tls, const char *host, cel__stream *below, cel__stream **ret_stream);

#endif
