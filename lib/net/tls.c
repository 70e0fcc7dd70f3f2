/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. OpenSSL reads and writes through a BIO of ours that calls the stream below, so TLS runs over
 * any stream and a broken pipe raises no signal. Verification is not an option: chain and name are always
 * checked. */
#include "net/streams.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cel_tls {
        _Atomic unsigned refs; /* each stream has one */
        SSL_CTX *ctx;
        BIO_METHOD *bio_method;
        bool has_certificate;
        bool clients_verified;
};

typedef struct tls_stream {
        cel__stream stream;
        cel__stream *below; /* owned */
        cel_tls *tls;       /* owned reference */
        SSL *ssl;
        cel__buf early;    /* what was read from below before TLS began */
        char host[256];    /* "": we are the server */
        int needs;         /* what the stream below asked for last */
        int failed;        /* for good: the code; its text is in stream.error */
        bool below_failed; /* reading */
        bool put_failed;   /* writing below; reading may have to say why */
        bool below_ended;
} tls_stream;

static tls_stream *as_tls(cel__stream *stream)
{
        return (tls_stream *)(void *)((char *)stream - offsetof(tls_stream, stream));
}

/* --- The BIO ---------------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *bytes, int n)
{
        tls_stream *tls = BIO_get_data(bio);
        size_t early = cel__buf_used(&tls->early);

        BIO_clear_retry_flags(bio);
        if (early > 0) {
                if ((size_t)n > early)
                        n = (int)early;
                memcpy(bytes, cel__buf_head(&tls->early), (size_t)n);
                cel__buf_consume(&tls->early, (size_t)n);
                return n;
        }
        ssize_t got = tls->below->ops->try_read(tls->below, bytes, (size_t)n, &tls->needs);
        if (got > 0)
                return (int)got;
        if (got == 0) {
                tls->below_ended = true;
                return 0;
        }
        if (got == CEL_EAGAIN)
                BIO_set_retry_read(bio);
        else
                tls->below_failed = true;
        return -1;
}

/* A peer that refuses us says why and closes; writing then fails, while the reason can still be read. So a write
 * that fails is told as one that would have to wait: see why_put_failed(). */
static int bio_write(BIO *bio, const char *bytes, int n)
{
        tls_stream *tls = BIO_get_data(bio);
        ssize_t put = tls->below->ops->try_write(tls->below, bytes, (size_t)n, &tls->needs);

        BIO_clear_retry_flags(bio);
        if (put >= 0)
                return (int)put;
        BIO_set_retry_write(bio);
        tls->put_failed = put != CEL_EAGAIN;
        return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
        (void)bio;
        (void)number;
        (void)pointer;
        return command == BIO_CTRL_FLUSH; /* nothing is buffered here */
}

/* --- What streams share ----------------------------------------------------------------------- */

static const char *openssl_reason(void)
{
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());

        return reason ? reason : "unknown reason";
}

/* A key with a passphrase. OpenSSL would ask for it on the terminal, which a service has none of, and would wait. */
static int no_passphrase(char *out, int n, int writing, void *arg)
{
        (void)out, (void)n, (void)writing;
        if (arg)
                *(bool *)arg = true;
        return -1;
}

static int load_files(SSL_CTX *ctx, const cel_tls_options *options, char *error, size_t error_bytes)
{
        const char *key = options->key_file ? options->key_file : options->cert_file;
        const char *file = NULL;
        bool locked = false;

        SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
        SSL_CTX_set_default_passwd_cb_userdata(ctx, &locked);
        ERR_clear_error();
        if (options->ca_file && SSL_CTX_load_verify_locations(ctx, options->ca_file, NULL) != 1)
                file = options->ca_file;
        else if (!options->ca_file && SSL_CTX_set_default_verify_paths(ctx) != 1)
                file = "the system's certificates";
        else if (options->cert_file && SSL_CTX_use_certificate_chain_file(ctx, options->cert_file) != 1)
                file = options->cert_file;
        else if (key && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
                file = key;
        SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
        if (!file)
                return 0;
        if (locked) {
                snprintf(error, error_bytes,
                         "%s cannot be used for TLS: it has a passphrase; store the key without one", file);
                return CEL_EINVAL;
        }
        snprintf(error, error_bytes, "%s cannot be used for TLS: %s; a PEM file is wanted", file,
                 openssl_reason());
        return CEL_EINVAL;
}

static void set_up(SSL_CTX *ctx, BIO_METHOD *bio_method)
{
        static const unsigned char session_context[] = "celadon";

        BIO_meth_set_read(bio_method, bio_read);
        BIO_meth_set_write(bio_method, bio_write);
        BIO_meth_set_ctrl(bio_method, bio_ctrl);
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_read_ahead(ctx, 1); /* a record's head and body in one go */
        SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
        SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
}

int cel__tls_new(const cel_tls_options *options, cel_tls **ret_tls, char *error, size_t error_bytes)
{
        cel_tls *tls = calloc(1, sizeof(*tls));
        int r = CEL_ENOMEM;

        if (!tls)
                return CEL_ENOMEM;
        atomic_init(&tls->refs, 1);
        tls->ctx = SSL_CTX_new(TLS_method());
        tls->bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "celadon stream");
        tls->has_certificate = options->cert_file;
        tls->clients_verified = options->clients_verified;
        snprintf(error, error_bytes, "no memory for TLS");
        if (tls->ctx && tls->bio_method) {
                set_up(tls->ctx, tls->bio_method);
                r = load_files(tls->ctx, options, error, error_bytes);
        }
        if (r < 0) {
                cel_tls_unref(tls);
                return r;
        }
        *ret_tls = tls;
        return 0;
}

