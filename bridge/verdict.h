/* SPDX-License-Identifier: Apache-2.0
 *
 * What the outcome of a request means for its event. The table is verdicts.def; this looks things up in it. */
#ifndef CELADON_BRIDGE_VERDICT_H
#define CELADON_BRIDGE_VERDICT_H

#include <celadon/http.h>

/* X(NAME, name in configurations, what follows). */
#define BRIDGE_CLASSES(X)                                                        \
        X(OK, "ok", "the event is acknowledged")                                 \
        X(RETRY, "retry", "another attempt after a wait")                        \
        X(FREE, "free", "another attempt that does not count, 3 in a row")       \
        X(THROTTLE, "throttle", "another attempt that does not count: only age") \
        X(AUTH, "auth", "fresh credentials, then like ROUTE")                    \
        X(REJECT, "reject", "a dead letter at once")                             \
        X(ROUTE, "route", "the route stops, the event waits")

typedef enum bridge_class {
#define BRIDGE_CLASS_ENUM(name, word, what) BRIDGE_##name,
        BRIDGE_CLASSES(BRIDGE_CLASS_ENUM)
#undef BRIDGE_CLASS_ENUM
                BRIDGE_CLASSES_N,
} bridge_class;

typedef struct bridge_verdict {
        bridge_class class;
        unsigned attempts_max; /* of the event; 0: as many as the route allows */
        bool storm;            /* many of these and no success are no fault of the events */
        bool doubted;          /* a RETRY that nobody knows yet whether it is the event's fault */
        bool no_connection;    /* the API could not be reached at all */
        const char *why;       /* static */
} bridge_verdict;

typedef struct bridge_status_rule {
        unsigned first, last;
        bridge_class class;
} bridge_status_rule;

/* What a route has chosen; all zero: the defaults. */
typedef struct bridge_verdict_config {
        char *profile;             /* owned; one of bridge_profiles, or NULL: the defaults */
        bridge_status_rule *rules; /* owned; go before all else, and one status before a hundred of them */
        size_t rules_n;
} bridge_verdict_config;

/* The names that `profile` may have, NULL-terminated; the first is the defaults' own. */
extern const char *const bridge_profiles[];

/* The names of the classes in configurations, BRIDGE_CLASSES_N of them. */
extern const char *const bridge_class_names[];

bridge_verdict bridge_verdict_of_status(const bridge_verdict_config *config, int status);

/* Of a request that failed with `code`. A status that came is what counts, even if the body broke off behind it. */
bridge_verdict bridge_verdict_of_failure(const bridge_verdict_config *config, int code,
                                         const cel_http_failure *failure);

#endif
