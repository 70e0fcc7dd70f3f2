/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS against ourselves and against the openssl command, which also makes the certificates. */
#include "base/assert.h"
#include "fixture.h"
#include "test.h"

#include <celadon/tls.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* --- Certificates ----------------------------------------------------------------------------- */

static char folder[64]; /* "": not made yet */

static void remove_folder(void)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -rf %s", folder);
        CHECK_INT(system(command), 0);
}

/* An authority, a server's certificate that is good for localhost and 127.0.0.1, a client's, and the certificate
 * of somebody whom nobody knows. */
static void make_certificates(void)
{
        static const char script[] =
                "set -e; cd %s; exec 2>log\n"
                "key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3'\n"
                "openssl req -x509 $key -keyout ca.key -out ca.pem -subj '/CN=authority'\n"
                "sign() {\n"
                "  openssl req $key -keyout $1.key -out $1.req -subj /CN=$1\n"
                "  echo \"subjectAltName=$2\" >$1.ext\n"
                "  openssl x509 -req -in $1.req -CA ca.pem -CAkey ca.key -days 3 -extfile $1.ext -out "
                "$1.pem\n"
                "}\n"
                "sign server DNS:localhost,IP:127.0.0.1\n"
                "sign client DNS:client.test\n"
                "openssl req -x509 $key -keyout stranger.key -out stranger.pem -subj '/CN=localhost' \\\n"
                "  -addext subjectAltName=DNS:localhost\n"
                "openssl req $key -keyout unnamed.key -out unnamed.req -subj /CN=localhost\n"
                "openssl x509 -req -in unnamed.req -CA ca.pem -CAkey ca.key -days 3 -out unnamed.pem\n"
                "cp server.pem locked.pem\n"
                "openssl ec -in server.key -aes128 -passout pass:secret -out locked.key\n";
        char command[sizeof(script) + sizeof(folder)];

        if (*folder)
                return;
        snprintf(folder, sizeof(folder), "/tmp/celadon-tls-test-XXXXXX");
        CHECK(mkdtemp(folder));
        snprintf(command, sizeof(command), script, folder);
        CHECK_INT(system(command), 0);
        atexit(remove_folder);
}

/* "name" as a file of the folder; several may be in use at once. */
static const char *file(const char *name)
{
        static char paths[8][128];
        static unsigned next;
        char *path = paths[next++ % 8];

        snprintf(path, 128, "%s/%s", folder, name);
        return path;
}

static int new_tls(cel_ctx *ctx, const char *ca, const char *own, bool verify_clients, cel_tls **ret_tls)
{
        char cert[32], key[32];

        snprintf(cert, sizeof(cert), "%s.pem", own ? own : "");
        snprintf(key, sizeof(key), "%s.key", own ? own : "");
        return cel_tls_new(ctx,
                           &(cel_tls_options){.ca_file = ca ? file(ca) : NULL,
                                              .cert_file = own ? file(cert) : NULL,
                                              .key_file = own ? file(key) : NULL,
                                              .clients_verified = verify_clients},
                           ret_tls);
}

/* --- Two ends --------------------------------------------------------------------------------- */

typedef struct tls_end {
        cel_stream *stream;
        const char *ca, *own; /* files of the folder; NULL: none */
        const char *host;     /* a client's; NULL: it is a server */
        bool verify_clients;
        bool hello;  /* a line before TLS begins */
        bool silent; /* no goodbye */
        size_t n;    /* to exchange */
        int64_t within_ms;
} tls_end;

static int start(cel_ctx *ctx, tls_end *e)
{
        cel_auto(cel_tls) *tls = NULL;
        cel_auto_free char *line = NULL;
        int r = new_tls(ctx, e->ca, e->own, e->verify_clients, &tls);

        if (r >= 0 && e->hello)
                r = e->host ? cel_stream_write_all(ctx, e->stream, "STARTTLS\r\n", 10)
                            : cel_stream_read_line(ctx, e->stream, 80, &line);
        if (r >= 0)
                r = e->host ? cel_tls_start_client(ctx, e->stream, tls, e->host)
                            : cel_tls_start_server(ctx, e->stream, tls);
        return r;
}

