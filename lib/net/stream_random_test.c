/* SPDX-License-Identifier: Apache-2.0
 *
 * Random transfers. Both directions of a stream carry bytes that say where they belong. Whoever reads or writes does so
 * in legs: each on another loop or on a thread, with chunks of any size, some cut off by a deadline or cancelled. No
 * byte may be lost, doubled or moved. In some rounds the stream is closed in the midst of it: then everybody must
 * notice. Real loops and threads run here, on the system's clock; the seed is printed. */
#include "fixture.h"
#include "test.h"

#include <celadon/stream.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
        LOOPS = 3,
        CHUNK_BYTES_MAX = 40000,
        FLOW_BYTES_MAX = 400000,
};

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 40 };
#else
enum { ROUNDS = 150 };
#endif

/* One direction. */
typedef struct flow {
        cel_stream *from, *to;
        uint64_t salt;
        size_t n, put, got;
        bool shut, ended; /* by its writer; seen by its reader */
} flow;

static unsigned char byte_at(const flow *f, size_t i)
{
        uint64_t z = (i + f->salt) * UINT64_C(0x9e3779b97f4a7c15);

        return (unsigned char)(z >> 56);
}

/* A stretch of reading or writing by one actor. */
typedef struct leg {
        flow *flow;
        bool writes;
        unsigned calls;
        fixture_random random;
        cel_runtime *runtime;
} leg;

static size_t chunk(leg *l, size_t left)
{
        static const unsigned sizes[] = {1, 7, 100, 5000, CHUNK_BYTES_MAX};
        size_t n = 1 + fixture_random_below(&l->random, sizes[fixture_random_below(&l->random, 5)]);

        return n < left ? n : left;
}

static int write_one(cel_ctx *ctx, leg *l, unsigned char *bytes)
{
        flow *f = l->flow;
        size_t n = chunk(l, f->n - f->put);

        if (n == 0) {
                l->calls = 0;
                int r = cel_stream_shutdown(ctx, f->from);
                f->shut = r >= 0;
                return r;
        }
        for (size_t i = 0; i < n; i++)
                bytes[i] = byte_at(f, f->put + i);
        int r = cel_stream_write(ctx, f->from, bytes, n); /* which says how much went, whatever happens */
        if (r > 0)
                f->put += (size_t)r;
        return r;
}

static int check(flow *f, const unsigned char *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (bytes[i] != byte_at(f, f->got + i))
                        return CEL_EDECODE;
        f->got += n;
        return f->got > f->n ? CEL_EDECODE : 0;
}

static int read_one(cel_ctx *ctx, leg *l, unsigned char *bytes)
{
        flow *f = l->flow;
        size_t n = chunk(l, SIZE_MAX), left = f->n - f->got;
        bool exactly = n <= left && fixture_random_below(&l->random, 3) == 0;
        int r = exactly ? cel_stream_read_exactly(ctx, f->to, bytes, n)
                        : cel_stream_read(ctx, f->to, bytes, n);

        if (r > 0)
                return check(f, bytes, (size_t)r);
        if (r == 0) {
                l->calls = 0;
                f->ended = true;
                return left == 0 ? 0 : CEL_EPROTO;
        }
        return r;
}

static int run_leg(cel_ctx *ctx, void *arg)
{
        leg *l = arg;
        cel_auto_free unsigned char *bytes = malloc(CHUNK_BYTES_MAX);
        int r = bytes ? 0 : CEL_ENOMEM;

        while (r >= 0 && l->calls > 0) {
                bool hurried = fixture_random_below(&l->random, 4) == 0;
                CEL_WITHIN_MS(ctx, hurried ? fixture_random_below(&l->random, 2) : INT64_MAX);

                l->calls--;
                r = l->writes ? write_one(ctx, l, bytes) : read_one(ctx, l, bytes);
                if (r == CEL_ETIMEDOUT)
                        r = 0;
        }
        return r == CEL_ECANCELED ? 0 : r;
}

static int run_leg_on_thread(void *arg)
{
        leg *l = arg;
        cel_auto(cel_ctx) *ctx = NULL;
        int r = cel_thread_ctx_new(l->runtime, "leg", &ctx);

        return r < 0 ? r : run_leg(ctx, l);
}

/* --- Legs one after the other ----------------------------------------------------------------- */

typedef struct course {
        flow *flow;
        bool writes;
        cel_pool *threads;
        fixture_random random;
} course;

static bool is_done(const course *c)
{
        return c->writes ? c->flow->shut : c->flow->ended;
}

/* On a random loop; sometimes cancelled, at once or a little later. */
static int run_in_task(cel_ctx *ctx, cel_scope *scope, course *c, leg *l)
{
        cel_auto(cel_task) *task = NULL;
        bool canceled = fixture_random_below(&c->random, 3) == 0;
        int r = cel_spawn_on(ctx, scope, (int)fixture_random_below(&c->random, LOOPS), "leg", run_leg, l,
                             &task);

        if (r < 0)
                return r;
        for (unsigned i = fixture_random_below(&c->random, 20); canceled && i > 0; i--)
                cel_yield(ctx);
        if (canceled)
                cel_task_cancel(task);
        return cel_task_await(ctx, task);
}

