/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char why[300];

/* As Python's oslo.messaging writes them. */
static const struct {
        const char *inner;
        const char *body;
} examples[] = {
        {/* call request */
         "{\"method\": \"add\", \"args\": {\"increment\": 2}, \"namespace\": \"calc\", \"version\""
         ": \"1.2\", \"_msg_id\": \"22222222222222222222222222222222\", \"_reply_q\": \"reply_3333"
         "3333333333333333333333333333\", \"_timeout\": null, \"_unique_id\": \"111111111111111111"
         "11111111111111\", \"_context_user\": \"alice\", \"_context_request_id\": \"req-1\"}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"method\\\": \\\"add\\\", \\\"args\\"
         "\": {\\\"increment\\\": 2}, \\\"namespace\\\": \\\"calc\\\", \\\"version\\\": \\\"1.2\\"
         "\", \\\"_msg_id\\\": \\\"22222222222222222222222222222222\\\", \\\"_reply_q\\\": \\\"rep"
         "ly_33333333333333333333333333333333\\\", \\\"_timeout\\\": null, \\\"_unique_id\\\": \\"
         "\"11111111111111111111111111111111\\\", \\\"_context_user\\\": \\\"alice\\\", \\\"_conte"
         "xt_request_id\\\": \\\"req-1\\\"}\"}"},
        {/* cast */
         "{\"method\": \"add\", \"args\": {\"increment\": 2}, \"_unique_id\": \"111111111111111111"
         "11111111111111\", \"_context_user\": \"alice\", \"_context_request_id\": \"req-1\"}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"method\\\": \\\"add\\\", \\\"args\\"
         "\": {\\\"increment\\\": 2}, \\\"_unique_id\\\": \\\"11111111111111111111111111111111\\\""
         ", \\\"_context_user\\\": \\\"alice\\\", \\\"_context_request_id\\\": \\\"req-1\\\"}\"}"},
        {/* fanout cast */
         "{\"method\": \"refresh\", \"args\": {\"host\": \"n\\u00f61\"}, \"version\": \"2.0\", \"_"
         "unique_id\": \"11111111111111111111111111111111\"}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"method\\\": \\\"refresh\\\", \\\"ar"
         "gs\\\": {\\\"host\\\": \\\"n\\\\u00f61\\\"}, \\\"version\\\": \\\"2.0\\\", \\\"_unique_i"
         "d\\\": \\\"11111111111111111111111111111111\\\"}\"}"},
        {/* reply, success */
         "{\"result\": {\"ival\": 12}, \"failure\": null, \"ending\": true, \"_msg_id\": \"2222222"
         "2222222222222222222222222\", \"_unique_id\": \"11111111111111111111111111111111\"}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"result\\\": {\\\"ival\\\": 12}, \\"
         "\"failure\\\": null, \\\"ending\\\": true, \\\"_msg_id\\\": \\\"222222222222222222222222"
         "22222222\\\", \\\"_unique_id\\\": \\\"11111111111111111111111111111111\\\"}\"}"},
        {/* reply, null result */
         "{\"result\": null, \"failure\": null, \"ending\": true, \"_msg_id\": \"22222222222222222"
         "222222222222222\", \"_unique_id\": \"11111111111111111111111111111111\"}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"result\\\": null, \\\"failure\\\": "
         "null, \\\"ending\\\": true, \\\"_msg_id\\\": \\\"22222222222222222222222222222222\\\", "
         "\\\"_unique_id\\\": \\\"11111111111111111111111111111111\\\"}\"}"},
        {/* call-monitor heartbeat */
         "{\"result\": null, \"failure\": null, \"ending\": false, \"_msg_id\": \"2222222222222222"
         "2222222222222222\", \"_unique_id\": \"11111111111111111111111111111111\"}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"result\\\": null, \\\"failure\\\": "
         "null, \\\"ending\\\": false, \\\"_msg_id\\\": \\\"22222222222222222222222222222222\\\", "
         "\\\"_unique_id\\\": \\\"11111111111111111111111111111111\\\"}\"}"},
        {/* reply with that failure */
         "{\"result\": null, \"failure\": \"{\\\"class\\\": \\\"ValueError\\\", \\\"module\\\": \\"
         "\"builtins\\\", \\\"message\\\": \\\"ival can't go negative!\\\", \\\"tb\\\": [\\\"Trace"
         "back (most recent call last):\\\\n\\\", \\\"  File \\\\\\\"/srv/calc.py\\\\\\\", line 7,"
         " in subtract\\\\n    raise ValueError(\\\\\\\"ival can't go negative!\\\\\\\")\\\\n\\\","
         " \\\"ValueError: ival can't go negative!\\\\n\\\"], \\\"args\\\": [\\\"ival can't go neg"
         "ative!\\\"], \\\"kwargs\\\": {}}\", \"ending\": true, \"_msg_id\": \"2222222222222222222"
         "2222222222222\", \"_unique_id\": \"11111111111111111111111111111111\"}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"result\\\": null, \\\"failure\\\": "
         "\\\"{\\\\\\\"class\\\\\\\": \\\\\\\"ValueError\\\\\\\", \\\\\\\"module\\\\\\\": \\\\\\\""
         "builtins\\\\\\\", \\\\\\\"message\\\\\\\": \\\\\\\"ival can't go negative!\\\\\\\", \\\\"
         "\\\"tb\\\\\\\": [\\\\\\\"Traceback (most recent call last):\\\\\\\\n\\\\\\\", \\\\\\\"  "
         "File \\\\\\\\\\\\\\\"/srv/calc.py\\\\\\\\\\\\\\\", line 7, in subtract\\\\\\\\n    raise"
         " ValueError(\\\\\\\\\\\\\\\"ival can't go negative!\\\\\\\\\\\\\\\")\\\\\\\\n\\\\\\\", "
         "\\\\\\\"ValueError: ival can't go negative!\\\\\\\\n\\\\\\\"], \\\\\\\"args\\\\\\\": [\\"
         "\\\\\"ival can't go negative!\\\\\\\"], \\\\\\\"kwargs\\\\\\\": {}}\\\", \\\"ending\\\":"
         " true, \\\"_msg_id\\\": \\\"22222222222222222222222222222222\\\", \\\"_unique_id\\\": \\"
         "\"11111111111111111111111111111111\\\"}\"}"},
        {/* notification v2 */
         "{\"message_id\": \"44444444-4444-4444-4444-444444444444\", \"publisher_id\": \"compute.h"
         "ost1\", \"event_type\": \"compute.instance.create.start\", \"priority\": \"INFO\", \"pay"
         "load\": {\"instance_id\": 12}, \"timestamp\": \"2026-05-13 12:53:00.123456\", \"_unique_"
         "id\": \"11111111111111111111111111111111\", \"_context_user\": \"alice\", \"_context_req"
         "uest_id\": \"req-1\"}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"message_id\\\": \\\"44444444-4444-4"
         "444-4444-444444444444\\\", \\\"publisher_id\\\": \\\"compute.host1\\\", \\\"event_type\\"
         "\": \\\"compute.instance.create.start\\\", \\\"priority\\\": \\\"INFO\\\", \\\"payload\\"
         "\": {\\\"instance_id\\\": 12}, \\\"timestamp\\\": \\\"2026-05-13 12:53:00.123456\\\", \\"
         "\"_unique_id\\\": \\\"11111111111111111111111111111111\\\", \\\"_context_user\\\": \\\"a"
         "lice\\\", \\\"_context_request_id\\\": \\\"req-1\\\"}\"}"},
        {/* kafka record value */
         "{\"message_id\": \"44444444-4444-4444-4444-444444444444\", \"publisher_id\": \"compute.h"
         "ost1\", \"event_type\": \"compute.instance.create.start\", \"priority\": \"INFO\", \"pay"
         "load\": {\"instance_id\": 12}, \"timestamp\": \"2026-05-13 12:53:00.123456\", \"_context"
         "\": {\"user\": \"alice\", \"request_id\": \"req-1\"}}",
         "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"message_id\\\": \\\"44444444-4444-4"
         "444-4444-444444444444\\\", \\\"publisher_id\\\": \\\"compute.host1\\\", \\\"event_type\\"
         "\": \\\"compute.instance.create.start\\\", \\\"priority\\\": \\\"INFO\\\", \\\"payload\\"
         "\": {\\\"instance_id\\\": 12}, \\\"timestamp\\\": \\\"2026-05-13 12:53:00.123456\\\", \\"
         "\"_context\\\": {\\\"user\\\": \\\"alice\\\", \\\"request_id\\\": \\\"req-1\\\"}}\"}"},
};