static unsigned char byte_at(size_t i)
{
        return (unsigned char)(i * 7 + i / 251);
}

static int send_n(cel_ctx *ctx, tls_end *e)
{
        unsigned char bytes[10000];
        int r = 0;

        for (size_t put = 0; r >= 0 && put < e->n;) {
                size_t n = e->n - put < sizeof(bytes) ? e->n - put : sizeof(bytes);

                for (size_t i = 0; i < n; i++)
                        bytes[i] = byte_at(put + i);
                r = cel_stream_write_all(ctx, e->stream, bytes, n);
                put += n;
        }
        return r >= 0 && !e->silent ? cel_stream_shutdown(ctx, e->stream) : r;
}

static int receive_n(cel_ctx *ctx, tls_end *e)
{
        unsigned char bytes[7000];

        for (size_t got = 0;;) {
                int r = cel_stream_read(ctx, e->stream, bytes, sizeof(bytes));

                if (r <= 0)
                        return r < 0 ? r : got == e->n ? 0 : CEL_EDECODE;
                for (int i = 0; i < r; i++)
                        if (bytes[i] != byte_at(got++))
                                return CEL_EDECODE;
        }
}

static int talk(cel_ctx *ctx, void *arg)
{
        tls_end *e = arg;
        CEL_WITHIN_MS(ctx, e->within_ms ? e->within_ms : INT64_MAX);
        int r = start(ctx, e);

        if (r >= 0)
                r = send_n(ctx, e);
        return r < 0 ? r : receive_n(ctx, e);
}

static int talk_and_close(cel_ctx *ctx, void *arg)
{
        tls_end *e = arg;
        int r = start(ctx, e);

        if (r >= 0)
                r = send_n(ctx, e);
        cel_stream_close(e->stream);
        return r;
}

typedef struct two {
        fixture f;
        tls_end client, server;
} two;

static two two_new(void)
{
        make_certificates();
        two t = {.f = fixture_new(),
                 .client = {.ca = "ca.pem", .host = "localhost", .n = 5},
                 .server = {.own = "server", .n = 5}};

        CHECK_INT(cel_stream_pair(3000, &t.client.stream, &t.server.stream), 0);
        return t;
}

static void two_free(two *t)
{
        cel_stream_unref(t->client.stream);
        cel_stream_unref(t->server.stream);
        fixture_free(&t->f);
}

TEST_BOTH(client_and_server_talk_and_part_with_a_goodbye)
{
        two t = two_new();

        fixture_actor *server = fixture_act(&t.f, fixture_other(kind), "server", talk, &t.server);
        fixture_actor *client = fixture_act(&t.f, kind, "client", talk, &t.client);
        CHECK_INT(fixture_actor_wait(&t.f, client), 0);
        CHECK_INT(fixture_actor_wait(&t.f, server), 0);
        two_free(&t);
}

TEST_BOTH(a_line_before_tls_may_come_together_with_its_beginning)
{
        two t = two_new();

        t.client.hello = t.server.hello = true;
        fixture_actor *client = fixture_act(&t.f, kind, "client", talk, &t.client);
        CHECK_WAITS(client);
        fixture_actor *server = fixture_act(&t.f, kind, "server", talk, &t.server);
        CHECK_INT(fixture_actor_wait(&t.f, client), 0);
        CHECK_INT(fixture_actor_wait(&t.f, server), 0);
        two_free(&t);
}

/* What the client's refusal looks like from both ends. */
static void check_refused(two *t, fixture_kind kind, const char *why)
{
        fixture_actor *server = fixture_act(&t->f, kind, "server", talk, &t->server);
        fixture_actor *client = fixture_act(&t->f, kind, "client", talk, &t->client);

        CHECK_INT(fixture_actor_wait(&t->f, client), CEL_ETLS);
        CHECK(strstr(fixture_actor_text(client), why));
        CHECK_INT(fixture_actor_wait(&t->f, server), CEL_ETLS);
        CHECK(strstr(fixture_actor_text(server), "TLS with the client failed"));
        CHECK_DONE(fixture_act(&t->f, kind, "late", talk_and_close, &t->client), CEL_ECLOSED);
        two_free(t);
}

