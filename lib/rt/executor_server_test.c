/* SPDX-License-Identifier: Apache-2.0
 *
 * A small message server as its users would build one: one source, four endpoints, each on an executor of
 * another kind. Its intake keeps at most INTAKE_MAX messages in hand, as a broker's prefetch does; one that
 * finds its executor full is parked until on_room, and does not stop the others. */
#include "fixture.h"
#include "test.h"

#include <celadon/channel.h>
#include <celadon/executor.h>
#include <string.h>

enum { ENDPOINTS = 4, INTAKE_MAX = 16, MESSAGES_MAX = 4000 };
enum { GREEN, THREADS, BLOCKING, INLINE }; /* the endpoints, each called like its executor */

typedef enum fate { UNSETTLED, ANSWERED, FAILED, GIVEN_BACK } fate;

typedef struct message {
        cel__list node; /* in endpoint->parked */
        struct server *server;
        int endpoint;
        bool fails;
        _Atomic int settled; /* how often; must be 1 in the end */
        _Atomic int fate;
} message;

typedef struct endpoint {
        struct server *server;
        cel_executor *executor;
        cel__list parked;
} endpoint;

typedef struct server {
        fixture f;
        cel_channel *source; /* of message * */
        cel_channel *tokens; /* one inside for each message in hand */
        endpoint endpoints[ENDPOINTS];
        cel_future *gate; /* what GREEN's handler waits for; NULL: nothing */
        message messages[MESSAGES_MAX];
        int sent;
        _Atomic int taken, fates[4];
        fixture_actor *intake, *runner;
} server;

/* --- One message ------------------------------------------------------------------------------ */

static void settle(message *m, fate how)
{
        char token;

        m->settled++;
        m->fate = how;
        m->server->fates[how]++;
        CHECK_INT(cel_channel_try_receive(m->server->tokens, &token), 0);
}

static int handle(cel_ctx *ctx, void *arg)
{
        message *m = arg;
        int r = m->fails ? CEL_EIO : 0;

        CHECK((ctx == NULL) == (m->endpoint == INLINE));
        if (m->endpoint == GREEN && m->server->gate && cel_await(ctx, m->server->gate, NULL) < 0)
                r = CEL_ECANCELED;
        else if (ctx && cel_yield(ctx) < 0)
                r = CEL_ECANCELED;
        settle(m, r == 0 ? ANSWERED : r == CEL_ECANCELED ? GIVEN_BACK : FAILED);
        return r;
}

static void give_back(void *arg)
{
        settle(arg, GIVEN_BACK);
}

static int offer(message *m)
{
        return cel_executor_try_submit(m->server->endpoints[m->endpoint].executor,
                                       &(cel_job){.run = handle, .on_dropped = give_back, .arg = m});
}

/* On the hub: those that were parked first go first. */
static void on_room(void *arg)
{
        endpoint *e = arg;

        while (!cel__list_empty(&e->parked)) {
                message *m = cel__container(e->parked.next, message, node);

                if (offer(m) == CEL_EAGAIN)
                        return;
                cel__list_remove(&m->node);
        }
}

/* --- The server ------------------------------------------------------------------------------- */

static int take_in(cel_ctx *ctx, void *arg)
{
        server *s = arg;
        message *m;
        int r;

        for (;;) {
                r = cel_channel_send(ctx, s->tokens, "t");
                if (r >= 0)
                        r = cel_channel_receive(ctx, s->source, &m);
                if (r < 0)
                        return r == CEL_ECLOSED ? 0 : r;
                s->taken++;
                endpoint *e = &s->endpoints[m->endpoint];
                r = cel__list_empty(&e->parked) ? offer(m) : CEL_EAGAIN;
                if (r == CEL_EAGAIN)
                        cel__list_append(&e->parked, &m->node);
                else if (r < 0)
                        settle(m, GIVEN_BACK);
        }
}

static int run_blocking(cel_ctx *ctx, void *arg)
{
        server *s = arg;

        return cel_executor_run(ctx, s->endpoints[BLOCKING].executor);
}

