/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/template.h"
#include "test.h"

#include <celadon/error.h>
#include <stdlib.h>
#include <string.h>

/* An event to fill templates with. */
typedef struct world {
        cel_headers *headers;
        json_t *message;
        cel_message raw;
        cel_notification notification;
        bridge_event event;
} world;

static void world_init(world *w)
{
        *w = (world){
                .message = json_loads(
                        "{\"payload\": {\"id\": \"a b/c\", \"dots\": \"..\", \"dot\": \".\", \"up\": "
                        "\"x/../../etc\", "
                        "\"line\": \"a\\r\\nX-Evil: 1\", \"nul\": \"a\\u0000b\", \"query\": "
                        "\"x?admin=1#y&z=%2e\", "
                        "\"empty\": \"\", \"null\": null, \"n\": 42, \"r\": 1.5, \"yes\": true, \"list\": "
                        "[1, \"x\"], "
                        "\"quoted\": \"say \\\"hi\\\"\", \"name\": \"\\u6771\", \"back\": \"..\\\\..\"}}",
                        JSON_ALLOW_NUL, NULL)};
        CHECK(w->message);
        CHECK_INT(cel_headers_new(&w->headers), 0);
        CHECK_INT(cel_headers_set_str(w->headers, "x-tenant", "Blue"), 0);
        CHECK_INT(cel_headers_set_int(w->headers, "x-retries", 3), 0);
        w->raw = (cel_message){
                .headers = w->headers, .exchange = "nova", .routing_key = "notifications.info", .queue = "q"};
        w->notification = (cel_notification){.event_type = "compute.Create",
                                             .publisher_id = "compute.host",
                                             .priority = "INFO",
                                             .message_id = "id-1",
                                             .timestamp = "",
                                             .message = w->message,
                                             .raw = &w->raw};
        w->event = (bridge_event){.notification = &w->notification, .route = "r", .key = "the-key"};
}

static void world_fini(world *w)
{
        cel_headers_free(w->headers);
        json_decref(w->message);
}

/* What the template becomes must be `expected`, or, if that begins with `!`, the reason why it becomes nothing. */
static void check_render(const world *w, bridge_template_kind kind, const char *text, const char *expected)
{
        bridge_text out = {.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX};
        char why[BRIDGE_TEMPLATE_WHY_BYTES] = "";
        cel_auto(bridge_template) *t = NULL;
        bridge_template_error error = {0};
        int r = bridge_template_parse(text, kind, &error, &t);

        CHECK_STR(error.text, "");
        CHECK_INT(r, 0);
        r = bridge_template_render(t, &w->event, &out, why);
        if (*expected == '!') {
                CHECK_STR(why, expected + 1);
                CHECK_INT(r, CEL_EINVAL);
        } else {
                CHECK_STR(why, "");
                CHECK_INT(r, 0);
                CHECK_STR(out.bytes, expected);
        }
        bridge_text_fini(&out);
}

typedef struct pair {
        const char *text, *expected;
} pair;

static void check_all(bridge_template_kind kind, const pair *pairs, size_t n)
{
        world w;

        world_init(&w);
        for (size_t i = 0; i < n; i++)
                check_render(&w, kind, pairs[i].text, pairs[i].expected);
        world_fini(&w);
}

#define CHECK_ALL(kind, pairs) check_all(kind, pairs, sizeof(pairs) / sizeof((pairs)[0]))

TEST(each_field_is_filled_in)
{
        static const pair pairs[] = {
                {"", ""},
                {"literal", "literal"},
                {"{event_type} {publisher_id} {priority} {message_id}",
                 "compute.Create compute.host INFO id-1"},
                {"{exchange} {routing_key} {queue} {route} {key}", "nova notifications.info q r the-key"},
                {"{headers.x-tenant}{headers.x-retries}", "Blue3"},
                {"[{timestamp}{headers.no}{json:/payload/no}{json:/payload/null}]", "[]"},
                {"{json:/payload/n} {json:/payload/r} {json:/payload/yes} {json:/payload/name}",
                 "42 1.5 true \xE6\x9D\xB1"},
                {"{{{route}}} }}{{", "{r} }{"},
        };

        CHECK_ALL(BRIDGE_TEMPLATE_TEXT, pairs);
}

