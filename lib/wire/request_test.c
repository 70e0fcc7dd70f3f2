/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/request.h"

#include <stdio.h>
#include <string.h>

#define UNIQUE  "11111111111111111111111111111111"
#define MSG_ID  "22222222222222222222222222222222"
#define REPLY_Q "reply_33333333333333333333333333333333"

/* As Python's oslo.messaging sends them. */
static const char call_body[] =
        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"method\\\": \\\"add\\\", \\\"args\\"
        "\": {\\\"increment\\\": 2}, \\\"namespace\\\": \\\"calc\\\", \\\"version\\\": \\\"1.2\\"
        "\", \\\"_msg_id\\\": \\\"22222222222222222222222222222222\\\", \\\"_reply_q\\\": \\\"rep"
        "ly_33333333333333333333333333333333\\\", \\\"_timeout\\\": null, \\\"_unique_id\\\": \\"
        "\"11111111111111111111111111111111\\\", \\\"_context_user\\\": \\\"alice\\\", \\\"_conte"
        "xt_request_id\\\": \\\"req-1\\\"}\"}";

static const char cast_body[] =
        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"method\\\": \\\"add\\\", \\\"args\\"
        "\": {\\\"increment\\\": 2}, \\\"_unique_id\\\": \\\"11111111111111111111111111111111\\\""
        ", \\\"_context_user\\\": \\\"alice\\\", \\\"_context_request_id\\\": \\\"req-1\\\"}\"}";

static const char fanout_cast_body[] =
        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"method\\\": \\\"refresh\\\", \\\"ar"
        "gs\\\": {\\\"host\\\": \\\"n\\\\u00f61\\\"}, \\\"version\\\": \\\"2.0\\\", \\\"_unique_i"
        "d\\\": \\\"11111111111111111111111111111111\\\"}\"}";

static char why[300];

static void check_encoded(const cel__request *request, const char *expected)
{
        cel__buf buf;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__request_encode(request, &buf), 0);
        CHECK_INT(cel__buf_used(&buf), strlen(expected));
        CHECK_BYTES(cel__buf_head(&buf), expected, strlen(expected));
        cel__buf_fini(&buf);
}

TEST(requests_are_encoded_byte_for_byte_as_pythons)
{
        json_t *increment = json_pack("{s:i}", "increment", 2), *host = json_pack("{s:s}", "host",
                                                                                  "n\xc3\xb6"
                                                                                  "1");
        json_t *context = json_pack("{s:s, s:s}", "user", "alice", "request_id", "req-1"),
               *empty = json_object();

        check_encoded(&(cel__request){.method = "add",
                                      .args = increment,
                                      .name_space = "calc",
                                      .version = "1.2",
                                      .msg_id = MSG_ID,
                                      .reply_queue = REPLY_Q,
                                      .unique_id = UNIQUE,
                                      .context = context},
                      call_body);
        check_encoded(
                &(cel__request){.method = "add", .args = increment, .unique_id = UNIQUE, .context = context},
                cast_body);
        check_encoded(&(cel__request){.method = "refresh",
                                      .args = host,
                                      .version = "2.0",
                                      .unique_id = UNIQUE,
                                      .context = empty},
                      fanout_cast_body);
        json_decref(increment);
        json_decref(host);
        json_decref(context);
        json_decref(empty);
}

TEST(a_monitored_call_says_for_how_long_its_caller_bears_silence)
{
        cel__buf buf;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__request_encode(&(cel__request){.method = "m",
                                                      .msg_id = "i",
                                                      .reply_queue = "q",
                                                      .monitor_s = 30,
                                                      .unique_id = "u"},
                                      &buf),
                  0);
        CHECK_INT(cel__buf_append(&buf, "", 1), 0);
        CHECK(strstr((const char *)cel__buf_head(&buf), "\\\"args\\\": {}, "));
        CHECK(strstr((const char *)cel__buf_head(&buf), "\\\"_timeout\\\": 30, "));
        cel__buf_fini(&buf);
}

