/* SPDX-License-Identifier: Apache-2.0
 *
 * Consumers: deliveries of one subscription, kept until a task takes them. */
#include "base/list.h"
#include "driver/driver.h"
#include "rt/ctx.h"

#include <celadon/consumer.h>
#include <celadon/sync.h>
#include <stdlib.h>

struct cel_consumer {
        const cel__driver *driver; /* borrowed */
        cel__loop *loop;           /* borrowed */
        void *subscription;        /* the driver's */
        unsigned prefetch;
        cel__list arrived; /* cel_delivery.node: owned; what nobody has taken, in its order */
        cel_event *news;   /* owned; set when `arrived` is not empty */
};

struct cel_delivery {
        cel__list node;            /* in consumer->arrived, until it is taken */
        const cel__driver *driver; /* borrowed */
        cel__delivery of_driver;
};

/* --- Deliveries ------------------------------------------------------------------------------- */

const cel_message *cel_delivery_message(const cel_delivery *delivery)
{
        return delivery->of_driver.message;
}

void cel_delivery_drop_message(cel_delivery *delivery)
{
        delivery->driver->drop_message(&delivery->of_driver);
}

bool cel_delivery_is_stale(const cel_delivery *delivery)
{
        return delivery->driver->is_stale(&delivery->of_driver);
}

int cel_delivery_settle(cel_delivery *delivery, cel_settlement how)
{
        static const cel__settlement settlements[] = {[CEL_SETTLE_ACK] = CEL__SETTLE_ACK,
                                                      [CEL_SETTLE_REQUEUE] = CEL__SETTLE_REQUEUE,
                                                      [CEL_SETTLE_REJECT] = CEL__SETTLE_REJECT};
        int r = delivery->driver->settle(&delivery->of_driver, settlements[how]);

        free(delivery);
        return r;
}

static cel_delivery *first(const cel_consumer *consumer)
{
        return cel__container(consumer->arrived.next, cel_delivery, node);
}

static void give_back_first(cel_consumer *consumer)
{
        cel_delivery *delivery = first(consumer);

        cel__list_remove(&delivery->node);
        cel_delivery_settle(delivery, CEL_SETTLE_REQUEUE);
}

/* What came on a connection that is gone comes again. It is in front: so there are never more than `prefetch` of others. */
static void forget_stale(cel_consumer *consumer)
{
        while (!cel__list_empty(&consumer->arrived) && cel_delivery_is_stale(first(consumer)))
                give_back_first(consumer);
}

static void on_delivery(void *arg, const cel__delivery *of_driver)
{
        cel_consumer *consumer = arg;
        cel_delivery *delivery = malloc(sizeof(*delivery));
        cel__delivery refused = *of_driver;

        if (!delivery) {
                consumer->driver->settle(&refused, CEL__SETTLE_REQUEUE);
                return;
        }
        *delivery = (cel_delivery){.driver = consumer->driver, .of_driver = *of_driver};
        forget_stale(consumer);
        cel__list_append(&consumer->arrived, &delivery->node);
        cel_event_set(consumer->news);
}

/* --- Consumers -------------------------------------------------------------------------------- */

static void consumer_free(cel_consumer *consumer)
{
        while (!cel__list_empty(&consumer->arrived))
                give_back_first(consumer);
        cel_event_free(consumer->news);
        free(consumer);
}

static int consumer_new(const cel_transport *transport, unsigned prefetch, cel_consumer **ret_consumer)
{
        const cel__driver_settings *settings = cel__transport_settings(transport);
        cel_consumer *consumer = calloc(1, sizeof(*consumer));

        if (!consumer)
                return CEL_ENOMEM;
        cel__list_init(&consumer->arrived);
        consumer->driver = cel__transport_driver(transport);
        consumer->loop = cel__transport_loop(transport);
        consumer->prefetch = settings->prefetch ? settings->prefetch : prefetch;
        int r = cel_event_new(&consumer->news);
        if (r < 0) {
                free(consumer);
                return r;
        }
        *ret_consumer = consumer;
        return 0;
}

static int check_loop(cel_ctx *ctx, const cel__loop *loop)
{
        return ctx->loop == loop ? 0
                                 : cel_fail(ctx, CEL_ENOSUPPORT,
                                            "declaring and consuming is for tasks of the transport's loop");
}

int cel_consumer_open(cel_ctx *ctx, cel_transport *transport, const cel_consumer_options *options,
                      cel_consumer **ret_consumer)
{
        enum { PREFETCH_MAX = 65535 };
        cel_consumer *consumer;
        int r = check_loop(ctx, cel__transport_loop(transport));

        if (r < 0)
                return r;
        if (options->prefetch < 1 || options->prefetch > PREFETCH_MAX)
                return cel_fail(ctx, CEL_EINVAL, "prefetch is %u, and must be 1 to %d", options->prefetch,
                                PREFETCH_MAX);
        r = consumer_new(transport, options->prefetch, &consumer);
        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        r = consumer->driver->subscribe(ctx, cel__transport_bus(transport),
                                        &(cel__subscription_options){.queues = options->queue,
                                                                     .queues_n = 1,
                                                                     .prefetch = options->prefetch,
                                                                     .on_delivery = on_delivery,
                                                                     .arg = consumer},
                                        &consumer->subscription);
        if (r < 0) {
                consumer_free(consumer);
                return r;
        }
        *ret_consumer = consumer;
        return 0;
}

unsigned cel_consumer_prefetch(const cel_consumer *consumer)
{
        return consumer->prefetch;
}

int cel_consumer_try_receive(cel_consumer *consumer, cel_delivery **ret_delivery)
{
        forget_stale(consumer);
        if (cel__list_empty(&consumer->arrived))
                return CEL_EAGAIN;
        cel_delivery *delivery = first(consumer);
        cel__list_remove(&delivery->node);
        *ret_delivery = delivery;
        return 0;
}

int cel_consumer_receive(cel_ctx *ctx, cel_consumer *consumer, cel_delivery **ret_delivery)
{
        int r = check_loop(ctx, consumer->loop);

        while (r >= 0 && (r = cel_consumer_try_receive(consumer, ret_delivery)) == CEL_EAGAIN) {
                cel_event_clear(consumer->news);
                r = cel_event_wait(ctx, consumer->news);
        }
        return r;
}

int cel_consumer_close(cel_ctx *ctx, cel_consumer *consumer)
{
        int r = consumer->driver->stop(ctx, consumer->subscription);

        while (!cel__list_empty(&consumer->arrived)) /* while they can be settled */
                give_back_first(consumer);
        consumer->driver->unsubscribe(consumer->subscription);
        consumer_free(consumer);
        return r;
}
