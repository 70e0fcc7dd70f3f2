/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of the HTTP client, shared by the files of this folder:
 *
 *     http.c       the public calls: check a request, wait for its response
 *     client.c     which transfers run, libcurl's multi handle and its timer
 *     transfer.c   one request in libcurl's words, and what came of it
 *     response.c   status, headers and body as they come in
 *     sockets.c    libcurl's sockets in the loop
 *
 * libcurl is called on the hub only: it may need more stack than a task has. */
#ifndef CEL_HTTP_HTTP_H
#define CEL_HTTP_HTTP_H

#include "base/buf.h"
#include "rt/ctx.h"

#include <celadon/http.h>
#include <curl/curl.h>

enum {
        CEL__HTTP_URL_BYTES_MAX = 64 * 1024,
        CEL__HTTP_METHOD_BYTES_MAX = 32,
        CEL__HTTP_DROPPED_BYTES_MAX = 1024 * 1024, /* of a body, behind those that are kept */
};

typedef struct cel__http_transfer cel__http_transfer;
typedef struct cel__http_slot cel__http_slot;
typedef struct cel__http_watch cel__http_watch;

/* --- Response --------------------------------------------------------------------------------- */

struct cel_http_response {
        int status;       /* of the last status line; 1xx until the final one comes */
        bool headers_end; /* their empty line was seen: what follows are trailers, which are dropped */
        bool truncated;   /* the body was longer than what is kept */
        unsigned headers_n;
        cel__buf headers; /* name NUL value NUL, and so on */
        cel__buf body;
        size_t body_bytes_max;
        size_t dropped_bytes;
};

/* Errors: CEL_ENOMEM. */
int cel__http_response_new(size_t body_bytes_max, cel_http_response **ret_response);

/* Take one line of the response's head, its end included.
 * Errors: CEL_ETOOBIG, CEL_ENOMEM. */
int cel__http_response_add_line(cel_http_response *response, const char *line, size_t n);

/* Take a piece of the body.
 * Errors: CEL_ETOOBIG when so much was dropped that the connection is not worth it, CEL_ENOMEM. */
int cel__http_response_add_body(cel_http_response *response, const char *bytes, size_t n);

/* Terminate the body.
 * Errors: CEL_ENOMEM. */
int cel__http_response_finish(cel_http_response *response);

/* --- Transfer --------------------------------------------------------------------------------- */

typedef enum cel__http_state {
        CEL__HTTP_QUEUED,    /* waits for a slot */
        CEL__HTTP_RUNNING,   /* libcurl has it */
        CEL__HTTP_ABANDONED, /* libcurl still has it, nobody wants it any more */
        CEL__HTTP_ENDED,
        CEL__HTTP_STATES,
} cel__http_state;

/* One request under way. It lives on the stack of the task that sends, which does not return before it has
 * ended. */
struct cel__http_transfer {
        cel__list node; /* in client->queued or client->abandoned */
        cel__http_state state;
        const cel_http_request *request; /* borrowed */
        const char *method;              /* borrowed */
        cel__http_slot *slot;            /* borrowed; NULL unless libcurl has it */
        cel__wait *wait;                 /* borrowed; who waits for its end, NULL: nobody at the moment */
        cel_http_response *response;     /* owned; NULL until it begins */
        bool sent;                       /* something of it may have reached the server */
        bool broken; /* a kept-alive connection broke under it, and it must not be sent again */
        int refused; /* why a callback stopped libcurl: a CEL_E… code, or 0 */
        int status;  /* once ended with an error: see cel_http_failure */
        int result;  /* once ended */
        char text[CURL_ERROR_SIZE]; /* once ended with an error */
};

/* The one door between states. */
void cel__http_transfer_enter(cel__http_transfer *transfer, cel__http_state next);

/* What libcurl needs for one transfer at a time, kept for the next. */
struct cel__http_slot {
        cel__list node;               /* in client->idle or client->running */
        cel__list nudge_node;         /* in client->to_nudge */
        cel_http_client *client;      /* borrowed */
        cel__http_transfer *transfer; /* borrowed; NULL while idle */
        CURL *easy;                   /* owned */
        struct curl_slist *lines;     /* owned; one block for the list of headers and their text */
        size_t lines_bytes;
        char error[CURL_ERROR_SIZE]; /* libcurl's words */
};

/* On the hub.
 * Errors: CEL_ENOMEM, CEL_EINVAL (libcurl lacks something). */
int cel__http_slot_new(cel_http_client *client, cel__http_slot **ret_slot);
cel__http_slot *cel__http_slot_free(cel__http_slot *slot);

/* Tell the slot's libcurl handle about `transfer`.
 * Errors: CEL_ENOMEM. */
int cel__http_slot_load(cel__http_slot *slot, cel__http_transfer *transfer);

/* Work out the transfer's result and text from what libcurl says. */
void cel__http_slot_judge(cel__http_slot *slot, CURLcode code);

/* May any of the request have reached the server? */
bool cel__http_slot_sent(const cel__http_slot *slot);

/* Let go of what came of a response, all but its status. */
void cel__http_transfer_drop_response(cel__http_transfer *transfer);

/* --- Client ----------------------------------------------------------------------------------- */

struct cel_http_client {
        cel_runtime *runtime; /* borrowed */
        cel__loop *loop;      /* borrowed */
        char *user_agent;     /* owned */
        char *ca_file;        /* owned; NULL: the system's store */
        unsigned connections_max;
        long connect_ms_max;
        size_t response_bytes_max;
        int socket_error; /* errno of the last socket() that failed; 0: the last one did not */

        CURLM *multi;       /* owned; NULL until first needed */
        cel__deferred pump; /* due when there is something to tell libcurl */
        cel__timer timer;   /* never later than libcurl's */
        cel_time timer_at;  /* when it fires, while set */
        cel_time due;       /* when libcurl wants to be called */
        bool kicked;        /* libcurl wants to be called at once */

        unsigned transfers_n;    /* under way */
        unsigned slots_n;        /* idle and running; at most connections_max */
        cel__list queued;        /* transfers; each belongs to a task, so the tasks' limit is theirs */
        cel__list abandoned;     /* transfers */
        cel__list to_nudge;      /* slots that have lost a socket and may have no other, see nudge() */
        cel__list running, idle; /* slots */

        cel__http_watch **watches; /* owned; by descriptor, so RLIMIT_NOFILE is the limit */
        size_t watches_n;
};

/* Have the hub look at queued and abandoned transfers. */
void cel__http_client_attend(cel_http_client *client);

/* Call libcurl for `fd` (CURL_SOCKET_TIMEOUT: for its timer), and end the transfers that this completed. On
 * the hub. */
void cel__http_client_act(cel_http_client *client, curl_socket_t fd, int events);

/* The parts of a fresh client that have no options. */
void cel__http_client_init(cel_http_client *client, cel_ctx *ctx);

/* Free a client without transfers: here, or on the hub when a task asks for it. */
void cel__http_client_destroy(cel_http_client *client);

/* --- Sockets ---------------------------------------------------------------------------------- */

/* libcurl's callbacks; `arg` is the client. */
int cel__http_on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg);
curl_socket_t cel__http_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address);
int cel__http_on_close_socket(void *arg, curl_socket_t fd);

/* Forget all of them. */
void cel__http_sockets_fini(cel_http_client *client);

#endif
