/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP requests from tasks: keep-alive, one pool of connections for each client, deadline and cancellation
 * from the ctx. */
#ifndef CELADON_HTTP_H
#define CELADON_HTTP_H

#include <celadon/ctx.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cel_http_client cel_http_client;
typedef struct cel_http_response cel_http_response;

typedef struct cel_http_client_options {
        const char *user_agent;    /* NULL: "celadon/<version>" */
        unsigned connections_max;  /* open at once, idle ones included; 0: 256 */
        int64_t connect_ms_max;    /* for name, TCP and TLS together; 0: 10,000 */
        size_t response_bytes_max; /* of a body that are kept; 0: 64 KiB. The rest is read and dropped, up to
                                      1 MiB; a longer one costs the connection */
        const char *ca_file;       /* PEM; NULL: the system's store */
} cel_http_client_options;

/* Of a request; a response may have as many. */
enum {
        CEL_HTTP_HEADERS_MAX = 100,
        CEL_HTTP_HEADER_BYTES_MAX = 64 * 1024, /* names and values of all together */
};

typedef struct cel_http_header {
        const char *name;
        const char *value;
} cel_http_header;

/* What is known of a request that failed. */
typedef struct cel_http_failure {
        bool maybe_sent; /* some of it may have reached the server */
        bool stale; /* a connection kept from an earlier request broke before a byte of the response came */
        int status; /* of a response whose head came whole, but not its body; 0: none did */
} cel_http_failure;

/* All borrowed until cel_http_send() returns. */
typedef struct cel_http_request {
        const char *method; /* NULL: "GET", or "POST" with a body */
        const char *url;    /* http or https */
        const cel_http_header *headers;
        size_t headers_n;
        const void *body;
        size_t body_bytes;
        cel_http_failure *failure; /* NULL, or filled in when cel_http_send() fails */
} cel_http_request;

CEL_BEGIN

/* Open a client on the ctx's loop, which must be a task's.
 * Owns:   *ret_client is yours; free it on the same loop when no request is under way. `options` is copied,
 *         NULL: defaults.
 * Errors: CEL_ENOMEM, CEL_EINVAL (no such ca_file). */
CEL_API int cel_http_client_open(cel_ctx *ctx, const cel_http_client_options *options,
                                 cel_http_client **ret_client);
CEL_API cel_http_client *cel_http_client_free(cel_http_client *client);

/* Send one request and read its response. Any status is a success of this call; redirects are not followed.
 * Owns:   *ret_response is yours.
 * Waits:  for the response, the ctx's deadline or its cancellation.
 * Errors: proven not to have reached the server: CEL_ECONNECT, CEL_ERESOLVE, CEL_ETLS, CEL_EFULL (no descriptor or
 *         port is left here), CEL_EINVAL (the URL, the method, or the headers: too many or too large, one with CR
 *         or LF, or one that is set by the client alone: Content-Length, Transfer-Encoding, Expect); the server may
 *         have acted on it:
 *         CEL_EUNKNOWN (the connection broke before a whole response), CEL_EPROTO (what came back is not
 *         HTTP), CEL_ETIMEDOUT, CEL_ECANCELED; CEL_ENOMEM. */
CEL_API int cel_http_send(cel_ctx *ctx, cel_http_client *client, const cel_http_request *request,
                          cel_http_response **ret_response);

CEL_API int cel_http_response_status(const cel_http_response *response);

/* The first header of that name, in any case; NULL if there is none. Borrowed. */
CEL_API const char *cel_http_response_header(const cel_http_response *response, const char *name);

/* The body, at most response_bytes_max of it; NUL-terminated for convenience. Borrowed. */
CEL_API const char *cel_http_response_body(const cel_http_response *response, size_t *ret_bytes);

CEL_API cel_http_response *cel_http_response_free(cel_http_response *response);

CEL_END

CEL_AUTO_WITH(cel_http_client, cel_http_client_free)
CEL_AUTO_WITH(cel_http_response, cel_http_response_free)

#endif
