/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. cel_http_send() never calls libcurl: it queues a transfer that lives on its stack and waits
 * until the hub has ended it. When the deadline or a cancellation ends the wait first, it waits once more,
 * shielded, until the hub has taken the request away from libcurl. So nothing of the caller's is copied, and
 * nothing refers to it any more when the call returns. */
#include "http/http.h"
#include "base/assert.h"
#include "rt/runtime.h"
#include "rt/task.h"

#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        CONNECTIONS_MAX_DEFAULT = 256,
        CONNECTIONS_MAX_LIMIT = 65536,
        CONNECT_MS_MAX_DEFAULT = 10000,
        RESPONSE_BYTES_MAX_DEFAULT = 64 * 1024,
        RESPONSE_BYTES_MAX_LIMIT = 1024 * 1024 * 1024,
        AUTHORITY_BYTES_MAX = 128, /* of a URL, in error texts */
};

/* --- Client ----------------------------------------------------------------------------------- */

static int check_options(cel_ctx *ctx, const cel_http_client_options *options)
{
        struct stat status;

        if (options->connections_max > CONNECTIONS_MAX_LIMIT)
                return cel_fail(ctx, CEL_EINVAL, "connections_max is %u, at most %d are possible",
                                options->connections_max, CONNECTIONS_MAX_LIMIT);
        if (options->connect_ms_max < 0 || options->connect_ms_max > INT_MAX)
                return cel_fail(ctx, CEL_EINVAL, "connect_ms_max is %lld, it must be from 0 to %d",
                                (long long)options->connect_ms_max, INT_MAX);
        if (options->response_bytes_max > RESPONSE_BYTES_MAX_LIMIT)
                return cel_fail(ctx, CEL_EINVAL, "response_bytes_max is %zu, at most %d are possible",
                                options->response_bytes_max, RESPONSE_BYTES_MAX_LIMIT);
        if (options->ca_file && (stat(options->ca_file, &status) < 0 || !S_ISREG(status.st_mode) ||
                                 access(options->ca_file, R_OK) < 0))
                return cel_fail(ctx, CEL_EINVAL, "the CA file %s cannot be read", options->ca_file);
        return 0;
}

int cel_http_client_open(cel_ctx *ctx, const cel_http_client_options *options, cel_http_client **ret_client)
{
        static const cel_http_client_options defaults;
        const cel_http_client_options *o = options ? options : &defaults;

        if (!ctx->loop)
                cel__misuse("thread ctx \"%s\" opened an HTTP client, which needs a task's loop", ctx->name);
        int r = check_options(ctx, o);
        if (r < 0)
                return r;

        cel_http_client *client = calloc(1, sizeof(*client));
        if (!client)
                return CEL_ENOMEM;
        cel__http_client_init(client, ctx);
        client->connections_max = o->connections_max ? o->connections_max : CONNECTIONS_MAX_DEFAULT;
        client->connect_ms_max = o->connect_ms_max ? (long)o->connect_ms_max : CONNECT_MS_MAX_DEFAULT;
        client->response_bytes_max = o->response_bytes_max ? o->response_bytes_max
                                                           : RESPONSE_BYTES_MAX_DEFAULT;
        client->user_agent = strdup(o->user_agent ? o->user_agent : "celadon/" CELADON_VERSION);
        client->ca_file = o->ca_file ? strdup(o->ca_file) : NULL;
        if (!client->user_agent || (o->ca_file && !client->ca_file)) {
                cel_http_client_free(client);
                return CEL_ENOMEM;
        }
        *ret_client = client;
        return 0;
}

cel_http_client *cel_http_client_free(cel_http_client *client)
{
        if (!client)
                return NULL;
        if (client->transfers_n > 0)
                cel__misuse("an HTTP client was freed while %u requests were under way", client->transfers_n);
        cel__http_client_destroy(client);
        return NULL;
}

/* --- Is the request one? ---------------------------------------------------------------------- */

/* RFC 9110, 5.6.2 */
static bool is_token(const char *text)
{
        static const char others[] = "!#$%&'*+-.^_`|~";

        if (!*text)
                return false;
        for (; *text; text++) {
                char c = *text;
                bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                                    (c >= 'a' && c <= 'z');

                if (!alphanumeric && !strchr(others, c))
                        return false;
        }
        return true;
}

