/* SPDX-License-Identifier: Apache-2.0
 *
 * To add a key: a member in config.h, a row in a table below, and its default in route_init(). What depends
 * on more than one key is checked after a route is read, in check_route(); only routes without errors get
 * there, so that one mistake is not reported twice. */
#include "bridge/config.h"

#include "bridge/backoff.h"
#include "bridge/checks.h"
#include "bridge/config_request.h"
#include "bridge/glob.h"
#include "bridge/verdict_config.h"

#include <celadon/error.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
        TOPICS_MAX = 16,
        STATUSES_MAX = 100,
        SCHEDULE_MAX = 100,
        RUNGS_MAX = 8,
        URL_BYTES_MAX = 4096,
        SECOND = 1000,
        MINUTE = 60 * SECOND,
        HOUR = 60 * MINUTE,
        MIB = 1024 * 1024,
};

/* ---- The tables, from the inside out. ---- */

static const bridge_schema_field notifications_fields[] = {
        {BRIDGE_KEY("exchange", bridge_read_text, char *, bridge_source_config, exchange)},
        {BRIDGE_KEY("topics", bridge_read_list, char **, bridge_source_config, topics), .max = TOPICS_MAX,
         .check = bridge_check_topic},
        {BRIDGE_KEY("priorities", bridge_read_list, char **, bridge_source_config, priorities),
         .max = BRIDGE_PRIORITIES_N, .check = bridge_check_priority},
        {BRIDGE_KEY("pool", bridge_read_text, char *, bridge_source_config, pool),
         .check = bridge_check_queue},
        {BRIDGE_KEY("durable", bridge_read_bool, bool, bridge_source_config, durable)},
        {BRIDGE_KEY("auto_delete", bridge_read_bool, bool, bridge_source_config, auto_delete)},
};
static const bridge_schema_section notifications_section =
        BRIDGE_SECTION("in \"notifications\"", notifications_fields);

static const bridge_schema_field from_fields[] = {
        {BRIDGE_KEY_WHOLE("notifications", bridge_read_nested), .required = true,
         .section = &notifications_section},
};
static const bridge_schema_section from_section = BRIDGE_SECTION("in \"from\"", from_fields);

static const bridge_schema_field backoff_fields[] = {
        {BRIDGE_KEY("base", bridge_read_duration, int64_t, bridge_route_config, backoff_ms_base), .min = 1,
         .max = 24 * HOUR},
        {BRIDGE_KEY("cap", bridge_read_duration, int64_t, bridge_route_config, backoff_ms_cap), .min = 1,
         .max = 24 * HOUR},
        {BRIDGE_KEY("schedule", bridge_read_durations, bridge_durations, bridge_route_config, schedule),
         .min = 1, .max = 24 * HOUR, .items_max = SCHEDULE_MAX},
};
static const bridge_schema_section backoff_section = BRIDGE_SECTION("in \"backoff\"", backoff_fields);

static const bridge_schema_field breaker_fields[] = {
        {BRIDGE_KEY("open", bridge_read_duration, int64_t, bridge_route_config, open_ms_base), .min = 1,
         .max = HOUR},
        {BRIDGE_KEY("cap", bridge_read_duration, int64_t, bridge_route_config, open_ms_cap), .min = 1,
         .max = HOUR},
};
static const bridge_schema_section breaker_section = BRIDGE_SECTION("in \"breaker\"", breaker_fields);

static const bridge_schema_field dead_letter_fields[] = {
        {BRIDGE_KEY("queue", bridge_read_text, char *, bridge_route_config, dead_letter_queue),
         .check = bridge_check_queue},
};
static const bridge_schema_section dead_letter_section =
        BRIDGE_SECTION("in \"dead_letter\"", dead_letter_fields);

