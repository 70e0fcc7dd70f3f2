/* SPDX-License-Identifier: Apache-2.0 */
#include "bus.h"
#include "test.h"
#include "wire/envelope.h"

#include <stdio.h>
#include <string.h>

static int wait_up(cel_ctx *ctx, const bus *b)
{
        return b->up ? cel_await(ctx, b->up, NULL) : 0;
}

static int bus_await_up(cel_ctx *ctx, void *arg, unsigned *attempts)
{
        bus *b = arg;

        while (b->connects_failing > 0) {
                b->connects_failing--;
                if (attempts && --*attempts == 0)
                        return cel_fail(ctx, CEL_ECONNECT, "as the test wants it");
        }
        return 0;
}

static bool bus_is_settling(void *arg)
{
        return ((bus *)arg)->settling;
}

static int bus_declare(cel_ctx *ctx, void *arg, const cel_queue *queue)
{
        bus *b = arg;

        snprintf(b->declared[b->declared_n++], sizeof(b->declared[0]), "%s%s%s%s", queue->exchange,
                 queue->name ? " " : "", queue->name ? queue->name : "", queue->fanout ? " (fanout)" : "");
        return wait_up(ctx, b);
}

static int bus_publish(cel_ctx *ctx, void *arg, const cel_message *message, unsigned flags)
{
        bus *b = arg;
        unsigned n = b->published_n++;
        bus_published *p = &b->published[n];

        CHECK(n < BUS_MESSAGES_MAX && message->body_bytes < sizeof(p->body));
        CHECK_STR(message->content_type, "application/json");
        CHECK_INT(message->delivery_mode, 2);
        snprintf(p->exchange, sizeof(p->exchange), "%s", message->exchange);
        snprintf(p->routing_key, sizeof(p->routing_key), "%s",
                 message->routing_key ? message->routing_key : "");
        snprintf(p->expiration, sizeof(p->expiration), "%s", message->expiration ? message->expiration : "");
        memcpy(p->body, message->body, message->body_bytes);
        p->mandatory = flags & CEL_PUBLISH_MANDATORY;
        int r = b->confirms ? cel_await(ctx, b->confirms, NULL) : 0;
        if (r < 0)
                return r;
        return b->outcomes[n] < 0 ? cel_fail(ctx, b->outcomes[n], "as the test wants it") : 0;
}

static int bus_subscribe(cel_ctx *ctx, void *arg, const cel__subscription_options *options,
                         void **ret_subscription)
{
        bus *b = arg;
        bus_subscription *s = &b->subscriptions[b->subscriptions_n++];

        CHECK(b->subscriptions_n <= BUS_SUBSCRIPTIONS_MAX && options->queues_n <= BUS_QUEUES_MAX);
        s->bus = b;
        s->options = *options;
        for (unsigned i = 0; i < options->queues_n; i++)
                snprintf(s->queues[i], sizeof(s->queues[i]), "%s", options->queues[i].name);
        int r = wait_up(ctx, b);
        if (r >= 0)
                *ret_subscription = s;
        return r;
}

static int bus_stop(cel_ctx *ctx, void *subscription)
{
        bus_subscription *s = subscription;

        s->stops++;
        int r = s->bus->agrees ? cel_await(ctx, s->bus->agrees, NULL) : 0;
        if (r >= 0)
                s->stopped = true;
        return r;
}

static void bus_delete_queue(void *subscription, const char *queue)
{
        bus *b = ((bus_subscription *)subscription)->bus;

        snprintf(b->deleted, sizeof(b->deleted), "%s", queue);
}

static void bus_unsubscribe(void *subscription)
{
        ((bus_subscription *)subscription)->gone = true;
}

static bool bus_is_stale(const cel__delivery *delivery)
{
        return delivery->ticket.incarnation != ((bus *)delivery->ticket.channel)->incarnation;
}

static int bus_settle(cel__delivery *delivery, cel__settlement how)
{
        bus *b = delivery->ticket.channel;

        CHECK(b->settled[delivery->ticket.tag] == '-');
        bool stale = bus_is_stale(delivery);
        b->settled[delivery->ticket.tag] = stale ? '/' : "aqr"[how];
        return stale ? CEL_ECLOSED : 0;
}

static void bus_drop_message(cel__delivery *delivery)
{
        delivery->message = NULL;
}

static void bus_free(void *arg)
{
        ((bus *)arg)->closed = true;
}

static void bus_close(cel_ctx *ctx, void *arg)
{
        (void)ctx;
        bus_free(arg);
}

static const cel__driver bus_driver = {.scheme = "test",
                                       .await_up = bus_await_up,
                                       .is_settling = bus_is_settling,
                                       .close = bus_close,
                                       .free = bus_free,
                                       .declare = bus_declare,
                                       .publish = bus_publish,
                                       .subscribe = bus_subscribe,
                                       .stop = bus_stop,
                                       .delete_queue = bus_delete_queue,
                                       .unsubscribe = bus_unsubscribe,
                                       .is_stale = bus_is_stale,
                                       .drop_message = bus_drop_message,
                                       .settle = bus_settle};

void bus_init(bus *b, fixture *f)
{
        memset(b, 0, sizeof(*b));
        b->f = f;
        CHECK_INT(cel__transport_new(&bus_driver, b, cel__runtime_loop(f->runtime), &b->transport), 0);
}

void bus_fini(bus *b)
{
        cel_transport_free(b->transport);
        fixture_settle(b->f);
        CHECK(b->closed);
        cel_future_unref(b->up);
        cel_future_unref(b->confirms);
        cel_future_unref(b->agrees);
}

unsigned bus_deliver(bus *b, unsigned subscription, const char *body, const char *expiration)
{
        unsigned n = b->messages_n++;
        const bus_subscription *s = &b->subscriptions[subscription];

        CHECK(n < BUS_MESSAGES_MAX && subscription < b->subscriptions_n && !s->gone);
        CHECK(snprintf(b->bodies[n], sizeof(b->bodies[n]), "%s", body) < (int)sizeof(b->bodies[n]));
        b->messages[n] = (cel_message){.body = b->bodies[n],
                                       .body_bytes = strlen(b->bodies[n]),
                                       .expiration = expiration,
                                       .redelivered = b->redelivers};
        b->settled[n] = '-';
        s->options.on_delivery(
                s->options.arg,
                &(cel__delivery){.message = &b->messages[n],
                                 .queue = s->queues[0],
                                 .ticket = {.channel = b, .tag = n, .incarnation = b->incarnation}});
        fixture_settle(b->f);
        return n;
}

const bus_published *bus_last(const bus *b)
{
        CHECK(b->published_n > 0);
        return &b->published[b->published_n - 1];
}

void bus_get(const bus_published *p, const char *key, char *text, size_t text_bytes)
{
        cel__envelope envelope;
        char why[256];

        CHECK_INT(cel__envelope_open(p->body, strlen(p->body), &envelope, why, sizeof(why)), 0);
        const char *value = json_string_value(json_object_get(envelope.message, key));
        snprintf(text, text_bytes, "%s", value ? value : "");
        cel__envelope_fini(&envelope);
}
