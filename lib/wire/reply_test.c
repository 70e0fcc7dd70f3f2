/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/reply.h"

#include <string.h>

#define UNIQUE "11111111111111111111111111111111"
#define MSG_ID "22222222222222222222222222222222"

/* As Python's oslo.messaging sends them. */
static const char success_body[] =
        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"result\\\": {\\\"ival\\\": 12}, \\"
        "\"failure\\\": null, \\\"ending\\\": true, \\\"_msg_id\\\": \\\"222222222222222222222222"
        "22222222\\\", \\\"_unique_id\\\": \\\"11111111111111111111111111111111\\\"}\"}";

static const char null_result_body[] =
        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"result\\\": null, \\\"failure\\\": "
        "null, \\\"ending\\\": true, \\\"_msg_id\\\": \\\"22222222222222222222222222222222\\\", "
        "\\\"_unique_id\\\": \\\"11111111111111111111111111111111\\\"}\"}";

static const char heartbeat_body[] =
        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"result\\\": null, \\\"failure\\\": "
        "null, \\\"ending\\\": false, \\\"_msg_id\\\": \\\"22222222222222222222222222222222\\\", "
        "\\\"_unique_id\\\": \\\"11111111111111111111111111111111\\\"}\"}";

static const char failure_body[] =
        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"result\\\": null, \\\"failure\\\": "
        "\\\"{\\\\\\\"class\\\\\\\": \\\\\\\"ValueError\\\\\\\", \\\\\\\"module\\\\\\\": \\\\\\\""
        "builtins\\\\\\\", \\\\\\\"message\\\\\\\": \\\\\\\"ival can't go negative!\\\\\\\", \\\\"
        "\\\"tb\\\\\\\": [\\\\\\\"Traceback (most recent call last):\\\\\\\\n\\\\\\\", \\\\\\\"  "
        "File \\\\\\\\\\\\\\\"/srv/calc.py\\\\\\\\\\\\\\\", line 7, in subtract\\\\\\\\n    raise"
        " ValueError(\\\\\\\\\\\\\\\"ival can't go negative!\\\\\\\\\\\\\\\")\\\\\\\\n\\\\\\\", "
        "\\\\\\\"ValueError: ival can't go negative!\\\\\\\\n\\\\\\\"], \\\\\\\"args\\\\\\\": [\\"
        "\\\\\"ival can't go negative!\\\\\\\"], \\\\\\\"kwargs\\\\\\\": {}}\\\", \\\"ending\\\":"
        " true, \\\"_msg_id\\\": \\\"22222222222222222222222222222222\\\", \\\"_unique_id\\\": \\"
        "\"11111111111111111111111111111111\\\"}\"}";

static const char failure_text[] =
        "{\"class\": \"ValueError\", \"module\": \"builtins\", \"message\": \"ival can't go negat"
        "ive!\", \"tb\": [\"Traceback (most recent call last):\\n\", \"  File \\\"/srv/calc.py\\"
        "\", line 7, in subtract\\n    raise ValueError(\\\"ival can't go negative!\\\")\\n\", \""
        "ValueError: ival can't go negative!\\n\"], \"args\": [\"ival can't go negative!\"], \"kw"
        "args\": {}}";

static char why[300];

static void check_encoded(const cel__reply *reply, const char *expected)
{
        cel__buf buf;

        cel__buf_init(&buf, 1 << 20);
        CHECK_INT(cel__reply_encode(reply, &buf), 0);
        CHECK_INT(cel__buf_used(&buf), strlen(expected));
        CHECK_BYTES(cel__buf_head(&buf), expected, strlen(expected));
        cel__buf_fini(&buf);
}

TEST(replies_are_encoded_byte_for_byte_as_pythons)
{
        json_t *result = json_pack("{s:i}", "ival", 12);
        cel__reply reply = {.ending = true, .msg_id = MSG_ID, .unique_id = UNIQUE};

        check_encoded(&reply, null_result_body);
        reply.result = result;
        check_encoded(&reply, success_body);
        reply.result = NULL;
        reply.ending = false;
        check_encoded(&reply, heartbeat_body);
        reply.ending = true;
        reply.failure = failure_text;
        reply.failure_bytes = strlen(failure_text);
        check_encoded(&reply, failure_body);
        json_decref(result);
}

typedef struct decoded {
        cel__envelope envelope;
        cel__reply reply;
        const char *msg_id;
} decoded;

static int decode(const char *body, decoded *d)
{
        *d = (decoded){0};
        CHECK_INT(cel__envelope_open(body, strlen(body), &d->envelope, why, sizeof(why)), 0);
        return cel__reply_decode(&d->envelope, &d->reply, &d->msg_id, why, sizeof(why));
}

TEST(a_reply_is_a_result_a_failure_or_a_sign_of_life)
{
        decoded d;

        CHECK_INT(decode(success_body, &d), 0);
        CHECK_STR(d.reply.msg_id, MSG_ID);
        CHECK_STR(d.msg_id, MSG_ID);
        CHECK_STR(d.reply.unique_id, UNIQUE);
        CHECK_INT(json_integer_value(json_object_get(d.reply.result, "ival")), 12);
        CHECK(d.reply.ending && !d.reply.failure);
        cel__envelope_fini(&d.envelope);

        CHECK_INT(decode(failure_body, &d), 0);
        CHECK_INT(d.reply.failure_bytes, strlen(failure_text));
        CHECK_STR(d.reply.failure, failure_text);
        cel__envelope_fini(&d.envelope);

        CHECK_INT(decode(heartbeat_body, &d), 0);
        CHECK(!d.reply.ending && !d.reply.failure && json_is_null(d.reply.result));
        cel__envelope_fini(&d.envelope);
}

TEST(a_result_counts_even_if_its_sender_announces_an_end_of_its_own)
{
        decoded d;

        CHECK_INT(decode("{\"_msg_id\": \"x\", \"result\": 1, \"failure\": null, \"ending\": false}", &d), 0);
        CHECK(d.reply.ending);
        cel__envelope_fini(&d.envelope);
        CHECK_INT(decode("{\"_msg_id\": \"x\", \"failure\": \"\"}", &d), 0);
        CHECK(d.reply.ending && !d.reply.failure && !d.reply.result);
        cel__envelope_fini(&d.envelope);
}

TEST(what_is_no_reply_is_refused_and_still_tells_whom_it_was_for)
{
        decoded d;

        CHECK_INT(decode("{\"result\": 1}", &d), CEL_EDECODE);
        CHECK_STR(why, "not a reply: its _msg_id is missing");
        CHECK(!d.msg_id);
        cel__envelope_fini(&d.envelope);
        CHECK_INT(decode("{\"_msg_id\": \"x\", \"failure\": {\"class\": \"E\"}}", &d), CEL_EDECODE);
        CHECK_STR(why, "not a reply: its failure is neither null nor a string");
        CHECK_STR(d.msg_id, "x");
        cel__envelope_fini(&d.envelope);
}