enum { EXAMPLES_N = sizeof(examples) / sizeof(examples[0]) };

static int open_text(const char *body, cel__envelope *envelope)
{
        *why = '\0';
        return cel__envelope_open(body, strlen(body), envelope, why, sizeof(why));
}

static void refuse(const char *body, int code, const char *sentence)
{
        cel__envelope envelope = {.version = 77};

        CHECK_INT(open_text(body, &envelope), code);
        CHECK_INT(envelope.version, 77);
        CHECK_STR(why, sentence);
}

TEST(the_envelope_of_every_known_message_is_written_byte_for_byte)
{
        cel__buf buf;

        cel__buf_init(&buf, 10000);
        for (size_t i = 0; i < EXAMPLES_N; i++) {
                CHECK_INT(cel__envelope_wrap(examples[i].inner, strlen(examples[i].inner), &buf), 0);
                CHECK_INT(cel__buf_used(&buf), strlen(examples[i].body));
                CHECK_BYTES(cel__buf_head(&buf), examples[i].body, cel__buf_used(&buf));
                cel__buf_clear(&buf, 10000);
        }
        cel__buf_fini(&buf);
}

TEST(the_text_of_every_known_message_comes_out_byte_for_byte)
{
        for (size_t i = 0; i < EXAMPLES_N; i++) {
                cel__envelope envelope;

                CHECK_INT(open_text(examples[i].body, &envelope), 0);
                CHECK_INT(envelope.version, 2);
                CHECK(envelope.unescaped); /* the fast way */
                CHECK_INT(envelope.text_bytes, strlen(examples[i].inner));
                CHECK_STR(envelope.text, examples[i].inner);
                CHECK(json_is_object(envelope.message));
                cel__envelope_fini(&envelope);
        }
}

