/* SPDX-License-Identifier: Apache-2.0
 *
 * Settling what came on a connection that is made of this file: what would be sent stays in its buffer. */
#include "amqp/connection.h"
#include "fixture.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { DELIVERIES_MAX = 8, FRAME_BYTES = 4096 };

typedef struct world {
        fixture f;
        cel__amqp amqp;
        cel__stream stream; /* connected, and never written to */
        cel__amqp_channel channel;
        cel__amqp_delivery came[DELIVERIES_MAX + 1]; /* by tag */
        uint64_t last_tag;
} world;

static void leave_it(cel__deferred *deferred)
{
        (void)deferred;
}

static void lose_it(cel__mail *mail)
{
        cel__amqp *amqp = cel__container(mail, cel__amqp, rouse);

        atomic_store(&amqp->rouse_sent, false);
        cel__amqp_unref(amqp);
}

static void on_delivery(void *arg, cel__amqp_delivery *delivery)
{
        world *w = arg;

        w->came[delivery->tag] = *delivery;
}

static void world_init(world *w)
{
        memset(w, 0, sizeof(*w));
        w->f = fixture_new();
        w->amqp.runtime = w->f.runtime;
        w->amqp.loop = cel__runtime_loop(w->f.runtime);
        w->amqp.refs = 1;
        w->amqp.state = CONN_OPEN;
        w->amqp.stream = &w->stream;
        w->amqp.body_bytes_max = 1024;
        cel__buf_init(&w->amqp.out, OUT_BYTES_MAX);
        cel__list_init(&w->amqp.publishers);
        cel__list_init(&w->amqp.acking);
        cel__list_init(&w->amqp.flush.node);
        w->amqp.flush.run = leave_it;
        w->amqp.rouse.deliver = lose_it;
        pthread_mutex_init(&w->amqp.mutex, NULL);
        w->channel.amqp = &w->amqp;
        w->channel.number = 1;
        w->channel.open = true;
        w->channel.incarnation = 1;
        w->channel.options = (cel__amqp_channel_options){.on_delivery = on_delivery, .arg = w};
        cel__list_init(&w->channel.chores);
        cel__list_init(&w->channel.acking);
}

static void world_fini(world *w)
{
        for (unsigned i = 1; i <= DELIVERIES_MAX; i++)
                cel__content_free(w->came[i].content);
        fixture_free(&w->f);
        cel__buf_fini(&w->amqp.out);
        pthread_mutex_destroy(&w->amqp.mutex);
}

/* The broker delivers a message without a body. */
static void deliver(world *w)
{
        amqp_basic_deliver_t method = {.delivery_tag = ++w->last_tag,
                                       .consumer_tag = amqp_cstring_bytes("1"),
                                       .exchange = amqp_cstring_bytes("x"),
                                       .routing_key = amqp_cstring_bytes("k")};
        size_t consumed;
        cel__frame frame;
        cel__buf buf;

        cel__buf_init(&buf, FRAME_BYTES);
        CHECK_INT(cel__frame_put_content(&buf, 1, &(cel_message){.exchange = "x"}, FRAME_BYTES), 0);
        CHECK_INT(cel__frame_parse(cel__buf_head(&buf), cel__buf_used(&buf), FRAME_BYTES, &frame, &consumed),
                  1);
        consume_on_deliver(&w->channel, &method);
        CHECK_INT(consume_on_content_frame(&w->channel, &frame), 0);
        CHECK_INT(w->came[w->last_tag].tag, w->last_tag);
        cel__buf_fini(&buf);
}

static int settle(world *w, uint64_t tag, cel__settlement how)
{
        return cel__amqp_settle(&w->came[tag], how);
}