static const bridge_schema_field route_fields[] = {
        {BRIDGE_KEY("name", bridge_read_text, char *, bridge_route_config, name), .required = true,
         .check = bridge_check_name},
        {BRIDGE_KEY("from", bridge_read_nested, bridge_source_config, bridge_route_config, from),
         .required = true, .section = &from_section},
        {BRIDGE_KEY("match", bridge_read_match, bridge_match_config, bridge_route_config, match),
         .section = &bridge_match_section},
        {BRIDGE_KEY("on_unmatched", bridge_read_on_unmatched, bool, bridge_route_config,
                    dead_letter_unmatched)},
        {BRIDGE_KEY("to", bridge_read_nested, bridge_target_config, bridge_route_config, to),
         .required = true, .section = &bridge_to_section},
        {BRIDGE_KEY("profile", bridge_read_text, char *, bridge_route_config, verdicts.profile),
         .check = bridge_check_profile},
        {BRIDGE_KEY("status", bridge_read_statuses, bridge_verdict_config, bridge_route_config, verdicts),
         .max = STATUSES_MAX},
        {BRIDGE_KEY("concurrency", bridge_read_count, unsigned, bridge_route_config, concurrency), .min = 1,
         .max = 1024},
        {BRIDGE_KEY("max_attempts", bridge_read_count, unsigned, bridge_route_config, attempts_max), .min = 1,
         .max = 1000},
        {BRIDGE_KEY("max_age", bridge_read_duration, int64_t, bridge_route_config, age_ms_max), .min = 1,
         .max = INT64_C(30) * 24 * HOUR},
        {BRIDGE_KEY_WHOLE("backoff", bridge_read_nested), .section = &backoff_section},
        {BRIDGE_KEY("retry_after_max", bridge_read_duration, int64_t, bridge_route_config,
                    retry_after_ms_max),
         .min = 0, .max = 24 * HOUR},
        {BRIDGE_KEY("hold_max", bridge_read_duration, int64_t, bridge_route_config, hold_ms_max), .min = 0,
         .max = 15 * MINUTE},
        {BRIDGE_KEY_WHOLE("breaker", bridge_read_nested), .section = &breaker_section},
        {BRIDGE_KEY("max_message", bridge_read_size, size_t, bridge_route_config, message_bytes_max),
         .min = 1, .max = 128 * MIB},
        {BRIDGE_KEY_WHOLE("dead_letter", bridge_read_nested), .section = &dead_letter_section},
};
static const bridge_schema_section route_section = BRIDGE_SECTION("in a route", route_fields);

static const bridge_schema_field park_fields[] = {
        {BRIDGE_KEY("prefix", bridge_read_text, char *, bridge_park_config, prefix),
         .max = BRIDGE_NAME_BYTES_MAX, .check = bridge_check_queue},
        {BRIDGE_KEY("ladder", bridge_read_durations, bridge_durations, bridge_park_config, ladder), .min = 1,
         .max = 24 * HOUR, .items_max = RUNGS_MAX},
};
static const bridge_schema_section park_section = BRIDGE_SECTION("in \"park\"", park_fields);

static void read_routes(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                        void *target);

static const bridge_schema_field root_fields[] = {
        {BRIDGE_KEY("transport", bridge_read_text, char *, bridge_config, transport), .required = true,
         .max = URL_BYTES_MAX, .check = bridge_check_transport},
        {BRIDGE_KEY("drain", bridge_read_duration, int64_t, bridge_config, drain_ms), .min = 0,
         .max = 10 * MINUTE},
        {BRIDGE_KEY("park", bridge_read_nested, bridge_park_config, bridge_config, park),
         .section = &park_section},
        {BRIDGE_KEY_WHOLE("routes", read_routes), .required = true, .max = BRIDGE_ROUTES_MAX},
};
static const bridge_schema_section root_section = BRIDGE_SECTION("at the top", root_fields);

/* ---- Checks across keys and routes. ---- */

int64_t bridge_route_hold_ms_max(const bridge_route_config *route)
{
        return route->hold_ms_max + route->to.timeout_ms;
}

/* Where to point at: the first of the keys that is there, else the mapping. */
static const bridge_yaml_node *first_of(const bridge_yaml_node *map, const bridge_yaml_node *a,
                                        const bridge_yaml_node *b, const bridge_yaml_node *c)
{
        if (a)
                return a;
        if (b)
                return b;
        return c ? c : map;
}

