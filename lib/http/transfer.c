/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. What libcurl is told about every request is set once for each of its handles; for one request
 * there are its URL, its method, its headers and its body, none of which libcurl copies but the URL.
 *
 * When a kept-alive connection turns out to be dead before a byte of the response, libcurl sends the request
 * again, up to five times, whatever its method. That is harmless for what was not sent and for methods that
 * may be repeated (RFC 9110, 9.2.2). Any other request that was sent is not sent again: on_before_request()
 * stops it and the caller gets CEL_EUNKNOWN.
 *
 * An error is "proven unsent" as long as libcurl has not begun to write the request, in none of its attempts.
 */
#include "base/assert.h"
#include "http/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const bool may_enter[CEL__HTTP_STATES][CEL__HTTP_STATES] = {
        [CEL__HTTP_QUEUED] = {[CEL__HTTP_RUNNING] = true, [CEL__HTTP_ENDED] = true},
        [CEL__HTTP_RUNNING] = {[CEL__HTTP_ABANDONED] = true, [CEL__HTTP_ENDED] = true},
        [CEL__HTTP_ABANDONED] = {[CEL__HTTP_ENDED] = true},
};

void cel__http_transfer_enter(cel__http_transfer *transfer, cel__http_state next)
{
        cel_assert(may_enter[transfer->state][next]);
        transfer->state = next;
}

void cel__http_transfer_drop_response(cel__http_transfer *transfer)
{
        const cel_http_response *response = transfer->response;

        if (response && response->headers_end && response->status >= 200)
                transfer->status = response->status;
        transfer->response = cel_http_response_free(transfer->response);
}

/* --- Callbacks of libcurl --------------------------------------------------------------------- */

enum { STOP = 0 }; /* "took no bytes": libcurl gives up and closes the connection */

/* Remember why libcurl is stopped. */
static size_t stop(cel__http_transfer *transfer, int code, const char *text)
{
        transfer->refused = code;
        snprintf(transfer->text, sizeof(transfer->text), "%s", text);
        return STOP;
}

static size_t on_header_line(char *line, size_t one, size_t n, void *arg)
{
        cel__http_slot *slot = arg;
        cel__http_transfer *transfer = slot->transfer;
        int r = 0;

        (void)one;
        if (!transfer->response)
                r = cel__http_response_new(slot->client->response_bytes_max, &transfer->response);
        if (r >= 0)
                r = cel__http_response_add_line(transfer->response, line, n);
        if (r == CEL_ETOOBIG)
                return stop(transfer, CEL_EPROTO, "the response has more than 100 headers or 64 KiB of them");
        if (r < 0)
                return stop(transfer, CEL_EUNKNOWN, "no memory for the response");
        return n;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *arg)
{
        cel__http_slot *slot = arg;
        cel__http_transfer *transfer = slot->transfer;

        (void)one;
        cel_assert(transfer->response); /* libcurl knows no body without a head */
        int r = cel__http_response_add_body(transfer->response, bytes, n);
        if (r == CEL_ETOOBIG)
                return STOP; /* the response counts, see cel__http_slot_judge() */
        if (r < 0)
                return stop(transfer, CEL_EUNKNOWN, "no memory for the response");
        return n;
}

static bool is_repeatable(const char *method)
{
        static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};

        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
                if (strcmp(method, methods[i]) == 0)
                        return true;
        return false;
}

/* Connected, about to write the request. */
static int on_before_request(void *arg, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
        cel__http_slot *slot = arg;

        (void)peer_ip;
        (void)own_ip;
        (void)peer_port;
        (void)own_port;
        if (!cel__http_slot_sent(slot) || is_repeatable(slot->transfer->method))
                return CURL_PREREQFUNC_OK;
        slot->transfer->broken = true;
        return CURL_PREREQFUNC_ABORT;
}

/* --- What never changes ----------------------------------------------------------------------- */

/* Errors: CEL_EINVAL: libcurl was built without something. */
static int set_up(cel__http_slot *slot)
{
        CURL *easy = slot->easy;
        cel_http_client *client = slot->client;
        int failed = 0;

#define SET(option, value) failed |= curl_easy_setopt(easy, CURLOPT_##option, value) != CURLE_OK
        SET(PRIVATE, slot);
        SET(ERRORBUFFER, slot->error);
        SET(NOSIGNAL, 1L);
        SET(NOPROGRESS, 1L);
        SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        SET(PROTOCOLS_STR, "http,https");
        SET(FOLLOWLOCATION, 0L);
        SET(PROXY, ""); /* nor what the environment says */
        SET(USERAGENT, client->user_agent);
        SET(CONNECTTIMEOUT_MS, client->connect_ms_max);
        SET(TCP_NODELAY, 1L);
        SET(QUICK_EXIT, 1L); /* do not join the resolver's thread when a transfer is abandoned */
        SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        SET(SSL_VERIFYPEER, 1L);
        SET(SSL_VERIFYHOST, 2L);
        if (client->ca_file) {
                SET(CAINFO, client->ca_file);
                SET(CAPATH, NULL); /* instead of the system's store, not beside it */
        }
        SET(HEADERFUNCTION, on_header_line);
        SET(HEADERDATA, slot);
        SET(WRITEFUNCTION, on_body);
        SET(WRITEDATA, slot);
        SET(PREREQFUNCTION, on_before_request);
        SET(PREREQDATA, slot);
        SET(OPENSOCKETFUNCTION, cel__http_on_open_socket);
        SET(OPENSOCKETDATA, client);
        SET(CLOSESOCKETFUNCTION, cel__http_on_close_socket);
        SET(CLOSESOCKETDATA, client);
#undef SET
        return failed ? CEL_EINVAL : 0;
}