/* Both ways to open an envelope: as it is, and with a space that makes it unusual. */
static void check_both_ways(const char *message, const char *expected_text)
{
        char body[400];

        for (int unusual = 0; unusual < 2; unusual++) {
                cel__envelope envelope;

                snprintf(body, sizeof(body), "{%s\"oslo.version\": \"2.0\", \"oslo.message\": \"%s\"}",
                         unusual ? " " : "", message);
                CHECK_INT(open_text(body, &envelope), 0);
                CHECK_INT(envelope.version, 2);
                CHECK_INT(envelope.text_bytes, strlen(expected_text));
                CHECK_STR(envelope.text, expected_text);
                cel__envelope_fini(&envelope);
        }
}

TEST(an_envelope_that_looks_different_gives_the_same_text)
{
        check_both_ways("{}", "{}");
        check_both_ways("{\\\"a\\\": \\\"\\\\\\\"\\\"}", "{\"a\": \"\\\"\"}");
        check_both_ways("{\\n\\u0022a\\u0022:\\t\\\"\\/\\u00f6\\\"}", "{\n\"a\":\t\"/\xc3\xb6\"}");
}

TEST(a_body_without_the_two_keys_is_the_message_itself)
{
        static const char *const bodies[] = {"{}", " {\"event_type\": \"e\"} ", "{\"oslo.version\": \"9\"}",
                                             "{\"oslo.message\": \"{}\"}"};

        for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
                cel__envelope envelope;

                CHECK_INT(open_text(bodies[i], &envelope), 0);
                CHECK_INT(envelope.version, 1);
                CHECK(envelope.text == bodies[i]);
                CHECK_INT(envelope.text_bytes, strlen(bodies[i]));
                cel__envelope_fini(&envelope);
        }
}

