/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead letters back to where they came from. */
#ifndef CELADON_BRIDGE_REPLAY_H
#define CELADON_BRIDGE_REPLAY_H

#include "bridge/config.h"
#include "bridge/letter.h"

#include <celadon/ctx.h>

typedef struct bridge_replay_options {
        bridge_letter_filter filter;
        uint64_t limit; /* of letters; 0: none */
        unsigned rate;  /* letters in a second, 1 to 1,000,000 */
        bool dry_run;   /* only tell which ones */
        /* A letter that would be replayed; `failure` NULL. Or one that cannot be, and why. Must not wait. */
        void (*on_letter)(void *arg, const bridge_letter *letter, const char *failure);
        void *arg;
} bridge_replay_options;

/* Why it ended. */
typedef enum bridge_replay_end {
        BRIDGE_REPLAY_DONE,     /* each queue was gone through once */
        BRIDGE_REPLAY_LIMIT,    /* as many as were wanted */
        BRIDGE_REPLAY_RETURNED, /* too many came back as dead letters again */
        BRIDGE_REPLAY_FULL, /* as many letters that are to stay are held as can be; there may be more behind them */
        BRIDGE_REPLAY_LATE, /* letters cannot be held any longer */
} bridge_replay_end;

typedef struct bridge_replay_totals {
        uint64_t replayed; /* dry run: would be */
        uint64_t returned; /* of these, seen again as dead letters */
        uint64_t failed;   /* could not be replayed; still in their queue */
        uint64_t others;   /* not to be replayed; still in their queue */
        bridge_replay_end end;
} bridge_replay_totals;

/* Go once through the dead-letter queues of the routes, or of the route that the filter names, and publish each letter that
 * passes into the queue that its event came from; once that is confirmed, the letter is acknowledged. All others are held
 * unacknowledged meanwhile and go back in the end.
 * Waits:  until that is done, or cancellation: then a letter that is being replayed is finished first.
 * Errors: CEL_ECANCELED; CEL_ETIMEDOUT (the broker was not reached, or did not confirm); what else the transport fails with. The
 *         totals are right all the same, and no letter is lost; one that was not confirmed may be there twice. */
int bridge_replay(cel_ctx *ctx, const bridge_config *config, const bridge_replay_options *options,
                  bridge_replay_totals *totals);

#endif
