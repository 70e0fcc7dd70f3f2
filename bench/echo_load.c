/* SPDX-License-Identifier: Apache-2.0
 *
 * `echo_load PORT CONNECTIONS SECONDS`: drive an echo server on 127.0.0.1. Each connection has one message of 512
 * bytes under way at a time. Prints how many came back. */
#include "micro.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 512, CONNECTIONS_MAX = 1024, EVENTS_MAX = 64 };

static char message[MESSAGE_BYTES];

typedef struct connection {
        int fd;
        size_t came; /* of the message that is under way */
} connection;

static void send_message(const connection *c)
{
        micro_expect(send(c->fd, message, sizeof(message), MSG_NOSIGNAL) == MESSAGE_BYTES ? 0 : -1, "send");
}

static void connect_to(const struct sockaddr_in *address, int epoll_fd, connection *c)
{
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        int on = 1;

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        micro_expect(c->fd, "socket");
        micro_expect(connect(c->fd, (const struct sockaddr *)address, sizeof(*address)), "connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        micro_expect(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event), "epoll_ctl");
}

/* Returns whether the whole message is back. */
static int receive(connection *c)
{
        char bytes[MESSAGE_BYTES];
        ssize_t n = recv(c->fd, bytes, sizeof(bytes) - c->came, 0);

        if (n <= 0 || memcmp(bytes, message + c->came, (size_t)n) != 0)
                micro_expect(-1, "the echo differs");
        c->came = (c->came + (size_t)n) % MESSAGE_BYTES;
        return c->came == 0;
}

int main(int argc, char **argv)
{
        static connection connections[CONNECTIONS_MAX];
        struct epoll_event events[EVENTS_MAX];
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        unsigned long echoes = 0;

        if (argc != 4 || atoi(argv[2]) < 1 || atoi(argv[2]) > CONNECTIONS_MAX) {
                fprintf(stderr, "usage: %s PORT CONNECTIONS SECONDS\n", argv[0]);
                return 2;
        }
        address.sin_port = htons((uint16_t)atoi(argv[1]));
        for (int i = 0; i < MESSAGE_BYTES; i++)
                message[i] = (char)i;
        int n = atoi(argv[2]), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        for (int i = 0; i < n; i++)
                connect_to(&address, epoll_fd, &connections[i]);
        for (int i = 0; i < n; i++)
                send_message(&connections[i]);
        for (double end = micro_now_ns() + atof(argv[3]) * 1e9; micro_now_ns() < end;) {
                int ready = epoll_wait(epoll_fd, events, EVENTS_MAX, 1000);

                micro_expect(ready > 0 ? 0 : -1, "the server is silent");
                for (int i = 0; i < ready; i++)
                        if (receive(events[i].data.ptr)) {
                                echoes++;
                                send_message(events[i].data.ptr);
                        }
        }
        printf("%lu\n", echoes);
        return 0;
}