TEST(filters_change_the_value_one_after_the_other)
{
        static const pair pairs[] = {
                {"{event_type|lower}", "compute.create"},
                {"{json:/payload/id|url}", "a%20b%2Fc"},
                {"{event_type|b64}", "Y29tcHV0ZS5DcmVhdGU="},
                {"{event_type|lower|b64}", "Y29tcHV0ZS5jcmVhdGU="},
                {"{json:/payload/quoted|json}", "\"say \\\"hi\\\"\""},
                {"{json:/payload/list|json} {json:/payload/n|json}", "[1,\"x\"] 42"},
                {"{json:/payload/list|json|b64}", "WzEsIngiXQ=="},
                {"{route|json}", "\"r\""},
                {"{json:/payload/no|default:\"no }|\\\" \\\\ one\"}", "no }|\" \\ one"},
                {"{json:/payload/empty|default:\"none\"}", "none"},
                {"{json:/payload/no|default:\"ABC\"|lower}{route|default:\"x\"}", "abcr"},
                {"{json:/payload/no|lower|json|url|b64}", ""},
                {"{route|required}", "r"},
                {"{json:/payload/no|required}", "!{json:/payload/no} is not there"},
                {"{json:/payload/empty|required}", "!{json:/payload/empty} is not there"},
                {"{json:/payload/list}", "!{json:/payload/list} is an object or an array, which needs |json"},
                {"{json:/payload/list|lower}",
                 "!{json:/payload/list} is an object or an array, which needs |json"},
        };

        CHECK_ALL(BRIDGE_TEMPLATE_TEXT, pairs);
}

TEST(no_value_leaves_its_place_in_a_url)
{
        static const pair pairs[] = {
                {"http://h/{json:/payload/id}/x", "http://h/a%20b%2Fc/x"},
                {"http://h/x?q={json:/payload/query}&e={json:/payload/no}",
                 "http://h/x?q=x%3Fadmin%3D1%23y%26z%3D%252e&e="},
                {"http://h/{json:/payload/query}", "http://h/x%3Fadmin%3D1%23y%26z%3D%252e"},
                {"http://h/{json:/payload/dots}", "!a value would add . or .. to the URL's path"},
                {"http://h/{json:/payload/dot}{json:/payload/dot}/x",
                 "!a value would add . or .. to the URL's path"},
                {"http://h/.{json:/payload/dot}?x", "!a value would add . or .. to the URL's path"},
                {"http://h/{json:/payload/dots};v=1/x", "!a value would add . or .. to the URL's path"},
                {"http://h/{json:/payload/up}", "!a value would add . or .. to the URL's path"},
                {"http://h/{json:/payload/back}", "!a value would add . or .. to the URL's path"},
                {"http://h/v{json:/payload/dots}", "http://h/v.."},
                {"http://h/x?q={json:/payload/dots}", "http://h/x?q=.."},
                {"http://h/{json:/payload/line}",
                 "!{json:/payload/line} has a value with a control character"},
                {"http://h/?x={json:/payload/nul}",
                 "!{json:/payload/nul} has a value with a control character"},
        };

        CHECK_ALL(BRIDGE_TEMPLATE_URL, pairs);
}

TEST(a_path_needs_each_of_its_values)
{
        static const pair pairs[] = {
                {"http://h/{json:/payload/no}/x", "!{json:/payload/no} is not there"},
                {"http://h/{json:/payload/empty}/x", "!{json:/payload/empty} is not there"},
                {"http://h/{json:/payload/no|default:\"a/b\"}/x", "http://h/a%2Fb/x"},
                {"http://h/x?{json:/payload/no|required}", "!{json:/payload/no} is not there"},
        };

        CHECK_ALL(BRIDGE_TEMPLATE_URL, pairs);
}

TEST(a_header_never_gets_a_control_character)
{
        static const pair pairs[] = {
                {"{json:/payload/line}", "!{json:/payload/line} has a value with a control character"},
                {"{json:/payload/nul}", "!{json:/payload/nul} has a value with a control character"},
                {"{json:/payload/line|json}", "\"a\\r\\nX-Evil: 1\""},
                {"{json:/payload/line|url}", "a%0D%0AX-Evil%3A%201"},
        };

        CHECK_ALL(BRIDGE_TEMPLATE_TEXT, pairs);
}

TEST(a_text_that_would_be_too_long_is_refused)
{
        static char text[BRIDGE_TEMPLATE_BYTES_MAX + 8];
        world w;

        world_init(&w);
        memset(text, 'x', BRIDGE_TEMPLATE_BYTES_MAX);
        check_render(&w, BRIDGE_TEMPLATE_TEXT, text, text);
        strcpy(text + BRIDGE_TEMPLATE_BYTES_MAX, "{key}");
        check_render(&w, BRIDGE_TEMPLATE_TEXT, text, "!{key} has a value that is too long");
        world_fini(&w);
}