int cel__http_slot_new(cel_http_client *client, cel__http_slot **ret_slot)
{
        cel__http_slot *slot = calloc(1, sizeof(*slot));

        if (!slot)
                return CEL_ENOMEM;
        cel__list_init(&slot->node);
        cel__list_init(&slot->nudge_node);
        slot->client = client;
        slot->easy = curl_easy_init();
        int r = slot->easy ? set_up(slot) : CEL_ENOMEM;
        if (r < 0) {
                cel__http_slot_free(slot);
                return r;
        }
        *ret_slot = slot;
        return 0;
}

cel__http_slot *cel__http_slot_free(cel__http_slot *slot)
{
        if (!slot)
                return NULL;
        cel_assert(!slot->transfer);
        curl_easy_cleanup(slot->easy);
        free(slot->lines);
        free(slot);
        return NULL;
}

/* --- What is the request's own ---------------------------------------------------------------- */

/* Lines that keep libcurl from adding headers of its own beside a body. */
static char no_expect[] = "Expect:";
static char no_content_type[] = "Content-Type:";

enum { LINES_MAX = CEL_HTTP_HEADERS_MAX + 2 };

static int lines_reserve(cel__http_slot *slot, size_t bytes)
{
        if (bytes <= slot->lines_bytes)
                return 0;
        size_t n = slot->lines_bytes ? slot->lines_bytes : 1024;

        while (n < bytes)
                n *= 2;
        struct curl_slist *lines = malloc(n);
        if (!lines)
                return CEL_ENOMEM;
        free(slot->lines);
        slot->lines = lines;
        slot->lines_bytes = n;
        return 0;
}

/* "Name: value", or what libcurl wants for an empty value: "Name;". Returns what is behind it. */
static char *put_line(char *at, const cel_http_header *header)
{
        const char *value = header->value + strspn(header->value, " \t");
        size_t name_n = strlen(header->name), value_n = strlen(value);

        memcpy(at, header->name, name_n);
        at += name_n;
        if (value_n == 0) {
                memcpy(at, ";", 2);
                return at + 2;
        }
        memcpy(at, ": ", 2);
        memcpy(at + 2, value, value_n + 1);
        return at + 2 + value_n + 1;
}

/* The list of header lines, in one block: nodes first, then their text. */
static int build_lines(cel__http_slot *slot, const cel_http_request *request, bool with_body,
                       struct curl_slist **ret_first)
{
        bool has_content_type = false;
        size_t bytes = (request->headers_n + 2) * sizeof(struct curl_slist);
        size_t n = 0;

        for (size_t i = 0; i < request->headers_n; i++)
                bytes += strlen(request->headers[i].name) + strlen(request->headers[i].value) + sizeof(": ");
        int r = lines_reserve(slot, bytes);
        if (r < 0)
                return r;

        struct curl_slist *lines = slot->lines;
        char *at = (char *)(lines + request->headers_n + 2);
        for (size_t i = 0; i < request->headers_n; i++) {
                lines[n++].data = at;
                at = put_line(at, &request->headers[i]);
                has_content_type |= strcasecmp(request->headers[i].name, "Content-Type") == 0;
        }
        if (with_body)
                lines[n++].data = no_expect;
        if (with_body && !has_content_type)
                lines[n++].data = no_content_type;
        for (size_t i = 0; i < n; i++)
                lines[i].next = i + 1 < n ? &lines[i + 1] : NULL;
        *ret_first = n > 0 ? lines : NULL;
        return 0;
}

/* Does it carry a body, be it an empty one? Without one, libcurl would send no Content-Length where servers
 * want to see it. */
static bool has_body(const cel__http_transfer *transfer)
{
        const char *method = transfer->method;

        return transfer->request->body_bytes > 0 || strcmp(method, "POST") == 0 ||
               strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
}