TEST(only_version_2_0_is_supported)
{
        static const struct {
                const char *version;
                int code;
        } cases[] = {
                {"2.0", 0},
                {"2.0.0", 0},
                {"2.0.0.9", 0},
                {"02.00", 0},
                {"2.1", CEL_EVERSION},
                {"1.0", CEL_EVERSION},
                {"3.0", CEL_EVERSION},
                {"2", CEL_EVERSION},
                {"", CEL_EVERSION},
                {"2.0.1", CEL_EVERSION},
                {"2.", CEL_EVERSION},
                {"2.x", CEL_EVERSION},
                {"-2.0", CEL_EVERSION},
                {"4294967298.0", CEL_EVERSION},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cel__envelope envelope;
                char body[100];

                snprintf(body, sizeof(body), "{\"oslo.version\": \"%s\", \"oslo.message\": \"{}\"}",
                         cases[i].version);
                CHECK_INT(open_text(body, &envelope), cases[i].code);
                if (cases[i].code == 0)
                        cel__envelope_fini(&envelope);
        }
        refuse("{\"oslo.version\": \"3.0\", \"oslo.message\": \"{}\"}", CEL_EVERSION,
               "envelope version \"3.0\" is not supported; \"2.0\" is");
        refuse("{\"oslo.version\": 2.0, \"oslo.message\": \"{}\"}", CEL_EVERSION,
               "the envelope's version is not a string; \"2.0\" is supported");
}

TEST(what_cannot_be_decoded_is_refused_with_its_place)
{
        refuse("", CEL_EDECODE, "the body is empty");
        refuse("[1]", CEL_EDECODE, "the body is JSON, but not an object");
        refuse("{\"a\": 1,}", CEL_EDECODE,
               "the body is not JSON: line 1, column 9: string or '}' expected near '}'");
        refuse("{}\n{}", CEL_EDECODE,
               "the body is not JSON: line 2, column 1: end of file expected near '{'");
        refuse("{\"oslo.version\": \"2.0\", \"oslo.message\": {}}", CEL_EDECODE,
               "the envelope's oslo.message is not a string");
        refuse("{\"oslo.version\": \"2.0\", \"oslo.message\": \"[]\"}", CEL_EDECODE,
               "the message in the envelope is JSON, but not an object");
        refuse("{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\"}", CEL_EDECODE,
               "the message in the envelope is not JSON: line 1, column 1: string or '}' expected near end "
               "of file");
        refuse("{\"oslo.version\": \"2.0\", \"oslo.message\": \"\"}", CEL_EDECODE,
               "the message in the envelope is not JSON: line 1, column 0: '[' or '{' expected near end of "
               "file");
        refuse("{\"oslo.version\": \"2.0\", \"oslo.message\": \"\\\"}", CEL_EDECODE,
               "the body is not JSON: line 1, column 44: premature end of input near '\"\\\"}'");
        refuse("\x1b[31m", CEL_EDECODE,
               "the body is not JSON: line 1, column 1: '[' or '{' expected near '?'");
}

TEST(nesting_without_end_is_refused)
{
        enum { DEPTH = 100000 };
        static char body[DEPTH * 5 + 1];

        for (size_t i = 0; i < DEPTH; i++)
                memcpy(body + i * 5, "{\"a\":", 5);
        CHECK_INT(open_text(body, &(cel__envelope){0}), CEL_EDECODE);
}