static void check_waits(bridge_decoder *d, const bridge_route_config *route, const bridge_yaml_node *node)
{
        const bridge_yaml_node *hold = bridge_yaml_get(node, "hold_max");
        const bridge_yaml_node *timeout = bridge_yaml_get(bridge_yaml_get(node, "to"), "timeout");
        const bridge_yaml_node *base = bridge_yaml_get(bridge_yaml_get(node, "backoff"), "base");
        const bridge_yaml_node *cap = bridge_yaml_get(bridge_yaml_get(node, "backoff"), "cap");

        if (route->schedule.n > 0 && (base || cap))
                bridge_report_node(d->report, first_of(node, base, cap, NULL),
                                   "\"schedule\" has all the waits, leave out \"base\" and \"cap\"");
        else if (route->backoff_ms_base > route->backoff_ms_cap)
                bridge_report_node(d->report, first_of(node, base, cap, NULL),
                                   "\"base\" (%s) is above \"cap\" (%s), lower \"base\" or raise \"cap\"",
                                   bridge_duration(route->backoff_ms_base).text,
                                   bridge_duration(route->backoff_ms_cap).text);
        else if (bridge_route_hold_ms_max(route) > BRIDGE_HOLD_MS_MAX)
                bridge_report_node(d->report, first_of(node, hold, timeout, NULL),
                                   "this route may hold a message for %s (\"hold_max\" and one \"timeout\"), "
                                   "after up to 5m in "
                                   "line, but RabbitMQ closes a channel after 30m without an ack: lower one "
                                   "of them until it "
                                   "is %s at most",
                                   bridge_duration(bridge_route_hold_ms_max(route)).text,
                                   bridge_duration(BRIDGE_HOLD_MS_MAX).text);
}

/* The ladder goes up. */
static void check_park(bridge_decoder *d, const bridge_park_config *park, const bridge_yaml_node *root)
{
        const bridge_yaml_node *ladder = bridge_yaml_get(bridge_yaml_get(root, "park"), "ladder");

        for (size_t i = 1; ladder && i < park->ladder.n; i++) {
                if (park->ladder.ms[i - 1] < park->ladder.ms[i])
                        continue;
                bridge_report_node(d->report, ladder,
                                   "\"ladder\" has %s after %s, write them from short to long",
                                   bridge_duration(park->ladder.ms[i]).text,
                                   bridge_duration(park->ladder.ms[i - 1]).text);
                return;
        }
}

static void check_breaker(bridge_decoder *d, const bridge_route_config *route, const bridge_yaml_node *node)
{
        if (route->open_ms_base > route->open_ms_cap)
                bridge_report_node(d->report, bridge_yaml_get(node, "breaker"),
                                   "\"open\" (%s) is above \"cap\" (%s), lower \"open\" or raise \"cap\"",
                                   bridge_duration(route->open_ms_base).text,
                                   bridge_duration(route->open_ms_cap).text);
}

static void check_priority_glob(bridge_decoder *d, const bridge_route_config *route,
                                const bridge_yaml_node *glob)
{
        char *const *priorities = route->from.priorities;
        const char *meant;
        char listed[128] = "";
        size_t n = 0;

        for (size_t used = 0; priorities[n]; n++) {
                if (bridge_glob_nocase(glob->text, priorities[n]))
                        return;
                if (used < sizeof(listed))
                        used += (size_t)snprintf(listed + used, sizeof(listed) - used, "%s%s",
                                                 n > 0 ? ", " : "", priorities[n]);
        }
        meant = bridge_suggest(glob->text, (const char *const *)priorities, n);
        bridge_report_node(
                d->report, glob,
                "\"priority\" is %s, which matches none of this route's \"priorities\" (%s), %s%s%s",
                bridge_quote(glob->text).text, listed,
                meant ? "did you mean \"" : "leave it out or add it to those", meant ? meant : "",
                meant ? "\"?" : "");
}