static bool is_control(char c)
{
        return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool is_value(const char *text)
{
        for (; *text; text++)
                if (is_control(*text) && *text != '\t')
                        return false;
        return true;
}

/* Headers that say where the message ends, or when: these are libcurl's. */
static bool is_framing(const char *name)
{
        static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Expect"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strcasecmp(name, names[i]) == 0)
                        return true;
        return false;
}

static int check_headers(cel_ctx *ctx, const cel_http_request *request)
{
        size_t bytes = 0;

        if (request->headers_n > CEL_HTTP_HEADERS_MAX)
                return cel_fail(ctx, CEL_EINVAL, "the request has %zu headers, at most %d are allowed",
                                request->headers_n, CEL_HTTP_HEADERS_MAX);
        for (size_t i = 0; i < request->headers_n; i++) {
                const cel_http_header *header = &request->headers[i];

                if (!is_token(header->name))
                        return cel_fail(ctx, CEL_EINVAL, "the name of header %zu is no HTTP token", i + 1);
                if (!is_value(header->value))
                        return cel_fail(ctx, CEL_EINVAL,
                                        "the value of header %s has a control character in it", header->name);
                if (is_framing(header->name))
                        return cel_fail(ctx, CEL_EINVAL, "header %s is set by the client alone",
                                        header->name);
                bytes += strlen(header->name) + strlen(header->value);
        }
        if (bytes > CEL_HTTP_HEADER_BYTES_MAX)
                return cel_fail(ctx, CEL_EINVAL,
                                "the request's headers are %zu bytes, at most %d are allowed", bytes,
                                CEL_HTTP_HEADER_BYTES_MAX);
        return 0;
}

static int check_url(cel_ctx *ctx, const char *url)
{
        if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
                return cel_fail(ctx, CEL_EINVAL, "the URL does not begin with http:// or https://");
        if (strnlen(url, CEL__HTTP_URL_BYTES_MAX + 1) > CEL__HTTP_URL_BYTES_MAX)
                return cel_fail(ctx, CEL_EINVAL, "the URL is longer than %d bytes", CEL__HTTP_URL_BYTES_MAX);
        for (const char *at = url; *at; at++)
                if (is_control(*at) || *at == ' ')
                        return cel_fail(ctx, CEL_EINVAL, "the URL has a space or a control character in it");
        return 0;
}

static int check_request(cel_ctx *ctx, const cel_http_request *request, const char *method)
{
        if (!is_token(method) || strlen(method) > CEL__HTTP_METHOD_BYTES_MAX)
                return cel_fail(ctx, CEL_EINVAL, "the method is no HTTP token of at most %d bytes",
                                CEL__HTTP_METHOD_BYTES_MAX);
        if (strcmp(method, "CONNECT") == 0)
                return cel_fail(ctx, CEL_EINVAL, "the method CONNECT is not for requests");
        if (strcmp(method, "HEAD") == 0 && request->body_bytes > 0)
                return cel_fail(ctx, CEL_EINVAL, "a HEAD request has no body");
        int r = check_url(ctx, request->url);
        return r < 0 ? r : check_headers(ctx, request);
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* Scheme, host and port of a URL: neither its credentials nor its path is anything for a log. */
static void name_server(const char *url, char *text, size_t text_bytes)
{
        const char *host = strstr(url, "://") + 3;
        int scheme_n = (int)(host - url);
        size_t n = strcspn(host, "/?#");
        const char *at = memrchr(host, '@', n);

        if (at) {
                n -= (size_t)(at + 1 - host);
                host = at + 1;
        }
        snprintf(text, text_bytes, "%.*s%.*s", scheme_n, url, (int)n, host);
}

static int report(cel_ctx *ctx, const cel__http_transfer *transfer, int code)
{
        char server[AUTHORITY_BYTES_MAX];

        name_server(transfer->request->url, server, sizeof(server));
        return cel_fail(ctx, code, "%s %s: %s", transfer->method, server, transfer->text);
}

/* Wait until the hub has ended the transfer, which takes it one turn. */
static void take_back(cel_ctx *ctx, cel_http_client *client, cel__http_transfer *transfer)
{
        cel__wait wait;

        if (transfer->state == CEL__HTTP_QUEUED) {
                cel__list_remove(&transfer->node);
                cel__http_transfer_enter(transfer, CEL__HTTP_ENDED);
                snprintf(transfer->text, sizeof(transfer->text), "not begun in time");
                return;
        }
        cel__http_transfer_enter(transfer, CEL__HTTP_ABANDONED);
        cel__list_append(&client->abandoned, &transfer->node);
        cel__http_client_attend(client);
        ctx->shields++;
        cel__wait_begin(&wait, ctx, "end of HTTP request");
        transfer->wait = &wait;
        cel__wait_block(&wait);
        transfer->wait = NULL;
        ctx->shields--;
        cel_assert(transfer->state == CEL__HTTP_ENDED);
        snprintf(transfer->text, sizeof(transfer->text), "%s",
                 transfer->sent ? "sent, but there was no whole response in time" : "not connected in time");
}

/* Returns the transfer's result, or why waiting for it ended. */
static int run(cel_ctx *ctx, cel_http_client *client, cel__http_transfer *transfer)
{
        cel__wait wait;

        cel__wait_begin(&wait, ctx, "HTTP response");
        transfer->wait = &wait;
        cel__list_append(&client->queued, &transfer->node);
        cel__http_client_attend(client);
        int r = cel__wait_block(&wait);
        transfer->wait = NULL;
        if (transfer->state ==
            CEL__HTTP_ENDED) /* even if the deadline came in the same turn: what is known is known */
                return transfer->result;
        take_back(ctx, client, transfer);
        return r;
}

int cel_http_send(cel_ctx *ctx, cel_http_client *client, const cel_http_request *request,
                  cel_http_response **ret_response)
{
        const char *method = request->method ? request->method : request->body_bytes > 0 ? "POST" : "GET";
        cel__http_transfer transfer = {.request = request, .method = method, .state = CEL__HTTP_QUEUED};

        if (ctx->loop != client->loop)
                cel__misuse("\"%s\" used an HTTP client of another loop", ctx->name);
        if (request->failure)
                *request->failure = (cel_http_failure){0};
        int r = check_request(ctx, request, method);
        if (r < 0)
                return r;

        cel__list_init(&transfer.node);
        client->transfers_n++;
        r = run(ctx, client, &transfer);
        client->transfers_n--;
        if (r < 0 && request->failure)
                *request->failure = (cel_http_failure){
                        .maybe_sent = transfer.sent, .stale = transfer.broken, .status = transfer.status};
        if (r == CEL_ECANCELED)
                return r;
        if (r < 0)
                return report(ctx, &transfer, r);
        *ret_response = transfer.response;
        return 0;
}
