/* SPDX-License-Identifier: Apache-2.0 */
#include "http/test_server.h"
#include "base/assert.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct connection {
        server *server;
        unsigned place;
        int fd;
} connection;

static void say_bytes(int fd, const char *text, size_t n)
{
        while (n > 0) {
                ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

                if (sent <= 0)
                        return;
                text += sent;
                n -= (size_t)sent;
        }
}

static void say(int fd, const char *text)
{
        say_bytes(fd, text, strlen(text));
}

/* How long is the request that begins here? 0: not known yet. */
static size_t request_bytes(const char *text)
{
        const char *end = strstr(text, "\r\n\r\n");
        const char *length = strcasestr(text, "\r\nContent-Length:");

        if (!end)
                return 0;
        return (size_t)(end + 4 - text) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
}

/* Read one whole request; false: the client has closed. */
static bool read_request(server *s, int fd)
{
        char *text = calloc(1, SERVER_REQUEST_BYTES_MAX);
        size_t n = 0;

        while (n < SERVER_REQUEST_BYTES_MAX - 1 && (request_bytes(text) == 0 || n < request_bytes(text))) {
                ssize_t got = recv(fd, text + n, SERVER_REQUEST_BYTES_MAX - 1 - n, 0);

                if (got <= 0) {
                        free(text);
                        return false;
                }
                n += (size_t)got;
        }
        pthread_mutex_lock(&s->mutex);
        free(s->last);
        s->last = text;
        s->last_bytes = n;
        atomic_fetch_add(&s->requests, 1);
        pthread_cond_broadcast(&s->cond);
        pthread_mutex_unlock(&s->mutex);
        return true;
}

static void *run_connection(void *arg)
{
        connection *c = arg;
        server *s = c->server;

        s->serve(s, c->fd);
        pthread_mutex_lock(&s->mutex);
        close(c->fd);
        s->fds[c->place] = -1;
        pthread_mutex_unlock(&s->mutex);
        atomic_fetch_add(&s->closed, 1);
        free(c);
        return NULL;
}

static void *run_acceptor(void *arg)
{
        server *s = arg;
        int fd;

        while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
                connection *c = malloc(sizeof(*c));

                atomic_fetch_add(&s->connections, 1);
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
                pthread_mutex_lock(&s->mutex);
                cel_assert(s->fds_n < SERVER_CONNECTIONS_MAX);
                *c = (connection){.server = s, .place = s->fds_n++, .fd = fd};
                s->fds[c->place] = fd;
                pthread_create(&s->threads[c->place], NULL, run_connection, c);
                pthread_mutex_unlock(&s->mutex);
        }
        return NULL;
}

int server_listen(int backlog, unsigned *ret_port)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t bytes = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        cel_assert(bind(fd, (struct sockaddr *)&address, bytes) == 0);
        cel_assert(listen(fd, backlog) == 0);
        getsockname(fd, (struct sockaddr *)&address, &bytes);
        *ret_port = ntohs(address.sin_port);
        return fd;
}

void server_start(server *s, server_fn serve, const char *answer)
{
        memset(s, 0, sizeof(*s));
        s->serve = serve;
        s->answer = answer;
        pthread_mutex_init(&s->mutex, NULL);
        pthread_cond_init(&s->cond, NULL);
        s->fd = server_listen(256, &s->port);
        pthread_create(&s->acceptor, NULL, run_acceptor, s);
}

void server_stop(server *s)
{
        shutdown(s->fd, SHUT_RDWR);
        pthread_join(s->acceptor, NULL);
        pthread_mutex_lock(&s->mutex);
        s->stopping = true;
        pthread_cond_broadcast(&s->cond);
        for (unsigned i = 0; i < s->fds_n; i++)
                if (s->fds[i] >= 0)
                        shutdown(s->fds[i], SHUT_RDWR);
        pthread_mutex_unlock(&s->mutex);
        for (unsigned i = 0; i < s->fds_n; i++)
                pthread_join(s->threads[i], NULL);
        close(s->fd);
        free(s->last);
        pthread_cond_destroy(&s->cond);
        pthread_mutex_destroy(&s->mutex);
}

void serve_answers(server *s, int fd)
{
        while (read_request(s, fd)) {
                say(fd, s->answer);
                atomic_fetch_add(&s->answers, 1);
        }
}

void serve_one_answer(server *s, int fd)
{
        if (read_request(s, fd))
                say(fd, s->answer);
}

void serve_nothing(server *s, int fd)
{
        while (read_request(s, fd))
                ;
}

/* The first connection dies under its second request, the others are fine. */
void serve_and_die_once(server *s, int fd)
{
        unsigned place = atomic_load(&s->connections);

        if (read_request(s, fd))
                say(fd, HELLO);
        if (place == 1) {
                read_request(s, fd);
                return;
        }
        serve_answers(s, fd);
}

void serve_in_pieces(server *s, int fd)
{
        while (read_request(s, fd))
                for (const char *at = s->answer; *at; at++)
                        say_bytes(fd, at, 1);
}

/* Nobody gets an answer before so many have asked. */
void serve_gathered(server *s, int fd)
{
        while (read_request(s, fd)) {
                pthread_mutex_lock(&s->mutex);
                while (atomic_load(&s->requests) < s->gather_n && !s->stopping)
                        pthread_cond_wait(&s->cond, &s->mutex);
                pthread_mutex_unlock(&s->mutex);
                say(fd, HELLO);
        }
}

void serve_endless_body(server *s, int fd)
{
        char block[4096];

        memset(block, 'x', sizeof(block));
        while (read_request(s, fd)) {
                say(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 1000000000\r\n\r\n");
                while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
                        ;
        }
}

/* "answer" is the number of bytes. */
void serve_big_body(server *s, int fd)
{
        size_t n = strtoul(s->answer, NULL, 10);
        char *text = malloc(n + 1);
        char head[128];

        memset(text, 'x', n);
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
        while (read_request(s, fd)) {
                say(fd, head);
                say_bytes(fd, text, n);
        }
        free(text);
}

void serve_many_headers(server *s, int fd)
{
        if (!read_request(s, fd))
                return;
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        for (int i = 0; i < 100; i++)
                say(fd, "X-More: yes\r\n");
        say(fd, "\r\n");
        read_request(s, fd);
}

void serve_long_headers(server *s, int fd)
{
        if (!read_request(s, fd))
                return;
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: ");
        for (int i = 0; i < 7000; i++)
                say(fd, "0123456789");
        say(fd, "\r\n\r\n");
        read_request(s, fd);
}

void serve_no_tls(server *s, int fd)
{
        char byte;

        if (recv(fd, &byte, 1, 0) == 1)
                say(fd, s->answer);
}
