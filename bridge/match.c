/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/config.h"
#include "bridge/glob.h"

typedef bool (*glob_fn)(const char *glob, const char *text);

static bool matches_any(char *const *globs, const char *text, glob_fn matches)
{
        if (!globs)
                return true;
        for (; *globs; globs++)
                if (matches(*globs, text ? text : ""))
                        return true;
        return false;
}

bool bridge_match(const bridge_match_config *match, const char *event_type, const char *publisher_id,
                  const char *priority)
{
        return matches_any(match->event_types, event_type, bridge_glob) &&
               matches_any(match->publisher_ids, publisher_id, bridge_glob) &&
               matches_any(match->priorities, priority, bridge_glob_nocase);
}

int bridge_match_event(const bridge_match_config *match, const bridge_event *event)
{
        const cel_notification *n = event->notification;
        int r = bridge_match(match, n->event_type, n->publisher_id, n->priority);

        for (size_t i = 0; i < match->conditions_n && r > 0; i++)
                r = bridge_condition_holds(match->conditions[i], event);
        return r;
}
