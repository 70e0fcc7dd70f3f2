/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "rt/channel.h"
#include "test.h"

/* One call of cel_select(). */
typedef struct choice {
        cel_select_case cases[CEL_SELECT_MAX + 1];
        unsigned n;
        int64_t within_ms; /* 0: no deadline */
        int items[3];
} choice;

static int choose(cel_ctx *ctx, void *arg)
{
        choice *c = arg;
        CEL_WITHIN_MS(ctx, c->within_ms ? c->within_ms : INT64_MAX);

        return cel_select(ctx, c->cases, c->n);
}

typedef struct pipe_end {
        cel_channel *channel;
        int value;
} pipe_end;

static int receive_one(cel_ctx *ctx, void *arg)
{
        pipe_end *end = arg;

        return cel_channel_receive(ctx, end->channel, &end->value);
}

static int send_one(cel_ctx *ctx, void *arg)
{
        pipe_end *end = arg;

        return cel_channel_send(ctx, end->channel, &end->value);
}

static cel_channel *channel_of(size_t items_max)
{
        cel_channel *channel;

        CHECK_INT(cel_channel_new(sizeof(int), items_max, &channel), 0);
        return channel;
}

static void check_nobody_waits(cel_channel *channel)
{
        CHECK(cel__list_empty(&channel->senders));
        CHECK(cel__list_empty(&channel->receivers));
}

TEST_BOTH(of_several_that_can_go_ahead_the_lowest_does)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *empty = channel_of(1), *filled = channel_of(1), *other = channel_of(1);
        choice c = {.n = 3, .items = {-1, -1, 7}};

        c.cases[0] = (cel_select_case){.channel = empty, .ret_item = &c.items[0], .status = 99};
        c.cases[1] = (cel_select_case){.channel = filled, .ret_item = &c.items[1], .status = 99};
        c.cases[2] = (cel_select_case){.channel = other, .send_item = &c.items[2], .status = 99};
        CHECK_INT(cel_channel_try_send(filled, &(int){5}), 0);
        CHECK_DONE(fixture_act(&f, kind, "first", choose, &c), 1);
        CHECK_INT(c.items[1], 5);
        CHECK_INT(c.cases[1].status, 0);
        CHECK_INT(c.cases[0].status, 99);
        CHECK_INT(c.cases[2].status, 99);
        CHECK_INT(cel_channel_items(other), 0);
        CHECK_DONE(fixture_act(&f, kind, "second", choose, &c), 2);
        CHECK_INT(cel_channel_items(other), 1);
        CHECK_INT(c.items[0], -1);
        fixture_free(&f);
}

TEST_BOTH(a_select_that_waits_takes_the_first_item_that_comes_and_no_other)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *left = channel_of(0), *right = channel_of(1);
        choice c = {.n = 2, .items = {-1, -1}};

        c.cases[0] = (cel_select_case){.channel = left, .ret_item = &c.items[0]};
        c.cases[1] = (cel_select_case){.channel = right, .ret_item = &c.items[1]};
        fixture_actor *chooser = fixture_act(&f, kind, "chooser", choose, &c);
        CHECK_WAITS(chooser);
        CHECK_INT(cel_channel_try_send(right, &(int){3}), 0);
        fixture_settle(&f);
        CHECK_DONE(chooser, 1);
        CHECK_INT(c.items[1], 3);
        CHECK_INT(c.items[0], -1);
        check_nobody_waits(left);
        check_nobody_waits(right);
        CHECK_INT(cel_channel_try_send(left, &(int){4}), CEL_EAGAIN);
        fixture_free(&f);
}

TEST(before_a_select_that_was_picked_has_run_nobody_else_can_hand_it_anything)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *left = channel_of(0), *right = channel_of(1);
        choice c = {.n = 2, .items = {-1, -1}};

        c.cases[0] = (cel_select_case){.channel = left, .ret_item = &c.items[0]};
        c.cases[1] = (cel_select_case){.channel = right, .ret_item = &c.items[1]};
        fixture_actor *chooser = fixture_act(&f, FIXTURE_TASK, "chooser", choose, &c);
        CHECK_INT(cel_channel_try_send(right, &(int){1}), 0);
        CHECK_INT(cel_channel_try_send(right, &(int){2}), 0); /* goes into the ring */
        CHECK_INT(cel_channel_try_send(left, &(int){3}), CEL_EAGAIN);
        fixture_settle(&f);
        CHECK_DONE(chooser, 1);
        CHECK_INT(c.items[1], 1);
        CHECK_INT(c.items[0], -1);
        CHECK_INT(cel_channel_items(right), 1);
        fixture_free(&f);
}

