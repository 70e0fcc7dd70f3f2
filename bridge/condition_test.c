/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/condition.h"
#include "fixture.h"
#include "test.h"

#include <celadon/error.h>
#include <string.h>

/* An event to ask about. */
typedef struct world {
        cel_headers *headers;
        json_t *message;
        cel_message raw;
        cel_notification notification;
        bridge_event event;
} world;

static void world_init(world *w)
{
        *w = (world){.message = json_loads(
                             "{\"n\": 42, \"r\": 1.5, \"big\": \"9e3\", \"text\": \"a, b\", \"empty\": \"\", "
                             "\"null\": null, \"yes\": true, \"list\": [], \"nul\": \"a\\u0000b\"}",
                             JSON_ALLOW_NUL, NULL)};
        CHECK(w->message);
        CHECK_INT(cel_headers_new(&w->headers), 0);
        CHECK_INT(cel_headers_set_str(w->headers, "x-tenant", "blue"), 0);
        w->raw = (cel_message){.headers = w->headers};
        w->notification = (cel_notification){.event_type = "compute.instance.create.end",
                                             .priority = "INFO",
                                             .message = w->message,
                                             .raw = &w->raw};
        w->event = (bridge_event){.notification = &w->notification, .route = "r"};
}

static void world_fini(world *w)
{
        cel_headers_free(w->headers);
        json_decref(w->message);
}

static int holds(const world *w, const char *text)
{
        char why[BRIDGE_CONDITION_WHY_BYTES] = "";
        cel_auto(bridge_condition) *c = NULL;
        size_t offset = 0;
        int r = bridge_condition_parse(text, &offset, why, &c);

        CHECK_STR(why, "");
        CHECK_INT(r, 0);
        return bridge_condition_holds(c, &w->event);
}

static void check_all(const char *const *texts, size_t n, int expected)
{
        world w;

        world_init(&w);
        for (size_t i = 0; i < n; i++) {
                if (holds(&w, texts[i]) != expected)
                        CHECK_STR(texts[i], "");
        }
        world_fini(&w);
}

TEST(conditions_hold_for_what_they_say)
{
        static const char *const texts[] = {
                "event_type eq compute.instance.create.end",
                "  event_type   eq   compute.instance.create.end  ",
                "json:/text eq a, b",
                "json:/text eq \"a, b\"",
                "json:/empty eq \"\"",
                "json:/n eq 42",
                "json:/yes eq true",
                "json:/n ne 43",
                "priority eq info",
                "priority in error, info",
                "priority glob e*, i*",
                "priority regex ^inf",
                "event_type glob compute.*.end, volume.*",
                "event_type regex instance\\.(create|delete)\\.end$",
                "event_type regex ^[a-z]{7}[.]i",
                "json:/text in x, \"a, b\"",
                "headers.x-tenant exists",
                "json:/list exists true",
                "json:/empty exists",
                "json:/nul exists",
                "json:/n gt 41.5",
                "json:/n lt 43",
                "json:/r gt 1",
                "json:/big gt 8999",
        };

        check_all(texts, sizeof(texts) / sizeof(texts[0]), 1);
}

TEST(conditions_do_not_hold_for_anything_else)
{
        static const char *const texts[] = {
                "event_type eq compute.instance.create",
                "event_type eq COMPUTE.INSTANCE.CREATE.END",
                "event_type glob compute.instance",
                "event_type regex ^instance",
                "json:/text in a, b",
                "json:/n ne 42",
                "json:/n gt 42",
                "json:/n lt 42",
                "json:/text gt 1",
                "json:/empty lt 1",
                "json:/yes gt 0",
                "json:/list eq []",
                "headers.x-tenant exists false",
                "json:/nul eq a",
                "json:/nul glob *",
                "json:/nul regex a",
        };

        check_all(texts, sizeof(texts) / sizeof(texts[0]), 0);
}

TEST(what_is_not_there_meets_ne_and_exists_false_only)
{
        static const char *const yes[] = {"json:/no ne x", "json:/no exists false", "json:/null exists false",
                                          "headers.x-no ne blue", "publisher_id exists false"},
                                 *const no[] = {"json:/no eq x",     "json:/no eq \"\"", "json:/no glob *",
                                                "json:/no regex .*", "json:/no in \"\"", "json:/no gt 0",
                                                "json:/no lt 0",     "json:/no exists"};

        check_all(yes, sizeof(yes) / sizeof(yes[0]), 1);
        check_all(no, sizeof(no) / sizeof(no[0]), 0);
}