TEST(values_from_the_environment_are_filled_in_when_the_template_is_read)
{
        static const pair text[] = {{"a{env:CELADON_TEST_X}b", "ax yb"},
                                    {"{env:CELADON_TEST_X|url}", "x%20y"},
                                    {"{env:CELADON_TEST_NO|default:\"d\"}", "d"}},
                          url[] = {{"http://h/{env:CELADON_TEST_X}/{route}", "http://h/x%20y/r"}};

        setenv("CELADON_TEST_X", "x y", 1);
        CHECK_ALL(BRIDGE_TEMPLATE_TEXT, text);
        CHECK_ALL(BRIDGE_TEMPLATE_URL, url);
        unsetenv("CELADON_TEST_X");
}

TEST(what_is_no_template_is_refused_where_it_is_wrong)
{
        static const struct {
                const char *text;
                bridge_template_kind kind;
                size_t offset;
                const char *error;
        } bad[] = {
                {"ab{route", BRIDGE_TEMPLATE_TEXT, 2,
                 "a { has no matching }, add it, or write {{ for a brace"},
                {"ab}", BRIDGE_TEMPLATE_TEXT, 2, "a } has no { before it, write }} for a brace"},
                {"a{}", BRIDGE_TEMPLATE_TEXT, 2,
                 "{} is empty, write {event_type}, {json:/POINTER} or another field, or {{ for a brace"},
                {"{event-type}", BRIDGE_TEMPLATE_TEXT, 1,
                 "this field is not known, did you mean event_type?"},
                {"{zzz}", BRIDGE_TEMPLATE_TEXT, 1,
                 "this field is not known, write event_type, publisher_id, priority, message_id, timestamp, "
                 "exchange, routing_key, queue, route, key, headers.NAME or json:/POINTER"},
                {"{json:payload}", BRIDGE_TEMPLATE_TEXT, 1,
                 "this field has a JSON pointer that must begin with /, as in /payload/instance_id"},
                {"{headers.}", BRIDGE_TEMPLATE_TEXT, 1,
                 "this field needs a header's name of 1 to 255 bytes, as in headers.x-tenant"},
                {"{route|lowr}", BRIDGE_TEMPLATE_TEXT, 7,
                 "unknown filter, did you mean \"lower\"? Known filters: url, json, b64, lower, default, "
                 "required"},
                {"{route|}", BRIDGE_TEMPLATE_TEXT, 7,
                 "unknown filter. Known filters: url, json, b64, lower, default, required"},
                {"{route|default}", BRIDGE_TEMPLATE_TEXT, 14,
                 "default needs a text in quotes, as in |default:\"none\""},
                {"{route|default:\"x}", BRIDGE_TEMPLATE_TEXT, 15, "a text in quotes has no end, add \""},
                {"{route|lower x}", BRIDGE_TEMPLATE_TEXT, 0,
                 "a { has no matching }, add it, or write {{ for a brace"},
                {"{route|lower|lower|lower|lower|lower|lower|lower|lower|lower}", BRIDGE_TEMPLATE_TEXT, 55,
                 "a place has more than 8 filters"},
                {"http://h/{route|url}", BRIDGE_TEMPLATE_URL, 16,
                 "values in a URL are percent-encoded anyway, leave |url out"},
                {"http://h/../{route}", BRIDGE_TEMPLATE_URL, 0,
                 "the path has a part that is . or .., which no URL with values may have"},
                {"x {env:CELADON_TEST_NO}", BRIDGE_TEMPLATE_TEXT, 7,
                 "the environment has no CELADON_TEST_NO, set it, or add |default:\"...\""},
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                bridge_template_error error = {0};
                bridge_template *t = NULL;

                CHECK_INT(bridge_template_parse(bad[i].text, bad[i].kind, &error, &t), CEL_EINVAL);
                CHECK_STR(error.text, bad[i].error);
                CHECK_INT(error.offset, bad[i].offset);
                CHECK(!t);
        }
}

TEST(dots_and_question_marks_inside_of_a_place_are_no_part_of_the_path)
{
        world w;

        world_init(&w);
        check_render(&w, BRIDGE_TEMPLATE_URL, "http://h/{json:/a/../b|default:\"?\"}/{json:/payload/n}",
                     "http://h/%3F/42");
        world_fini(&w);
}
