/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/failure.h"

#include <string.h>

/* As Python's oslo.messaging sends them. */
static const char plain_text[] =
        "{\"class\": \"ValueError\", \"module\": \"builtins\", \"message\": \"ival can't go negat"
        "ive!\", \"tb\": [\"Traceback (most recent call last):\\n\", \"  File \\\"/srv/calc.py\\"
        "\", line 7, in subtract\\n    raise ValueError(\\\"ival can't go negative!\\\")\\n\", \""
        "ValueError: ival can't go negative!\\n\"], \"args\": [\"ival can't go negative!\"], \"kw"
        "args\": {}}";

static const char kwargs_text[] =
        "{\"class\": \"NV\", \"module\": \"__main__\", \"message\": \"Instance abc missing\", \"t"
        "b\": [\"...\\n\"], \"args\": [\"Instance abc missing\"], \"kwargs\": {\"id\": \"abc\", "
        "\"code\": 500}}";

static char why[300];

static void check_encoded(const cel_remote_error *error, const char *expected)
{
        cel__buf buf;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__failure_encode(error, &buf), 0);
        CHECK_INT(cel__buf_used(&buf), strlen(expected));
        CHECK_BYTES(cel__buf_head(&buf), expected, strlen(expected));
        cel__buf_fini(&buf);
}

TEST(failures_are_encoded_byte_for_byte_as_pythons)
{
        json_t *traceback = json_pack("[s, s, s]", "Traceback (most recent call last):\n",
                                      "  File \"/srv/calc.py\", line 7, in subtract\n    raise "
                                      "ValueError(\"ival can't go negative!\")\n",
                                      "ValueError: ival can't go negative!\n");
        json_t *short_traceback = json_pack("[s]", "...\n");
        json_t *kwargs = json_pack("{s:s, s:i}", "id", "abc", "code", 500);

        check_encoded(&(cel_remote_error){.class_name = "ValueError",
                                          .module = "builtins",
                                          .message = "ival can't go negative!",
                                          .traceback = traceback},
                      plain_text);
        check_encoded(&(cel_remote_error){.class_name = "NV",
                                          .module = "__main__",
                                          .message = "Instance abc missing",
                                          .traceback = short_traceback,
                                          .kwargs = kwargs},
                      kwargs_text);
        json_decref(traceback);
        json_decref(short_traceback);
        json_decref(kwargs);
}

TEST(an_error_that_is_passed_on_keeps_its_first_name)
{
        check_encoded(
                &(cel_remote_error){.class_name = "E_Remote", .module = "m_Remote", .message = ""},
                "{\"class\": \"E\", \"module\": \"m\", \"message\": \"\", \"tb\": [], \"args\": [\"\"], "
                "\"kwargs\": {}}");
        check_encoded(&(cel_remote_error){.class_name = "E_Remote", .module = "m", .message = ""},
                      "{\"class\": \"E_Remote\", \"module\": \"m\", \"message\": \"\", \"tb\": [], "
                      "\"args\": [\"\"], \"kwargs\": {}}");
}

TEST(a_failure_is_decoded_with_all_it_has)
{
        cel_remote_error error;
        json_t *json;

        CHECK_INT(cel__failure_decode(kwargs_text, strlen(kwargs_text), &error, &json, why, sizeof(why)), 0);
        CHECK_STR(error.class_name, "NV");
        CHECK_STR(error.module, "__main__");
        CHECK_STR(error.message, "Instance abc missing");
        CHECK_INT(json_array_size(error.args), 1);
        CHECK_INT(json_integer_value(json_object_get(error.kwargs, "code")), 500);
        CHECK_INT(json_array_size(error.traceback), 1);
        json_decref(json);
}

TEST(what_a_failure_lacks_or_has_wrong_counts_as_missing_except_its_class)
{
        static const char odd[] = "{\"class\": \"E\", \"tb\": \"text\", \"args\": {}, \"kwargs\": null}";
        cel_remote_error error;
        json_t *json;

        CHECK_INT(cel__failure_decode(odd, strlen(odd), &error, &json, why, sizeof(why)), 0);
        CHECK_STR(error.module, "");
        CHECK_STR(error.message, "");
        CHECK(!error.args && !error.kwargs && !error.traceback);
        json_decref(json);
        CHECK_INT(cel__failure_decode("{}", 2, &error, &json, why, sizeof(why)), CEL_EDECODE);
        CHECK_STR(why, "not a failure: its class is missing");
        CHECK_INT(cel__failure_decode("boo", 3, &error, &json, why, sizeof(why)), CEL_EDECODE);
        CHECK(strstr(why, "the failure is not JSON"));
}