/* depth - 1 arrays, each the only item of the one around it, in an object. */
static void nest(char *body, int depth)
{
        strcpy(body, "{\"\\\\[[\\\"[\":");
        for (int i = 1; i < depth; i++)
                strcat(body, "[");
        for (int i = 1; i < depth; i++)
                strcat(body, "]");
        strcat(body, "}");
}

TEST(nesting_is_allowed_up_to_the_limit_and_brackets_in_strings_do_not_count)
{
        char body[2 * CEL__JSON_DEPTH_MAX + 64];
        cel__envelope envelope;

        nest(body, CEL__JSON_DEPTH_MAX);
        CHECK_INT(open_text(body, &envelope), 0);
        cel__envelope_fini(&envelope);
        nest(body, CEL__JSON_DEPTH_MAX + 1);
        refuse(body, CEL_EDECODE, "the body is nested deeper than 100 levels");
}

static json_t *open_member(const char *body, const char *name, cel__envelope *envelope)
{
        CHECK_INT(open_text(body, envelope), 0);
        CHECK_INT(envelope->version, 1);
        CHECK(envelope->text == body);
        return json_object_get(envelope->message, name);
}

static void check_member(const char *body, const char *name, const char *expected)
{
        cel__envelope envelope;
        json_t *member = open_member(body, name, &envelope);

        CHECK(json_is_string(member));
        CHECK_STR(json_string_value(member), expected);
        cel__envelope_fini(&envelope);
}

TEST(what_python_calls_json_is_read_too)
{
        check_member("{\"a\": NaN}", "a", "NaN");
        check_member("{\"a\": Infinity}", "a", "Infinity");
        check_member("{\"a\": -Infinity}", "a", "-Infinity");
        check_member("{\"a\": 1267650600228229401496703205376}", "a", "1267650600228229401496703205376");
        check_member("{\"a\": -9223372036854775809}", "a", "-9223372036854775809");
        check_member("{\"a\": 1e400}", "a", "1e400");
        check_member("{\"a\": \"<\\ud800>\"}", "a", "<\xef\xbf\xbd>");
        check_member("{\"a\": \"<\\udc00\\ud800>\"}", "a", "<\xef\xbf\xbd\xef\xbf\xbd>");
        check_member("{\"a\\u0000b\": \"x\"}",
                     "a\xef\xbf\xbd"
                     "b",
                     "x");
}

TEST(the_text_of_such_a_message_is_passed_on_as_it_was_sent)
{
        static const char body[] = "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"a\\\": NaN, "
                                   "\\\"b\\\": \\\"\\\\ud800\\\"}\"}";
        cel__envelope envelope;

        CHECK_INT(open_text(body, &envelope), 0);
        CHECK_STR(envelope.text, "{\"a\": NaN, \"b\": \"\\ud800\"}");
        CHECK_STR(json_string_value(json_object_get(envelope.message, "a")), "NaN");
        cel__envelope_fini(&envelope);
}

TEST(zeros_in_values_and_repeated_names_are_read_as_python_reads_them)
{
        cel__envelope envelope;
        json_t *member = open_member("{\"a\": 1, \"a\": \"x\\u0000y\"}", "a", &envelope);

        CHECK_INT(json_string_length(member), 3);
        CHECK_BYTES(json_string_value(member), "x\0y", 3);
        cel__envelope_fini(&envelope);
}

static void check_type(const char *body, json_type type)
{
        cel__envelope envelope;

        const json_t *member = open_member(body, "a", &envelope);

        CHECK_INT(json_typeof(member), type);
        cel__envelope_fini(&envelope);
}

TEST(integers_and_reals_stay_apart)
{
        check_type("{\"a\": 1}", JSON_INTEGER);
        check_type("{\"a\": 1.0}", JSON_REAL);
        check_type("{\"a\": -9223372036854775808}", JSON_INTEGER);
}