static int open_server(cel_ctx *ctx, void *arg)
{
        static const cel_executor_options options[ENDPOINTS] = {
                {.name = "green", .kind = CEL_EXECUTOR_GREEN, .concurrency = 2, .waiting_max = 2},
                {.name = "threads", .kind = CEL_EXECUTOR_THREADS, .concurrency = 2, .waiting_max = 1},
                {.name = "blocking", .kind = CEL_EXECUTOR_BLOCKING, .waiting_max = 1},
                {.name = "inline", .kind = CEL_EXECUTOR_INLINE},
        };
        server *s = arg;

        for (int i = 0; i < ENDPOINTS; i++) {
                endpoint *e = &s->endpoints[i];
                cel_executor_options o = options[i];

                e->server = s;
                cel__list_init(&e->parked);
                o.on_room = on_room;
                o.arg = e;
                int r = cel_executor_open(ctx, &o, &e->executor);
                if (r < 0)
                        return r;
        }
        return 0;
}

static server *server_new(void)
{
        server *s = calloc(1, sizeof(*s));

        CHECK(s);
        s->f = fixture_new();
        CHECK_INT(cel_channel_new(sizeof(message *), 4, &s->source), 0);
        CHECK_INT(cel_channel_new(1, INTAKE_MAX, &s->tokens), 0);
        CHECK_DONE(fixture_act(&s->f, FIXTURE_TASK, "open", open_server, s), 0);
        s->intake = fixture_act(&s->f, FIXTURE_TASK, "intake", take_in, s);
        s->runner = fixture_act(&s->f, FIXTURE_THREAD, "runner", run_blocking, s);
        return s;
}

static int drain_all_within_50(cel_ctx *ctx, void *arg)
{
        server *s = arg;
        CEL_WITHIN_MS(ctx, 50);
        int r = 0;

        for (int i = 0; i < ENDPOINTS && r >= 0; i++)
                r = cel_executor_drain(ctx, s->endpoints[i].executor);
        return r;
}

static int close_all(cel_ctx *ctx, void *arg)
{
        server *s = arg;

        for (int i = 0; i < ENDPOINTS; i++)
                cel_executor_close(ctx, s->endpoints[i].executor);
        return 0;
}

/* Shut down: stop intake, give back what is parked, close. Every message taken was settled once. */
static void server_free(server *s)
{
        int settled = 0;

        fixture_cancel(s->intake);
        CHECK_INT(fixture_actor_wait(&s->f, s->intake), CEL_ECANCELED);
        for (int i = 0; i < ENDPOINTS; i++)
                for (cel__list *node; (node = cel__list_pop(&s->endpoints[i].parked));)
                        settle(cel__container(node, message, node), GIVEN_BACK);
        CHECK_INT(fixture_actor_wait(&s->f, fixture_act(&s->f, FIXTURE_TASK, "close", close_all, s)), 0);
        for (int i = 0; i < MESSAGES_MAX; i++) {
                CHECK(s->messages[i].settled <= 1);
                settled += s->messages[i].settled;
        }
        CHECK_INT(settled, s->taken);
        fixture_free(&s->f);
        cel_channel_unref(s->source);
        cel_channel_unref(s->tokens);
        cel_future_unref(s->gate);
        free(s);
}

/* --- Its clients ------------------------------------------------------------------------------ */

static message *next_message(server *s, int to, bool fails)
{
        message *m = &s->messages[s->sent++];

        m->server = s;
        m->endpoint = to;
        m->fails = fails;
        cel__list_init(&m->node);
        return m;
}

/* CEL_EAGAIN: the server has stopped its intake, and the source is full. */
static int send_one(server *s, int to, bool fails)
{
        message *m = next_message(s, to, fails);
        int r = cel_channel_try_send(s->source, &m);

        fixture_settle(&s->f);
        return r;
}

/* Turn the loop until so many have this fate: threads have their own time. */
static void until_fate(server *s, fate how, int n)
{
        while (s->fates[how] < n)
                cel__loop_turn(cel__runtime_loop(s->f.runtime), false);
        fixture_settle(&s->f);
}

/* --- Tests ------------------------------------------------------------------------------------ */

TEST(each_endpoint_answers_and_fails_on_its_own_executor)
{
        server *s = server_new();

        for (int to = 0; to < ENDPOINTS; to++) {
                CHECK_INT(send_one(s, to, false), 0);
                CHECK_INT(send_one(s, to, true), 0);
        }
        until_fate(s, ANSWERED, ENDPOINTS);
        until_fate(s, FAILED, ENDPOINTS);
        for (int to = 0; to < ENDPOINTS; to++) {
                cel_executor_stats stats = cel_executor_get_stats(s->endpoints[to].executor);

                CHECK_INT(stats.failed, 1);
        }
        server_free(s);
}