static int run_course(cel_ctx *ctx, void *arg)
{
        course *c = arg;
        cel_scope *scope;
        int r = cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);

        if (r < 0)
                return r;
        while (r >= 0 && !is_done(c)) {
                leg l = {.flow = c->flow,
                         .writes = c->writes,
                         .calls = 1 + fixture_random_below(&c->random, 30),
                         .random = {.state = ((uint64_t)fixture_random_below(&c->random, UINT32_MAX) << 32) +
                                             1},
                         .runtime = cel_ctx_runtime(ctx)};
                int result = 0;

                if (fixture_random_below(&c->random, 4) == 0) {
                        r = cel_offload(ctx, c->threads, run_leg_on_thread, &l, NULL, &result);
                        r = r < 0 ? r : result;
                } else {
                        r = run_in_task(ctx, scope, c, &l);
                }
        }
        int closed = cel_scope_close(ctx, scope);
        return r < 0 ? r : closed;
}

/* --- Rounds ----------------------------------------------------------------------------------- */

typedef struct round {
        fixture_random random;
        cel_pool *threads;
        cel_stream *a, *b;
        unsigned makes[3]; /* how many of each make */
        unsigned broken;   /* rounds that were closed in their midst */
} round_of;

static int dial(cel_ctx *ctx, round_of *t)
{
        cel_auto(cel_listener) *listener = NULL;
        int r = cel_tcp_listen(ctx, "127.0.0.1", 0, &listener);

        if (r >= 0)
                r = cel_tcp_connect(ctx, "127.0.0.1", cel_listener_port(listener), &t->a);
        return r < 0 ? r : cel_accept(ctx, listener, &t->b);
}

static int connect_two(cel_ctx *ctx, round_of *t)
{
        unsigned make = fixture_random_below(&t->random, 3);
        int ends[2];

        t->a = t->b = NULL;
        t->makes[make]++;
        if (make == 0)
                return cel_stream_pair(1 + fixture_random_below(&t->random, 30000), &t->a, &t->b);
        if (make == 1)
                return dial(ctx, t);
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ||
            cel_stream_from_fd(ends[0], "left", &t->a) < 0 || cel_stream_from_fd(ends[1], "right", &t->b) < 0)
                return CEL_ENOMEM;
        return 0;
}

static int spawn_courses(cel_ctx *ctx, cel_scope *scope, round_of *t, flow flows[2], course courses[4])
{
        int r = 0;

        for (int i = 0; i < 4 && r >= 0; i++) {
                courses[i] = (course){.flow = &flows[i / 2],
                                      .writes = i % 2,
                                      .threads = t->threads,
                                      .random = {.state = fixture_random_below(&t->random, UINT32_MAX)}};
                r = cel_spawn(ctx, scope, courses[i].writes ? "writer" : "reader", run_course, &courses[i],
                              NULL);
        }
        return r;
}

static int run_round(cel_ctx *ctx, round_of *t)
{
        bool breaks = fixture_random_below(&t->random, 4) == 0;
        cel_scope *scope;
        course courses[4];
        int r = connect_two(ctx, t);

        if (r < 0)
                return r;
        flow flows[2] = {{.from = t->a, .to = t->b}, {.from = t->b, .to = t->a}};
        for (int i = 0; i < 2; i++) {
                flows[i].n = fixture_random_below(&t->random, FLOW_BYTES_MAX);
                flows[i].salt = fixture_random_below(&t->random, UINT32_MAX);
        }
        cel_scope_open(ctx, CEL_SCOPE_COLLECT_ALL, &scope);
        r = spawn_courses(ctx, scope, t, flows, courses);
        if (breaks) {
                for (unsigned i = fixture_random_below(&t->random, 200); i > 0; i--)
                        cel_yield(ctx);
                cel_stream_close(fixture_random_below(&t->random, 2) ? t->a : t->b);
                t->broken++;
        }
        int closed = cel_scope_close(ctx, scope);
        bool whole = flows[0].got == flows[0].n && flows[1].got == flows[1].n;
        cel_stream_unref(t->a);
        cel_stream_unref(t->b);
        if (breaks) /* whoever was cut off says so; nobody has read a wrong byte */
                return whole || closed == CEL_ECLOSED || closed == CEL_EIO || closed == CEL_EPROTO ? 0
                                                                                                   : closed;
        return r < 0 ? r : closed < 0 ? closed : whole ? 0 : CEL_EUNKNOWN;
}

static int run_rounds(cel_ctx *ctx, void *arg)
{
        round_of *t = arg;
        int r = 0;

        for (int i = 0; i < ROUNDS && r >= 0; i++) {
                r = run_round(ctx, t);
                if (r < 0)
                        print_message("# round %d: %s\n", i, cel_ctx_error_text(ctx, r));
        }
        return r;
}

TEST(no_byte_is_lost_doubled_or_moved)
{
        cel_runtime *runtime;
        round_of t = {.random = fixture_random_new()};

        CHECK_INT(cel_runtime_new(&(cel_runtime_options){.loops = LOOPS}, &runtime), 0);
        CHECK_INT(cel_pool_new(runtime, "legs", 8, 100, &t.threads), 0);
        CHECK_INT(cel_runtime_run(runtime, "rounds", run_rounds, &t), 0);
        for (int i = 0; i < 3; i++)
                CHECK(t.makes[i] > 0);
        CHECK(t.broken > 0);
        cel_pool_free(t.threads);
        cel_runtime_free(runtime);
}
