/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "test.h"

#include <celadon/channel.h>

typedef struct pipe_end {
        cel_channel *channel;
        int value;
        int result;
} pipe_end;

static int receive_one(cel_ctx *ctx, void *arg)
{
        pipe_end *end = arg;

        return end->result = cel_channel_receive(ctx, end->channel, &end->value);
}

static int send_one(cel_ctx *ctx, void *arg)
{
        pipe_end *end = arg;

        return end->result = cel_channel_send(ctx, end->channel, &end->value);
}

static int receive_within_50(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 50);
        return receive_one(ctx, arg);
}

static int send_within_50(cel_ctx *ctx, void *arg)
{
        CEL_WITHIN_MS(ctx, 50);
        return send_one(ctx, arg);
}

TEST_BOTH(a_wait_for_a_channel_ends_by_its_deadline_or_cancelled_and_moves_nothing)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;
        const cel_task_fn hasty[] = {receive_within_50, send_within_50}, patient[] = {receive_one, send_one};

        CHECK_INT(cel_channel_new(sizeof(int), 0, &channel), 0);
        for (int i = 0; i < 2; i++) {
                pipe_end one = {.channel = channel, .value = 7}, other = one;
                fixture_actor *late = fixture_act(&f, kind, "late", hasty[i], &one);
                fixture_actor *canceled = fixture_act(&f, kind, "canceled", patient[i], &other);

                fixture_advance_ms(&f, 49);
                CHECK_WAITS(late);
                fixture_advance_ms(&f, 1);
                CHECK_DONE(late, CEL_ETIMEDOUT);
                CHECK_WAITS(canceled);
                fixture_cancel(canceled);
                CHECK_DONE(canceled, CEL_ECANCELED);
                CHECK_INT(one.value, 7);
                CHECK_INT(cel_channel_try_receive(channel, &one.value), CEL_EAGAIN);
                CHECK_INT(cel_channel_try_send(channel, &one.value), CEL_EAGAIN);
        }
        fixture_free(&f);
}

TEST_BOTH(an_item_is_handed_to_the_receiver_that_waits_longest)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;

        CHECK_INT(cel_channel_new(sizeof(int), 4, &channel), 0);
        pipe_end first = {.channel = channel}, second = {.channel = channel};
        fixture_actor *one = fixture_act(&f, kind, "first", receive_one, &first);
        fixture_actor *two = fixture_act(&f, kind, "second", receive_one, &second);
        CHECK_INT(cel_channel_try_send(channel, &(int){7}), 0);
        fixture_settle(&f);
        CHECK_DONE(one, 0);
        CHECK_INT(first.value, 7);
        CHECK_WAITS(two);
        cel_channel_close(channel);
        fixture_settle(&f);
        CHECK_DONE(two, CEL_ECLOSED);
        fixture_free(&f);
}

TEST_BOTH(a_receiver_that_gave_up_takes_no_item_with_it)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;

        CHECK_INT(cel_channel_new(sizeof(int), 4, &channel), 0);
        pipe_end late = {.channel = channel}, patient = {.channel = channel};
        fixture_act(&f, kind, "gone", receive_within_50, &late);
        fixture_act(&f, kind, "stays", receive_one, &patient);
        cel_clock_advance_ms(f.clock, 50); /* the deadline has passed, but nobody has run since */
        CHECK_INT(cel_channel_try_send(channel, &(int){1}), 0);
        CHECK_INT(cel_channel_try_send(channel, &(int){2}), 0);
        fixture_settle(&f);
        CHECK(late.result == 0 ? late.value == 1 && patient.value == 2 : patient.value == 1);
        CHECK_INT(cel_channel_items(channel), late.result == 0 ? 0 : 1);
        fixture_free(&f);
}

TEST_BOTH(a_full_channel_makes_the_sender_wait_and_keeps_the_order)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;
        int value;

        CHECK_INT(cel_channel_new(sizeof(int), 1, &channel), 0);
        pipe_end one = {.channel = channel, .value = 1}, two = {.channel = channel, .value = 2};
        CHECK_DONE(fixture_act(&f, kind, "one", send_one, &one), 0);
        fixture_actor *waits = fixture_act(&f, kind, "two", send_one, &two);
        CHECK_WAITS(waits);
        CHECK_INT(cel_channel_try_send(channel, &(int){3}), CEL_EAGAIN);
        CHECK_INT(cel_channel_try_receive(channel, &value), 0);
        CHECK_INT(value, 1);
        fixture_settle(&f);
        CHECK_DONE(waits, 0);
        CHECK_INT(cel_channel_try_receive(channel, &value), 0);
        CHECK_INT(value, 2);
        CHECK_INT(cel_channel_try_receive(channel, &value), CEL_EAGAIN);
        fixture_free(&f);
}

TEST_BOTH(without_room_inside_a_sender_meets_its_receiver)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;

        CHECK_INT(cel_channel_new(sizeof(int), 0, &channel), 0);
        pipe_end from = {.channel = channel, .value = 9}, to = {.channel = channel};
        fixture_actor *sender = fixture_act(&f, kind, "sender", send_one, &from);
        CHECK_WAITS(sender);
        CHECK_DONE(fixture_act(&f, kind, "receiver", receive_one, &to), 0);
        CHECK_DONE(sender, 0);
        CHECK_INT(to.value, 9);
        fixture_free(&f);
}

TEST(a_closed_channel_gives_out_what_is_inside_and_then_says_closed)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;
        int value;

        CHECK_INT(cel_channel_new(sizeof(int), 2, &channel), 0);
        CHECK_INT(cel_channel_try_send(channel, &(int){5}), 0);
        cel_channel_close(channel);
        cel_channel_close(channel);
        CHECK_INT(cel_channel_try_send(channel, &(int){6}), CEL_ECLOSED);
        CHECK_INT(cel_channel_try_receive(channel, &value), 0);
        CHECK_INT(value, 5);
        CHECK_INT(cel_channel_try_receive(channel, &value), CEL_ECLOSED);
        fixture_free(&f);
}

/* --- Between a thread and a task -------------------------------------------------------------- */

enum { ITEMS = 2000 };

static int send_all(cel_ctx *ctx, void *arg)
{
        cel_channel *channel = arg;
        int r = 0;

        for (int i = 0; i < ITEMS && r >= 0; i++)
                r = cel_channel_send(ctx, channel, &i);
        cel_channel_close(channel);
        return r;
}

static int receive_all(cel_ctx *ctx, void *arg)
{
        int expected = 0, value, r;

        while ((r = cel_channel_receive(ctx, arg, &value)) >= 0)
                if (value != expected++)
                        return CEL_EPROTO;
        return r == CEL_ECLOSED && expected == ITEMS ? 0 : r;
}

TEST_BOTH(a_thread_and_a_task_exchange_items_in_order)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;

        CHECK_INT(cel_channel_new(sizeof(int), 8, &channel), 0);
        fixture_actor *receiver = fixture_act(&f, kind, "receiver", receive_all, channel);
        fixture_actor *sender = fixture_act(&f, fixture_other(kind), "sender", send_all, channel);
        CHECK_INT(fixture_actor_wait(&f, sender), 0);
        CHECK_INT(fixture_actor_wait(&f, receiver), 0);
        fixture_free(&f);
}