TEST_BOTH(a_select_that_waits_sends_to_the_receiver_that_comes)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *left = channel_of(0), *right = channel_of(0);
        choice c = {.n = 2, .items = {1, 2}};
        pipe_end end = {.channel = right};

        c.cases[0] = (cel_select_case){.channel = left, .send_item = &c.items[0]};
        c.cases[1] = (cel_select_case){.channel = right, .send_item = &c.items[1]};
        fixture_actor *chooser = fixture_act(&f, kind, "chooser", choose, &c);
        CHECK_WAITS(chooser);
        CHECK_DONE(fixture_act(&f, fixture_other(kind), "receiver", receive_one, &end), 0);
        CHECK_INT(end.value, 2);
        CHECK_DONE(chooser, 1);
        check_nobody_waits(left);
        fixture_free(&f);
}

TEST_BOTH(a_select_that_waits_to_send_is_served_when_there_is_room)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *full = channel_of(1);
        choice c = {.n = 1, .items = {2}};
        int got;

        CHECK_INT(cel_channel_try_send(full, &(int){1}), 0);
        c.cases[0] = (cel_select_case){.channel = full, .send_item = &c.items[0]};
        fixture_actor *chooser = fixture_act(&f, kind, "chooser", choose, &c);
        CHECK_WAITS(chooser);
        CHECK_INT(cel_channel_try_receive(full, &got), 0);
        fixture_settle(&f);
        CHECK_DONE(chooser, 0);
        CHECK_INT(cel_channel_try_receive(full, &got), 0);
        CHECK_INT(got, 2);
        fixture_free(&f);
}

TEST_BOTH(two_selects_that_name_the_same_channels_in_opposite_order_meet)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *left = channel_of(0), *right = channel_of(0);
        choice sends = {.n = 2, .items = {1, 2}}, receives = {.n = 2, .items = {-1, -1}};

        sends.cases[0] = (cel_select_case){.channel = left, .send_item = &sends.items[0]};
        sends.cases[1] = (cel_select_case){.channel = right, .send_item = &sends.items[1]};
        receives.cases[0] = (cel_select_case){.channel = right, .ret_item = &receives.items[0]};
        receives.cases[1] = (cel_select_case){.channel = left, .ret_item = &receives.items[1]};
        fixture_actor *sender = fixture_act(&f, kind, "sender", choose, &sends);
        CHECK_WAITS(sender);
        CHECK_DONE(fixture_act(&f, fixture_other(kind), "receiver", choose, &receives), 0);
        CHECK_DONE(sender, 1);
        CHECK_INT(receives.items[0], 2);
        CHECK_INT(receives.items[1], -1);
        check_nobody_waits(left);
        check_nobody_waits(right);
        fixture_free(&f);
}

/* Both directions of one channel, for the next two. */
static choice both_ways(cel_channel *channel)
{
        choice c = {.n = 2};

        c.cases[0] = (cel_select_case){.channel = channel};
        c.cases[1] = (cel_select_case){.channel = channel};
        return c;
}

TEST_BOTH(a_select_that_sends_and_receives_on_one_channel_never_meets_itself)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = channel_of(0);
        choice c = both_ways(channel), d = both_ways(channel);
        pipe_end end = {.channel = channel, .value = -1};

        c.cases[0].send_item = d.cases[0].send_item = &(int){1};
        c.cases[1].ret_item = &c.items[1];
        d.cases[1].ret_item = &d.items[1];
        fixture_actor *chooser = fixture_act(&f, kind, "chooser", choose, &c);
        CHECK_WAITS(chooser);
        CHECK_DONE(fixture_act(&f, fixture_other(kind), "receiver", receive_one, &end), 0);
        CHECK_INT(end.value, 1);
        CHECK_DONE(chooser, 0);
        fixture_actor *again = fixture_act(&f, kind, "again", choose, &d);
        CHECK_WAITS(again);
        end.value = 4;
        CHECK_DONE(fixture_act(&f, fixture_other(kind), "sender", send_one, &end), 0);
        CHECK_DONE(again, 1);
        CHECK_INT(d.items[1], 4);
        check_nobody_waits(channel);
        fixture_free(&f);
}

TEST_BOTH(two_selects_that_both_send_and_receive_on_one_channel_meet_each_other)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = channel_of(0);
        choice c = both_ways(channel), d = both_ways(channel);

        c.cases[0].send_item = &(int){1};
        d.cases[0].send_item = &(int){2};
        c.cases[1].ret_item = &c.items[1];
        d.cases[1].ret_item = &d.items[1];
        fixture_actor *chooser = fixture_act(&f, kind, "chooser", choose, &c);
        CHECK_WAITS(chooser);
        CHECK_DONE(fixture_act(&f, fixture_other(kind), "other", choose, &d), 0);
        CHECK_DONE(chooser, 1);
        CHECK_INT(c.items[1], 2);
        check_nobody_waits(channel);
        fixture_free(&f);
}

