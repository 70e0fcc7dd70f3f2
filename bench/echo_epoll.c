/* SPDX-License-Identifier: Apache-2.0
 *
 * The raw epoll loop that Celadon's echo server is compared with: the least that a server with many connections can
 * do. A message that does not fit into the socket's buffer ends it; the load leaves room. Prints its port. */
#include "micro.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, BYTES_MAX = 2048, BACKLOG = 128 };

static void watch(int epoll_fd, int fd)
{
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

        micro_expect(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void accept_one(int epoll_fd, int listen_fd)
{
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

        micro_expect(fd, "accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        watch(epoll_fd, fd);
}

static void echo(int fd)
{
        char bytes[BYTES_MAX];
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

        if (n <= 0)
                close(fd);
        else
                micro_expect(send(fd, bytes, (size_t)n, MSG_NOSIGNAL) == n ? 0 : -1, "send");
}

int main(void)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t bytes = sizeof(address);
        struct epoll_event events[EVENTS_MAX];
        int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
            epoll_fd = epoll_create1(EPOLL_CLOEXEC);

        micro_expect(bind(listen_fd, (struct sockaddr *)&address, bytes), "bind");
        micro_expect(listen(listen_fd, BACKLOG), "listen");
        micro_expect(getsockname(listen_fd, (struct sockaddr *)&address, &bytes), "getsockname");
        watch(epoll_fd, listen_fd);
        printf("%d\n", ntohs(address.sin_port));
        fflush(stdout);
        for (;;) {
                int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

                for (int i = 0; i < n; i++)
                        if (events[i].data.fd == listen_fd)
                                accept_one(epoll_fd, listen_fd);
                        else
                                echo(events[i].data.fd);
        }
}