TEST_BOTH(a_certificate_for_another_name_is_refused)
{
        two t = two_new();

        t.client.host = "elsewhere.test";
        check_refused(&t, kind, "the certificate of elsewhere.test is refused: hostname mismatch");
}

TEST_BOTH(a_certificate_that_names_its_host_as_a_subject_only_is_refused)
{
        two t = two_new();

        t.server.own = "unnamed";
        check_refused(&t, kind, "the certificate of localhost is refused: hostname mismatch");
}

TEST_BOTH(a_certificate_for_another_address_is_refused)
{
        two t = two_new();

        t.client.host = "127.0.0.2";
        check_refused(&t, kind, "the certificate of 127.0.0.2 is refused: IP address mismatch");
}

TEST_BOTH(a_certificate_that_nobody_vouches_for_is_refused)
{
        two t = two_new();

        t.server.own = "stranger";
        check_refused(&t, kind, "the certificate of localhost is refused: self-signed certificate");
}

TEST_BOTH(a_server_may_ask_clients_for_certificates)
{
        two t = two_new();

        t.server.ca = "ca.pem";
        t.server.verify_clients = true;
        t.client.own = "client";
        fixture_actor *server = fixture_act(&t.f, kind, "server", talk, &t.server);
        fixture_actor *client = fixture_act(&t.f, kind, "client", talk, &t.client);
        CHECK_INT(fixture_actor_wait(&t.f, client), 0);
        CHECK_INT(fixture_actor_wait(&t.f, server), 0);
        two_free(&t);
}

TEST_BOTH(a_client_without_the_certificate_that_is_asked_for_is_refused)
{
        two t = two_new();

        t.server.ca = "ca.pem";
        t.server.verify_clients = true;
        fixture_actor *server = fixture_act(&t.f, kind, "server", talk, &t.server);
        fixture_actor *client = fixture_act(&t.f, kind, "client", talk, &t.client);
        CHECK_INT(fixture_actor_wait(&t.f, server), CEL_ETLS);
        CHECK_INT(fixture_actor_wait(&t.f, client), CEL_ETLS);
        CHECK(strstr(fixture_actor_text(client), "certificate required"));
        two_free(&t);
}

TEST_BOTH(an_end_without_a_goodbye_is_an_error)
{
        two t = two_new();

        t.server.silent = true;
        fixture_actor *server = fixture_act(&t.f, kind, "server", talk_and_close, &t.server);
        fixture_actor *client = fixture_act(&t.f, kind, "client", talk, &t.client);
        CHECK_INT(fixture_actor_wait(&t.f, server), 0);
        CHECK_INT(fixture_actor_wait(&t.f, client), CEL_EIO);
        two_free(&t);
}

TEST_BOTH(a_handshake_ends_with_the_deadline_and_the_stream_with_it)
{
        two t = two_new();

        t.client.within_ms = 50;
        fixture_actor *client = fixture_act(&t.f, kind, "client", talk, &t.client);
        CHECK_WAITS(client);
        fixture_advance_ms(&t.f, 50);
        CHECK_DONE(client, CEL_ETIMEDOUT);
        CHECK_DONE(fixture_act(&t.f, kind, "late", talk, &t.client), CEL_ECLOSED);
        two_free(&t);
}

TEST_BOTH(settings_that_cannot_work_are_refused_with_a_reason)
{
        two t = two_new();

        t.server.own = NULL;
        fixture_actor *server = fixture_act(&t.f, kind, "server", talk, &t.server);
        CHECK_DONE(server, CEL_EINVAL);
        CHECK(strstr(fixture_actor_text(server), "needs a certificate"));
        t.client.ca = "missing.pem";
        fixture_actor *client = fixture_act(&t.f, kind, "client", talk, &t.client);
        CHECK_DONE(client, CEL_EINVAL);
        CHECK(strstr(fixture_actor_text(client), "missing.pem"));
        two_free(&t);
}