TEST_BOTH(selects_and_plain_receivers_are_served_in_the_order_they_came)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = channel_of(0), *other = channel_of(0);
        choice c = {.n = 2};
        pipe_end first = {.channel = channel}, third = {.channel = channel};

        c.cases[0] = (cel_select_case){.channel = other, .ret_item = &c.items[0]};
        c.cases[1] = (cel_select_case){.channel = channel, .ret_item = &c.items[1]};
        fixture_actor *one = fixture_act(&f, kind, "one", receive_one, &first);
        fixture_actor *two = fixture_act(&f, fixture_other(kind), "two", choose, &c);
        fixture_actor *three = fixture_act(&f, kind, "three", receive_one, &third);
        for (int i = 1; i <= 3; i++)
                CHECK_INT(cel_channel_try_send(channel, &i), 0);
        fixture_settle(&f);
        CHECK_DONE(one, 0);
        CHECK_DONE(two, 1);
        CHECK_DONE(three, 0);
        CHECK_INT(first.value, 1);
        CHECK_INT(c.items[1], 2);
        CHECK_INT(third.value, 3);
        fixture_free(&f);
}

/* --- Closing ---------------------------------------------------------------------------------- */

TEST_BOTH(closing_a_channel_is_what_happens_and_the_status_says_so)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *left = channel_of(1), *right = channel_of(0);
        choice c = {.n = 2, .items = {-1, 2}};

        c.cases[0] = (cel_select_case){.channel = left, .ret_item = &c.items[0]};
        c.cases[1] = (cel_select_case){.channel = right, .send_item = &c.items[1]};
        fixture_actor *chooser = fixture_act(&f, kind, "chooser", choose, &c);
        CHECK_WAITS(chooser);
        cel_channel_close(right);
        fixture_settle(&f);
        CHECK_DONE(chooser, 1);
        CHECK_INT(c.cases[1].status, CEL_ECLOSED);
        CHECK_DONE(fixture_act(&f, kind, "at once", choose, &c), 1);

        c.cases[1].channel = NULL; /* over: only the other is left */
        fixture_actor *rest = fixture_act(&f, kind, "rest", choose, &c);
        CHECK_WAITS(rest);
        cel_channel_close(left);
        fixture_settle(&f);
        CHECK_DONE(rest, 0);
        CHECK_INT(c.cases[0].status, CEL_ECLOSED);
        CHECK_INT(c.items[0], -1);

        c.cases[0].channel = NULL;
        CHECK_DONE(fixture_act(&f, kind, "none left", choose, &c), CEL_EINVAL);
        fixture_free(&f);
}

TEST_BOTH(what_is_inside_a_closed_channel_is_still_received)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = channel_of(1);
        choice c = {.n = 1};

        c.cases[0] = (cel_select_case){.channel = channel, .ret_item = &c.items[0], .status = 99};
        CHECK_INT(cel_channel_try_send(channel, &(int){6}), 0);
        cel_channel_close(channel);
        CHECK_DONE(fixture_act(&f, kind, "inside", choose, &c), 0);
        CHECK_INT(c.cases[0].status, 0);
        CHECK_INT(c.items[0], 6);
        CHECK_DONE(fixture_act(&f, kind, "empty", choose, &c), 0);
        CHECK_INT(c.cases[0].status, CEL_ECLOSED);
        fixture_free(&f);
}

/* --- Giving up -------------------------------------------------------------------------------- */

TEST_BOTH(a_select_ends_by_its_deadline_or_cancelled_and_takes_nothing_along)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *left = channel_of(1), *right = channel_of(0);
        choice hasty = {.n = 2, .within_ms = 50}, patient;

        hasty.cases[0] = (cel_select_case){.channel = left, .ret_item = &hasty.items[0]};
        hasty.cases[1] = (cel_select_case){.channel = right, .send_item = &hasty.items[1]};
        patient = hasty;
        patient.within_ms = 0;
        fixture_actor *first = fixture_act(&f, kind, "hasty", choose, &hasty);
        fixture_actor *second = fixture_act(&f, kind, "patient", choose, &patient);
        fixture_advance_ms(&f, 49);
        CHECK_WAITS(first);
        fixture_advance_ms(&f, 1);
        CHECK_DONE(first, CEL_ETIMEDOUT);
        CHECK_WAITS(second);
        fixture_cancel(second);
        CHECK_DONE(second, CEL_ECANCELED);
        check_nobody_waits(left);
        check_nobody_waits(right);
        CHECK_INT(cel_channel_try_send(left, &(int){1}), 0);
        CHECK_INT(cel_channel_items(left), 1);
        fixture_free(&f);
}