/* What is sent when the turn ends, such as "ack 1, ack 3 and before". */
static const char *sent(world *w, char text[200])
{
        const char *comma = "";
        amqp_pool_t pool;

        init_amqp_pool(&pool, 1024);
        while (!cel__list_empty(&w->amqp.acking))
                CHECK_INT(consume_put_acks_locked(&w->channel), 0);
        text[0] = '\0';
        while (cel__buf_used(&w->amqp.out) > 0) {
                amqp_method_number_t id;
                size_t consumed, n = strlen(text);
                cel__frame frame;
                void *method;

                CHECK_INT(cel__frame_parse(cel__buf_head(&w->amqp.out), cel__buf_used(&w->amqp.out),
                                           FRAME_BYTES, &frame, &consumed),
                          1);
                CHECK_INT(cel__method_decode(&frame, &pool, &id, &method), 0);
                const amqp_basic_ack_t *ack = method;
                const amqp_basic_nack_t *nack = method;
                if (id == AMQP_BASIC_ACK_METHOD)
                        snprintf(text + n, 200 - n, "%sack %d%s", comma, (int)ack->delivery_tag,
                                 ack->multiple ? " and before" : "");
                else if (id == AMQP_BASIC_NACK_METHOD)
                        snprintf(text + n, 200 - n, "%snack %d", comma, (int)nack->delivery_tag);
                else
                        snprintf(text + n, 200 - n, "%s%s", comma, amqp_method_name(id));
                comma = ", ";
                cel__buf_consume(&w->amqp.out, consumed);
        }
        empty_amqp_pool(&pool);
        return text;
}

TEST(one_acknowledgement_is_sent_as_it_is_and_several_of_a_turn_as_one)
{
        char text[200];
        world w;

        world_init(&w);
        deliver(&w);
        settle(&w, 1, CEL__SETTLE_ACK);
        CHECK_STR(sent(&w, text), "ack 1");
        for (uint64_t tag = 2; tag <= 4; tag++) {
                deliver(&w);
                settle(&w, tag, CEL__SETTLE_ACK);
        }
        CHECK_STR(sent(&w, text), "ack 4 and before");
        CHECK_STR(sent(&w, text), "");
        world_fini(&w);
}

TEST(no_acknowledgement_speaks_for_a_delivery_that_is_not_settled)
{
        char text[200];
        world w;

        world_init(&w);
        for (int i = 0; i < 4; i++)
                deliver(&w);
        settle(&w, 1, CEL__SETTLE_ACK);
        settle(&w, 4, CEL__SETTLE_ACK);
        settle(&w, 3, CEL__SETTLE_ACK);
        CHECK_STR(sent(&w, text), "ack 1, ack 4, ack 3");
        settle(&w, 2, CEL__SETTLE_ACK);
        deliver(&w);
        settle(&w, 5, CEL__SETTLE_ACK);
        CHECK_STR(sent(&w, text), "ack 5 and before");
        world_fini(&w);
}

TEST(what_is_given_back_is_not_acknowledged)
{
        char text[200];
        world w;

        world_init(&w);
        for (uint64_t tag = 1; tag <= 3; tag++) {
                deliver(&w);
                settle(&w, tag, tag == 2 ? CEL__SETTLE_REQUEUE : CEL__SETTLE_ACK);
        }
        CHECK_STR(sent(&w, text), "ack 1, nack 2, ack 3");
        world_fini(&w);
}

TEST(a_channel_that_went_down_has_nothing_to_acknowledge)
{
        char text[200];
        world w;

        world_init(&w);
        deliver(&w);
        deliver(&w);
        settle(&w, 2, CEL__SETTLE_REQUEUE);
        settle(&w, 1, CEL__SETTLE_ACK);
        channel_down_locked(&w.channel, "gone");
        CHECK_STR(sent(&w, text), "nack 2");
        w.channel.open = true;
        w.channel.incarnation++;
        w.last_tag = 2;
        deliver(&w);
        CHECK_INT(settle(&w, 3, CEL__SETTLE_ACK), 0);
        CHECK_STR(sent(&w, text), "ack 3");
        world_fini(&w);
}
