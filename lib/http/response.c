/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int cel__http_response_new(size_t body_bytes_max, cel_http_response **ret_response)
{
        cel_http_response *response = calloc(1, sizeof(*response));

        if (!response)
                return CEL_ENOMEM;
        response->body_bytes_max = body_bytes_max;
        cel__buf_init(&response->headers, CEL_HTTP_HEADER_BYTES_MAX);
        cel__buf_init(&response->body, body_bytes_max + 1);
        *ret_response = response;
        return 0;
}

cel_http_response *cel_http_response_free(cel_http_response *response)
{
        if (!response)
                return NULL;
        cel__buf_fini(&response->headers);
        cel__buf_fini(&response->body);
        free(response);
        return NULL;
}

/* --- The head --------------------------------------------------------------------------------- */

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void trim(const char **text, size_t *n)
{
        while (*n > 0 && is_space((*text)[*n - 1]))
                --*n;
        while (*n > 0 && is_space(**text)) {
                ++*text;
                --*n;
        }
}

/* libcurl has checked that it is one: three digits stand behind the first space. */
static void begin(cel_http_response *response, const char *line, size_t n)
{
        const char *space = memchr(line, ' ', n);

        response->status = 0;
        for (size_t i = 1; space && i <= 3 && space + i < line + n && space[i] >= '0' && space[i] <= '9'; i++)
                response->status = response->status * 10 + (space[i] - '0');
        response->headers_end = false;
        response->headers_n = 0;
        cel__buf_clear(&response->headers, CEL_HTTP_HEADER_BYTES_MAX);
}

/* A value that goes on in a second line: RFC 9112 has us put a space in between. */
static int fold(cel_http_response *response, const char *value, size_t n)
{
        cel__buf *headers = &response->headers;

        if (cel__buf_used(headers) == 0)
                return 0;
        char *room = (char *)cel__buf_reserve(headers, n + 1, NULL);
        if (!room)
                return CEL_ETOOBIG;
        room[-1] = ' '; /* was the value's end */
        memcpy(room, value, n);
        room[n] = '\0';
        cel__buf_commit(headers, n + 1);
        return 0;
}

static int add_header(cel_http_response *response, const char *line, size_t n)
{
        const char *colon = memchr(line, ':', n);
        int error = 0;

        if (!colon || memchr(line, '\0', n))
                return 0; /* no header; libcurl refuses most of these itself */
        if (response->headers_n == CEL_HTTP_HEADERS_MAX)
                return CEL_ETOOBIG;

        const char *name = line, *value = colon + 1;
        size_t name_n = (size_t)(colon - line), value_n = n - name_n - 1;
        trim(&name, &name_n);
        trim(&value, &value_n);
        char *room = (char *)cel__buf_reserve(&response->headers, name_n + value_n + 2, &error);
        if (!room)
                return error;
        memcpy(room, name, name_n);
        room[name_n] = '\0';
        memcpy(room + name_n + 1, value, value_n);
        room[name_n + 1 + value_n] = '\0';
        cel__buf_commit(&response->headers, name_n + value_n + 2);
        response->headers_n++;
        return 0;
}

int cel__http_response_add_line(cel_http_response *response, const char *line, size_t n)
{
        if (response->headers_end && response->status >= 200)
                return 0; /* a trailer */
        if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
                begin(response, line, n);
                return 0;
        }
        if (n == 0 || *line == '\r' || *line == '\n') {
                response->headers_end = true;
                return 0;
        }
        if (*line == ' ' || *line == '\t') {
                trim(&line, &n);
                return fold(response, line, n);
        }
        return add_header(response, line, n);
}

int cel_http_response_status(const cel_http_response *response)
{
        return response->status;
}

const char *cel_http_response_header(const cel_http_response *response, const char *name)
{
        const char *at = (const char *)cel__buf_head(&response->headers);

        for (unsigned i = 0; i < response->headers_n; i++) {
                const char *value = at + strlen(at) + 1;

                if (strcasecmp(at, name) == 0)
                        return value;
                at = value + strlen(value) + 1;
        }
        return NULL;
}

/* --- The body --------------------------------------------------------------------------------- */

int cel__http_response_add_body(cel_http_response *response, const char *bytes, size_t n)
{
        size_t room = response->body_bytes_max - cel__buf_used(&response->body);
        size_t kept = n < room ? n : room;

        int r = cel__buf_append(&response->body, bytes, kept);
        if (r < 0 || kept == n)
                return r;
        response->truncated = true;
        response->dropped_bytes += n - kept;
        return response->dropped_bytes > CEL__HTTP_DROPPED_BYTES_MAX ? CEL_ETOOBIG : 0;
}

int cel__http_response_finish(cel_http_response *response)
{
        int error = 0;

        if (cel__buf_used(&response->body) == 0)
                return 0;
        uint8_t *end = cel__buf_reserve(&response->body, 1, &error);
        if (!end)
                return error;
        *end = '\0'; /* not counted */
        return 0;
}

const char *cel_http_response_body(const cel_http_response *response, size_t *ret_bytes)
{
        size_t n = cel__buf_used(&response->body);

        if (ret_bytes)
                *ret_bytes = n;
        return n > 0 ? (const char *)cel__buf_head(&response->body) : "";
}