TEST(arguments_and_contexts_are_objects)
{
        json_t *array = json_array();
        cel__buf buf;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__request_encode(&(cel__request){.method = "m", .args = array, .unique_id = "u"}, &buf),
                  CEL_EINVAL);
        CHECK_INT(
                cel__request_encode(&(cel__request){.method = "m", .context = array, .unique_id = "u"}, &buf),
                CEL_EINVAL);
        CHECK_INT(cel__buf_used(&buf), 0);
        cel__buf_fini(&buf);
        json_decref(array);
}

typedef struct decoded {
        cel__envelope envelope;
        cel__request request;
        json_t *context;
} decoded;

static int decode(const char *body, decoded *d)
{
        *d = (decoded){0};
        int r = cel__envelope_open(body, strlen(body), &d->envelope, why, sizeof(why));
        CHECK_INT(r, 0);
        return cel__request_decode(&d->envelope, &d->request, &d->context, why, sizeof(why));
}

static void forget(decoded *d)
{
        json_decref(d->context);
        cel__envelope_fini(&d->envelope);
}

TEST(a_call_is_decoded_with_its_context)
{
        decoded d;

        CHECK_INT(decode(call_body, &d), 0);
        CHECK_STR(d.request.method, "add");
        CHECK_STR(d.request.name_space, "calc");
        CHECK_STR(d.request.version, "1.2");
        CHECK_STR(d.request.msg_id, MSG_ID);
        CHECK_STR(d.request.reply_queue, REPLY_Q);
        CHECK_STR(d.request.unique_id, UNIQUE);
        CHECK_INT(d.request.monitor_s, 0);
        CHECK_INT(json_integer_value(json_object_get(d.request.args, "increment")), 2);
        CHECK_INT(json_object_size(d.context), 2);
        CHECK_STR(json_string_value(json_object_get(d.context, "user")), "alice");
        forget(&d);
}

TEST(a_cast_without_version_is_one_of_version_1_0_and_asks_for_no_reply)
{
        decoded d;

        CHECK_INT(decode(cast_body, &d), 0);
        CHECK_STR(d.request.version, "1.0");
        CHECK(!d.request.name_space && !d.request.msg_id && !d.request.reply_queue);
        forget(&d);
        CHECK_INT(decode("{\"method\": \"m\", \"version\": null, \"_msg_id\": \"x\"}", &d), 0);
        CHECK(!d.request.version && !d.request.msg_id); /* without a queue there is nobody to reply to */
        CHECK_STR(d.request.unique_id, "");
        CHECK(!d.request.args);
        forget(&d);
}

TEST(only_a_number_of_seconds_that_makes_sense_asks_for_signs_of_life)
{
        static const struct {
                const char *timeout;
                int monitor_s;
        } cases[] = {{"30", 30},    {"2.9", 2},   {"0", 0},    {"-1", 0},  {"null", 0},
                     {"\"30\"", 0}, {"1e300", 0}, {"[30]", 0}, {"true", 0}};
        decoded d;
        char body[200];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                snprintf(body, sizeof(body),
                         "{\"method\": \"m\", \"_msg_id\": \"x\", \"_reply_q\": \"q\", \"_timeout\": %s}",
                         cases[i].timeout);
                CHECK_INT(decode(body, &d), 0);
                CHECK_INT(d.request.monitor_s, cases[i].monitor_s);
                forget(&d);
        }
}

TEST(what_is_no_request_is_refused_with_a_sentence)
{
        static const struct {
                const char *body, *why;
        } cases[] = {
                {"{}", "not a request: its method is missing"},
                {"{\"method\": null}", "not a request: its method is missing"},
                {"{\"method\": 5}", "not a request: its method is not a string"},
                {"{\"method\": \"m\", \"args\": [1]}", "not a request: its args are not an object"},
                {"{\"method\": \"m\", \"args\": null}", "not a request: its args are not an object"},
                {"{\"method\": \"m\", \"version\": 2.0}", "not a request: its version is not a string"},
                {"{\"method\": \"m\", \"namespace\": {}}", "not a request: its namespace is not a string"},
                {"{\"method\": \"m\", \"_msg_id\": 7}", "not a request: its _msg_id is not a string"},
        };
        decoded d;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                CHECK_INT(decode(cases[i].body, &d), CEL_EDECODE);
                CHECK_STR(why, cases[i].why);
                forget(&d);
        }
}
