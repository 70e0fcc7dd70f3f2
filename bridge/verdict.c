/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/verdict.h"

#include <celadon/error.h>
#include <string.h>

typedef struct status_row {
        int first, last;
        bridge_class class;
        unsigned attempts_max;
        bool storm;
        const char *why;
} status_row;

typedef struct profile_row {
        const char *profile;
        int first, last;
        bridge_class class;
        const char *why;
} profile_row;

static const status_row statuses[] = {
#define BRIDGE_STATUS(first, last, class, attempts, storm, why) \
        {first, last, BRIDGE_##class, attempts, storm, why},
#include "bridge/verdicts.def"
};

static const profile_row profile_rows[] = {
#define BRIDGE_PROFILE(profile, first, last, class, why) {profile, first, last, BRIDGE_##class, why},
#include "bridge/verdicts.def"
};

enum transport {
#define BRIDGE_TRANSPORT(name, word, class, attempts, why) TRANSPORT_##name,
#include "bridge/verdicts.def"
};

static const bridge_verdict transports[] = {
#define BRIDGE_TRANSPORT(name, word, a_class, attempts, text) \
        {.class = BRIDGE_##a_class, .attempts_max = (attempts), .why = (word)},
#include "bridge/verdicts.def"
};

const char *const bridge_profiles[] = {"default",   "knative",     "standard-webhooks",
                                       "eventgrid", "any-non-2xx", NULL};

const char *const bridge_class_names[] = {
#define BRIDGE_CLASS_NAME(name, word, what) [BRIDGE_##name] = (word),
        BRIDGE_CLASSES(BRIDGE_CLASS_NAME)
#undef BRIDGE_CLASS_NAME
};

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* The rule for the smallest range with this status in it. */
static const bridge_status_rule *find_rule(const bridge_verdict_config *config, unsigned status)
{
        const bridge_status_rule *found = NULL;

        for (size_t i = 0; i < config->rules_n; i++) {
                const bridge_status_rule *rule = &config->rules[i];

                if (status >= rule->first && status <= rule->last &&
                    (!found || rule->last - rule->first < found->last - found->first))
                        found = rule;
        }
        return found;
}

static const profile_row *find_in_profile(const char *profile, int status)
{
        for (size_t i = 0; profile && i < N(profile_rows); i++) {
                const profile_row *row = &profile_rows[i];

                if (status >= row->first && status <= row->last && strcmp(row->profile, profile) == 0)
                        return row;
        }
        return NULL;
}

static bridge_verdict find_default(int status)
{
        const status_row *row = statuses;

        while (row < statuses + N(statuses) - 1 && !(status >= row->first && status <= row->last))
                row++;
        return (bridge_verdict){
                .class = row->class, .attempts_max = row->attempts_max, .storm = row->storm, .why = row->why};
}

bridge_verdict bridge_verdict_of_status(const bridge_verdict_config *config, int status)
{
        const bridge_status_rule *rule = find_rule(config, (unsigned)status);

        if (rule) /* who writes it down has thought about storms */
                return (bridge_verdict){.class = rule->class, .why = "as the configuration says"};

        bridge_verdict verdict = find_default(status);
        const profile_row *row = find_in_profile(config->profile, status);
        if (row) {
                verdict.class = row->class;
                verdict.attempts_max = 0;
                verdict.why = row->why;
        }
        return verdict;
}

static enum transport transport_of(int code, const cel_http_failure *failure)
{
        switch (code) {
        case CEL_ECONNECT:
                return TRANSPORT_CONNECT;
        case CEL_ERESOLVE:
                return TRANSPORT_RESOLVE;
        case CEL_ETLS:
                return TRANSPORT_TLS;
        case CEL_EPROTO:
                return TRANSPORT_PROTOCOL;
        case CEL_ETIMEDOUT:
                return failure->maybe_sent ? TRANSPORT_TIMEOUT : TRANSPORT_UNSENT;
        case CEL_EFULL:
        case CEL_ENOMEM:
                return TRANSPORT_LOCAL;
        case CEL_EINVAL:
                return TRANSPORT_UNSENDABLE;
        default:
                return failure->stale ? TRANSPORT_STALE : TRANSPORT_BROKEN;
        }
}

bridge_verdict bridge_verdict_of_failure(const bridge_verdict_config *config, int code,
                                         const cel_http_failure *failure)
{
        if (failure->status > 0)
                return bridge_verdict_of_status(config, failure->status);

        enum transport transport = transport_of(code, failure);
        bridge_verdict verdict = transports[transport];
        verdict.no_connection = transport == TRANSPORT_CONNECT || transport == TRANSPORT_RESOLVE;
        return verdict;
}
