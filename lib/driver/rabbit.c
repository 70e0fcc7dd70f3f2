/* SPDX-License-Identifier: Apache-2.0
 *
 * RabbitMQ. Two connections: one publishes, one declares and consumes, so that a broker which stops taking
 * messages (a memory alarm blocks connections that publish) still delivers and still hears our
 * acknowledgements. */
#include "amqp/amqp.h"
#include "base/assert.h"
#include "base/uuid.h"
#include "driver/queue_manager.h"
#include "driver/settings.h"
#include "rt/ctx.h"

#include <celadon/log.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BODY_BYTES_MAX = 128 * 1024 * 1024 }; /* RabbitMQ's own limit by default */

typedef struct rabbit {
        unsigned refs;      /* the transport's and each subscription's; on the loop only */
        unsigned listening; /* subscriptions that are open */
        bool closed;
        cel__loop *loop;              /* borrowed */
        cel__amqp *publishing;        /* owned */
        cel__amqp *consuming;         /* owned; NULL until a queue is declared or consumed */
        cel__amqp_channel *publishes; /* borrowed, of `publishing` */
        cel__amqp_channel
                *declares; /* borrowed, of `consuming`: the broker may stop reading from the other one */
        /* Borrowed, of `publishing`; NULL until an exchange is declared while there is no other connection. */
        cel__amqp_channel *declares_exchanges;
        cel__url *url; /* owned */
        rabbit_options options;
        cel__driver_settings settings;
        queue_manager names;
} rabbit;

typedef struct subscription {
        rabbit *bus;     /* owned reference */
        cel__amqp *amqp; /* owned reference; of the channel's connection */
        bool open;
        void (*on_delivery)(void *arg, const cel__delivery *delivery);
        void *arg; /* borrowed */
        unsigned channels_n;
        cel__amqp_channel *channels
                []; /* borrowed; one for each queue, so that what the broker refuses to one costs the others
                                          nothing; or a single one, if that is to be spared */
} subscription;

/* --- Opening ---------------------------------------------------------------------------------- */

static int rabbit_check(const cel__url *url, char *why, size_t why_bytes)
{
        rabbit_options options;

        return rabbit_options_read(url, &options, why, why_bytes);
}

static const cel__driver_settings *rabbit_settings(void *bus)
{
        return &((rabbit *)bus)->settings;
}

static cel__amqp_retry retry_of(const rabbit *bus)
{
        const rabbit_options *o = &bus->options;

        return (cel__amqp_retry){
                .scheduled = rabbit_options_schedule(bus->url),
                .delay_ms = o->kombu_reconnect_delay_ms,
                .interval_ms = o->rabbit_retry_interval_s * 1000,
                .interval_step_ms = o->rabbit_retry_backoff_s * 1000,
                .interval_ms_max = (o->rabbit_interval_max_s + o->rabbit_retry_interval_s) * 1000,
                .splay_ms = o->kombu_reconnect_splay_ms,
                .shuffle = o->kombu_failover_strategy == RABBIT_FAILOVER_SHUFFLE,
        };
}

/* One of the two connections, named after the program, as `rabbitmqctl list_connections` shows it. */
static int open_connection(cel_ctx *ctx, const rabbit *bus, const char *purpose, cel__amqp **ret_amqp)
{
        static const cel__amqp_login logins[] = {[RABBIT_LOGIN_AMQPLAIN] = CEL__AMQP_AMQPLAIN,
                                                 [RABBIT_LOGIN_PLAIN] = CEL__AMQP_PLAIN,
                                                 [RABBIT_LOGIN_EXTERNAL] = CEL__AMQP_EXTERNAL};
        const rabbit_options *o = &bus->options;
        char name[128];
        cel__amqp_options options = {.url = cel__url_ref(bus->url),
                                     .name = name,
                                     .login = logins[o->rabbit_login_method],
                                     .tls = o->ssl,
                                     .ca_file = o->ssl_ca_file,
                                     .cert_file = o->ssl_cert_file,
                                     .key_file = o->ssl_key_file,
                                     .heartbeat_s = (unsigned)o->heartbeat_timeout_threshold_s,
                                     .retry = retry_of(bus),
                                     .body_bytes_max = BODY_BYTES_MAX};

        snprintf(name, sizeof(name), "%.64s:%d:%s", program_invocation_short_name, (int)getpid(), purpose);
        return cel__amqp_open(ctx, &options, ret_amqp);
}

static void rabbit_unref(rabbit *r)
{
        if (--r->refs > 0)
                return;
        settings_fini(&r->settings);
        cel__url_free(r->url);
        queue_manager_fini(&r->names);
        free(r);
}

