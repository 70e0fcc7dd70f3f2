/* SPDX-License-Identifier: Apache-2.0
 *
 * A name with several addresses. A listener whose queue is full swallows who connects, as a host behind a firewall
 * does. */
#include "fixture.h"
#include "net/names.h"
#include "test.h"

#include <arpa/inet.h>
#include <celadon/stream.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 4, WITHIN_MS = 1000 };

static const char *const hosts[] = {"127.0.0.2", "127.0.0.1"};

static void set_address(struct sockaddr_in *address, const char *host, uint16_t port)
{
        *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        CHECK_INT(inet_pton(AF_INET, host, &address->sin_addr), 1);
}

static void two_addresses(const char *host, cel__answer *ret_answer)
{
        (void)host;
        *ret_answer = (cel__answer){.n = 2};
        for (int i = 0; i < 2; i++) {
                set_address((void *)&ret_answer->addresses[i].storage, hosts[i], 0);
                ret_answer->addresses[i].bytes = sizeof(struct sockaddr_in);
        }
}

typedef struct world {
        fixture f;
        int black_hole, good, clients[CLIENTS]; /* sockets */
        uint16_t port;                          /* the same at both addresses */
        cel_stream *stream;
} world;

static int listen_at(const char *host, uint16_t port, int backlog)
{
        struct sockaddr_in address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        set_address(&address, host, port);
        if (bind(fd, (void *)&address, sizeof(address)) == 0 && listen(fd, backlog) == 0)
                return fd;
        close(fd);
        return -1;
}

static uint16_t port_of(int fd)
{
        struct sockaddr_in address;
        socklen_t bytes = sizeof(address);

        CHECK_INT(getsockname(fd, (void *)&address, &bytes), 0);
        return ntohs(address.sin_port);
}

/* A port that the kernel gave out at one address may still be somebody's at the other: then it is asked for another. */
static void take_port(world *w, bool good)
{
        for (int tries = 0; tries < 100; tries++) {
                w->black_hole = listen_at(hosts[0], 0, 0);
                w->port = port_of(w->black_hole);
                if (!good || (w->good = listen_at(hosts[1], w->port, 8)) >= 0)
                        return;
                close(w->black_hole);
        }
        fail_msg("no port is free at both addresses");
}

static void fill(world *w)
{
        struct sockaddr_in address;

        set_address(&address, hosts[0], w->port);
        for (int i = 0; i < CLIENTS; i++) {
                w->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                if (connect(w->clients[i], (void *)&address, sizeof(address)) < 0)
                        CHECK_INT(errno, EINPROGRESS);
        }
}

static int look_up(cel_ctx *ctx, void *arg)
{
        cel__answer answer;

        (void)arg;
        return cel__names_look_up(ctx, "two.test", &answer);
}

static int dial(cel_ctx *ctx, void *arg)
{
        world *w = arg;
        CEL_WITHIN_MS(ctx, WITHIN_MS);

        return cel_tcp_connect(ctx, "two.test", w->port, &w->stream);
}

/* The second address listens if `good`. The name is known: nobody has to ask. */
static void world_init(world *w, bool good)
{
        *w = (world){.f = fixture_new(), .good = -1};
        CHECK_INT(cel__names_set_source(w->f.runtime, &(cel__names_source){.ask = two_addresses}), 0);
        CHECK_INT(fixture_actor_wait(&w->f, fixture_act(&w->f, FIXTURE_TASK, "asker", look_up, NULL)), 0);
        take_port(w, good);
        fill(w);
}

static void world_fini(world *w)
{
        for (int i = 0; i < CLIENTS; i++)
                close(w->clients[i]);
        close(w->black_hole);
        if (w->good >= 0)
                close(w->good);
        cel_stream_unref(w->stream);
        fixture_free(&w->f);
}

TEST_BOTH(an_address_that_does_not_answer_leaves_half_of_the_time_to_the_next)
{
        world w;

        world_init(&w, true);
        fixture_actor *dialer = fixture_act(&w.f, kind, "dialer", dial, &w);
        fixture_advance_ms(&w.f, WITHIN_MS / 2 - 1);
        CHECK_WAITS(dialer);
        fixture_advance_ms(&w.f, 1);
        CHECK_DONE(dialer, 0); /* connecting to ourselves takes no time */
        world_fini(&w);
}

TEST_BOTH(when_no_address_answers_the_last_one_says_why)
{
        world w;

        world_init(&w, false);
        fixture_actor *dialer = fixture_act(&w.f, kind, "dialer", dial, &w);
        fixture_advance_ms(&w.f, WITHIN_MS / 2);
        CHECK_DONE(dialer, CEL_ECONNECT);
        CHECK(strstr(fixture_actor_text(dialer), "Connection refused"));
        world_fini(&w);
}

static int dial_black_hole(cel_ctx *ctx, void *arg)
{
        world *w = arg;
        CEL_WITHIN_MS(ctx, WITHIN_MS);

        return cel_tcp_connect(ctx, hosts[0], w->port, &w->stream);
}

TEST_BOTH(a_single_address_has_all_of_the_time)
{
        world w;

        world_init(&w, false);
        fixture_actor *dialer = fixture_act(&w.f, kind, "dialer", dial_black_hole, &w);
        fixture_advance_ms(&w.f, WITHIN_MS - 1);
        CHECK_WAITS(dialer);
        fixture_advance_ms(&w.f, 1);
        CHECK_DONE(dialer, CEL_ETIMEDOUT);
        world_fini(&w);
}
