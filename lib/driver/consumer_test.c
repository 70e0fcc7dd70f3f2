/* SPDX-License-Identifier: Apache-2.0 */
#include "bus.h"
#include "test.h"

#include <celadon/consumer.h>
#include <string.h>

typedef struct world {
        fixture f;
        bus b;
        cel_consumer *consumer;
        cel_delivery *taken;
        unsigned prefetch;
} world;

static int open_it(cel_ctx *ctx, void *arg)
{
        static const cel_queue queue = {.name = "q", .durable = true};
        world *w = arg;

        return cel_consumer_open(ctx, w->b.transport,
                                 &(cel_consumer_options){.queue = &queue, .prefetch = w->prefetch},
                                 &w->consumer);
}

static int receive(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        return cel_consumer_receive(ctx, w->consumer, &w->taken);
}

static int receive_within_50_ms(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 50);

        return receive(ctx, arg);
}

static int close_it(cel_ctx *ctx, void *arg)
{
        world *w = arg;

        return cel_consumer_close(ctx, CEL_TAKE(w->consumer));
}

static void world_init(world *w)
{
        memset(w, 0, sizeof(*w));
        w->f = fixture_new();
        w->prefetch = 3;
        bus_init(&w->b, &w->f);
        CHECK_RESULT(fixture_spawn(&w->f, "opener", open_it, w), 0);
}

static void world_fini(world *w)
{
        if (w->consumer)
                CHECK_RESULT(fixture_spawn(&w->f, "closer", close_it, w), 0);
        CHECK(w->b.subscriptions[0].gone);
        bus_fini(&w->b);
        fixture_free(&w->f);
}

static void check_taken(const world *w, const char *body)
{
        const cel_message *message = cel_delivery_message(w->taken);

        CHECK_INT(message->body_bytes, strlen(body));
        CHECK(memcmp(message->body, body, message->body_bytes) == 0);
}

TEST(messages_come_in_their_order_and_are_settled_as_their_taker_says)
{
        static const cel_settlement how[] = {CEL_SETTLE_ACK, CEL_SETTLE_REQUEUE, CEL_SETTLE_REJECT};
        static const char *const bodies[] = {"one", "two", "three"};
        world w;

        world_init(&w);
        CHECK_STR(w.b.subscriptions[0].queues[0], "q");
        CHECK_INT(w.b.subscriptions[0].options.prefetch, 3);
        CHECK_INT(cel_consumer_prefetch(w.consumer), 3);
        for (int i = 0; i < 3; i++)
                bus_deliver(&w.b, 0, bodies[i], NULL);
        for (int i = 0; i < 3; i++) {
                CHECK_RESULT(fixture_spawn(&w.f, "taker", receive, &w), 0);
                check_taken(&w, bodies[i]);
                CHECK_INT(cel_delivery_settle(w.taken, how[i]), 0);
        }
        CHECK_STR(w.b.settled, "aqr");
        CHECK_INT(cel_consumer_try_receive(w.consumer, &w.taken), CEL_EAGAIN);
        world_fini(&w);
}

TEST(who_receives_waits_for_a_message)
{
        world w;

        world_init(&w);
        cel_task *taker = fixture_spawn(&w.f, "taker", receive, &w);
        CHECK_PENDING(taker);
        bus_deliver(&w.b, 0, "one", NULL);
        CHECK_RESULT(taker, 0);
        check_taken(&w, "one");
        CHECK_INT(cel_delivery_settle(w.taken, CEL_SETTLE_ACK), 0);
        world_fini(&w);
}

TEST(who_receives_leaves_at_the_deadline_and_when_cancelled)
{
        world w;

        world_init(&w);
        cel_task *late = fixture_spawn(&w.f, "late", receive_within_50_ms, &w);
        cel_task *canceled = fixture_spawn(&w.f, "cancelled", receive, &w);
        fixture_advance_ms(&w.f, 49);
        CHECK_PENDING(late);
        fixture_advance_ms(&w.f, 1);
        CHECK_RESULT(late, CEL_ETIMEDOUT);
        CHECK_PENDING(canceled);
        cel_task_cancel(canceled);
        fixture_settle(&w.f);
        CHECK_RESULT(canceled, CEL_ECANCELED);
        world_fini(&w);
}

TEST(what_came_on_a_connection_that_is_gone_is_not_handed_out)
{
        world w;

        world_init(&w);
        bus_deliver(&w.b, 0, "one", NULL);
        bus_deliver(&w.b, 0, "two", NULL);
        CHECK_INT(cel_consumer_try_receive(w.consumer, &w.taken), 0);
        CHECK(!cel_delivery_is_stale(w.taken));
        w.b.incarnation++;
        CHECK(cel_delivery_is_stale(w.taken));
        CHECK_INT(cel_delivery_settle(w.taken, CEL_SETTLE_ACK), CEL_ECLOSED);
        bus_deliver(&w.b, 0, "one again", NULL);
        CHECK_STR(w.b.settled, "//-");
        CHECK_INT(cel_consumer_try_receive(w.consumer, &w.taken), 0);
        check_taken(&w, "one again");
        CHECK_INT(cel_delivery_settle(w.taken, CEL_SETTLE_ACK), 0);
        world_fini(&w);
}

TEST(who_closes_gives_back_what_nobody_took)
{
        world w;

        world_init(&w);
        bus_deliver(&w.b, 0, "one", NULL);
        bus_deliver(&w.b, 0, "two", NULL);
        CHECK_INT(cel_consumer_try_receive(w.consumer, &w.taken), 0);
        CHECK_RESULT(fixture_spawn(&w.f, "closer", close_it, &w), 0);
        CHECK_STR(w.b.settled, "-q");
        CHECK_INT(w.b.subscriptions[0].stops, 1);
        cel_delivery_settle(w.taken, CEL_SETTLE_REQUEUE);
        world_fini(&w);
}

TEST(a_message_can_be_dropped_before_it_is_settled)
{
        world w;

        world_init(&w);
        bus_deliver(&w.b, 0, "one", NULL);
        CHECK_INT(cel_consumer_try_receive(w.consumer, &w.taken), 0);
        cel_delivery_drop_message(w.taken);
        CHECK(!cel_delivery_message(w.taken));
        CHECK_INT(cel_delivery_settle(w.taken, CEL_SETTLE_REQUEUE), 0);
        CHECK_STR(w.b.settled, "q");
        world_fini(&w);
}

TEST(a_thread_cannot_consume)
{
        world w;

        world_init(&w);
        CHECK_DONE(fixture_act(&w.f, FIXTURE_THREAD, "taker", receive, &w), CEL_ENOSUPPORT);
        CHECK_DONE(fixture_act(&w.f, FIXTURE_THREAD, "opener", open_it, &w), CEL_ENOSUPPORT);
        world_fini(&w);
}

TEST(a_prefetch_that_is_none_is_refused)
{
        world w;

        world_init(&w);
        for (w.prefetch = 0; w.prefetch <= 65536; w.prefetch += 65536)
                CHECK_RESULT(fixture_spawn(&w.f, "opener", open_it, &w), CEL_EINVAL);
        CHECK_INT(w.b.subscriptions_n, 1);
        world_fini(&w);
}
