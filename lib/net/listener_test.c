/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <celadon/stream.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* One actor's part: where, and what came of it. */
typedef struct place {
        const char *host; /* or path */
        uint16_t port;
        cel_listener *listener; /* given, or made */
        cel_stream *stream;
        int64_t within_ms; /* 0: no deadline */
} place;

static int listen_tcp(cel_ctx *ctx, void *arg)
{
        place *p = arg;

        return cel_tcp_listen(ctx, p->host, p->port, &p->listener);
}

static int listen_unix(cel_ctx *ctx, void *arg)
{
        place *p = arg;

        return cel_unix_listen(ctx, p->host, &p->listener);
}

static int connect_tcp(cel_ctx *ctx, void *arg)
{
        place *p = arg;

        return cel_tcp_connect(ctx, p->host, p->port, &p->stream);
}

static int connect_unix(cel_ctx *ctx, void *arg)
{
        place *p = arg;

        return cel_unix_connect(ctx, p->host, &p->stream);
}

static int accept_one(cel_ctx *ctx, void *arg)
{
        place *p = arg;
        CEL_WITHIN_MS(ctx, p->within_ms ? p->within_ms : INT64_MAX);

        return cel_accept(ctx, p->listener, &p->stream);
}

/* A place on this machine that listens. */
static place listening(fixture *f)
{
        place p = {.host = "127.0.0.1"};

        CHECK_INT(fixture_actor_wait(f, fixture_act(f, FIXTURE_TASK, "listen", listen_tcp, &p)), 0);
        p.port = cel_listener_port(p.listener);
        return p;
}

/* --- TCP -------------------------------------------------------------------------------------- */

TEST_BOTH(port_0_is_a_port_that_is_free)
{
        fixture f = fixture_new();
        place p = {.host = "127.0.0.1"};
        char expected[64];

        CHECK_DONE(fixture_act(&f, kind, "listen", listen_tcp, &p), 0);
        CHECK(cel_listener_port(p.listener) != 0);
        snprintf(expected, sizeof(expected), "127.0.0.1 port %u", cel_listener_port(p.listener));
        CHECK_STR(cel_listener_address(p.listener), expected);
        cel_listener_unref(p.listener);
        fixture_free(&f);
}

TEST_BOTH(who_accepts_waits_for_who_connects_and_learns_its_address)
{
        fixture f = fixture_new();
        place p = listening(&f), q = p;
        fixture_actor *server = fixture_act(&f, kind, "server", accept_one, &p);

        CHECK_WAITS(server);
        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "client", connect_tcp, &q)), 0);
        CHECK_INT(fixture_actor_wait(&f, server), 0);
        CHECK_STR(cel_stream_name(q.stream), cel_listener_address(p.listener));
        CHECK(strncmp(cel_stream_name(p.stream), "127.0.0.1 port ", 15) == 0);
        cel_stream_unref(p.stream);
        cel_stream_unref(q.stream);
        cel_listener_unref(p.listener);
        fixture_free(&f);
}

TEST_BOTH(a_port_that_is_taken_is_busy)
{
        fixture f = fixture_new();
        place p = listening(&f), q = {.host = "127.0.0.1", .port = p.port};
        fixture_actor *second = fixture_act(&f, kind, "second", listen_tcp, &q);

        CHECK_DONE(second, CEL_EBUSY);
        CHECK(strstr(fixture_actor_text(second), cel_listener_address(p.listener)));
        CHECK(strstr(fixture_actor_text(second), "Address already in use"));
        cel_listener_unref(p.listener);
        fixture_free(&f);
}

TEST_BOTH(where_nobody_listens_connecting_is_refused)
{
        fixture f = fixture_new();
        place p = listening(&f);

        cel_listener_close(p.listener);
        fixture_settle(&f);
        fixture_actor *client = fixture_act(&f, kind, "client", connect_tcp, &p);
        CHECK_INT(fixture_actor_wait(&f, client), CEL_ECONNECT);
        CHECK(strstr(fixture_actor_text(client), "Connection refused"));
        cel_listener_unref(p.listener);
        fixture_free(&f);
}

TEST_BOTH(an_address_that_is_not_ours_cannot_be_listened_at)
{
        fixture f = fixture_new();
        place p = {.host = "192.0.2.1"};
        fixture_actor *listener = fixture_act(&f, kind, "listen", listen_tcp, &p);

        CHECK_DONE(listener, CEL_ESYSTEM);
        CHECK(strstr(fixture_actor_text(listener), "192.0.2.1 port 0: cannot listen"));
        fixture_free(&f);
}

TEST_BOTH(accepting_ends_with_the_deadline_and_can_go_on_later)
{
        fixture f = fixture_new();
        place p = listening(&f), q = p;

        p.within_ms = 50;
        fixture_actor *server = fixture_act(&f, kind, "server", accept_one, &p);
        fixture_advance_ms(&f, 50);
        CHECK_DONE(server, CEL_ETIMEDOUT);
        fixture_actor *again = fixture_act(&f, kind, "again", accept_one, &p);
        fixture_cancel(again);
        CHECK_DONE(again, CEL_ECANCELED);
        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "client", connect_tcp, &q)), 0);
        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "third", accept_one, &p)), 0);
        cel_stream_unref(p.stream);
        cel_stream_unref(q.stream);
        cel_listener_unref(p.listener);
        fixture_free(&f);
}

