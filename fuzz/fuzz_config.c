/* SPDX-License-Identifier: Apache-2.0
 *
 * The bridge's configuration: any bytes give a configuration or at least one error, each on one line; and
 * what was accepted keeps the promises of bridge/config.h. */
#include "bridge/config.h"

#include <celadon/error.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool condition)
{
        if (!condition)
                abort();
}

static void on_error(const char *line, void *arg)
{
        unsigned *lines_n = arg;

        check(strncmp(line, "f:", 2) == 0 && !strchr(line, '\n'));
        check(++*lines_n <= BRIDGE_CONFIG_ERRORS_MAX);
}

static void check_route(const bridge_route_config *route)
{
        cel_message raw = {.exchange = "nova"};
        cel_notification notification = {.event_type = "compute.instance.create.end",
                                         .publisher_id = "compute.host",
                                         .priority = "INFO",
                                         .raw = &raw};
        bridge_event event = {.notification = &notification, .route = route->name};

        check(route->name[0] && route->to.url[0] && route->to.method[0] && route->dead_letter_queue[0]);
        check(route->from.exchange[0] && route->from.topics[0] && route->from.priorities[0]);
        check(route->concurrency >= 1 && route->attempts_max >= 1 && route->message_bytes_max >= 1);
        check(bridge_route_hold_ms_max(route) <= BRIDGE_HOLD_MS_MAX);
        check(bridge_match_event(&route->match, &event) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel_auto(bridge_config) *config = NULL;
        unsigned lines_n = 0;
        int r = bridge_config_parse("f", (const char *)data, n, on_error, &lines_n, &config);

        check(r == 0 ? config && lines_n == 0 : !config);
        check(r != CEL_EINVAL || lines_n > 0);
        for (size_t i = 0; config && i < config->routes_n; i++)
                check_route(&config->routes[i]);
        return 0;
}
