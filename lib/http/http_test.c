/* SPDX-License-Identifier: Apache-2.0 */
#include "death.h"
#include "fixture.h"
#include "http/test_server.h"
#include "test.h"

#include <arpa/inet.h>
#include <celadon/http.h>
#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- A client and its requests ---------------------------------------------------------------- */

typedef struct web {
        fixture f;
        server s;
        cel_http_client *client;
        cel_http_client_options options;
        char url[128];
} web;

typedef struct exchange {
        web *web;
        cel_http_request request;
        int64_t within_ms; /* 0: forever */
        unsigned repeat;
        cel_http_response *response;
        char text[512]; /* of the error */
} exchange;

static int open_client(cel_ctx *ctx, void *arg)
{
        web *w = arg;

        return cel_http_client_open(ctx, &w->options, &w->client);
}

static int send_in_time(cel_ctx *ctx, exchange *x)
{
        CEL_WITHIN_MS(ctx, x->within_ms ? x->within_ms : INT64_MAX);
        return cel_http_send(ctx, x->web->client, &x->request, &x->response);
}

static int run_exchange(cel_ctx *ctx, void *arg)
{
        exchange *x = arg;
        int r = 0;

        if (!x->request.url)
                x->request.url = x->web->url;
        for (unsigned i = 0; i <= x->repeat && r >= 0; i++) {
                cel_http_response_free(CEL_TAKE(x->response));
                r = send_in_time(ctx, x);
        }
        snprintf(x->text, sizeof(x->text), "%s", r < 0 ? cel_ctx_error_text(ctx, r) : "");
        return r;
}

static void web_open(web *w, const cel_http_client_options *options)
{
        w->f = fixture_new();
        w->options = options ? *options : (cel_http_client_options){0};
        CHECK_RESULT(fixture_spawn(&w->f, "opener", open_client, w), 0);
}

/* A server, a client, and a URL that leads from one to the other. */
static void web_new(web *w, server_fn serve, const char *answer, const cel_http_client_options *options)
{
        memset(w, 0, sizeof(*w));
        server_start(&w->s, serve, answer);
        snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%u/path?query", w->s.port);
        web_open(w, options);
}

static void web_free(web *w)
{
        if (w->s.serve)
                server_stop(&w->s);
        cel_http_client_free(w->client);
        fixture_free(&w->f);
}

static cel_task *spawn(web *w, exchange *x)
{
        x->web = w;
        return fixture_spawn(&w->f, "sender", run_exchange, x);
}

static int do_exchange(web *w, exchange *x)
{
        cel_task *task = spawn(w, x);

        fixture_wait(&w->f, task);
        return cel_task_future(task)->status;
}

static int open_and_exchange(cel_ctx *ctx, void *arg)
{
        exchange *x = arg;
        int r = open_client(ctx, x->web);

        if (r < 0)
                return r;
        r = run_exchange(ctx, x);
        cel_http_client_free(x->web->client);
        return r;
}

/* With a clock that runs: libcurl keeps its own time, so what depends on its timers cannot be had by hand. */
static int exchange_for_real(exchange *x)
{
        cel_runtime *runtime;

        CHECK_INT(cel_runtime_new(NULL, &runtime), 0);
        int r = cel_runtime_run(runtime, "main", open_and_exchange, x);
        cel_runtime_free(runtime);
        return r;
}

static void turn_until(web *w, _Atomic unsigned *counter, unsigned n)
{
        while (atomic_load(counter) < n)
                cel__loop_turn(cel__runtime_loop(w->f.runtime), false);
}

static void check_body(const exchange *x, const char *expected)
{
        size_t n;
        const char *body = cel_http_response_body(x->response, &n);

        CHECK_INT(n, strlen(expected));
        CHECK_STR(body, expected);
}

/* A port at which connecting neither succeeds nor fails: the queue of connections not yet accepted is full.
 */
typedef struct full_port {
        int fds[16];
        unsigned fds_n;
        unsigned port;
} full_port;

/* `port` 0: any. */
static void full_port_open(full_port *p, const char *ip, unsigned port)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        socklen_t bytes = sizeof(address);

        inet_pton(AF_INET, ip, &address.sin_addr);
        p->fds[0] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_INT(bind(p->fds[0], (struct sockaddr *)&address, bytes), 0);
        CHECK_INT(listen(p->fds[0], 0), 0);
        getsockname(p->fds[0], (struct sockaddr *)&address, &bytes);
        p->port = ntohs(address.sin_port);
        for (p->fds_n = 1; p->fds_n < 8; p->fds_n++) {
                p->fds[p->fds_n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                connect(p->fds[p->fds_n], (struct sockaddr *)&address, bytes);
        }
}

