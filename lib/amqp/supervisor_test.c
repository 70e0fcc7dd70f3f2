/* SPDX-License-Identifier: Apache-2.0
 *
 * When a connection that is lost is tried again: against a socket that hangs up on everybody. */
#include "amqp/connection.h"
#include "fixture.h"
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct door {
        fixture f;
        int fd;
        uint16_t port;
        cel__amqp_retry retry;
        cel__amqp *amqp;
} door;

static int open_amqp(cel_ctx *ctx, void *arg)
{
        door *d = arg;
        cel__amqp_options options = {.name = "test", .retry = d->retry, .body_bytes_max = 1000};
        char text[64], why[200];

        snprintf(text, sizeof(text), "rabbit://127.0.0.1:%u/", d->port);
        CHECK_INT(cel__url_parse(text, &options.url, why, sizeof(why)), 0);
        return cel__amqp_open(ctx, &options, &d->amqp);
}

static door door_new(const cel__amqp_retry *retry)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(address);
        door d = {.f = fixture_new(), .retry = *retry};

        d.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK_INT(bind(d.fd, (struct sockaddr *)&address, n), 0);
        CHECK_INT(listen(d.fd, 8), 0);
        CHECK_INT(getsockname(d.fd, (struct sockaddr *)&address, &n), 0);
        d.port = ntohs(address.sin_port);
        CHECK_RESULT(fixture_spawn(&d.f, "open", open_amqp, &d), 0);
        return d;
}

static void door_free(door *d)
{
        cel__amqp_free(d->amqp);
        fixture_free(&d->f);
        close(d->fd);
}

/* Somebody is at the door now: hang up on him, and let him notice. */
static bool slam(door *d)
{
        int fd = accept(d->fd, NULL, NULL);

        if (fd < 0)
                return false;
        close(fd);
        while (d->amqp->state != CONN_DOWN)
                fixture_settle(&d->f);
        fixture_settle(&d->f);
        return true;
}

/* The kernel may need a moment until he is. */
static void await_and_slam(door *d)
{
        while (!slam(d))
                fixture_settle(&d->f);
}

TEST(with_a_schedule_it_is_tried_again_at_its_times)
{
        static const int waits_ms[] = {2000, 4000, 6000, 7000, 7000};
        door d = door_new(&(cel__amqp_retry){.scheduled = true,
                                             .delay_ms = 1000,
                                             .interval_ms = 1000,
                                             .interval_step_ms = 2000,
                                             .interval_ms_max = 6000});

        await_and_slam(&d);
        for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
                fixture_advance_ms(&d.f, waits_ms[i] - 1);
                CHECK_INT(d.amqp->state, CONN_DOWN);
                fixture_advance_ms(&d.f, 2);
                await_and_slam(&d);
        }
        door_free(&d);
}

TEST(with_splay_nobody_knows_when_exactly)
{
        enum { CLIENTS = 6, STEP_MS = 50 };
        int64_t first_ms = 0;
        bool differ = false;

        for (int i = 0; i < CLIENTS; i++) {
                door d = door_new(&(cel__amqp_retry){.scheduled = true, .delay_ms = 1000, .splay_ms = 20000});
                int64_t ms = 0;

                await_and_slam(&d);
                while (d.amqp->state == CONN_DOWN) {
                        fixture_advance_ms(&d.f, STEP_MS);
                        ms += STEP_MS;
                }
                CHECK(ms >= 1000 && ms <= 21000 + STEP_MS);
                first_ms = i == 0 ? ms : first_ms;
                differ |= ms != first_ms;
                door_free(&d);
        }
        CHECK(differ);
}

TEST(without_a_schedule_it_is_tried_again_soon)
{
        door d = door_new(&(cel__amqp_retry){0});

        for (int i = 0; i < 10; i++) {
                await_and_slam(&d);
                fixture_advance_ms(&d.f, 199);
                CHECK_INT(d.amqp->state, CONN_DOWN);
                fixture_advance_ms(&d.f, 2000);
        }
        door_free(&d);
}