/* A transport ends after what uses it, and where it began. */
static void check_end(const rabbit *r)
{
        if (!cel__loop_is_here(r->loop))
                cel__misuse("a transport is closed and freed on the loop that it was opened on");
        if (r->listening > 0)
                cel__misuse("a transport was closed or freed while a listener on it was open: close the "
                            "listener first");
}

static void rabbit_free(void *bus)
{
        rabbit *r = bus;

        check_end(r);
        r->closed = true;
        cel__amqp_free(r->publishing);
        cel__amqp_free(r->consuming);
        r->consuming = r->publishing = NULL;
        rabbit_unref(r);
}

/* What is said for nothing is told, once. */
static void tell_unused(const cel__url *url)
{
        const char *name, *why;
        size_t at = 0;

        while ((name = rabbit_options_unused(url, &at, &why)))
                cel_info(NULL, "TRANSPORT-OPTION-UNUSED", "option %s changes nothing here: %s", name, why);
}

static int read_options(cel_ctx *ctx, rabbit *bus)
{
        char why[512];
        int r = rabbit_options_read(bus->url, &bus->options, why, sizeof(why));

        if (r < 0)
                return cel_fail(ctx, r, "transport URL: %s", why);
        r = settings_make(&bus->options, &bus->settings);
        if (r < 0)
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        queue_manager_init(&bus->names, bus->options.hostname, bus->options.processname);
        tell_unused(bus->url);
        return 0;
}

static int rabbit_open(cel_ctx *ctx, cel__url *url, void **ret_bus)
{
        rabbit *bus = calloc(1, sizeof(*bus));

        if (!bus)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        bus->refs = 1;
        bus->loop = ctx->loop;
        bus->url = cel__url_ref(url);
        int r = read_options(ctx, bus);
        if (r >= 0)
                r = open_connection(ctx, bus, "publish", &bus->publishing);
        if (r >= 0)
                r = cel__amqp_channel_open(ctx, bus->publishing,
                                           &(cel__amqp_channel_options){.confirms = true}, &bus->publishes);
        if (r < 0) {
                rabbit_free(bus);
                return r;
        }
        *ret_bus = bus;
        return 0;
}

static int rabbit_ready(cel_ctx *ctx, void *bus)
{
        return cel__amqp_ready(ctx, ((rabbit *)bus)->publishing);
}

static int rabbit_await_up(cel_ctx *ctx, void *bus, unsigned *attempts)
{
        return cel__amqp_await_up(ctx, ((rabbit *)bus)->publishing, attempts);
}

static bool rabbit_is_settling(void *bus)
{
        return cel__amqp_is_settling(((rabbit *)bus)->publishing);
}

static void rabbit_close(cel_ctx *ctx, void *bus)
{
        enum { GOODBYE_MS = 2000 };
        rabbit *r = bus;
        CEL_WITHIN_MS(ctx, GOODBYE_MS); /* for both */

        check_end(r);
        r->closed = true;
        if (r->consuming)
                cel__amqp_close(ctx, r->consuming);
        cel__amqp_close(ctx, r->publishing);
        r->consuming = r->publishing = NULL;
        rabbit_free(r);
}

/* The connection that consumes, and declares, exists from the first time it is needed. */
static int want_consuming(cel_ctx *ctx, rabbit *bus)
{
        if (ctx->loop != bus->loop)
                return cel_fail(ctx, CEL_ENOSUPPORT,
                                "declaring and consuming is for tasks of the transport's loop");
        int r = bus->consuming ? 0 : open_connection(ctx, bus, "consume", &bus->consuming);
        if (r >= 0 && !bus->declares)
                r = cel__amqp_channel_open(ctx, bus->consuming, &(cel__amqp_channel_options){0},
                                           &bus->declares);
        return r;
}

/* Whoever only publishes to exchanges does not need the other connection. */
static int declare_exchange(cel_ctx *ctx, rabbit *bus, const cel_queue *exchange)
{
        int r = bus->declares_exchanges
                        ? 0
                        : cel__amqp_channel_open(ctx, bus->publishing, &(cel__amqp_channel_options){0},
                                                 &bus->declares_exchanges);

        return r < 0 ? r : cel__amqp_declare(ctx, bus->declares_exchanges, exchange);
}

static int rabbit_declare(cel_ctx *ctx, void *bus, const cel_queue *queue)
{
        rabbit *rb = bus;

        if (!queue->name && !rb->consuming)
                return declare_exchange(ctx, rb, queue);
        int r = want_consuming(ctx, rb);
        return r < 0 ? r : cel__amqp_declare(ctx, rb->declares, queue);
}

