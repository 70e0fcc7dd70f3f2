/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/config.h"
#include "bridge/request.h"
#include "fixture.h"
#include "test.h"

#include <celadon/error.h>
#include <stdio.h>
#include <string.h>

static const char message_text[] = "{\"event_type\":\"a.b\",\"payload\":{\"id\":\"i-1\",\"n\":42,\"list\":[{"
                                   "\"x\":1},{\"x\":2}],\"deep\":{\"er\":true}},"
                                   "\"secret\":\"s\"}";

static void on_error(const char *line, void *arg)
{
        (void)arg;
        CHECK_STR(line, "");
}

/* What the transform, in YAML, makes of the message; or, if that begins with `!`, why it makes nothing. */
static void check_transform_of(const char *yaml, const char *text, const char *expected)
{
        json_t *message = json_loads(text, 0, NULL), *made = NULL;
        cel_message raw = {.exchange = "nova"};
        cel_notification n = {.event_type = "a.b", .message = message, .raw = &raw};
        bridge_event event = {.notification = &n, .route = "r"};
        cel_auto(bridge_config) *config = NULL;
        char why[BRIDGE_TRANSFORM_WHY_BYTES], whole[2048];

        CHECK(message);
        snprintf(whole, sizeof(whole),
                 "transport: rabbit://h/\nroutes: [{name: a, from: {notifications: {}}, to: {url: "
                 "'http://h/', transform: {%s}}}]\n",
                 yaml);
        CHECK_INT(bridge_config_parse("f", whole, strlen(whole), on_error, NULL, &config), 0);
        int r = bridge_transform_apply(&config->routes[0].to.transform, &event, why, &made);
        cel_auto_free char *dumped = json_dumps(made, JSON_COMPACT),
                           *after = json_dumps(message, JSON_COMPACT);

        if (*expected == '!') {
                CHECK_INT(r, CEL_EINVAL);
                CHECK_STR(why, expected + 1);
        } else {
                CHECK_INT(r, 0);
                CHECK_STR(dumped, expected);
                json_decref(made);
        }
        CHECK_STR(after, text); /* what is borrowed stays as it is */
        json_decref(message);
}

static void check_transform(const char *yaml, const char *expected)
{
        check_transform_of(yaml, message_text, expected);
}

TEST(pick_keeps_what_it_names_at_its_place_and_nothing_else)
{
        check_transform("pick: [/event_type, /payload/deep/er, /payload/no, /no/way]",
                        "{\"event_type\":\"a.b\",\"payload\":{\"deep\":{\"er\":true}}}");
        check_transform("pick: [/payload/list, /payload/list/0]",
                        "{\"payload\":{\"list\":[{\"x\":1},{\"x\":2}]}}");
        check_transform("pick: [/no]", "{}");
}

TEST(drop_removes_what_is_there)
{
        check_transform("drop: [/secret, /payload/list/0, /payload/deep/er, /payload/no, /payload/id/x, "
                        "/payload/list/9]",
                        "{\"event_type\":\"a.b\",\"payload\":{\"id\":\"i-1\",\"n\":42,\"list\":[{\"x\":2}],"
                        "\"deep\":{}}}");
}

TEST(rename_moves_what_is_there_and_makes_the_way_to_its_new_place)
{
        check_transform("pick: [/payload/id, /payload/n], rename: {/payload/id: /server/id, /payload/no: /x}",
                        "{\"payload\":{\"n\":42},\"server\":{\"id\":\"i-1\"}}");
        check_transform("pick: [/payload/id], rename: {/payload: /data}", "{\"data\":{\"id\":\"i-1\"}}");
}

TEST(set_writes_templates_and_literals)
{
        check_transform("pick: [/payload/id], set: {/source: 'nova {event_type}', /n: 5, /yes: true, /none: "
                        "null, /text: '5', "
                        "/list: '{json:/payload/list|json}', /payload/id: '{json:/payload/n|json}', /no: "
                        "'{json:/no}', "
                        "/no2: '{json:/no|json}'}",
                        "{\"payload\":{\"id\":42},\"source\":\"nova "
                        "a.b\",\"n\":5,\"yes\":true,\"none\":null,\"text\":\"5\","
                        "\"list\":[{\"x\":1},{\"x\":2}]}");
        check_transform("pick: [/payload/list], set: {/payload/list/1: 'b', /payload/list/-: 'c', "
                        "/payload/list/0/x: 0}",
                        "{\"payload\":{\"list\":[{\"x\":0},\"b\",\"c\"]}}");
}

TEST(what_is_in_the_way_makes_the_transform_impossible)
{
        static const char why[] = "!a member cannot be set, for on the way to it is what has no members";

        check_transform("set: {/event_type/x: 1}", why);
        check_transform("set: {/payload/list/2: 1}", why);
        check_transform("set: {/payload/list/x: 1}", why);
        check_transform("rename: {/secret: /payload/id/x}", why);
        check_transform("set: {/x: '{json:/payload/no|required}'}", "!{json:/payload/no} is not there");
}

static int make_deep(cel_ctx *ctx, void *arg)
{
        char text[1024], expected[1024], deep[256] = "";

        (void)ctx;
        (void)arg;
        memset(deep, '[', 98);
        memset(deep + 98, ']', 98);
        snprintf(text, sizeof(text), "{\"a\":%s}", deep);
        snprintf(expected, sizeof(expected), "{\"b\":%s}", deep);
        check_transform_of("set: {/b: '{json:/a|json}'}, drop: [/a]", text, expected);
        return 0;
}

TEST(the_deepest_notification_is_transformed_on_a_tasks_stack)
{
        fixture f = fixture_new();

        CHECK_RESULT(fixture_spawn(&f, "deep", make_deep, NULL), 0);
        fixture_free(&f);
}
