/* SPDX-License-Identifier: Apache-2.0
 *
 * Transports: the URL's scheme chooses the driver, the driver does the work. */
#include "base/uuid.h"
#include "driver/driver.h"
#include "driver/errands.h"
#include "rt/ctx.h"
#include "wire/compress.h"

#include <celadon/future.h>
#include <stdatomic.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cel__driver *const drivers[] = {&cel__rabbit_driver};

static const cel__driver_settings default_settings = {.transient_expires_ms = 1800000,
                                                      .fanout_expires_ms = 1800000,
                                                      .missing_reply_queue_ms = 60000,
                                                      .reply_mandatory = true};

struct cel_transport {
        const cel__driver *driver;
        void *bus;       /* the driver's */
        cel__loop *loop; /* borrowed */
        unsigned holds;
        bool freed;           /* its owner has; whoever holds it last takes it down */
        cel_future *released; /* borrowed; complete when nobody holds it: somebody waits to close it */
        _Atomic(cel__transport_part *) part; /* its own owner */
        cel__errands *errands;               /* a reference */
};

static const cel__driver *find_driver(const char *scheme)
{
        size_t n = strcspn(scheme, "+"); /* "rabbit+anything" is rabbit */

        for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
                if (strlen(drivers[i]->scheme) == n && memcmp(drivers[i]->scheme, scheme, n) == 0)
                        return drivers[i];
        return NULL;
}

int cel__transport_new(const cel__driver *driver, void *bus, cel__loop *loop, cel_transport **ret_transport)
{
        cel_transport *transport = calloc(1, sizeof(*transport));

        if (!transport)
                return CEL_ENOMEM;
        *transport = (cel_transport){.driver = driver, .bus = bus, .loop = loop};
        int r = cel__errands_new(transport, &transport->errands);
        if (r < 0) {
                free(transport);
                return r;
        }
        *ret_transport = transport;
        return 0;
}

/* Read a URL and find its driver.
 * Owns: *ret_url is yours. */
static int read_url(const char *text, cel__url **ret_url, const cel__driver **ret_driver, char *why,
                    size_t why_bytes)
{
        cel_auto(cel__url) *url = NULL;
        const char *query = text + strcspn(text, "?");
        int r = cel__url_parse(text, &url, why, why_bytes);

        if (r < 0)
                return r;
        const cel__driver *driver = find_driver(url->scheme);
        if (!driver) {
                snprintf(why, why_bytes,
                         "there is no driver for \"%.32s://\"; there is one for "
                         "rabbit://user:password@host:5672/vhost",
                         url->scheme);
                return CEL_ENOSUPPORT;
        }
        r = driver->check(url, why, why_bytes);
        if (r < 0) {
                if (strchr(query, '@')) /* what looks like options may be a password, with a "?" in it */
                        snprintf(why, why_bytes,
                                 "its options are wrong; if they are part of a password, write its special "
                                 "characters as %%XX");
                return r;
        }
        *ret_url = CEL_TAKE(url);
        *ret_driver = driver;
        return 0;
}

int cel_transport_check_url(const char *text, char *why, size_t why_bytes)
{
        cel_auto(cel__url) *url = NULL;
        const cel__driver *driver;

        return read_url(text, &url, &driver, why, why_bytes);
}

int cel_transport_open(cel_ctx *ctx, const char *text, cel_transport **ret_transport)
{
        cel_auto(cel__url) *url = NULL;
        const cel__driver *driver;
        char why[512];

        if (cel_ctx_loop(ctx) < 0)
                return cel_fail(ctx, CEL_ENOSUPPORT,
                                "a transport is opened by a task, on the loop it lives on");
        int r = read_url(text, &url, &driver, why, sizeof(why));
        if (r < 0)
                return cel_fail(ctx, r, "transport URL: %s", why);
        void *bus;
        r = driver->open(ctx, url, &bus);
        if (r < 0)
                return r;
        r = cel__transport_new(driver, bus, ctx->loop, ret_transport);
        if (r < 0) {
                driver->free(bus);
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        }
        return 0;
}

int cel_transport_ready(cel_ctx *ctx, cel_transport *transport)
{
        return transport->driver->ready(ctx, transport->bus);
}

/* Whoever is above is told to end. */
static void close_part(cel_transport *transport)
{
        cel__transport_part *part = atomic_exchange(&transport->part, NULL);

        if (part)
                part->on_close(part);
        if (transport->errands)
                cel__errands_close(CEL_TAKE(transport->errands));
}