static void rabbit_forget(void *bus, const cel_queue *queue)
{
        rabbit *rb = bus;

        if (!cel__loop_is_here(rb->loop))
                cel__misuse("a queue is forgotten on the loop that the transport was opened on");
        if (rb->declares)
                cel__amqp_forget(rb->declares, queue);
        if (rb->declares_exchanges)
                cel__amqp_forget(rb->declares_exchanges, queue);
}

static int rabbit_publish(cel_ctx *ctx, void *bus, const cel_message *message, unsigned flags)
{
        return cel__amqp_publish(ctx, ((rabbit *)bus)->publishes, message, flags);
}

/* --- Names ------------------------------------------------------------------------------------ */

/* The bus is held on to: it may be closed while this waits. */
static int rabbit_name_queue(cel_ctx *ctx, void *arg, const char *prefix, char *name, size_t name_bytes)
{
        rabbit *bus = arg;
        char uuid[CEL__UUID_BYTES];

        if (!bus->options.use_queue_manager) {
                cel__uuid_hex(uuid);
                snprintf(name, name_bytes, "%s%s", prefix, uuid);
                return 0;
        }
        bus->refs++;
        int r = queue_manager_name(ctx, &bus->names, prefix, name, name_bytes);
        rabbit_unref(bus);
        return r;
}

/* --- Consuming -------------------------------------------------------------------------------- */

static void on_delivery(void *arg, cel__amqp_delivery *d)
{
        subscription *s = arg;
        cel__delivery delivery = {
                .message = d->content ? &d->content->message : NULL,
                .refused = d->refused,
                .queue = d->queue,
                .content = d->content,
                .ticket = {.channel = d->channel, .tag = d->tag, .incarnation = d->incarnation}};

        s->on_delivery(s->arg, &delivery);
}

static void rabbit_unsubscribe(void *arg)
{
        subscription *s = arg;

        for (unsigned i = 0; i < s->channels_n; i++)
                cel__amqp_channel_close(s->channels[i]);
        if (s->open)
                s->bus->listening--;
        cel__amqp_unref(s->amqp);
        rabbit_unref(s->bus);
        free(s);
}

/* Does a queue before number `i` have the same name? A pool is one queue with several bindings. */
static bool came_before(const cel__subscription_options *options, unsigned i)
{
        for (unsigned j = 0; j < i; j++)
                if (strcmp(options->queues[j].name, options->queues[i].name) == 0)
                        return true;
        return false;
}

/* How many deliveries may be unsettled: what the URL says comes first. */
static uint16_t prefetch_of(const rabbit *bus, const cel__subscription_options *options)
{
        return (uint16_t)(bus->settings.prefetch ? bus->settings.prefetch : options->prefetch);
}

static int open_channel(cel_ctx *ctx, subscription *s, const cel__subscription_options *options)
{
        cel__amqp_channel *channel;
        int r = cel__amqp_channel_open(ctx, s->amqp,
                                       &(cel__amqp_channel_options){.prefetch = prefetch_of(s->bus, options),
                                                                    .durable_optional = true,
                                                                    .on_delivery = on_delivery,
                                                                    .arg = s},
                                       &channel);

        if (r >= 0)
                s->channels[s->channels_n++] = channel;
        return r;
}

/* A channel for queue number `i`, unless all share one, with all that is declared about it. */
static int declare_queue(cel_ctx *ctx, subscription *s, const cel__subscription_options *options, unsigned i)
{
        int r = s->channels_n == 0 || !options->sparing ? open_channel(ctx, s, options) : 0;

        for (unsigned j = i; j < options->queues_n && r >= 0; j++)
                if (strcmp(options->queues[i].name, options->queues[j].name) == 0)
                        r = cel__amqp_declare(ctx, s->channels[s->channels_n - 1], &options->queues[j]);
        return r;
}

static bool is_stream(const cel_queue *queue)
{
        cel_auto_free char *type = NULL;

        return queue->arguments && cel_headers_get_str(queue->arguments, "x-queue-type", &type) >= 0 &&
               strcmp(type, "stream") == 0;
}

/* As oslo.messaging asks for it (oslo-wire section 7). Owns: *ret_arguments is yours; NULL: there are none. */
static int consumer_arguments(const rabbit *bus, const cel_queue *queue, cel_headers **ret_arguments)
{
        cel_auto(cel_headers) *arguments = NULL;
        bool stream = is_stream(queue);
        int r;

        if (!stream && !bus->options.enable_cancel_on_failover)
                return 0;
        r = cel_headers_new(&arguments);
        if (r >= 0)
                r = stream ? cel_headers_set_str(arguments, "x-stream-offset", "last")
                           : cel_headers_set_bool(arguments, "x-cancel-on-ha-failover", true);
        if (r >= 0)
                *ret_arguments = CEL_TAKE(arguments);
        return r;
}