int cel__http_slot_load(cel__http_slot *slot, cel__http_transfer *transfer)
{
        const cel_http_request *request = transfer->request;
        CURL *easy = slot->easy;
        bool with_body = has_body(transfer);
        const char *method = transfer->method;
        struct curl_slist *lines;
        int failed = 0;

        int r = build_lines(slot, request, with_body, &lines);
        if (r < 0)
                return r;
#define SET(option, value) failed |= curl_easy_setopt(easy, CURLOPT_##option, value) != CURLE_OK
        SET(URL, request->url);
        SET(HTTPHEADER, lines);
        if (with_body) {
                SET(POST, 1L);
                SET(POSTFIELDS, request->body_bytes > 0 ? request->body : "");
                SET(POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
                SET(CUSTOMREQUEST, strcmp(method, "POST") == 0 ? NULL : method);
        } else if (strcmp(method, "HEAD") == 0) {
                SET(NOBODY, 1L);
                SET(CUSTOMREQUEST, NULL);
        } else {
                SET(HTTPGET, 1L);
                SET(CUSTOMREQUEST, strcmp(method, "GET") == 0 ? NULL : method);
        }
#undef SET
        slot->transfer = transfer;
        slot->error[0] = '\0';
        return failed ? CEL_ENOMEM : 0;
}

/* --- The result ------------------------------------------------------------------------------- */

bool cel__http_slot_sent(const cel__http_slot *slot)
{
        curl_off_t writing_since_us = 0;
        long request_bytes = 0;

        /* The first is set when writing has begun without an error, the second counts what the kernel has
         * taken. */
        curl_easy_getinfo(slot->easy, CURLINFO_PRETRANSFER_TIME_T, &writing_since_us);
        curl_easy_getinfo(slot->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
        return writing_since_us > 0 || request_bytes > 0;
}

/* The error of a request that may have reached the server. */
static int error_when_sent(CURLcode code)
{
        switch ((int)code) {
        case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9, or a version that is none */
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_BAD_CONTENT_ENCODING:
        case CURLE_FILESIZE_EXCEEDED: /* a Content-Length beyond 63 bits */
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
        case CURLE_OUT_OF_MEMORY: /* that is how libcurl says that a line is over 100 KiB */
                return CEL_EPROTO;
        default:
                return CEL_EUNKNOWN;
        }
}

/* Is this process out of descriptors, or this machine out of ports? */
static bool is_exhausted(const cel__http_slot *slot)
{
        static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL};
        long connect_error = 0;

        curl_easy_getinfo(slot->easy, CURLINFO_OS_ERRNO, &connect_error);
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
                if (slot->client->socket_error == errors[i] || connect_error == errors[i])
                        return true;
        return false;
}

/* The error of a request that has not reached the server for sure. */
static int error_when_unsent(const cel__http_slot *slot, CURLcode code)
{
        curl_off_t resolved_after_us = 0;

        switch ((int)code) {
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_URL_MALFORMAT:
        case CURLE_BAD_FUNCTION_ARGUMENT:
                return CEL_EINVAL;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
                return CEL_ERESOLVE;
        case CURLE_OPERATION_TIMEDOUT: /* connect_ms_max is the only timeout that libcurl was given */
                curl_easy_getinfo(slot->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved_after_us);
                return resolved_after_us > 0 ? CEL_ECONNECT : CEL_ERESOLVE;
        case CURLE_OUT_OF_MEMORY:
                return CEL_ENOMEM;
        case CURLE_COULDNT_CONNECT:
                return is_exhausted(slot) ? CEL_EFULL : CEL_ECONNECT;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_ENGINE_NOTFOUND:
        case CURLE_SSL_ENGINE_SETFAILED:
        case CURLE_SSL_ENGINE_INITFAILED:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CRL_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_INVALIDCERTSTATUS:
        case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        case CURLE_SSL_CLIENTCERT:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_USE_SSL_FAILED:
                return CEL_ETLS;
        default: /* what else keeps a connection from being made */
                return CEL_ECONNECT;
        }
}

static void fail(cel__http_transfer *transfer, int code, const char *text)
{
        cel__http_transfer_drop_response(transfer);
        transfer->result = code;
        snprintf(transfer->text, sizeof(transfer->text), "%s", text);
}

void cel__http_slot_judge(cel__http_slot *slot, CURLcode code)
{
        cel__http_transfer *transfer = slot->transfer;
        cel_http_response *response = transfer->response;
        const char *text = slot->error[0] ? slot->error : curl_easy_strerror(code);
        bool cut = code == CURLE_WRITE_ERROR && !transfer->refused && response && response->truncated;

        bool whole = (code == CURLE_OK || cut) && response && response->headers_end &&
                     response->status >= 200;

        if (whole) {
                if (cel__http_response_finish(response) < 0)
                        fail(transfer, CEL_EUNKNOWN, "no memory for the response");
                return;
        }
        transfer->sent = cel__http_slot_sent(slot);
        if (transfer->refused) {
                cel__http_transfer_drop_response(transfer);
                transfer->result = transfer->refused;
        } else if (transfer->broken) {
                fail(transfer, CEL_EUNKNOWN, "the connection broke before the response came");
        } else if (code == CURLE_OK) {
                fail(transfer, CEL_EUNKNOWN,
                     "the connection ended before the response did"); /* libcurl is lenient */
        } else {
                fail(transfer, transfer->sent ? error_when_sent(code) : error_when_unsent(slot, code), text);
        }
}