TEST_BOTH(several_may_accept_and_closing_wakes_those_who_still_wait)
{
        fixture f = fixture_new();
        place p = listening(&f), servers[4], clients[2];
        fixture_actor *actors[4];
        unsigned accepted = 0;

        for (int i = 0; i < 4; i++) {
                servers[i] = (place){.listener = p.listener};
                actors[i] = fixture_act(&f, i % 2 ? kind : FIXTURE_TASK, "server", accept_one, &servers[i]);
        }
        for (int i = 0; i < 2; i++) {
                clients[i] = p;
                CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "client", connect_tcp, &clients[i])),
                          0);
        }
        do {
                fixture_settle(&f);
                accepted = 0;
                for (int i = 0; i < 4; i++)
                        accepted += servers[i].stream ? 1 : 0;
        } while (accepted < 2);
        cel_listener_close(p.listener);
        for (int i = 0; i < 4; i++) {
                int r = fixture_actor_wait(&f, actors[i]);

                CHECK_INT(r, servers[i].stream ? 0 : CEL_ECLOSED);
                cel_stream_unref(servers[i].stream);
        }
        CHECK_INT(accepted, 2);
        for (int i = 0; i < 2; i++)
                cel_stream_unref(clients[i].stream);
        cel_listener_unref(p.listener);
        fixture_free(&f);
}

/* --- Unix ------------------------------------------------------------------------------------- */

static char folder[64];

/* A path in a folder of the test's own. */
static const char *path_of(const char *name)
{
        static char path[128];

        if (!*folder) {
                snprintf(folder, sizeof(folder), "/tmp/celadon-unix-test-XXXXXX");
                CHECK(mkdtemp(folder));
        }
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return path;
}

static bool exists(const char *path)
{
        return access(path, F_OK) == 0;
}

TEST_BOTH(a_unix_socket_is_there_while_somebody_listens)
{
        fixture f = fixture_new();
        place p = {.host = path_of("socket")}, q = p, second = p;

        CHECK_DONE(fixture_act(&f, kind, "listen", listen_unix, &p), 0);
        CHECK(exists(p.host));
        CHECK_INT(cel_listener_port(p.listener), 0);
        CHECK_DONE(fixture_act(&f, kind, "client", connect_unix, &q), 0);
        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "server", accept_one, &p)), 0);
        CHECK_STR(cel_stream_name(p.stream), cel_listener_address(p.listener));

        fixture_actor *taken = fixture_act(&f, kind, "taken", listen_unix, &second);
        CHECK_DONE(taken, CEL_EBUSY);
        CHECK(strstr(fixture_actor_text(taken), p.host));
        cel_listener_unref(p.listener);
        fixture_settle(&f);
        CHECK(!exists(p.host));
        CHECK_DONE(fixture_act(&f, kind, "late", connect_unix, &q), CEL_ECONNECT);
        cel_stream_unref(p.stream);
        cel_stream_unref(q.stream);
        fixture_free(&f);
        rmdir(folder);
        *folder = '\0';
}

TEST_BOTH(a_socket_that_the_dead_left_is_replaced_and_a_file_is_not)
{
        fixture f = fixture_new();
        place p = {.host = path_of("socket")};
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s", p.host);
        CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
        CHECK_DONE(fixture_act(&f, kind, "listen", listen_unix, &p), 0);
        cel_listener_unref(p.listener);
        fixture_settle(&f);

        fd = open(p.host, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        close(fd);
        CHECK_DONE(fixture_act(&f, kind, "listen", listen_unix, &p), CEL_EBUSY);
        CHECK(exists(p.host));
        unlink(p.host);
        rmdir(folder);
        *folder = '\0';
        fixture_free(&f);
}

TEST_BOTH(a_socket_that_another_has_put_there_meanwhile_stays)
{
        fixture f = fixture_new();
        place old = {.host = path_of("socket")}, new = old;

        CHECK_DONE(fixture_act(&f, kind, "old", listen_unix, &old), 0);
        unlink(old.host);
        CHECK_DONE(fixture_act(&f, kind, "new", listen_unix, &new), 0);
        cel_listener_unref(old.listener);
        fixture_settle(&f);
        CHECK(exists(new.host));
        cel_listener_unref(new.listener);
        fixture_settle(&f);
        CHECK(!exists(new.host));
        rmdir(folder);
        *folder = '\0';
        fixture_free(&f);
}

TEST_BOTH(a_path_that_is_no_path_for_a_socket_is_refused_with_its_length)
{
        fixture f = fixture_new();
        char longest[109];

        memset(longest, 'x', 108);
        longest[108] = '\0';
        place p = {.host = longest}, none = {.host = ""}, nowhere = {.host = "/no/such/folder"};
        fixture_actor *listener = fixture_act(&f, kind, "listen", listen_unix, &p);
        CHECK_DONE(listener, CEL_EINVAL);
        CHECK(strstr(fixture_actor_text(listener), "1 to 107 bytes; this one has 108"));
        CHECK_DONE(fixture_act(&f, kind, "client", connect_unix, &p), CEL_EINVAL);
        CHECK_DONE(fixture_act(&f, kind, "client", connect_unix, &none), CEL_EINVAL);
        CHECK_DONE(fixture_act(&f, kind, "listen", listen_unix, &nowhere), CEL_ESYSTEM);
        CHECK_DONE(fixture_act(&f, kind, "client", connect_unix, &nowhere), CEL_ECONNECT);
        fixture_free(&f);
}
