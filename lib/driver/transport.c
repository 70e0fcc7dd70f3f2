/* SPDX-License-Identifier: Apache-2.0
 *
 * Transports: the URL's scheme chooses the driver, the driver does the work. */
#include "driver/driver.h"
#include "rt/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cel__driver *const drivers[] = {&cel__rabbit_driver};

struct cel_transport {
        const cel__driver *driver;
        void *bus; /* the driver's */
};

static const cel__driver *find_driver(const char *scheme)
{
        size_t n = strcspn(scheme, "+"); /* "rabbit+anything" is rabbit */

        for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
                if (strlen(drivers[i]->scheme) == n && memcmp(drivers[i]->scheme, scheme, n) == 0)
                        return drivers[i];
        return NULL;
}

int cel__transport_new(const cel__driver *driver, void *bus, cel_transport **ret_transport)
{
        cel_transport *transport = calloc(1, sizeof(*transport));

        if (!transport)
                return CEL_ENOMEM;
        *transport = (cel_transport){.driver = driver, .bus = bus};
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
        r = cel__transport_new(driver, bus, ret_transport);
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

void cel_transport_close(cel_ctx *ctx, cel_transport *transport)
{
        transport->driver->close(ctx, transport->bus);
        free(transport);
}

cel_transport *cel_transport_free(cel_transport *transport)
{
        if (!transport)
                return NULL;
        transport->driver->free(transport->bus);
        free(transport);
        return NULL;
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
