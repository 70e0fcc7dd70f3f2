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

TEST(an_item_is_handed_to_the_receiver_that_waits_longest)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;

        CHECK_INT(cel_channel_new(sizeof(int), 4, &channel), 0);
        pipe_end first = {.channel = channel}, second = {.channel = channel};
        cel_task *one = fixture_spawn(&f, "first", receive_one, &first);
        cel_task *two = fixture_spawn(&f, "second", receive_one, &second);
        CHECK_INT(cel_channel_try_send(channel, &(int){7}), 0);
        fixture_settle(&f);
        CHECK_RESULT(one, 0);
        CHECK_INT(first.value, 7);
        CHECK_PENDING(two);
        cel_channel_close(channel);
        fixture_settle(&f);
        CHECK_RESULT(two, CEL_ECLOSED);
        fixture_free(&f);
}

TEST(a_receiver_that_gave_up_takes_no_item_with_it)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;

        CHECK_INT(cel_channel_new(sizeof(int), 4, &channel), 0);
        pipe_end late = {.channel = channel}, patient = {.channel = channel};
        cel_task *gone = fixture_spawn(&f, "gone", receive_within_50, &late);
        cel_task *stays = fixture_spawn(&f, "stays", receive_one, &patient);
        cel_clock_advance_ms(f.clock, 50); /* the deadline has passed, but nobody has run since */
        CHECK_INT(cel_channel_try_send(channel, &(int){1}), 0);
        CHECK_INT(cel_channel_try_send(channel, &(int){2}), 0);
        fixture_settle(&f);
        CHECK(late.result == 0 ? late.value == 1 && patient.value == 2 : patient.value == 1);
        CHECK_INT(cel_channel_items(channel), late.result == 0 ? 0 : 1);
        (void)gone;
        (void)stays;
        fixture_free(&f);
}

TEST(a_full_channel_makes_the_sender_wait_and_keeps_the_order)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;
        int value;

        CHECK_INT(cel_channel_new(sizeof(int), 1, &channel), 0);
        pipe_end one = {.channel = channel, .value = 1}, two = {.channel = channel, .value = 2};
        CHECK_RESULT(fixture_spawn(&f, "one", send_one, &one), 0);
        cel_task *waits = fixture_spawn(&f, "two", send_one, &two);
        CHECK_PENDING(waits);
        CHECK_INT(cel_channel_try_send(channel, &(int){3}), CEL_EAGAIN);
        CHECK_INT(cel_channel_try_receive(channel, &value), 0);
        CHECK_INT(value, 1);
        fixture_settle(&f);
        CHECK_RESULT(waits, 0);
        CHECK_INT(cel_channel_try_receive(channel, &value), 0);
        CHECK_INT(value, 2);
        CHECK_INT(cel_channel_try_receive(channel, &value), CEL_EAGAIN);
        fixture_free(&f);
}

TEST(without_room_inside_a_sender_meets_its_receiver)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;

        CHECK_INT(cel_channel_new(sizeof(int), 0, &channel), 0);
        pipe_end from = {.channel = channel, .value = 9}, to = {.channel = channel};
        cel_task *sender = fixture_spawn(&f, "sender", send_one, &from);
        CHECK_PENDING(sender);
        CHECK_RESULT(fixture_spawn(&f, "receiver", receive_one, &to), 0);
        CHECK_RESULT(sender, 0);
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

typedef struct stream_arg {
        cel_runtime *runtime;
        cel_channel *channel;
} stream_arg;

static void *thread_sends(void *arg)
{
        stream_arg *s = arg;
        cel_auto(cel_ctx) *ctx = NULL;

        if (cel_thread_ctx_new(s->runtime, "sender", &ctx) < 0)
                return NULL;
        for (int i = 0; i < ITEMS; i++)
                if (cel_channel_send(ctx, s->channel, &i) < 0)
                        break;
        cel_channel_close(s->channel);
        return NULL;
}

static int task_receives(cel_ctx *ctx, void *arg)
{
        stream_arg *s = arg;
        int expected = 0, value, r;

        while ((r = cel_channel_receive(ctx, s->channel, &value)) >= 0)
                if (value != expected++)
                        return CEL_EPROTO;
        return r == CEL_ECLOSED && expected == ITEMS ? 0 : r;
}

TEST(a_thread_and_a_task_exchange_items_in_order)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = NULL;
        pthread_t thread;

        CHECK_INT(cel_channel_new(sizeof(int), 8, &channel), 0);
        stream_arg s = {.runtime = f.runtime, .channel = channel};
        cel_task *task = fixture_spawn(&f, "receiver", task_receives, &s);
        CHECK_INT(pthread_create(&thread, NULL, thread_sends, &s), 0);
        fixture_wait(&f, task);
        CHECK_RESULT(task, 0);
        pthread_join(thread, NULL);
        fixture_free(&f);
}