static void full_port_close(full_port *p)
{
        for (unsigned i = 0; i < p->fds_n; i++)
                close(p->fds[i]);
}

/* --- Requests and responses ------------------------------------------------------------------- */

TEST(a_response_has_status_headers_and_body)
{
        web w;
        exchange x = {0};

        web_new(&w, serve_answers, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_INT(cel_http_response_status(x.response), 200);
        CHECK_STR(cel_http_response_header(x.response, "x-KIND"), "greeting");
        CHECK(!cel_http_response_header(x.response, "X-Other"));
        check_body(&x, "hello");
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(a_get_request_says_what_it_should_and_no_more)
{
        web w;
        exchange x = {0};
        char expected[256];

        web_new(&w, serve_answers, HELLO, &(cel_http_client_options){.user_agent = "tester/1"});
        CHECK_INT(do_exchange(&w, &x), 0);
        snprintf(expected, sizeof(expected),
                 "GET /path?query HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: tester/1\r\nAccept: "
                 "*/*\r\n\r\n",
                 w.s.port);
        CHECK_STR(w.s.last, expected);
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(a_body_arrives_byte_by_byte_with_nul_and_all)
{
        web w;
        static const char body[] = "a\0b\r\n\r\nc\xff";
        cel_http_header headers[] = {{"X-One", "1"}, {"X-Empty", ""}, {"X-Spaces", "  2 "}};
        exchange x = {
                .request = {.body = body, .body_bytes = sizeof(body), .headers = headers, .headers_n = 3}};
        char expected[512];

        web_new(&w, serve_answers, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), 0);
        int n = snprintf(
                expected, sizeof(expected),
                "POST /path?query HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: celadon/%s\r\nAccept: */*\r\n"
                "X-One: 1\r\nX-Empty:\r\nX-Spaces: 2 \r\nContent-Length: %zu\r\n\r\n",
                w.s.port, CELADON_VERSION, sizeof(body));
        memcpy(expected + n, body, sizeof(body));
        CHECK_INT(w.s.last_bytes, (size_t)n + sizeof(body));
        CHECK_BYTES(w.s.last, expected, w.s.last_bytes);
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(a_large_body_arrives_whole)
{
        web w;
        size_t n = 200 * 1024;
        char *body = malloc(n);
        exchange x = {.request = {.method = "PUT", .body = body, .body_bytes = n}};

        memset(body, 'y', n);
        web_new(&w, serve_answers, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK(strncmp(w.s.last, "PUT /", 5) == 0);
        CHECK_BYTES(w.s.last + w.s.last_bytes - n, body, n);
        cel_http_response_free(x.response);
        web_free(&w);
        free(body);
}

TEST(any_method_goes_and_leaves_nothing_behind_in_the_next_request)
{
        static const struct {
                const char *method, *body, *begin, *holds;
        } cases[] = {
                {"PATCH", "x", "PATCH /", "Content-Length: 1\r\n"},
                {"HEAD", NULL, "HEAD /", "Accept"},
                {"POST", NULL, "POST /", "Content-Length: 0\r\n"},
                {"GET", NULL, "GET /", "Accept"},
                {"DELETE", NULL, "DELETE /", "Accept"},
                {NULL, "y", "POST /", "Content-Length: 1\r\n"},
                {NULL, NULL, "GET /", "Accept"},
                {"x-own", NULL, "x-own /", "Accept"},
        };
        web w;

        web_new(&w, serve_answers, "HTTP/1.1 204 None\r\n\r\n", NULL);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                exchange x = {.request = {.method = cases[i].method,
                                          .body = cases[i].body,
                                          .body_bytes = cases[i].body ? strlen(cases[i].body) : 0}};

                CHECK_INT(do_exchange(&w, &x), 0);
                CHECK(strncmp(w.s.last, cases[i].begin, strlen(cases[i].begin)) == 0);
                CHECK(strstr(w.s.last, cases[i].holds) != NULL);
                CHECK(cases[i].holds[0] == 'C' || !strstr(w.s.last, "Content-Length"));
                cel_http_response_free(x.response);
        }
        CHECK_INT(atomic_load(&w.s.connections), 1);
        web_free(&w);
}

TEST(what_would_break_out_of_a_request_is_refused_before_it_is_sent)
{
        static const struct {
                cel_http_request request;
                cel_http_header header;
                const char *text;
        } cases[] = {
                {{0}, {"X", "a\r\nY: b"}, "the value of header X has a control character in it"},
                {{0}, {"X", "a\nb"}, "the value of header X has a control character in it"},
                {{0}, {"X\r\nY", "b"}, "the name of header 1 is no HTTP token"},
                {{0}, {"X:", "b"}, "the name of header 1 is no HTTP token"},
                {{0}, {"", "b"}, "the name of header 1 is no HTTP token"},
                {{0}, {"content-length", "3"}, "header content-length is set by the client alone"},
                {{0},
                 {"Transfer-Encoding", "chunked"},
                 "header Transfer-Encoding is set by the client alone"},
                {{.method = "GET / HTTP/1.1\r\nX:"},
                 {"X", ""},
                 "the method is no HTTP token of at most 32 bytes"},
                {{.method = ""}, {"X", ""}, "the method is no HTTP token of at most 32 bytes"},
                {{.method = "CONNECT"}, {"X", ""}, "the method CONNECT is not for requests"},
                {{.method = "HEAD", .body = "x", .body_bytes = 1}, {"X", ""}, "a HEAD request has no body"},
                {{.url = "ftp://h/"}, {"X", ""}, "the URL does not begin with http:// or https://"},
                {{.url = "file:///etc/passwd"}, {"X", ""}, "the URL does not begin with http:// or https://"},
                {{.url = "http://h/ HTTP/1.1\r\nX: y"},
                 {"X", ""},
                 "the URL has a space or a control character in it"},
        };
        web w;

        web_new(&w, serve_answers, HELLO, NULL);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                exchange x = {.request = cases[i].request};

                x.request.headers = &cases[i].header;
                x.request.headers_n = 1;
                CHECK_INT(do_exchange(&w, &x), CEL_EINVAL);
                CHECK_STR(x.text, cases[i].text);
        }
        CHECK_INT(atomic_load(&w.s.connections), 0);
        web_free(&w);
}

TEST(a_url_without_a_host_is_invalid)
{
        web w;
        exchange x = {.request.url = "http://:80/"};

        web_new(&w, serve_answers, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), CEL_EINVAL);
        web_free(&w);
}

TEST(a_redirect_is_a_response_like_any_other)
{
        web w;
        exchange x = {0};

        web_new(&w, serve_answers,
                "HTTP/1.1 307 Else\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", NULL);
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_INT(cel_http_response_status(x.response), 307);
        CHECK_STR(cel_http_response_header(x.response, "location"), "http://127.0.0.1:1/");
        check_body(&x, "");
        CHECK_INT(atomic_load(&w.s.requests), 1);
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(informational_responses_and_trailers_are_not_the_response)
{
        web w;
        exchange x = {0};

        web_new(&w, serve_answers,
                "HTTP/1.1 103 Hints\r\nX-Hint: a\r\n\r\nHTTP/1.1 201 Made\r\nX-Folded: a\r\n  b\r\n"
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n",
                NULL);
        x.repeat = 1;
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_INT(cel_http_response_status(x.response), 201);
        CHECK(!cel_http_response_header(x.response, "X-Hint"));
        CHECK(!cel_http_response_header(x.response, "X-Trailer"));
        CHECK_STR(cel_http_response_header(x.response, "X-Folded"), "a b");
        check_body(&x, "abc");
        CHECK_INT(atomic_load(&w.s.connections), 1);
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(a_response_may_come_in_pieces_of_one_byte)
{
        web w;
        exchange x = {.repeat = 3};

        web_new(&w, serve_in_pieces, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_STR(cel_http_response_header(x.response, "X-Kind"), "greeting");
        check_body(&x, "hello");
        CHECK_INT(atomic_load(&w.s.connections), 1);
        cel_http_response_free(x.response);
        web_free(&w);
}

/* --- Limits ----------------------------------------------------------------------------------- */

TEST(of_a_big_body_the_beginning_is_kept_and_the_connection_too)
{
        web w;
        exchange x = {.repeat = 1};
        size_t n;

        web_new(&w, serve_big_body, "1000000", &(cel_http_client_options){.response_bytes_max = 1000});
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_INT(cel_http_response_status(x.response), 200);
        CHECK_INT(strlen(cel_http_response_body(x.response, &n)), 1000);
        CHECK_INT(n, 1000);
        CHECK_INT(atomic_load(&w.s.connections), 1);
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(a_huge_body_costs_the_connection_and_the_response_counts)
{
        web w;
        exchange x = {.repeat = 1};
        size_t n;

        web_new(&w, serve_endless_body, NULL, NULL);
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_INT(cel_http_response_status(x.response), 503);
        CHECK_INT(strlen(cel_http_response_body(x.response, &n)), 64 * 1024);
        CHECK_INT(n, 64 * 1024);
        CHECK_INT(atomic_load(&w.s.connections), 2);
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(more_headers_than_a_hundred_are_a_violation)
{
        web w;
        exchange x = {0};

        web_new(&w, serve_many_headers, NULL, NULL);
        CHECK_INT(do_exchange(&w, &x), CEL_EPROTO);
        CHECK(strstr(x.text, "more than 100 headers") != NULL);
        web_free(&w);
}

TEST(headers_of_more_than_64_kib_are_a_violation)
{
        web w;
        exchange x = {0};

        web_new(&w, serve_long_headers, NULL, NULL);
        CHECK_INT(do_exchange(&w, &x), CEL_EPROTO);
        web_free(&w);
}

TEST(options_that_cannot_be_met_are_refused)
{
        web w = {.options = {.ca_file = "/nonexistent/ca.pem"}};

        w.f = fixture_new();
        CHECK_RESULT(fixture_spawn(&w.f, "opener", open_client, &w), CEL_EINVAL);
        w.options = (cel_http_client_options){.ca_file = "/"};
        CHECK_RESULT(fixture_spawn(&w.f, "opener", open_client, &w), CEL_EINVAL);
        w.options = (cel_http_client_options){.connect_ms_max = -1};
        CHECK_RESULT(fixture_spawn(&w.f, "opener", open_client, &w), CEL_EINVAL);
        CHECK(!w.client);
        fixture_free(&w.f);
}

/* --- Connections ------------------------------------------------------------------------------ */

TEST(requests_one_after_the_other_share_a_connection)
{
        web w;
        exchange x = {.repeat = 9};

        web_new(&w, serve_answers, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_INT(atomic_load(&w.s.requests), 10);
        CHECK_INT(atomic_load(&w.s.connections), 1);
        cel_http_response_free(x.response);
        web_free(&w);
}

static int send_many(cel_ctx *ctx, web *w, unsigned n, unsigned repeat)
{
        exchange *x = calloc(n, sizeof(*x));
        cel_scope *scope;

        cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        for (unsigned i = 0; i < n; i++) {
                x[i] = (exchange){.web = w, .repeat = repeat};
                cel_spawn(ctx, scope, "sender", run_exchange, &x[i], NULL);
        }
        int r = cel_scope_close(ctx, scope);
        for (unsigned i = 0; i < n; i++) {
                if (r >= 0 && cel_http_response_status(x[i].response) != 200)
                        r = CEL_EPROTO;
                cel_http_response_free(x[i].response);
        }
        free(x);
        return r;
}

static int send_100(cel_ctx *ctx, void *arg)
{
        return send_many(ctx, arg, 100, 9);
}

TEST(a_hundred_tasks_talk_at_once_over_a_hundred_connections)
{
        web w;

        web_new(&w, serve_gathered, NULL, NULL);
        w.s.gather_n = 100;
        cel_task *task = fixture_spawn(&w.f, "many", send_100, &w);
        fixture_wait(&w.f, task);
        CHECK_RESULT(task, 0);
        CHECK_INT(atomic_load(&w.s.requests), 1000);
        CHECK_INT(atomic_load(&w.s.connections), 100);
        web_free(&w);
}

TEST(no_more_connections_are_open_than_allowed_and_everybody_has_a_turn)
{
        web w;

        web_new(&w, serve_gathered, NULL, &(cel_http_client_options){.connections_max = 3});
        w.s.gather_n = 3;
        cel_task *task = fixture_spawn(&w.f, "many", send_100, &w);
        fixture_wait(&w.f, task);
        CHECK_RESULT(task, 0);
        CHECK_INT(atomic_load(&w.s.requests), 1000);
        CHECK_INT(atomic_load(&w.s.connections), 3);
        web_free(&w);
}

TEST(an_idle_connection_makes_room_for_another_server)
{
        web w;
        server other;
        exchange x = {0}, y = {0};
        char url[64];

        server_start(&other, serve_answers, HELLO);
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/", other.port);
        y.request.url = url;
        web_new(&w, serve_answers, HELLO, &(cel_http_client_options){.connections_max = 1});
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_INT(do_exchange(&w, &y), 0);
        turn_until(&w, &w.s.closed, 1);
        cel_http_response_free(x.response);
        cel_http_response_free(y.response);
        server_stop(&other);
        web_free(&w);
}

TEST(a_connection_that_the_server_closed_while_idle_is_not_used_again)
{
        web w;
        exchange x = {.request = {.body = "x", .body_bytes = 1}};

        web_new(&w, serve_one_answer, HELLO, NULL);
        for (unsigned i = 1; i <= 3; i++) {
                CHECK_INT(do_exchange(&w, &x), 0);
                cel_http_response_free(CEL_TAKE(x.response));
                turn_until(&w, &w.s.closed, i);
                fixture_settle(&w.f); /* the loop sees the end of the connection and does not spin on it */
        }
        CHECK_INT(atomic_load(&w.s.requests), 3);
        web_free(&w);
}

TEST(a_request_that_may_be_repeated_is_sent_again_when_a_kept_connection_dies_under_it)
{
        web w;
        exchange x = {.request.method = "PUT", .repeat = 1};

        web_new(&w, serve_and_die_once, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), 0);
        CHECK_INT(atomic_load(&w.s.requests), 3);
        CHECK_INT(atomic_load(&w.s.connections), 2);
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(a_post_is_not_sent_again_when_a_kept_connection_dies_under_it)
{
        web w;
        exchange x = {.request = {.body = "x", .body_bytes = 1}, .repeat = 1};

        web_new(&w, serve_and_die_once, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), CEL_EUNKNOWN);
        CHECK(strstr(x.text, "the connection broke before the response came") != NULL);
        CHECK_INT(atomic_load(&w.s.requests), 2);
        x.repeat = 0;
        CHECK_INT(do_exchange(&w, &x), 0); /* and the client goes on */
        cel_http_response_free(x.response);
        web_free(&w);
}

static unsigned open_descriptors(void)
{
        DIR *folder = opendir("/proc/self/fd");
        unsigned n = 0;

        while (readdir(folder))
                n++;
        closedir(folder);
        return n;
}

static int send_100_and_free(cel_ctx *ctx, void *arg)
{
        web *w = arg;
        int r = send_many(ctx, w, 100, 0);

        w->client = cel_http_client_free(w->client); /* on a task's stack */
        return r;
}

TEST(freeing_a_client_closes_its_idle_connections)
{
        web w;

        web_new(&w, serve_gathered, NULL, NULL);
        w.s.gather_n = 100;
        unsigned before = open_descriptors();
        cel_task *task = fixture_spawn(&w.f, "many", send_100_and_free, &w);
        fixture_wait(&w.f, task);
        CHECK_RESULT(task, 0);
        fixture_settle(&w.f);
        turn_until(&w, &w.s.closed, 100);
        CHECK_INT(open_descriptors(), before);
        web_free(&w);
}

/* --- Names ------------------------------------------------------------------------------------ */

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_cond = PTHREAD_COND_INITIALIZER;
static bool names_go;
static _Atomic unsigned names_asked;

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* Stands in for libc's: "two.test" has two addresses, with nobody at the first; "slow.test" waits until
 * names_go. */
__attribute__((visibility("default"))) int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret_found)
{
        getaddrinfo_fn *real = (getaddrinfo_fn *)(uintptr_t)dlsym(RTLD_NEXT, "getaddrinfo");

        if (strcmp(name, "two.test") == 0) {
                int r = real("127.0.0.9", service, hints, ret_found);

                return r ? r : real("127.0.0.1", service, hints, &(*ret_found)->ai_next);
        }
        if (strcmp(name, "slow.test") == 0) {
                atomic_fetch_add(&names_asked, 1);
                pthread_mutex_lock(&names_mutex);
                while (!names_go)
                        pthread_cond_wait(&names_cond, &names_mutex);
                pthread_mutex_unlock(&names_mutex);
                return EAI_NONAME;
        }
        return real(name, service, hints, ret_found);
}

TEST(the_addresses_of_a_name_are_tried_one_after_the_other)
{
        web w = {0};
        exchange x = {.web = &w, .repeat = 3};

        server_start(&w.s, serve_answers, HELLO);
        snprintf(w.url, sizeof(w.url), "http://two.test:%u/", w.s.port);
        CHECK_INT(exchange_for_real(&x), 0);
        CHECK_INT(atomic_load(&w.s.requests), 4);
        CHECK_INT(atomic_load(&w.s.connections), 1);
        cel_http_response_free(x.response);
        server_stop(&w.s);
}

/* libcurl closes the socket of the first and may get the same descriptor for the second. */
TEST(an_address_that_does_not_answer_leaves_time_for_the_next)
{
        web w = {.options = {.connect_ms_max = 200}};
        exchange x = {.web = &w, .repeat = 3};
        full_port p;

        server_start(&w.s, serve_answers, HELLO);
        full_port_open(&p, "127.0.0.9", w.s.port);
        snprintf(w.url, sizeof(w.url), "http://two.test:%u/", w.s.port);
        CHECK_INT(exchange_for_real(&x), 0);
        CHECK_INT(atomic_load(&w.s.requests), 4);
        CHECK_INT(atomic_load(&w.s.connections), 1);
        cel_http_response_free(x.response);
        server_stop(&w.s);
        full_port_close(&p);
}

TEST(a_request_cancelled_while_its_name_is_looked_up_does_not_wait_for_the_answer)
{
        web w;
        exchange x = {0}, y = {.within_ms = 50};

        memset(&w, 0, sizeof(w));
        snprintf(w.url, sizeof(w.url), "http://slow.test/");
        web_open(&w, NULL);
        cel_task *one = spawn(&w, &x);
        cel_task *two = spawn(&w, &y);
        turn_until(&w, &names_asked, 2);
        cel_task_cancel(one);
        fixture_settle(&w.f);
        CHECK_RESULT(one, CEL_ECANCELED);
        fixture_advance_ms(&w.f, 50);
        CHECK_RESULT(two, CEL_ETIMEDOUT);
        CHECK(strstr(y.text, "not connected in time") != NULL);
        web_free(&w);
        pthread_mutex_lock(&names_mutex);
        names_go = true;
        pthread_cond_broadcast(&names_cond);
        pthread_mutex_unlock(&names_mutex);
}

/* --- Failures --------------------------------------------------------------------------------- */

TEST(a_refused_connection_is_proven_unsent)
{
        web w;
        exchange x = {0};
        unsigned port;
        char expected[128];

        memset(&w, 0, sizeof(w));
        close(server_listen(1, &port));
        snprintf(w.url, sizeof(w.url), "http://user:secret@127.0.0.1:%u/secret?secret", port);
        web_open(&w, NULL);
        CHECK_INT(do_exchange(&w, &x), CEL_ECONNECT);
        snprintf(expected, sizeof(expected), "GET http://127.0.0.1:%u: Failed to connect", port);
        CHECK(strncmp(x.text, expected, strlen(expected)) == 0);
        CHECK(!strstr(x.text, "secret"));
        web_free(&w);
}

TEST(a_name_that_does_not_exist_is_proven_unsent)
{
        web w;
        exchange x = {.request.url = "http://celadon.invalid/"};

        memset(&w, 0, sizeof(w));
        web_open(&w, NULL);
        CHECK_INT(do_exchange(&w, &x), CEL_ERESOLVE);
        web_free(&w);
}

TEST(a_server_that_does_not_speak_tls_is_proven_to_know_nothing)
{
        web w;
        exchange x = {.request = {.body = "x", .body_bytes = 1}};

        web_new(&w, serve_no_tls, "HTTP/1.1 400 Bad\r\n\r\n", NULL);
        snprintf(w.url, sizeof(w.url), "https://127.0.0.1:%u/", w.s.port);
        CHECK_INT(do_exchange(&w, &x), CEL_ETLS);
        web_free(&w);
}

TEST(a_connection_that_ends_before_the_response_leaves_the_outcome_unknown)
{
        static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                                              "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 100 Go on\r\n\r\n"};

        for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
                web w;
                exchange x = {0};

                web_new(&w, serve_one_answer, answers[i], NULL);
                CHECK_INT(do_exchange(&w, &x), CEL_EUNKNOWN);
                CHECK(!x.response);
                CHECK_INT(atomic_load(&w.s.requests), 1);
                web_free(&w);
        }
}

TEST(a_failure_tells_whether_the_server_may_have_it_and_which_status_came)
{
        cel_http_failure failure = {.stale = true, .status = 1};
        exchange x = {.request = {.body = "x", .body_bytes = 1, .failure = &failure}, .repeat = 1};
        web w;

        web_new(&w, serve_and_die_once, HELLO, NULL);
        CHECK_INT(do_exchange(&w, &x), CEL_EUNKNOWN);
        CHECK(failure.stale && failure.maybe_sent);
        CHECK_INT(failure.status, 0);
        web_free(&w);

        x.repeat = 0;
        web_new(&w, serve_one_answer, "HTTP/1.1 201 OK\r\nContent-Length: 5\r\n\r\nhel", NULL);
        CHECK_INT(do_exchange(&w, &x), CEL_EUNKNOWN);
        CHECK(!failure.stale && failure.maybe_sent);
        CHECK_INT(failure.status, 201);
        web_free(&w);

        memset(&w, 0, sizeof(w));
        web_open(&w, NULL);
        x.request.url = "http://celadon.invalid/";
        CHECK_INT(do_exchange(&w, &x), CEL_ERESOLVE);
        CHECK(!failure.stale && !failure.maybe_sent);
        CHECK_INT(failure.status, 0);
        web_free(&w);
}

TEST(a_response_cut_by_the_deadline_tells_its_status)
{
        cel_http_failure failure;
        exchange x = {.request.failure = &failure, .within_ms = 50};
        web w;

        web_new(&w, serve_answers, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello", NULL);
        cel_task *task = spawn(&w, &x);
        turn_until(&w, &w.s.answers, 1);
        fixture_settle(&w.f);
        fixture_advance_ms(&w.f, 50);
        CHECK_RESULT(task, CEL_ETIMEDOUT);
        CHECK(failure.maybe_sent);
        CHECK_INT(failure.status, 200);
        web_free(&w);
}

TEST(running_out_of_descriptors_is_an_error_of_its_own)
{
        cel_http_failure failure;
        exchange x = {.request.failure = &failure};
        struct rlimit limit, none;
        web w;

        web_new(&w, serve_answers, HELLO, NULL);
        CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
        int r = do_exchange(&w, &x);
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
        CHECK_INT(r, CEL_EFULL);
        CHECK(!failure.maybe_sent);
        CHECK_INT(do_exchange(&w, &x), 0);
        cel_http_response_free(x.response);
        web_free(&w);
}

TEST(an_answer_that_is_not_http_is_a_violation)
{
        static const char *const answers[] = {"220 mail.example ESMTP\r\n", "HTTP/7.3 200 OK\r\n\r\n",
                                              "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"};

        for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
                web w;
                exchange x = {0};

                web_new(&w, serve_one_answer, answers[i], NULL);
                CHECK_INT(do_exchange(&w, &x), CEL_EPROTO);
                web_free(&w);
        }
}

/* --- Deadlines and cancellation --------------------------------------------------------------- */

TEST(a_request_ends_when_its_deadline_passes_and_not_before)
{
        web w;
        exchange x = {.within_ms = 50};

        web_new(&w, serve_nothing, NULL, NULL);
        cel_task *task = spawn(&w, &x);
        turn_until(&w, &w.s.requests, 1);
        fixture_advance_ms(&w.f, 49);
        CHECK_PENDING(task);
        fixture_advance_ms(&w.f, 1);
        CHECK_RESULT(task, CEL_ETIMEDOUT);
        CHECK(strstr(x.text, "sent, but there was no whole response in time") != NULL);
        turn_until(&w, &w.s.closed, 1); /* its connection cannot be used again */
        web_free(&w);
}

TEST(a_request_cancelled_in_the_middle_of_its_response_ends_at_once)
{
        web w;
        exchange x = {0};

        web_new(&w, serve_answers, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello", NULL);
        cel_task *task = spawn(&w, &x);
        turn_until(&w, &w.s.requests, 1);
        fixture_settle(&w.f);
        cel_task_cancel(task);
        fixture_settle(&w.f);
        CHECK_RESULT(task, CEL_ECANCELED);
        turn_until(&w, &w.s.closed, 1);
        web_free(&w);
}

TEST(a_cancelled_request_leaves_the_others_alone)
{
        web w;
        exchange x = {0}, y = {0};

        web_new(&w, serve_gathered, NULL, NULL);
        w.s.gather_n = 3;
        cel_task *one = spawn(&w, &x);
        cel_task *two = spawn(&w, &y);
        turn_until(&w, &w.s.requests, 2);
        cel_task_cancel(one);
        fixture_settle(&w.f);
        CHECK_RESULT(one, CEL_ECANCELED);
        CHECK_PENDING(two);
        exchange z = {0};
        CHECK_INT(do_exchange(&w, &z), 0);
        fixture_wait(&w.f, two);
        CHECK_RESULT(two, 0);
        cel_http_response_free(y.response);
        cel_http_response_free(z.response);
        web_free(&w);
}

TEST(a_request_that_found_no_connection_in_time_was_not_sent)
{
        web w;
        exchange x = {0}, y = {.within_ms = 50};

        web_new(&w, serve_nothing, NULL, &(cel_http_client_options){.connections_max = 1});
        cel_task *first = spawn(&w, &x);
        turn_until(&w, &w.s.requests, 1);
        cel_task *second = spawn(&w, &y);
        fixture_advance_ms(&w.f, 50);
        CHECK_RESULT(second, CEL_ETIMEDOUT);
        CHECK(strstr(y.text, "not begun in time") != NULL);
        CHECK_PENDING(first);
        cel_task_cancel(first);
        fixture_settle(&w.f);
        CHECK_RESULT(first, CEL_ECANCELED);
        CHECK_INT(atomic_load(&w.s.requests), 1);
        web_free(&w);
}

static int cancel_self_and_send(cel_ctx *ctx, void *arg)
{
        cel_ctx_cancel(ctx);
        return run_exchange(ctx, arg);
}

TEST(a_cancelled_task_sends_nothing)
{
        web w;
        exchange x = {.web = &w};

        web_new(&w, serve_answers, HELLO, NULL);
        CHECK_RESULT(fixture_spawn(&w.f, "sender", cancel_self_and_send, &x), CEL_ECANCELED);
        fixture_settle(&w.f);
        CHECK_INT(atomic_load(&w.s.connections), 0);
        web_free(&w);
}

TEST(a_request_cancelled_before_it_is_connected_ends_at_once)
{
        web w;
        full_port p;
        exchange x = {0}, y = {.within_ms = 50};

        memset(&w, 0, sizeof(w));
        full_port_open(&p, "127.0.0.1", 0);
        snprintf(w.url, sizeof(w.url), "http://127.0.0.1:%u/", p.port);
        web_open(&w, NULL);
        cel_task *one = spawn(&w, &x);
        cel_task *two = spawn(&w, &y);
        CHECK_PENDING(one);
        cel_task_cancel(one);
        fixture_settle(&w.f);
        CHECK_RESULT(one, CEL_ECANCELED);
        CHECK_PENDING(two);
        fixture_advance_ms(&w.f, 50);
        CHECK_RESULT(two, CEL_ETIMEDOUT);
        CHECK(strstr(y.text, "not connected in time") != NULL);
        web_free(&w);
        full_port_close(&p);
}

TEST(a_connection_that_takes_too_long_is_proven_unsent)
{
        web w = {.options = {.connect_ms_max = 50}};
        exchange x = {.web = &w};
        full_port p;

        full_port_open(&p, "127.0.0.1", 0);
        snprintf(w.url, sizeof(w.url), "http://127.0.0.1:%u/", p.port);
        CHECK_INT(exchange_for_real(&x), CEL_ECONNECT);
        CHECK(strstr(x.text, "Timeout was reached") != NULL);
        full_port_close(&p);
}

/* --- Mistakes --------------------------------------------------------------------------------- */

static void free_too_early(void *arg)
{
        web w;
        exchange x = {0};

        (void)arg;
        web_new(&w, serve_nothing, NULL, NULL);
        spawn(&w, &x);
        cel_http_client_free(w.client);
}

TEST(freeing_a_client_with_requests_under_way_aborts_with_a_sentence)
{
        char text[1024];

        death_of(free_too_early, NULL, text, sizeof(text));
        CHECK(strstr(text, "an HTTP client was freed while 1 requests were under way") != NULL);
}