TEST(a_slow_endpoint_stops_the_others_only_at_the_intake_limit)
{
        server *s = server_new();

        CHECK_INT(cel_future_new(&s->gate), 0);
        for (int i = 0; i < INTAKE_MAX - 1; i++)
                CHECK_INT(send_one(s, GREEN, false), 0);
        CHECK_INT(s->taken, INTAKE_MAX - 1);
        cel_executor_stats stats = cel_executor_get_stats(s->endpoints[GREEN].executor);
        CHECK_INT(stats.running, 2);
        CHECK_INT(stats.waiting, 2); /* the rest is parked */
        for (int i = 0; i < 10; i++) {
                CHECK_INT(send_one(s, i % 2 ? INLINE : THREADS, false), 0);
                until_fate(s, ANSWERED, i + 1);
        }
        CHECK_INT(send_one(s, GREEN, false), 0); /* the last place of the intake */
        for (int i = 0; i < 4; i++)
                CHECK_INT(send_one(s, INLINE, false), 0); /* they stay in the source */
        CHECK_INT(send_one(s, INLINE, false), CEL_EAGAIN);
        CHECK_INT(s->fates[ANSWERED], 10);
        cel_future_complete(s->gate, 0, NULL);
        until_fate(s, ANSWERED, 10 + INTAKE_MAX + 4);
        server_free(s);
}

TEST(a_server_drains_what_it_can_and_gives_back_the_rest)
{
        server *s = server_new();

        CHECK_INT(cel_future_new(&s->gate), 0);
        for (int i = 0; i < 8; i++)
                CHECK_INT(send_one(s, GREEN, false), 0);
        for (int i = 0; i < 3; i++)
                CHECK_INT(send_one(s, BLOCKING, false), 0);
        until_fate(s, ANSWERED, 3);
        fixture_actor *drainer = fixture_act(&s->f, FIXTURE_TASK, "drain", drain_all_within_50, s);
        CHECK_WAITS(drainer);
        CHECK_INT(send_one(s, GREEN, false), 0); /* not parked behind a closed door for ever */
        fixture_advance_ms(&s->f, 50);
        CHECK_DONE(drainer, CEL_ETIMEDOUT);
        server_free(s);
}

typedef struct client {
        server *s;
        message *first;
        int n;
} client;

static int send_all(cel_ctx *ctx, void *arg)
{
        client *c = arg;

        for (int i = 0; i < c->n; i++) {
                message *m = c->first + i;
                int r = cel_channel_send(ctx, c->s->source, &m);

                if (r < 0)
                        return r;
        }
        return 0;
}

static void under_load(int taken_min)
{
        enum { CLIENTS = 4, EACH = MESSAGES_MAX / CLIENTS };
        server *s = server_new();
        client clients[CLIENTS];
        fixture_actor *actors[CLIENTS];

        for (int i = 0; i < MESSAGES_MAX; i++)
                next_message(s, i % ENDPOINTS, i % 7 == 0);
        for (int i = 0; i < CLIENTS; i++) {
                clients[i] = (client){.s = s, .first = &s->messages[i * EACH], .n = EACH};
                /* Not settled in between: they never pause. */
                actors[i] = fixture_act(&s->f, i % 2 ? FIXTURE_THREAD : FIXTURE_TASK, "client", send_all,
                                        &clients[i]);
        }
        while (s->taken < taken_min)
                cel__loop_turn(cel__runtime_loop(s->f.runtime), false);
        if (taken_min == MESSAGES_MAX)
                until_fate(s, ANSWERED, MESSAGES_MAX - (MESSAGES_MAX + 6) / 7);
        else
                for (int i = 0; i < CLIENTS; i++)
                        fixture_cancel(actors[i]);
        server_free(s);
}

TEST(under_load_every_message_is_settled_once)
{
        under_load(MESSAGES_MAX);
}

TEST(shut_down_under_load_gives_back_what_is_not_done)
{
        fixture_random random = fixture_random_new();

        for (int i = 0; i < 5; i++)
                under_load((int)fixture_random_below(&random, MESSAGES_MAX));
}
