/* SPDX-License-Identifier: Apache-2.0
 *
 * Message bodies: the two ways to open an envelope agree, what was opened can be wrapped again, and
 * notifications come out. */
#include "fuzz.h"
#include "wire/json_rewrite.h"
#include "wire/notification.h"

#include <string.h>

static void check_sentence(const char *why)
{
        MUST(*why && strlen(why) < 300);
        for (; *why; why++)
                MUST(*why >= ' ' && *why <= '~');
}

/* A blank in front changes nothing, except that the short cut for Python's envelopes is not taken. */
static void check_other_way(const uint8_t *data, size_t n, int expected, const cel__envelope *envelope)
{
        cel_auto_free char *body = malloc(n + 1);
        cel__envelope other;
        char why[300];

        MUST(body);
        body[0] = ' ';
        memcpy(body + 1, data, n);
        MUST(cel__envelope_open(body, n + 1, &other, why, sizeof(why)) == expected);
        if (expected < 0)
                return;
        MUST(other.version == envelope->version && !other.unescaped);
        if (other.version == 2) {
                MUST(other.text_bytes == envelope->text_bytes);
                MUST(memcmp(other.text, envelope->text, other.text_bytes) == 0);
        }
        MUST(json_equal(other.message, envelope->message));
        cel__envelope_fini(&other);
}

static void check_round_trip(const cel__envelope *envelope)
{
        cel__envelope again;
        char why[300];
        cel__buf buf;

        cel__buf_init(&buf, 16 << 20);
        MUST(cel__envelope_wrap(envelope->text, envelope->text_bytes, &buf) == 0);
        MUST(cel__envelope_open(cel__buf_head(&buf), cel__buf_used(&buf), &again, why, sizeof(why)) == 0);
        MUST(again.version == 2 && again.text_bytes == envelope->text_bytes);
        MUST(memcmp(again.text, envelope->text, again.text_bytes) == 0);
        cel__envelope_fini(&again);
        cel__buf_fini(&buf);
}

static void check_notification(const cel__envelope *envelope)
{
        cel_notification notification = {0};
        char why[300] = "";
        int r = cel__notification_from_envelope(envelope, NULL, &notification, why, sizeof(why));

        if (r < 0) {
                MUST(r == CEL_EDECODE);
                check_sentence(why);
                return;
        }
        MUST(notification.publisher_id && notification.event_type && notification.priority);
        MUST(notification.message_id && notification.timestamp && notification.message);
}

/* What jansson accepts needs no rewriting, and survives it. */
static void check_rewriting(const uint8_t *data, size_t n)
{
        json_t *json = json_loadb((const char *)data, n, JSON_ALLOW_NUL, NULL);
        cel_auto_free char *copy = NULL;
        size_t copy_n;
        int r = cel__json_rewrite((const char *)data, n, &copy, &copy_n);

        MUST(r >= 0 && copy_n <= 2 * n);
        if (json)
                MUST(r == 0);
        if (r == 0)
                MUST(copy_n == n && memcmp(copy, data, n) == 0);
        json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel__envelope envelope;
        char why[300] = "";
        int r = cel__envelope_open(data, n, &envelope, why, sizeof(why));

        check_rewriting(data, n);
        if (n > 0)
                check_other_way(data, n, r, &envelope);
        if (r < 0) {
                MUST(r == CEL_EDECODE || r == CEL_EVERSION);
                check_sentence(why);
                return 0;
        }
        MUST(json_is_object(envelope.message));
        check_notification(&envelope);
        if (envelope.version == 2)
                check_round_trip(&envelope);
        cel__envelope_fini(&envelope);
        return 0;
}