TEST_BOTH(a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it)
{
        two t = two_new();

        t.server.own = "locked";
        fixture_actor *server = fixture_act(&t.f, kind, "server", talk, &t.server);
        CHECK_DONE(server, CEL_EINVAL);
        CHECK(strstr(fixture_actor_text(server), "locked.key cannot be used for TLS: "));
        CHECK(strstr(fixture_actor_text(server), "passphrase"));
        two_free(&t);
}

/* --- Much at once ----------------------------------------------------------------------------- */

static int only_start(cel_ctx *ctx, void *arg)
{
        return start(ctx, arg);
}

static int only_send(cel_ctx *ctx, void *arg)
{
        return send_n(ctx, arg);
}

static int only_receive(cel_ctx *ctx, void *arg)
{
        return receive_n(ctx, arg);
}

TEST_BOTH(both_ends_read_and_write_much_at_the_same_time)
{
        two t = two_new();

        t.client.n = t.server.n = 4 * 1000 * 1000;
        fixture_actor *server = fixture_act(&t.f, kind, "server", only_start, &t.server);
        fixture_actor *client = fixture_act(&t.f, kind, "client", only_start, &t.client);
        CHECK_INT(fixture_actor_wait(&t.f, server), 0);
        CHECK_INT(fixture_actor_wait(&t.f, client), 0);
        fixture_actor *all[] = {
                fixture_act(&t.f, FIXTURE_TASK, "client writes", only_send, &t.client),
                fixture_act(&t.f, kind, "server writes", only_send, &t.server),
                fixture_act(&t.f, FIXTURE_TASK, "client reads", only_receive, &t.client),
                fixture_act(&t.f, fixture_other(kind), "server reads", only_receive, &t.server),
        };
        for (int i = 0; i < 4; i++)
                CHECK_INT(fixture_actor_wait(&t.f, all[i]), 0);
        two_free(&t);
}

/* --- The openssl command ---------------------------------------------------------------------- */

typedef struct command {
        pid_t pid;
        cel_stream *in, *out; /* its own */
} command;

static command command_start(const char *const arguments[])
{
        command c;
        int in[2], out[2];
        posix_spawn_file_actions_t actions;

        CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        CHECK_INT(
                posix_spawnp(&c.pid, "openssl", &actions, NULL, (char *const *)(uintptr_t)arguments, environ),
                0);
        posix_spawn_file_actions_destroy(&actions);
        close(in[0]);
        close(out[1]);
        CHECK_INT(cel_stream_from_fd(in[1], "into openssl", &c.in), 0);
        CHECK_INT(cel_stream_from_fd(out[0], "out of openssl", &c.out), 0);
        return c;
}

static void command_end(command *c)
{
        int status;

        cel_stream_unref(c->in);
        cel_stream_unref(c->out);
        kill(c->pid, SIGTERM);
        CHECK_INT(waitpid(c->pid, &status, 0), c->pid);
}

/* It says "ACCEPT 127.0.0.1:4433", among other things. */
static int port_of_s_server(cel_ctx *ctx, command *c, uint16_t *ret_port)
{
        while (*ret_port == 0) {
                cel_auto_free char *line = NULL;
                int r = cel_stream_read_line(ctx, c->out, 200, &line);

                if (r <= 0)
                        return r < 0 ? r : CEL_EDECODE;
                if (strncmp(line, "ACCEPT ", 7) == 0)
                        *ret_port = (uint16_t)atoi(strrchr(line, ':') + 1);
        }
        return 0;
}