TEST(what_is_no_condition_is_refused_where_it_is_wrong)
{
        static const struct {
                const char *text;
                size_t offset;
                const char *why;
        } bad[] = {
                {"event-type eq x", 0, "the field is not known, did you mean event_type?"},
                {"key eq x", 0, "the field key is not there yet when events are chosen, write message_id"},
                {"route", 5, "needs an operator. Known operators: eq, ne, glob, regex, in, exists, gt, lt"},
                {"route golb x", 6,
                 "unknown operator, did you mean \"glob\"? Known operators: eq, ne, glob, regex, in, exists, "
                 "gt, lt"},
                {"route eq", 8, "has no value here, write one, or \"\" for an empty text"},
                {"route in a,,b", 11, "has no value here, write one, or \"\" for an empty text"},
                {"route in a, ", 12, "has no value here, write one, or \"\" for an empty text"},
                {"route eq \"a", 9, "a text in quotes has no end, add \""},
                {"route in \"a\" b", 13, "has more behind a text in quotes, remove it"},
                {"route exists maybe", 13, "exists takes no value, or true or false"},
                {"route gt many", 9, "gt needs a number, such as 4096"},
                {"route lt 1e999", 9, "lt needs a number, such as 4096"},
                {"route regex a(", 12,
                 "a pattern is no POSIX extended regular expression: Unmatched ( or \\("},
                {"route regex (a*)\\1", 12,
                 "a pattern refers back with \\1 or the like, which may take for ever, write it without"},
                {"route regex (a{50}){50}", 12, "a pattern repeats or nests too much, write smaller counts"},
                {"route regex a{2,}{999}", 12, "a pattern repeats or nests too much, write smaller counts"},
                {"route regex ((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+", 12,
                 "a pattern repeats or nests too much, write smaller counts"},
                {"route regex (((((((((((((((((a)))))))))))))))))", 12,
                 "a pattern repeats or nests too much, write smaller counts"},
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char why[BRIDGE_CONDITION_WHY_BYTES] = "";
                bridge_condition *c = NULL;
                size_t offset = 0;

                CHECK_INT(bridge_condition_parse(bad[i].text, &offset, why, &c), CEL_EINVAL);
                CHECK_STR(why, bad[i].why);
                CHECK_INT(offset, bad[i].offset);
                CHECK(!c);
        }
}

TEST(the_patterns_of_uuids_and_addresses_are_not_too_much)
{
        static const char *const texts[] = {
                "event_type regex ^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
                "event_type regex ^([0-9a-f]{2}:){5}[0-9a-f]{2}$",
                "event_type regex ^[]a-z[:digit:]{]+{2}$",
        };

        check_all(texts, sizeof(texts) / sizeof(texts[0]), 0);
}

/* As bad as a pattern and a value may be; on a task's stack, which is small. */
static int match_the_worst(cel_ctx *ctx, void *arg)
{
        static char value[BRIDGE_REGEX_VALUE_BYTES_MAX + 2];
        world *w = arg;

        (void)ctx;
        memset(value, 'a', BRIDGE_REGEX_VALUE_BYTES_MAX);
        w->notification.event_type = value;
        CHECK_INT(holds(w, "event_type regex ^(a|aa)*(a|b)*a(a|b){30}(a*)*$"), 1);
        CHECK_INT(holds(w, "event_type regex ^((a*)*)*b"), 0);
        CHECK_INT(holds(w, "event_type regex a"), 1);
        value[BRIDGE_REGEX_VALUE_BYTES_MAX] = 'a';
        CHECK_INT(holds(w, "event_type regex a"), 0); /* longer than what is looked at */
        return 0;
}

TEST(the_worst_pattern_is_matched_on_a_tasks_stack_and_in_short)
{
        fixture f = fixture_new();
        world w;

        world_init(&w);
        cel_task *task = fixture_spawn(&f, "match", match_the_worst, &w);
        CHECK_RESULT(task, 0);
        world_fini(&w);
        fixture_free(&f);
}
