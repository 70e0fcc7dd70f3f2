/* SPDX-License-Identifier: Apache-2.0
 *
 * For http_test.c: a server on 127.0.0.1 that says what a test wants, rightly or wrongly. */
#ifndef CEL_HTTP_TEST_SERVER_H
#define CEL_HTTP_TEST_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { SERVER_CONNECTIONS_MAX = 128, SERVER_REQUEST_BYTES_MAX = 256 * 1024 };

typedef struct server server;

/* What the server does with one connection, on a thread of its own; the connection is closed after it. */
typedef void (*server_fn)(server *s, int fd);

struct server {
        int fd;
        unsigned port;
        server_fn serve;
        const char *answer; /* borrowed; of serve_answers() and others */
        unsigned gather_n;  /* of serve_gathered() */
        pthread_t acceptor;
        pthread_mutex_t mutex; /* of all below */
        pthread_cond_t cond;
        pthread_t threads[SERVER_CONNECTIONS_MAX];
        int fds[SERVER_CONNECTIONS_MAX];
        unsigned fds_n;
        bool stopping;
        char *last; /* owned; the last request, with NUL behind it */
        size_t last_bytes;
        _Atomic unsigned requests, answers, connections, closed; /* answers: of serve_answers() */
};

void server_start(server *s, server_fn serve, const char *answer);
void server_stop(server *s);

/* A socket that listens on a free port of 127.0.0.1. */
int server_listen(int backlog, unsigned *ret_port);

#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: greeting\r\n\r\nhello"

void serve_answers(server *s, int fd);      /* s->answer to each request */
void serve_in_pieces(server *s, int fd);    /* the same, byte by byte */
void serve_one_answer(server *s, int fd);   /* then close */
void serve_nothing(server *s, int fd);      /* read requests, never answer */
void serve_and_die_once(server *s, int fd); /* the first connection dies under its second request */
void serve_gathered(server *s, int fd);     /* HELLO, but to nobody before s->gather_n have asked */
void serve_big_body(server *s, int fd);     /* s->answer is the number of bytes */
void serve_endless_body(server *s, int fd);
void serve_many_headers(server *s, int fd); /* 101 of them */
void serve_long_headers(server *s, int fd); /* 70 KB of them */
void serve_no_tls(server *s, int fd);       /* answer whatever comes first in plain text, then close */

#endif