/* Does each pattern for priorities have one to match? Else it waits for events that never come. */
static void check_priority_globs(bridge_decoder *d, const bridge_route_config *route,
                                 const bridge_yaml_node *node)
{
        const bridge_yaml_node *globs = bridge_yaml_get(bridge_yaml_get(node, "match"), "priority");

        if (globs && globs->kind == BRIDGE_YAML_TEXT)
                check_priority_glob(d, route, globs);
        else if (globs)
                for (const bridge_yaml_node *glob = globs->first; glob; glob = glob->next)
                        check_priority_glob(d, route, glob);
}

static const char *common_item(char **a, char **b)
{
        for (char **x = a; *x; x++)
                for (char **y = b; *y; y++)
                        if (strcmp(*x, *y) == 0)
                                return *x;
        return NULL;
}

/* Does the source consume from this queue? A pool is a queue of that name; else there is one for each topic
 * and priority, called <topic>.<priority>. The exchange is no part of a queue's name. */
static bool takes_from(const bridge_source_config *source, const char *queue)
{
        if (source->pool)
                return strcmp(source->pool, queue) == 0;
        for (char **topic = source->topics; *topic; topic++) {
                size_t n = strlen(*topic);

                if (strncmp(*topic, queue, n) != 0 || queue[n] != '.')
                        continue;
                for (char **priority = source->priorities; *priority; priority++)
                        if (strcmp(*priority, queue + n + 1) == 0)
                                return true;
        }
        return false;
}

/* Puts the name of one queue that both consume from into `queue`. */
static bool share_queue(const bridge_source_config *a, const bridge_source_config *b, char *queue,
                        size_t queue_bytes)
{
        const char *pool = a->pool ? a->pool : b->pool, *topic, *priority;

        if (pool) {
                snprintf(queue, queue_bytes, "%s", pool);
                return takes_from(a->pool ? b : a, pool);
        }
        topic = common_item(a->topics, b->topics);
        priority = common_item(a->priorities, b->priorities);
        if (!topic || !priority)
                return false;
        snprintf(queue, queue_bytes, "%s.%s", topic, priority);
        return true;
}

/* A dead letter must not come back as a notification. */
static bool check_dead_letter(bridge_decoder *d, const bridge_route_config *dying,
                              const bridge_route_config *taking, const bridge_yaml_node *node)
{
        const bridge_yaml_node *queue = bridge_yaml_get(bridge_yaml_get(node, "dead_letter"), "queue");

        if (!takes_from(&taking->from, dying->dead_letter_queue))
                return true;
        bridge_report_node(
                d->report, first_of(node, queue, NULL, NULL),
                "dead letters of route \"%s\" go to %s, from which route \"%s\" takes its messages, "
                "choose another \"dead_letter\" queue",
                dying->name, bridge_quote(dying->dead_letter_queue).text, taking->name);
        return false;
}

/* Can `route` live beside `earlier`? */
static bool check_pair(bridge_decoder *d, const bridge_route_config *earlier,
                       const bridge_route_config *route, const bridge_yaml_node *node)
{
        char queue[256];

        if (strcmp(earlier->name, route->name) == 0) {
                bridge_report_node(d->report, bridge_yaml_get(node, "name"),
                                   "two routes are called \"%s\", give each a name of its own", route->name);
                return false;
        }
        if (share_queue(&earlier->from, &route->from, queue, sizeof(queue))) {
                bridge_report_node(
                        d->report, bridge_yaml_get(node, "from"),
                        "routes \"%s\" and \"%s\" would take each other's messages from the queue %s, "
                        "give each route a \"pool\" of its own",
                        earlier->name, route->name, bridge_quote(queue).text);
                return false;
        }
        return check_dead_letter(d, route, earlier, node) && check_dead_letter(d, earlier, route, node);
}

static void check_route(bridge_decoder *d, const bridge_config *config, const bridge_route_config *route,
                        const bridge_yaml_node *node)
{
        check_waits(d, route, node);
        check_breaker(d, route, node);
        check_priority_globs(d, route, node);
        if (!check_dead_letter(d, route, route, node))
                return;
        for (size_t i = 0; i < config->routes_n; i++)
                if (!check_pair(d, &config->routes[i], route, node))
                        return; /* one quarrel is enough */
}

