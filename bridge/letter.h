/* SPDX-License-Identifier: Apache-2.0
 *
 * A dead letter, read again: what its headers say, who wants it, and the event that it was. */
#ifndef CELADON_BRIDGE_LETTER_H
#define CELADON_BRIDGE_LETTER_H

#include <celadon/message.h>

#define BRIDGE_REPLAYS    "x-celadon-replays"    /* how often it was replayed */
#define BRIDGE_REPLAY_RUN "x-celadon-replay-run" /* by which run last */

/* All texts are owned; "" if the letter does not say. */
typedef struct bridge_letter {
        char *reason, *error, *route;
        char *queue; /* where the event came from */
        char *key;   /* its Idempotency-Key */
        char *dead_at;
        char *run;
        int64_t dead_ms; /* since 1970; 0: the letter does not say */
        int64_t status, attempts, replays;
        bool maybe_delivered;
} bridge_letter;

/* What to take; NULL and 0: any. */
typedef struct bridge_letter_filter {
        const char *route, *reason; /* borrowed */
        int status_min, status_max; /* both 0: any */
        int64_t since_ms;           /* since 1970: letters from then on */
} bridge_letter_filter;

/* Owns:   bridge_letter_fini() it, unless this fails.
 * Errors: CEL_ENOMEM. */
int bridge_letter_init(bridge_letter *letter, const cel_message *message);
void bridge_letter_fini(bridge_letter *letter);

/* What has no reason is no dead letter, and passes no filter. */
bool bridge_letter_passes(const bridge_letter_filter *filter, const bridge_letter *letter);

/* The headers of the event that `message` was, for its own queue: they say what those of a parked event do, so that it is the
 * same event as before to templates, conditions and CloudEvents; no attempts were made, and its time has come.
 * Owns:   *ret_headers is yours.
 * Errors: CEL_ETOOBIG, CEL_ENOMEM. */
int bridge_letter_revive(const bridge_letter *letter, const cel_message *message, const char *run,
                         cel_headers **ret_headers);

/* Read "503" or "5xx" into a filter; "0" is a letter without a response. Returns whether it is one of these. */
bool bridge_letter_read_status(const char *text, bridge_letter_filter *filter);

/* Read a time, in ms since 1970: "2026-11-24", "2026-11-24T15:00" and so on (UTC), or "-2h": so long before `now_ms`. Returns
 * whether it is one. */
bool bridge_letter_read_time(const char *text, int64_t now_ms, int64_t *ret_ms);

#endif