/* Wait, not for long, for those who were told to end. */
static void await_release(cel_ctx *ctx, cel_transport *transport)
{
        enum { RELEASE_MS = 2000 };
        CEL_WITHIN_MS(ctx, RELEASE_MS);

        if (transport->holds == 0 || cel_future_new(&transport->released) < 0)
                return;
        cel_await(ctx, transport->released, NULL);
        transport->released = cel_future_unref(transport->released);
}

void cel_transport_close(cel_ctx *ctx, cel_transport *transport)
{
        close_part(transport);
        await_release(ctx, transport);
        if (transport->holds > 0) {
                transport->freed = true;
                return;
        }
        transport->driver->close(ctx, transport->bus);
        free(transport);
}

cel_transport *cel_transport_free(cel_transport *transport)
{
        if (!transport)
                return NULL;
        close_part(transport);
        transport->freed = true;
        cel__transport_hold(transport);
        cel__transport_release(transport);
        return NULL;
}

void cel__transport_hold(cel_transport *transport)
{
        transport->holds++;
}

void cel__transport_release(cel_transport *transport)
{
        if (--transport->holds > 0)
                return;
        if (transport->released)
                cel_future_complete(transport->released, 0, NULL);
        if (transport->freed) {
                transport->driver->free(transport->bus);
                free(transport);
        }
}

int cel_transport_declare_queue(cel_ctx *ctx, cel_transport *transport, const cel_queue *queue)
{
        return transport->driver->declare(ctx, transport->bus, queue);
}

void cel_transport_forget_queue(cel_transport *transport, const cel_queue *queue)
{
        transport->driver->forget(transport->bus, queue);
}

int cel_publish(cel_ctx *ctx, cel_transport *transport, const cel_message *message, unsigned flags)
{
        return transport->driver->publish(ctx, transport->bus, message, flags);
}

const cel__driver *cel__transport_driver(const cel_transport *transport)
{
        return transport->driver;
}

void *cel__transport_bus(const cel_transport *transport)
{
        return transport->bus;
}

cel__errands *cel__transport_errands(const cel_transport *transport)
{
        return transport->errands;
}

cel__loop *cel__transport_loop(const cel_transport *transport)
{
        return transport->loop;
}

static const cel__driver_settings *settings_of(const cel__driver *driver, void *bus)
{
        return driver->settings ? driver->settings(bus) : &default_settings;
}

const cel__driver_settings *cel__transport_settings(const cel_transport *transport)
{
        return settings_of(transport->driver, transport->bus);
}

bool cel_transport_is_durable(const cel_transport *transport)
{
        return cel__transport_settings(transport)->durable;
}

/* --- What the layers above ask of a driver ---------------------------------------------------- */

int cel__driver_name_queue(cel_ctx *ctx, const cel__driver *driver, void *bus, const char *prefix, char *name,
                           size_t name_bytes)
{
        char uuid[CEL__UUID_BYTES];

        if (driver->name_queue)
                return driver->name_queue(ctx, bus, prefix, name, name_bytes);
        cel__uuid_hex(uuid);
        snprintf(name, name_bytes, "%s%s", prefix, uuid);
        return 0;
}

int cel__driver_publish(cel_ctx *ctx, const cel__driver *driver, void *bus, const cel_message *message,
                        unsigned flags)
{
        enum { COMPRESSED_BYTES_MAX = 256 * 1024 * 1024 };
        const cel__compression *compression = settings_of(driver, bus)->compression;
        cel_auto(cel_headers) *headers = NULL;
        cel_message compressed;
        cel__buf body;

        if (!compression)
                return driver->publish(ctx, bus, message, flags);
        cel__buf_init(&body, COMPRESSED_BYTES_MAX);
        int r = cel__compress_message(compression, message, &body, &headers, &compressed);
        if (r < 0)
                cel_fail(ctx, r, "the message cannot be compressed: %s", cel_error_text(r));
        else
                r = driver->publish(ctx, bus, &compressed, flags);
        cel__buf_fini(&body);
        return r;
}

cel__transport_part *cel__transport_get_part(cel_transport *transport)
{
        return atomic_load(&transport->part);
}

cel__transport_part *cel__transport_set_part(cel_transport *transport, cel__transport_part *part)
{
        cel__transport_part *there = NULL;

        return atomic_compare_exchange_strong(&transport->part, &there, part) ? part : there;
}