/* ---- Building and freeing. ---- */

static void route_fini(bridge_route_config *route)
{
        free(route->name);
        free(route->from.exchange);
        bridge_list_free(route->from.topics);
        bridge_list_free(route->from.priorities);
        free(route->from.pool);
        bridge_match_config_fini(&route->match);
        bridge_target_config_fini(&route->to);
        bridge_verdict_config_fini(&route->verdicts);
        free(route->schedule.ms);
        free(route->dead_letter_queue);
        *route = (bridge_route_config){0};
}

static void add_all(bridge_decoder *d, char ***list, const char *const *texts, size_t n)
{
        for (size_t i = 0; i < n; i++)
                bridge_list_add(d, list, texts[i]);
}

/* The defaults; reading replaces them. */
static void route_init(bridge_decoder *d, bridge_route_config *route)
{
        static const char *const topics[] = {"notifications"};

        *route = (bridge_route_config){
                .to.timeout_ms = 30 * SECOND,
                .concurrency = 16,
                .attempts_max = 12,
                .age_ms_max = 24 * HOUR,
                .retry_after_ms_max = 1 * HOUR,
                .open_ms_base = 5 * SECOND,
                .open_ms_cap = 5 * MINUTE,
                .backoff_ms_base = 1 * SECOND,
                .backoff_ms_cap = 1 * HOUR,
                .hold_ms_max = 60 * SECOND,
                .message_bytes_max = 16 * MIB,
        };
        bridge_put_text(d, &route->from.exchange, "openstack");
        add_all(d, &route->from.topics, topics, 1);
        add_all(d, &route->from.priorities, bridge_priorities, BRIDGE_PRIORITIES_N);
        bridge_put_text(d, &route->to.method, "POST");
}

/* The default that depends on another key. */
static void put_dead_letter_queue(bridge_decoder *d, bridge_route_config *route)
{
        char queue[BRIDGE_NAME_BYTES_MAX + 32];

        if (route->dead_letter_queue)
                return;
        snprintf(queue, sizeof(queue), "celadon.dead.%s", route->name);
        bridge_put_text(d, &route->dead_letter_queue, queue);
}

/* Append a route; one with errors is reported and left out. */
static void read_route(bridge_decoder *d, const bridge_yaml_node *node, bridge_config *config)
{
        bridge_route_config *route = &config->routes[config->routes_n];
        unsigned errors_before = d->report->errors_n;

        if (!bridge_check_kind(d, "each item of \"routes\"", node, BRIDGE_YAML_MAP))
                return;
        route_init(d, route);
        bridge_read_section(d, &route_section, node, route);
        if (route->schedule.n > 0 && !bridge_yaml_get(node, "max_attempts"))
                route->attempts_max = (unsigned)route->schedule.n + 1;
        if (d->report->errors_n == errors_before && !d->out_of_memory)
                put_dead_letter_queue(d, route);
        if (d->report->errors_n == errors_before && !d->out_of_memory)
                check_route(d, config, route, node);
        if (d->report->errors_n == errors_before && !d->out_of_memory)
                config->routes_n++;
        else
                route_fini(route);
}

/* Into the whole bridge_config. */
static void read_routes(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                        void *target)
{
        bridge_config *config = target;

        if (!bridge_check_kind(d, "\"routes\"", node, BRIDGE_YAML_LIST))
                return;
        if (node->children_n == 0 || node->children_n > (size_t)field->max) {
                bridge_report_node(d->report, node, "\"routes\" has %zu items, it must have 1 to %lld",
                                   node->children_n, (long long)field->max);
                return;
        }
        config->routes = calloc(node->children_n, sizeof(*config->routes));
        if (!config->routes) {
                d->out_of_memory = true;
                return;
        }
        for (const bridge_yaml_node *child = node->first; child; child = child->next)
                read_route(d, child, config);
}