int cel_tls_new(cel_ctx *ctx, const cel_tls_options *options, cel_tls **ret_tls)
{
        char error[CEL__STREAM_ERROR_BYTES];
        int r = cel__tls_new(options, ret_tls, error, sizeof(error));

        return r < 0 ? cel_fail(ctx, r, "%s", error) : 0;
}

cel_tls *cel_tls_ref(cel_tls *tls)
{
        atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
        return tls;
}

cel_tls *cel_tls_unref(cel_tls *tls)
{
        if (!tls || atomic_fetch_sub(&tls->refs, 1) > 1)
                return NULL;
        SSL_CTX_free(tls->ctx);
        BIO_meth_free(tls->bio_method);
        free(tls);
        return NULL;
}

/* --- The stream ------------------------------------------------------------------------------- */

/* Say why TLS failed, in the words that help most: a refused certificate before OpenSSL's own. */
static int explain(tls_stream *tls)
{
        long verdict = SSL_get_verify_result(tls->ssl);
        const char *peer = *tls->host ? tls->host : "the client";
        char *error = tls->stream.error;

        if (tls->below_failed) {
                snprintf(error, CEL__STREAM_ERROR_BYTES, "%s", tls->below->error);
                return CEL_EIO;
        }
        if (tls->below_ended && verdict == X509_V_OK) {
                snprintf(error, CEL__STREAM_ERROR_BYTES, "the peer ended the connection without a goodbye");
                return CEL_EIO;
        }
        if (verdict != X509_V_OK)
                snprintf(error, CEL__STREAM_ERROR_BYTES, "the certificate of %s is refused: %s", peer,
                         X509_verify_cert_error_string(verdict));
        else
                snprintf(error, CEL__STREAM_ERROR_BYTES, "TLS with %s failed: %s", peer, openssl_reason());
        return CEL_ETLS;
}

/* Writing below has failed. If the peer still says something, wait for that and let it be the reason. */
static int why_put_failed(tls_stream *tls, int *ret_needs)
{
        char byte;
        size_t got;

        ERR_clear_error();
        int done = SSL_peek_ex(tls->ssl, &byte, 1, &got);
        int error = done == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, done);
        switch (error) {
        case SSL_ERROR_WANT_READ:
                *ret_needs = tls->needs;
                return CEL_EAGAIN;
        case SSL_ERROR_NONE:
        case SSL_ERROR_ZERO_RETURN:
        case SSL_ERROR_WANT_WRITE: /* it cannot read before it has written */
                snprintf(tls->stream.error, CEL__STREAM_ERROR_BYTES, "%s", tls->below->error);
                return CEL_EIO;
        default:
                return tls->failed = explain(tls);
        }
}

/* `done` is what OpenSSL returned, `n` the result if that is good. */
static ssize_t outcome(tls_stream *tls, int done, size_t n, int *ret_needs)
{
        if (done == 1)
                return (ssize_t)n;
        switch (SSL_get_error(tls->ssl, done)) {
        case SSL_ERROR_WANT_WRITE:
                if (tls->put_failed)
                        return why_put_failed(tls, ret_needs);
                *ret_needs = tls->needs;
                return CEL_EAGAIN;
        case SSL_ERROR_WANT_READ:
                *ret_needs = tls->needs;
                return CEL_EAGAIN;
        case SSL_ERROR_ZERO_RETURN:
                return 0;
        default:
                return tls->failed = explain(tls);
        }
}

/* The peer has said goodbye where something else was due. */
static int left(tls_stream *tls)
{
        snprintf(tls->stream.error, CEL__STREAM_ERROR_BYTES, "the peer has ended TLS");
        return tls->failed = CEL_EIO;
}

static ssize_t tls_try_read(cel__stream *stream, void *bytes, size_t n, int *ret_needs)
{
        tls_stream *tls = as_tls(stream);
        size_t got = 0;

        if (tls->failed)
                return tls->failed;
        ERR_clear_error();
        int done = SSL_read_ex(tls->ssl, bytes, n, &got);
        return outcome(tls, done, got, ret_needs);
}

static ssize_t tls_try_write(cel__stream *stream, const void *bytes, size_t n, int *ret_needs)
{
        tls_stream *tls = as_tls(stream);
        size_t put = 0;

        if (tls->failed)
                return tls->failed;
        ERR_clear_error();
        int done = SSL_write_ex(tls->ssl, bytes, n, &put);
        ssize_t r = outcome(tls, done, put, ret_needs);
        return r == 0 ? left(tls) : r;
}