TEST(an_item_that_comes_before_a_passed_deadline_was_noticed_is_received)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *left = channel_of(1), *right = channel_of(1);
        choice c = {.n = 2, .within_ms = 50};

        c.cases[0] = (cel_select_case){.channel = left, .ret_item = &c.items[0]};
        c.cases[1] = (cel_select_case){.channel = right, .ret_item = &c.items[1]};
        fixture_actor *chooser = fixture_act(&f, FIXTURE_TASK, "chooser", choose, &c);
        cel_clock_advance_ms(f.clock, 50); /* nobody has run since */
        CHECK_INT(cel_channel_try_send(right, &(int){8}), 0);
        fixture_settle(&f);
        CHECK_DONE(chooser, 1);
        CHECK_INT(c.items[1], 8);
        fixture_free(&f);
}

static int cancel_then_choose(cel_ctx *ctx, void *arg)
{
        cel_ctx_cancel(ctx);
        return choose(ctx, arg);
}

TEST_BOTH(a_cancelled_ctx_selects_nothing_though_something_could_go_ahead)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = channel_of(1);
        choice c = {.n = 1};

        c.cases[0] = (cel_select_case){.channel = channel, .send_item = &c.items[0]};
        CHECK_DONE(fixture_act(&f, kind, "chooser", cancel_then_choose, &c), CEL_ECANCELED);
        CHECK_INT(cel_channel_items(channel), 0);
        fixture_free(&f);
}

/* --- Limits and mistakes ---------------------------------------------------------------------- */

TEST_BOTH(a_select_refuses_no_case_too_many_and_one_that_does_nothing)
{
        fixture f = fixture_new();
        cel_auto(cel_channel) *channel = channel_of(1);
        choice c = {.n = 0};

        CHECK_DONE(fixture_act(&f, kind, "none", choose, &c), CEL_EINVAL);
        for (unsigned i = 0; i <= CEL_SELECT_MAX; i++)
                c.cases[i] = (cel_select_case){.channel = channel, .ret_item = &c.items[0]};
        c.n = CEL_SELECT_MAX + 1;
        fixture_actor *many = fixture_act(&f, kind, "many", choose, &c);
        CHECK_DONE(many, CEL_EINVAL);
        CHECK_STR(fixture_actor_text(many), "cel_select() takes 1 to 32 cases, and there are too many cases");
        c.n = 2;
        c.cases[1].ret_item = NULL;
        CHECK_DONE(fixture_act(&f, kind, "neither", choose, &c), CEL_EINVAL);
        c.cases[1].ret_item = c.cases[0].ret_item;
        c.cases[1].send_item = &c.items[1];
        CHECK_DONE(fixture_act(&f, kind, "both", choose, &c), CEL_EINVAL);
        fixture_free(&f);
}

TEST_BOTH(a_select_takes_as_many_channels_as_it_says)
{
        fixture f = fixture_new();
        cel_channel *channels[CEL_SELECT_MAX];
        choice c = {.n = CEL_SELECT_MAX};

        for (unsigned i = 0; i < c.n; i++) {
                channels[i] = channel_of(i % 2);
                c.cases[c.n - 1 - i] = (cel_select_case){.channel = channels[i], .ret_item = &c.items[0]};
        }
        fixture_actor *chooser = fixture_act(&f, kind, "chooser", choose, &c);
        CHECK_WAITS(chooser);
        CHECK_INT(cel_channel_try_send(channels[4], &(int){4}), 0);
        fixture_settle(&f);
        CHECK_DONE(chooser, CEL_SELECT_MAX - 1 - 4);
        CHECK_INT(c.items[0], 4);
        for (unsigned i = 0; i < c.n; i++) {
                check_nobody_waits(channels[i]);
                cel_channel_unref(channels[i]);
        }
        fixture_free(&f);
}

TEST(try_select_does_what_can_be_done_and_never_waits)
{
        cel_auto(cel_channel) *left = channel_of(0), *right = channel_of(1);
        int got = -1;
        cel_select_case cases[] = {{.channel = left, .send_item = &(int){1}},
                                   {.channel = right, .ret_item = &got}};

        CHECK_INT(cel_try_select(cases, 0), CEL_EINVAL);
        CHECK_INT(cel_try_select(cases, 2), CEL_EAGAIN);
        CHECK_INT(cel_channel_try_send(right, &(int){9}), 0);
        CHECK_INT(cel_try_select(cases, 2), 1);
        CHECK_INT(got, 9);
        CHECK_INT(cases[1].status, 0);
        cel_channel_close(left);
        CHECK_INT(cel_try_select(cases, 2), 0);
        CHECK_INT(cases[0].status, CEL_ECLOSED);
        check_nobody_waits(left);
        check_nobody_waits(right);
}