bridge_config *bridge_config_free(bridge_config *config)
{
        if (!config)
                return NULL;
        for (size_t i = 0; i < config->routes_n; i++)
                route_fini(&config->routes[i]);
        free(config->routes);
        free(config->park.prefix);
        free(config->park.ladder.ms);
        free(config->transport);
        free(config);
        return NULL;
}

/* ---- Loading. ---- */

/* The defaults; reading replaces them. */
static void put_park(bridge_decoder *d, bridge_park_config *park)
{
        static const int64_t ladder[] = {10 * SECOND, 1 * MINUTE, 10 * MINUTE, 1 * HOUR, 6 * HOUR};

        bridge_put_text(d, &park->prefix, "celadon");
        park->ladder.ms = calloc(1, sizeof(ladder));
        if (!park->ladder.ms) {
                d->out_of_memory = true;
                return;
        }
        memcpy(park->ladder.ms, ladder, sizeof(ladder));
        park->ladder.n = sizeof(ladder) / sizeof(ladder[0]);
}

static void read_root(bridge_decoder *d, const bridge_yaml_node *root, bridge_config *config)
{
        bridge_read_section(d, &root_section, root, config);
        check_park(d, &config->park, root);
}

static int decode(bridge_report *report, const bridge_yaml_node *root, bridge_config **ret_config)
{
        bridge_decoder d = {.report = report};
        cel_auto(bridge_config) *config = calloc(1, sizeof(*config));

        if (!config)
                return CEL_ENOMEM;
        config->drain_ms = 30 * SECOND;
        put_park(&d, &config->park);
        if (bridge_yaml_is_null(root))
                bridge_report_node(report, root, "the file is empty, write a configuration");
        else if (bridge_check_kind(&d, "the configuration", root, BRIDGE_YAML_MAP))
                read_root(&d, root, config);
        if (d.out_of_memory)
                return CEL_ENOMEM;
        if (report->errors_n > 0)
                return CEL_EINVAL;
        *ret_config = CEL_TAKE(config);
        return 0;
}

int bridge_config_parse(const char *name, const char *text, size_t text_bytes,
                        bridge_config_error_fn on_error, void *arg, bridge_config **ret_config)
{
        bridge_report report = {
                .name = name, .on_error = on_error, .arg = arg, .errors_max = BRIDGE_CONFIG_ERRORS_MAX};
        cel_auto(bridge_yaml_node) *root = NULL;
        int r;

        if (text_bytes > BRIDGE_CONFIG_BYTES_MAX) {
                bridge_report_at(&report, 1, 1,
                                 "the file is larger than 1 MiB, which no configuration needs");
                return CEL_EINVAL;
        }
        r = bridge_yaml_parse(text, text_bytes, &report, &root);
        if (r < 0)
                return r;
        return decode(&report, root, ret_config);
}

/* Read one byte more than is allowed, if there are so many, for bridge_config_parse() to refuse. */
static int read_file(const char *path, char *text, size_t *ret_bytes)
{
        FILE *file = fopen(path, "re");
        int error = 0;

        if (!file)
                return errno;
        *ret_bytes = fread(text, 1, BRIDGE_CONFIG_BYTES_MAX + 1, file);
        if (ferror(file))
                error = errno;
        fclose(file);
        return error;
}

int bridge_config_load(const char *path, bridge_config_error_fn on_error, void *arg,
                       bridge_config **ret_config)
{
        bridge_report report = {
                .name = path, .on_error = on_error, .arg = arg, .errors_max = BRIDGE_CONFIG_ERRORS_MAX};
        cel_auto_free char *text = malloc(BRIDGE_CONFIG_BYTES_MAX + 1);
        size_t text_bytes = 0;
        int error;

        if (!text)
                return CEL_ENOMEM;
        error = read_file(path, text, &text_bytes);
        if (error != 0) {
                bridge_report_at(&report, 0, 0, "cannot be read: %s", strerror(error));
                return CEL_EINVAL;
        }
        return bridge_config_parse(path, text, text_bytes, on_error, arg, ret_config);
}
