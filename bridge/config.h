/* SPDX-License-Identifier: Apache-2.0
 *
 * The bridge's configuration: a YAML file in, structs out. Every limit is checked here, so the rest of the
 * bridge takes a bridge_config at its word. What each key means is in docs; what it may hold is in the tables
 * of config.c. */
#ifndef CELADON_BRIDGE_CONFIG_H
#define CELADON_BRIDGE_CONFIG_H

#include "bridge/cloudevents.h"
#include "bridge/condition.h"
#include "bridge/durations.h"
#include "bridge/signature.h"
#include "bridge/template.h"
#include "bridge/transform.h"
#include "bridge/verdict.h"

#include <celadon/base.h>
#include <celadon/http.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        BRIDGE_ROUTES_MAX = 256,
        BRIDGE_HEADERS_MAX = 64, /* of a route's own choice */
        BRIDGE_CONFIG_BYTES_MAX = 1024 * 1024,
        BRIDGE_CONFIG_ERRORS_MAX = 20, /* reported; the rest is only counted */
};

/* Room for the headers that the bridge itself sets. */
enum { BRIDGE_OWN_HEADER_BYTES_MAX = 4096 };

/* RabbitMQ closes a channel when a delivery stays unacknowledged for 30 minutes (consumer_timeout). A delivery may wait
 * for 5 of them before a handler takes it. No route may hold it for longer than this after that, which leaves 5 for the
 * copy that settles it. */
#define BRIDGE_HOLD_MS_MAX (INT64_C(20) * 60 * 1000)

/* Lists are NULL-terminated, never empty. To hand one to cel_notification_listener_options, cast it:
 * (const char *const *)from->topics. */

/* from.notifications: where a route's events come from. Defaults are filled in. */
typedef struct bridge_source_config {
        char *exchange;    /* owned */
        char **topics;     /* owned */
        char **priorities; /* owned; lower case */
        char *pool;        /* owned; NULL: the shared queues, <topic>.<priority> */
        bool durable;
        bool auto_delete;
} bridge_source_config;

/* match: which of them the route handles: a mapping with lists of globs, see glob.h; NULL: any. Or conditions, of which
 * all must hold. */
typedef struct bridge_match_config {
        char **event_types;            /* owned */
        char **publisher_ids;          /* owned */
        char **priorities;             /* owned */
        bridge_condition **conditions; /* owned */
        size_t conditions_n;
} bridge_match_config;

/* to: the API server. */
typedef struct bridge_target_config {
        char *url; /* owned; http or https, without user and password; a template as it was written */
        bridge_template *url_template; /* owned; NULL: the URL is literal */
        char *method;                  /* owned; POST, PUT or PATCH */
        int64_t timeout_ms;            /* of one attempt */
        cel_http_header *headers; /* owned, names and values too; the bridge's own are never among them */
        size_t headers_n;
        bridge_transform transform;
        bridge_cloudevents_config cloudevents;
        bridge_signing_key **signing_keys; /* owned; NULL: requests are not signed */
        size_t signing_keys_n;
        bridge_template *
                *header_templates; /* owned; one for each header; NULL: its value is literal. NULL: all are */
        char *ca_file;             /* owned; NULL: the system's store */
} bridge_target_config;

typedef struct bridge_route_config {
        char *name; /* owned; unique */
        bridge_source_config from;
        bridge_match_config match;
        bool dead_letter_unmatched; /* on_unmatched: what does not match becomes a dead letter; else it is acknowledged */
        bridge_target_config to;
        bridge_verdict_config verdicts;
        unsigned concurrency;
        unsigned attempts_max;
        int64_t age_ms_max;      /* from the first attempt on; no later one begins past it */
        int64_t backoff_ms_base; /* before the second attempt; doubles from there */
        int64_t backoff_ms_cap;
        bridge_durations
                schedule; /* owned; the waits, one after the other, and the last one again: instead of those two */
        int64_t hold_ms_max; /* how long an event is held unacknowledged to wait; beyond, it is parked */
        int64_t retry_after_ms_max; /* longer waits than this are not taken from an API */
        int64_t open_ms_base;       /* how long the breaker is open: the first time; doubles from there */
        int64_t open_ms_cap;
        size_t message_bytes_max;
        char *dead_letter_queue; /* owned */
} bridge_route_config;

/* Where events wait that have to wait for longer than a route holds them, see park.h. */
typedef struct bridge_park_config {
        char *prefix;            /* owned; of the queues' names */
        bridge_durations ladder; /* owned; from short to long, at least one */
} bridge_park_config;

typedef struct bridge_config {
        char *transport;  /* owned; a URL, which may hold a password: never print it */
        int64_t drain_ms; /* how long requests in flight may take after SIGTERM */
        bridge_park_config park;
        bridge_route_config *routes; /* owned */
        size_t routes_n;             /* 1 to BRIDGE_ROUTES_MAX */
} bridge_config;

/* Receives one error: `file:line:column: what is wrong, what would be right`, without newline, valid during
 * the call. */
typedef void (*bridge_config_error_fn)(const char *line, void *arg);

/* Read and check a file. All errors are reported, not just the first, up to BRIDGE_CONFIG_ERRORS_MAX.
 * Owns:   *ret_config is yours; free it with bridge_config_free(). `on_error` may be NULL.
 * Waits:  blocks on the file system: for start-up and tools.
 * Errors: CEL_EINVAL when an error was found (or the file cannot be read), CEL_ENOMEM. */
int bridge_config_load(const char *path, bridge_config_error_fn on_error, void *arg,
                       bridge_config **ret_config);

/* The same from memory; of the files that it names, it is seen whether they can be read. `name` is what errors call the file. */
int bridge_config_parse(const char *name, const char *text, size_t text_bytes,
                        bridge_config_error_fn on_error, void *arg, bridge_config **ret_config);

bridge_config *bridge_config_free(bridge_config *config);

/* Does a notification pass the route's filter? All keys must match, of each key any glob; priorities compare
 * without case. NULL counts as "". */
bool bridge_match(const bridge_match_config *match, const char *event_type, const char *publisher_id,
                  const char *priority);

/* The same for an event, with the conditions. Returns 1 or 0.
 * Errors: CEL_ENOMEM. */
int bridge_match_event(const bridge_match_config *match, const bridge_event *event);

/* How long a route may keep one message unacknowledged at worst: the last attempt begins at the end of hold_ms_max, and times
 * out. */
int64_t bridge_route_hold_ms_max(const bridge_route_config *route);

CEL_AUTO_WITH(bridge_config, bridge_config_free)

#endif