static void check_wrapped(const char *inner, size_t n, const char *expected)
{
        char body[200];
        cel__buf buf;

        snprintf(body, sizeof(body), "{\"oslo.version\": \"2.0\", \"oslo.message\": \"%s\"}", expected);
        cel__buf_init(&buf, 200);
        CHECK_INT(cel__envelope_wrap(inner, n, &buf), 0);
        CHECK_INT(cel__buf_used(&buf), strlen(body));
        CHECK_BYTES(cel__buf_head(&buf), body, strlen(body));
        cel__buf_fini(&buf);
}

TEST(text_is_escaped_as_python_escapes_it)
{
        check_wrapped("", 0, "");
        check_wrapped("\"\\/\b\f\n\r\t", 8, "\\\"\\\\/\\b\\f\\n\\r\\t");
        check_wrapped("\x00\x1f ~\x7f", 5, "\\u0000\\u001f ~\\u007f");
        check_wrapped("\xc2\x80\xc3\xb6\xdf\xbf", 6, "\\u0080\\u00f6\\u07ff");
        check_wrapped("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12, "\\u0800\\ud7ff\\ue000\\uffff");
        check_wrapped("\xf0\x90\x80\x80\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", 12,
                      "\\ud800\\udc00\\ud83d\\ude00\\udbff\\udfff");
}

TEST(what_is_not_utf8_is_not_wrapped)
{
        static const char *const texts[] = {
                "\x80",
                "\xc3",
                "\xc3(",
                "\xc0\x80",
                "\xe0\x9f\xbf",
                "\xed\xa0\x80",
                "\xed\xbf\xbf",
                "\xf0\x8f\xbf\xbf",
                "\xf4\x90\x80\x80",
                "\xf8\x88\x80\x80\x80",
                "\xff",
                "a\xe2\x82",
        };
        cel__buf buf;

        cel__buf_init(&buf, 200);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                CHECK_INT(cel__envelope_wrap(texts[i], strlen(texts[i]), &buf), CEL_EINVAL);
        CHECK_INT(cel__buf_used(&buf), 0);
        cel__buf_fini(&buf);
}

TEST(an_envelope_that_does_not_fit_leaves_nothing_behind)
{
        cel__buf buf;

        cel__buf_init(&buf, 45);
        CHECK_INT(cel__envelope_wrap("{ }", 3, &buf), CEL_ETOOBIG);
        CHECK_INT(cel__buf_used(&buf), 0);
        CHECK_INT(cel__envelope_wrap("{}", 2, &buf), 0);
        cel__buf_fini(&buf);
}

TEST(what_was_wrapped_can_be_opened)
{
        unsigned seed = (unsigned)time(NULL);
        cel__buf buf;

        print_message("# seed %u\n", seed);
        srand(seed);
        cel__buf_init(&buf, 1 << 16);
        for (int round = 0; round < 2000; round++) {
                json_t *json = json_object();
                cel__envelope envelope;
                char name[8] = {0};

                for (int i = rand() % 20; i > 0; i--) {
                        for (size_t k = 0; k < 7; k++)
                                name[k] = (char)(1 + rand() % 127);
                        json_object_set_new(json, name, json_integer(rand()));
                }

                char *text = json_dumps(json, JSON_COMPACT);

                cel__buf_clear(&buf, 1 << 16);
                CHECK_INT(cel__envelope_wrap(text, strlen(text), &buf), 0);
                CHECK_INT(cel__envelope_open(cel__buf_head(&buf), cel__buf_used(&buf), &envelope, why,
                                             sizeof(why)),
                          0);
                CHECK_INT(envelope.text_bytes, strlen(text));
                CHECK_STR(envelope.text, text);
                CHECK(json_equal(envelope.message, json));
                cel__envelope_fini(&envelope);
                json_decref(json);
                free(text);
        }
        cel__buf_fini(&buf);
}