static int consume(cel_ctx *ctx, const subscription *s, cel__amqp_channel *channel, const cel_queue *queue)
{
        cel_auto(cel_headers) *arguments = NULL;
        int r = consumer_arguments(s->bus, queue, &arguments);

        return r < 0 ? cel_fail(ctx, r, "%s", cel_error_text(r))
                     : cel__amqp_consume(ctx, channel, queue->name, arguments);
}

/* Nothing is delivered before everything is declared. */
static int consume_all(cel_ctx *ctx, subscription *s, const cel__subscription_options *options)
{
        unsigned n = 0;
        int r = 0;

        for (unsigned i = 0; i < options->queues_n && r >= 0; i++)
                if (!came_before(options, i))
                        r = declare_queue(ctx, s, options, i);
        for (unsigned i = 0; i < options->queues_n && r >= 0; i++)
                if (!came_before(options, i))
                        r = consume(ctx, s, s->channels[options->sparing ? 0 : n++], &options->queues[i]);
        return r;
}

static int rabbit_subscribe(cel_ctx *ctx, void *bus, const cel__subscription_options *options,
                            void **ret_subscription)
{
        rabbit *rb = bus;
        int r = want_consuming(ctx, rb);

        if (r < 0)
                return r;
        subscription *s = calloc(1, sizeof(*s) + options->queues_n * sizeof(s->channels[0]));
        if (!s)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        s->on_delivery = options->on_delivery;
        s->arg = options->arg;
        s->amqp = cel__amqp_ref(rb->consuming);
        s->bus = rb;
        rb->refs++;
        r = cel__amqp_await_up(ctx, s->amqp, NULL);
        if (r >= 0)
                r = consume_all(ctx, s, options);
        if (r >= 0 && rb->closed) /* in the moment in which the last answer came */
                r = cel_fail(ctx, CEL_ECLOSED, "the transport is closed");
        if (r < 0) {
                rabbit_unsubscribe(s);
                return r;
        }
        s->open = true;
        rb->listening++;
        *ret_subscription = s;
        return 0;
}

static void rabbit_delete_queue(void *arg, const char *queue)
{
        subscription *s = arg;

        for (unsigned i = 0; i < s->channels_n; i++)
                cel__amqp_delete_queue(s->channels[i], queue); /* the channel that is about it does it */
}

static int rabbit_stop(cel_ctx *ctx, void *arg)
{
        subscription *s = arg;
        int result = 0;

        for (unsigned i = 0; i < s->channels_n; i++) {
                int r = cel__amqp_cancel_consumers(ctx, s->channels[i]);

                if (r < 0)
                        result = r;
        }
        return result;
}

static cel__amqp_delivery amqp_delivery(const cel__ticket *ticket)
{
        return (cel__amqp_delivery){
                .channel = ticket->channel, .incarnation = ticket->incarnation, .tag = ticket->tag};
}

static bool rabbit_is_stale(const cel__delivery *delivery)
{
        cel__amqp_delivery d = amqp_delivery(&delivery->ticket);

        return cel__amqp_is_stale(&d);
}

static void rabbit_drop_message(cel__delivery *delivery)
{
        delivery->content = cel__content_free(delivery->content);
        delivery->message = NULL;
}

static int rabbit_settle(cel__delivery *delivery, cel__settlement how)
{
        cel__amqp_delivery d = amqp_delivery(&delivery->ticket);
        int r = cel__amqp_settle(&d, how);

        rabbit_drop_message(delivery);
        *delivery = (cel__delivery){0};
        return r;
}

const cel__driver cel__rabbit_driver = {
        .scheme = "rabbit",
        .check = rabbit_check,
        .open = rabbit_open,
        .settings = rabbit_settings,
        .ready = rabbit_ready,
        .await_up = rabbit_await_up,
        .is_settling = rabbit_is_settling,
        .close = rabbit_close,
        .free = rabbit_free,
        .declare = rabbit_declare,
        .forget = rabbit_forget,
        .publish = rabbit_publish,
        .name_queue = rabbit_name_queue,
        .subscribe = rabbit_subscribe,
        .stop = rabbit_stop,
        .delete_queue = rabbit_delete_queue,
        .unsubscribe = rabbit_unsubscribe,
        .is_stale = rabbit_is_stale,
        .drop_message = rabbit_drop_message,
        .settle = rabbit_settle,
};
