/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/drivers.h"
#include "notify/routing.h"
#include "test.h"

#include <celadon/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static cel__routing *parse(const char *text)
{
        cel__routing *routing;
        char why[512];

        CHECK_INT(cel__routing_parse(text, strlen(text), "f", &routing, why, sizeof(why)), 0);
        return routing;
}

static unsigned drivers(const char *text, const char *event_type, const char *priority)
{
        cel__routing *routing = parse(text);
        unsigned set = cel__routing_drivers(routing, event_type, priority);

        cel__routing_free(routing);
        return set;
}

TEST(a_driver_gets_what_passes_its_lists)
{
        static const char text[] = "group:\n"
                                   "  messaging:\n"
                                   "    accepted_events: [\"compute.*\", volume.start]\n"
                                   "    accepted_priorities: [INFO, 'err*']\n"
                                   "  log: {}\n";

        CHECK_INT(drivers(text, "compute.x", "info"), CEL__DRIVER_MESSAGING | CEL__DRIVER_LOG);
        CHECK_INT(drivers(text, "volume.start", "error"), CEL__DRIVER_MESSAGING | CEL__DRIVER_LOG);
        CHECK_INT(drivers(text, "volume.end", "error"), CEL__DRIVER_LOG);
        CHECK_INT(drivers(text, "compute.x", "warn"), CEL__DRIVER_LOG);
}

TEST(groups_add_up)
{
        static const char text[] =
                "a: {messaging: {accepted_events: [x]}, test: {accepted_priorities: []}}\n"
                "b: {messaging: {accepted_priorities: [error]}, messagingv2: {accepted_events: [x]}}\n";

        CHECK_INT(drivers(text, "x", "info"), CEL__DRIVER_MESSAGING | CEL__DRIVER_MESSAGINGV2);
        CHECK_INT(drivers(text, "y", "error"), CEL__DRIVER_MESSAGING);
        CHECK_INT(drivers(text, "y", "info"), 0);
}

TEST(a_file_may_be_empty)
{
        CHECK_INT(drivers("", "x", "info"), 0);
        CHECK_INT(drivers("# nothing\n---\n", "x", "info"), 0);
        CHECK_INT(drivers("~", "x", "info"), 0);
        CHECK_INT(drivers("{}", "x", "info"), 0);
        CHECK_INT(drivers("g: {}", "x", "info"), 0);
}

TEST(a_mistake_is_named_with_its_place)
{
        static const struct {
                const char *text, *error;
        } cases[] = {
                {"g: {logg: {}}", "f:1:5: there is no driver \"logg\"; there are messaging, messagingv2, "
                                  "log, noop, test, routing"},
                {"g: {routing: {}}", "f:1:5: the driver routing cannot route to itself"},
                {"g:\n  log:\n    accepted_event: [x]\n",
                 "f:3:5: unknown key \"accepted_event\"; there are accepted_events, accepted_priorities"},
                {"g:\n  log:\n    accepted_events: x\n", "f:3:22: a list of patterns is due here"},
                {"g:\n  log:\n    accepted_events:\n", "f:3:21: a list of patterns is due here"},
                {"g: {log: {accepted_events: [*x]}}",
                 "f:1:29: a pattern that begins with * needs quotes, and there are no aliases"},
                {"g: {log: {accepted_events: [[x]]}}", "f:1:29: a pattern is due here"},
                {"g: {log: }",
                 "f:1:10: a mapping of accepted_events and accepted_priorities, or {}, is due here"},
                {"g: [log]", "f:1:4: a mapping of drivers is due here"},
                {"- g", "f:1:1: a mapping of groups is due here"},
                {"g: {log: {}, log: {}}", "f:1:14: \"log\" is there twice"},
                {"g: {}\ng: {}", "f:2:1: \"g\" is there twice"},
                {"? [x]\n: {}", "f:1:3: a text as key is due here"},
                {"{}\n---\n{}", "f:2:1: the end of the file, which is one document, is due here"},
                {"g: {log: [",
                 "f:1:10: a mapping of accepted_events and accepted_priorities, or {}, is due here"},
                {"g: 'x", "f:1:6: this is no YAML: found unexpected end of stream"},
                {"\xff", "f:1:1: this is no YAML: invalid leading UTF-8 octet"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cel__routing *routing;
                char why[512];

                CHECK_INT(cel__routing_parse(cases[i].text, strlen(cases[i].text), "f", &routing, why,
                                             sizeof(why)),
                          CEL_EINVAL);
                CHECK_STR(why, cases[i].error);
        }
}

TEST(routes_are_bounded)
{
        char text[16384] = "";
        cel__routing *routing;
        char why[512];

        for (int i = 0; i < 257; i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "g%d: {log: {}}\n", i);
        CHECK_INT(cel__routing_parse(text, strlen(text), "f", &routing, why, sizeof(why)), CEL_EINVAL);
        CHECK_STR(why, "f:257:1: there are more than 256 keys");
}

TEST(a_file_is_read_and_must_be_one)
{
        char path[] = "/tmp/celadon-routing-XXXXXX", why[512], expected[512];
        int fd = mkstemp(path);
        cel__routing *routing;

        CHECK(fd >= 0 && write(fd, "g: {log: {}}", 12) == 12);
        close(fd);
        CHECK_INT(cel__routing_read(path, &routing, why, sizeof(why)), 0);
        CHECK_INT(cel__routing_drivers(routing, "x", "info"), CEL__DRIVER_LOG);
        cel__routing_free(routing);
        unlink(path);
        CHECK_INT(cel__routing_read(path, &routing, why, sizeof(why)), CEL_EINVAL);
        snprintf(expected, sizeof(expected), "%s cannot be read: No such file or directory", path);
        CHECK_STR(why, expected);
        CHECK_INT(cel__routing_read("/tmp", &routing, why, sizeof(why)), CEL_EINVAL);
        CHECK_INT(cel__routing_read("/dev/zero", &routing, why, sizeof(why)), CEL_EINVAL);
}
