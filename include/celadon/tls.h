/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS, 1.2 or later, over any stream. A client always checks the server's certificate and name: there is no way
 * around that. */
#ifndef CELADON_TLS_H
#define CELADON_TLS_H

#include <celadon/stream.h>

typedef struct cel_tls cel_tls;

typedef struct cel_tls_options {
        const char *ca_file;   /* PEM; whom we trust; NULL: the system's store */
        const char *cert_file; /* PEM, our own, and what leads to its issuer; NULL: none. A server needs it */
        const char *key_file;  /* PEM; NULL: in cert_file */
        bool clients_verified; /* as a server: clients too must have a certificate that we trust */
} cel_tls_options;

CEL_BEGIN

/* What several TLS streams share: certificates and trust. For clients and servers.
 * Owns:   *ret_tls is a reference of yours.
 * Waits:  never, but reads the files.
 * Errors: CEL_EINVAL (a file that cannot be used: the text says which and why), CEL_ENOMEM. */
CEL_API int cel_tls_new(cel_ctx *ctx, const cel_tls_options *options, cel_tls **ret_tls);
CEL_API cel_tls *cel_tls_ref(cel_tls *tls);
CEL_API cel_tls *cel_tls_unref(cel_tls *tls);

/* cel_tcp_connect() and cel_tls_start_client() in one. */
CEL_API int cel_tls_connect(cel_ctx *ctx, cel_tls *tls, const char *host, uint16_t port,
                            cel_stream **ret_stream);

/* From here on `stream` speaks TLS, as a client of `host`: the peer's certificate must be good, and good for that
 * name or address. Nobody else may be reading or writing it. What was read ahead of a line belongs to TLS.
 * Waits:  for the handshake, the deadline or cancellation.
 * Errors: CEL_ETLS (the text says why), CEL_EIO, CEL_EBUSY, CEL_ECLOSED, CEL_ETIMEDOUT, CEL_ECANCELED, CEL_ENOMEM; the stream
 *         is then closed, unless it was busy. */
CEL_API int cel_tls_start_client(cel_ctx *ctx, cel_stream *stream, cel_tls *tls, const char *host);

/* The same as a server: for a stream from cel_accept(). Let a task other than the accepting one call it: a peer
 * may take its time.
 * Errors: as cel_tls_start_client(); CEL_EINVAL when `tls` has no certificate. */
CEL_API int cel_tls_start_server(cel_ctx *ctx, cel_stream *stream, cel_tls *tls);

CEL_END

CEL_AUTO_WITH(cel_tls, cel_tls_unref)

#endif