/* With -rev it turns lines round. */
static int ask_s_server(cel_ctx *ctx, void *arg)
{
        command *c = arg;
        cel_auto(cel_tls) *tls = NULL;
        cel_auto(cel_stream) *stream = NULL;
        cel_auto_free char *answer = NULL;
        uint16_t port = 0;
        int r = port_of_s_server(ctx, c, &port);

        if (r >= 0)
                r = new_tls(ctx, "ca.pem", NULL, false, &tls);
        if (r >= 0)
                r = cel_tls_connect(ctx, tls, "127.0.0.1", port, &stream);
        if (r >= 0)
                r = cel_stream_write_all(ctx, stream, "nodalec\n", 8);
        if (r >= 0)
                r = cel_stream_read_line(ctx, stream, 80, &answer);
        if (r >= 0)
                r = cel_stream_shutdown(ctx, stream);
        return r < 0 ? r : strcmp(answer, "celadon") == 0 ? 0 : CEL_EDECODE;
}

TEST_BOTH(we_are_a_client_of_openssl_s_server)
{
        make_certificates();
        fixture f = fixture_new();
        const char *const arguments[] = {"openssl", "s_server",         "-accept", "127.0.0.1:0",      "-rev",
                                         "-cert",   file("server.pem"), "-key",    file("server.key"), NULL};
        command c = command_start(arguments);
        fixture_actor *client = fixture_act(&f, kind, "client", ask_s_server, &c);
        int r = fixture_actor_wait(&f, client);
        if (r < 0)
                print_message("%s\n", fixture_actor_text(client));
        CHECK_INT(r, 0);
        command_end(&c);
        fixture_free(&f);
}

typedef struct service {
        cel_listener *listener;
        char line[32]; /* what the client said */
} service;

static int listen_here(cel_ctx *ctx, void *arg)
{
        service *s = arg;

        return cel_tcp_listen(ctx, "127.0.0.1", 0, &s->listener);
}

static int answer_s_client(cel_ctx *ctx, void *arg)
{
        service *s = arg;
        cel_auto(cel_tls) *tls = NULL;
        cel_auto(cel_stream) *stream = NULL;
        cel_auto_free char *line = NULL;
        int r = new_tls(ctx, NULL, "server", false, &tls);

        if (r >= 0)
                r = cel_accept(ctx, s->listener, &stream);
        if (r >= 0)
                r = cel_tls_start_server(ctx, stream, tls);
        if (r >= 0)
                r = cel_stream_read_line(ctx, stream, 30, &line);
        if (r > 0)
                snprintf(s->line, sizeof(s->line), "%s", line);
        if (r >= 0)
                r = cel_stream_write_all(ctx, stream, "welcome\n", 8);
        return r < 0 ? r : cel_stream_shutdown(ctx, stream);
}

static int speak_through(cel_ctx *ctx, void *arg)
{
        command *c = arg;
        cel_auto_free char *line = NULL;
        int r = cel_stream_write_all(ctx, c->in, "hello\n", 6);

        if (r >= 0)
                r = cel_stream_read_line(ctx, c->out, 80, &line);
        return r < 0 ? r : r > 0 && strcmp(line, "welcome") == 0 ? 0 : CEL_EDECODE;
}

TEST_BOTH(we_are_a_server_for_openssl_s_client)
{
        make_certificates();
        fixture f = fixture_new();
        service s = {0};
        char address[32];

        CHECK_INT(fixture_actor_wait(&f, fixture_act(&f, kind, "listen", listen_here, &s)), 0);
        snprintf(address, sizeof(address), "127.0.0.1:%u", cel_listener_port(s.listener));
        const char *const arguments[] = {
                "openssl",          "s_client",     "-connect", address,
                "-CAfile",          file("ca.pem"), "-quiet",   "-verify_return_error",
                "-verify_hostname", "localhost",    NULL};
        command c = command_start(arguments);
        fixture_actor *server = fixture_act(&f, kind, "server", answer_s_client, &s);
        fixture_actor *speaker = fixture_act(&f, fixture_other(kind), "speaker", speak_through, &c);
        CHECK_INT(fixture_actor_wait(&f, speaker), 0);
        CHECK_INT(fixture_actor_wait(&f, server), 0);
        CHECK_STR(s.line, "hello");
        command_end(&c);
        cel_listener_unref(s.listener);
        fixture_free(&f);
}
