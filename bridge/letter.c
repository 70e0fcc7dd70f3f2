/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/letter.h"

#include "bridge/copy.h"
#include "bridge/park.h"
#include "bridge/schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- Reading ---------------------------------------------------------------------------------- */

/* What is no text counts as not there. */
static int read_text(const cel_message *message, const char *name, char **ret_text)
{
        int r = cel_headers_get_str(message->headers, name, ret_text);

        if (r == CEL_ENOMEM)
                return r;
        if (r < 0)
                *ret_text = strdup("");
        return *ret_text ? 0 : CEL_ENOMEM;
}

static int64_t read_number(const cel_message *message, const char *name)
{
        int64_t number;

        return cel_headers_get_int(message->headers, name, &number) == 0 ? number : 0;
}

static int read_flag(const cel_message *message, const char *name, bool *ret_flag)
{
        cel_auto_free char *text = NULL;
        int r = read_text(message, name, &text);

        *ret_flag = r >= 0 && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);
        return r;
}

int bridge_letter_init(bridge_letter *letter, const cel_message *message)
{
        *letter = (bridge_letter){.status = read_number(message, "x-celadon-status"),
                                  .attempts = read_number(message, "x-celadon-attempts"),
                                  .replays = read_number(message, BRIDGE_REPLAYS)};
        const struct {
                const char *name;
                char **text;
        } texts[] = {{"x-celadon-reason", &letter->reason},
                     {"x-celadon-error", &letter->error},
                     {"x-celadon-route", &letter->route},
                     {"x-celadon-origin-queue", &letter->queue},
                     {"x-celadon-idempotency-key", &letter->key},
                     {"x-celadon-dead-at", &letter->dead_at},
                     {BRIDGE_REPLAY_RUN, &letter->run}};
        int r = read_flag(message, "x-celadon-maybe-delivered", &letter->maybe_delivered);

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && r >= 0; i++)
                r = read_text(message, texts[i].name, texts[i].text);
        if (r < 0) {
                bridge_letter_fini(letter);
                return r;
        }
        if (!bridge_letter_read_time(letter->dead_at, 0, &letter->dead_ms))
                letter->dead_ms = 0;
        return 0;
}

void bridge_letter_fini(bridge_letter *letter)
{
        free(letter->reason);
        free(letter->error);
        free(letter->route);
        free(letter->queue);
        free(letter->key);
        free(letter->dead_at);
        free(letter->run);
}

/* --- Choosing --------------------------------------------------------------------------------- */

bool bridge_letter_passes(const bridge_letter_filter *filter, const bridge_letter *letter)
{
        bool any_status = filter->status_min == 0 && filter->status_max == 0;

        return *letter->reason && (!filter->route || strcmp(filter->route, letter->route) == 0) &&
               (!filter->reason || strcmp(filter->reason, letter->reason) == 0) &&
               (any_status ||
                (letter->status >= filter->status_min && letter->status <= filter->status_max)) &&
               (filter->since_ms == 0 || letter->dead_ms >= filter->since_ms);
}

bool bridge_letter_read_status(const char *text, bridge_letter_filter *filter)
{
        if (strlen(text) != 3 || text[0] < '1' || text[0] > '9')
                return false;
        if (strcasecmp(text + 1, "xx") == 0) {
                filter->status_min = (text[0] - '0') * 100;
                filter->status_max = filter->status_min + 99;
                return true;
        }
        if (!isdigit((unsigned char)text[1]) || !isdigit((unsigned char)text[2]))
                return false;
        filter->status_min = filter->status_max = atoi(text);
        return true;
}

/* What follows the seconds: ".123" and "Z", either or none. Returns whether it is that. */
static bool read_fraction(const char *text, int64_t *ret_ms)
{
        int64_t ms = 0, unit = 100;

        if (*text == '.') {
                for (text++; isdigit((unsigned char)*text); text++, unit /= 10)
                        ms += unit * (*text - '0');
        }
        *ret_ms = ms;
        return strcmp(text, "") == 0 || strcmp(text, "Z") == 0;
}

bool bridge_letter_read_time(const char *text, int64_t now_ms, int64_t *ret_ms)
{
        static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
        int64_t ms;

        if (*text == '-') {
                if (!bridge_parse_duration(text + 1, &ms))
                        return false;
                *ret_ms = now_ms - ms;
                return true;
        }
        for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
                struct tm utc = {0};
                const char *rest = strptime(text, formats[i], &utc);

                if (rest && read_fraction(rest, &ms)) {
                        *ret_ms = (int64_t)timegm(&utc) * 1000 + ms;
                        return true;
                }
        }
        return false;
}

/* --- Back to an event ------------------------------------------------------------------------- */

/* What dead_letter.c writes, but for where the event came from. */
static void erase(cel_headers *headers)
{
        static const char *const names[] = {
                "x-celadon-reason",          "x-celadon-error",       "x-celadon-route",
                "x-celadon-method",          "x-celadon-url",         "x-celadon-first-attempt",
                "x-celadon-dead-at",         "x-celadon-attempts",    "x-celadon-status",
                "x-celadon-idempotency-key", "x-celadon-redelivered", "x-celadon-headers-dropped",
                "x-celadon-maybe-delivered"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                cel_headers_remove(headers, names[i]);
}

int bridge_letter_revive(const bridge_letter *letter, const cel_message *message, const char *run,
                         cel_headers **ret_headers)
{
        cel_auto(cel_headers) *headers = NULL;
        int r = cel_headers_copy(message->headers, &headers);

        if (r < 0)
                return r;
        erase(headers);
        bridge_park_erase(headers);
        bridge_forget_deaths(headers);
        r = cel_headers_set_int(headers, BRIDGE_NOT_BEFORE, 0);
        if (r >= 0 && letter->maybe_delivered)
                r = cel_headers_set_int(headers, BRIDGE_MAYBE, 1);
        if (r >= 0)
                r = cel_headers_set_int(headers, BRIDGE_REPLAYS, letter->replays + 1);
        if (r >= 0)
                r = cel_headers_set_str(headers, BRIDGE_REPLAY_RUN, run);
        if (r < 0)
                return r;
        *ret_headers = CEL_TAKE(headers);
        return 0;
}
