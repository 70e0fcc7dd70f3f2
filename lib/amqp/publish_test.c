/* SPDX-License-Identifier: Apache-2.0
 *
 * Publishing on a connection that is made of this file: what is sent stays in its buffer, and the test says what the broker
 * answers. */
#include "amqp/connection.h"
#include "fixture.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

typedef struct world {
        fixture f;
        cel__amqp amqp;
        cel__amqp_channel channel;
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

static void world_init(world *w)
{
        memset(w, 0, sizeof(*w));
        w->f = fixture_new();
        w->amqp.runtime = w->f.runtime;
        w->amqp.loop = cel__runtime_loop(w->f.runtime);
        w->amqp.refs = 1;
        w->amqp.state = CONN_OPEN;
        w->amqp.frame_bytes_max = 128 * 1024;
        cel__buf_init(&w->amqp.out, OUT_BYTES_MAX);
        cel__list_init(&w->amqp.publishers);
        cel__list_init(&w->amqp.acking);
        cel__list_init(&w->amqp.flush.node);
        w->amqp.flush.run = leave_it;
        w->amqp.rouse.deliver = lose_it;
        pthread_mutex_init(&w->amqp.mutex, NULL);
        w->channel.amqp = &w->amqp;
        w->channel.number = 1;
        cel__list_init(&w->channel.acking);
        w->channel.open = true;
        w->channel.tag_next = w->channel.tag_oldest = 1;
        w->channel.confirms = calloc(CONFIRMS_MAX, sizeof(*w->channel.confirms));
        CHECK(w->channel.confirms);
}

static void world_fini(world *w)
{
        fixture_free(&w->f);
        cel__buf_fini(&w->amqp.out);
        pthread_mutex_destroy(&w->amqp.mutex);
        free(w->channel.confirms);
}

typedef struct letter {
        world *w;
        cel_message message;
        int64_t within_ms;
} letter;

static int publish(cel_ctx *ctx, void *arg)
{
        letter *l = arg;
        CEL_WITHIN_MS(ctx, l->within_ms);

        return cel__amqp_publish(ctx, &l->w->channel, &l->message, CEL_PUBLISH_MANDATORY);
}

static letter letter_to(world *w, const char *exchange)
{
        return (letter){
                .w = w,
                .message = {.exchange = exchange, .routing_key = "k", .body = "text", .body_bytes = 4},
                .within_ms = 1000};
}

static void confirm_tag(world *w, uint64_t tag)
{
        pthread_mutex_lock(&w->amqp.mutex);
        publish_on_ack_locked(&w->channel, tag, false, 0);
        pthread_mutex_unlock(&w->amqp.mutex);
        fixture_settle(&w->f);
}

static void fail_all(world *w, int code, const char *text)
{
        pthread_mutex_lock(&w->amqp.mutex);
        publish_fail_all_locked(&w->channel, code, text);
        pthread_mutex_unlock(&w->amqp.mutex);
        fixture_settle(&w->f);
}

/* --- Returns ---------------------------------------------------------------------------------- */

TEST_BOTH(the_return_of_a_message_whose_sender_has_left_is_not_that_of_a_later_one)
{
        world w;

        world_init(&w);
        letter hasty = letter_to(&w, "e"), patient = letter_to(&w, "e");
        hasty.within_ms = 10;
        fixture_actor *first = fixture_act(&w.f, kind, "first", publish, &hasty);
        fixture_advance_ms(&w.f, 10);
        CHECK_DONE(first, CEL_ETIMEDOUT);
        fixture_actor *second = fixture_act(&w.f, kind, "second", publish, &patient);
        publish_on_return(&w.channel, &patient.message);
        confirm_tag(&w, 1);
        confirm_tag(&w, 2);
        CHECK_DONE(second, 0);
        world_fini(&w);
}

TEST_BOTH(of_equal_messages_the_first_is_the_one_that_was_returned)
{
        world w;

        world_init(&w);
        letter one = letter_to(&w, "e"), two = letter_to(&w, "e");
        fixture_actor *first = fixture_act(&w.f, kind, "first", publish, &one);
        fixture_actor *second = fixture_act(&w.f, kind, "second", publish, &two);
        publish_on_return(&w.channel, &one.message);
        confirm_tag(&w, 2);
        confirm_tag(&w, 1);
        CHECK_DONE(first, CEL_EUNROUTABLE);
        CHECK_DONE(second, 0);
        world_fini(&w);
}

/* --- Refusals --------------------------------------------------------------------------------- */

TEST_BOTH(the_only_open_publish_is_the_one_that_was_refused)
{
        world w;

        world_init(&w);
        letter one = letter_to(&w, "e"), two = letter_to(&w, "e");
        fixture_actor *first = fixture_act(&w.f, kind, "first", publish, &one);
        fixture_actor *second = fixture_act(&w.f, kind, "second", publish, &two);
        confirm_tag(&w, 1);
        fail_all(&w, CEL_ECONFLICT, "invalid expiration");
        CHECK_DONE(first, 0);
        CHECK_DONE(second, CEL_ECONFLICT);
        CHECK_STR(fixture_actor_text(second), "invalid expiration");
        world_fini(&w);
}

TEST_BOTH(of_several_the_one_whose_exchange_is_named_was_refused)
{
        world w;

        world_init(&w);
        letter one = letter_to(&w, "e"), two = letter_to(&w, NULL);
        fixture_actor *first = fixture_act(&w.f, kind, "first", publish, &one);
        fixture_actor *second = fixture_act(&w.f, kind, "second", publish, &two);
        fail_all(&w, CEL_EACCESS, "access to exchange 'amq.default' refused");
        CHECK_DONE(first, CEL_EUNKNOWN);
        CHECK(strstr(fixture_actor_text(first), "access to exchange 'amq.default' refused"));
        CHECK_DONE(second, CEL_EACCESS);
        world_fini(&w);
}

TEST_BOTH(when_the_connection_breaks_nobody_was_refused)
{
        world w;

        world_init(&w);
        letter one = letter_to(&w, "e");
        fixture_actor *first = fixture_act(&w.f, kind, "first", publish, &one);
        fail_all(&w, CEL_EUNKNOWN, "h port 1: the broker ended the connection");
        CHECK_DONE(first, CEL_EUNKNOWN);
        CHECK(strstr(fixture_actor_text(first), ": h port 1: the broker ended the connection"));
        world_fini(&w);
}

TEST_BOTH(what_amqp_has_no_room_for_is_not_sent_and_says_so)
{
        char name[300];
        world w;

        world_init(&w);
        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        letter one = letter_to(&w, name);
        fixture_actor *first = fixture_act(&w.f, kind, "first", publish, &one);
        CHECK_DONE(first, CEL_EINVAL);
        CHECK(strstr(fixture_actor_text(first), "255 bytes"));
        CHECK_INT(w.channel.tag_next, 1);
        world_fini(&w);
}