/* Our goodbye; we do not wait for the peer's. */
static int tls_try_shutdown(cel__stream *stream, int *ret_needs)
{
        tls_stream *tls = as_tls(stream);

        if (tls->failed)
                return tls->failed;
        ERR_clear_error();
        int done = SSL_shutdown(tls->ssl);
        return done >= 0 ? 0 : (int)outcome(tls, done, 0, ret_needs);
}

static void tls_destroy(cel__stream *stream)
{
        tls_stream *tls = as_tls(stream);

        SSL_free(tls->ssl); /* and the BIO with it */
        cel__stream_free(tls->below);
        cel__buf_fini(&tls->early);
        cel_tls_unref(tls->tls);
        free(tls);
}

static const cel__stream_ops tls_ops = {
        .try_read = tls_try_read,
        .try_write = tls_try_write,
        .try_shutdown = tls_try_shutdown,
        .destroy = tls_destroy,
};

/* The peer must prove this name or address. */
static bool set_expected_peer(SSL *ssl, const char *host)
{
        struct in6_addr address;

        if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
                return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool set_role(const cel_tls *tls, SSL *ssl, const char *host)
{
        if (host) {
                SSL_set_connect_state(ssl);
                return set_expected_peer(ssl, host);
        }
        SSL_set_verify(ssl,
                       tls->clients_verified ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                             : SSL_VERIFY_NONE,
                       NULL);
        SSL_set_accept_state(ssl);
        return true;
}

int cel__tls_stream_new(cel_tls *tls, const char *host, cel__stream *below, cel__stream **ret_stream)
{
        tls_stream *stream = calloc(1, sizeof(*stream));
        SSL *ssl = SSL_new(tls->ctx);
        BIO *bio = BIO_new(tls->bio_method);

        if (!stream || !ssl || !bio || !set_role(tls, ssl, host)) {
                free(stream);
                SSL_free(ssl);
                BIO_free(bio);
                return CEL_ENOMEM;
        }
        stream->stream = (cel__stream){.ops = &tls_ops, .fd = below->fd};
        stream->below = below;
        stream->tls = cel_tls_ref(tls);
        stream->ssl = ssl;
        snprintf(stream->host, sizeof(stream->host), "%s", host ? host : "");
        BIO_set_data(bio, stream);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl, bio, bio);
        *ret_stream = &stream->stream;
        return 0;
}

/* --- A stream that begins to speak TLS -------------------------------------------------------- */

static ssize_t attempt_handshake(cel_stream *stream, const cel__operation *op, int *ret_needs)
{
        tls_stream *tls = as_tls(stream->top);

        (void)op;
        ERR_clear_error();
        ssize_t r = outcome(tls, SSL_do_handshake(tls->ssl), 1, ret_needs);
        return r == 0 ? left(tls) : r;
}

/* With both sides taken: nobody else reads or writes. */
static int start_locked(cel_ctx *ctx, cel_stream *stream, cel_tls *tls, const char *host)
{
        cel__stream *top;

        int r = cel__tls_stream_new(tls, host, stream->top, &top);
        if (r < 0)
                return cel_fail(ctx, r, "%s: no memory for TLS", stream->name);
        as_tls(top)->early = stream->ahead;
        cel__buf_init(&stream->ahead, stream->ahead.bytes_max);
        stream->top = top;
        return cel__stream_do_locked(ctx, stream, CEL__READING,
                                     &(cel__operation){.attempt = attempt_handshake});
}

static int start(cel_ctx *ctx, cel_stream *stream, cel_tls *tls, const char *host)
{
        int r = cel__stream_enter(ctx, stream, CEL__READING);

        if (r < 0)
                return r;
        pthread_mutex_unlock(&stream->source.mutex);
        r = cel__stream_enter(ctx, stream, CEL__WRITING);
        if (r < 0) {
                pthread_mutex_lock(&stream->source.mutex);
                cel__stream_leave_locked(stream, CEL__READING);
                return r;
        }
        r = start_locked(ctx, stream, tls, host);
        if (r < 0)
                cel__source_close_locked(&stream->source);
        stream->sides[CEL__WRITING].user = NULL;
        stream->source.users--;
        cel__stream_leave_locked(stream, CEL__READING);
        return r < 0 ? r : 0;
}

int cel_tls_start_client(cel_ctx *ctx, cel_stream *stream, cel_tls *tls, const char *host)
{
        return start(ctx, stream, tls, host);
}

int cel_tls_start_server(cel_ctx *ctx, cel_stream *stream, cel_tls *tls)
{
        if (!tls->has_certificate)
                return cel_fail(ctx, CEL_EINVAL, "%s: a TLS server needs a certificate", stream->name);
        return start(ctx, stream, tls, NULL);
}

int cel_tls_connect(cel_ctx *ctx, cel_tls *tls, const char *host, uint16_t port, cel_stream **ret_stream)
{
        cel_auto(cel_stream) *stream = NULL;
        int r = cel_tcp_connect(ctx, host, port, &stream);

        if (r >= 0)
                r = cel_tls_start_client(ctx, stream, tls, host);
        if (r < 0)
                return r;
        *ret_stream = CEL_TAKE(stream);
        return 0;
}
