/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/config.h"
#include "test.h"

#include <celadon/error.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A whole configuration around a piece of one. Pieces begin in line 2, column 1. */
#define TRANSPORT "transport: rabbit://guest:guest@127.0.0.1:5672/\n"
#define ROUTE(rest) \
        TRANSPORT "routes:\n- {name: a, from: {notifications: {}}, to: {url: 'http://h/'},\n" rest "}\n"
#define FROM(rest) \
        TRANSPORT "routes:\n- {name: a, to: {url: 'http://h/'}, from: {notifications:\n" rest "}}\n"
#define TO(rest) TRANSPORT "routes:\n- {name: a, from: {notifications: {}}, to:\n" rest "}\n"
#define TWO(first, second) \
        TRANSPORT "routes:\n- {to: {url: 'http://h/'}, " first "}\n- {to: {url: 'http://h/'}, " second "}\n"

typedef struct fixture {
        bridge_config *config;
        char lines[16384]; /* the errors, each with a newline */
        unsigned lines_n;
        int result;
} fixture;

static void on_error(const char *line, void *arg)
{
        fixture *f = arg;
        size_t used = strlen(f->lines);

        f->lines_n++;
        snprintf(f->lines + used, sizeof(f->lines) - used, "%s\n", line);
}

static void fixture_parse(fixture *f, const char *text)
{
        *f = (fixture){0};
        f->result = bridge_config_parse("f", text, strlen(text), on_error, f, &f->config);
}

static void fixture_free(fixture *f)
{
        f->config = bridge_config_free(f->config);
}

typedef struct bad_snippet {
        const char *text;
        const char *errors;
} bad_snippet;

static void check_refused(const bad_snippet *snippets, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                fixture f;

                fixture_parse(&f, snippets[i].text);
                CHECK_STR(f.lines, snippets[i].errors);
                CHECK_INT(f.result, CEL_EINVAL);
                CHECK(!f.config);
        }
}

#define CHECK_REFUSED(snippets) check_refused(snippets, sizeof(snippets) / sizeof((snippets)[0]))

/* Parsing must succeed. */
static void check_accepted(const char *text)
{
        fixture f;

        fixture_parse(&f, text);
        CHECK_STR(f.lines, "");
        CHECK_INT(f.result, 0);
        fixture_free(&f);
}

static const char whole[] =
        "transport: rabbit://guest:guest@127.0.0.1:5672/\n"
        "drain: 10s\n"
        "routes:\n"
        "  - name: instances\n"
        "    from:\n"
        "      notifications: {exchange: nova, topics: [notifications, versioned], priorities: [info, "
        "error],\n"
        "                      pool: celadon, durable: true, auto_delete: true}\n"
        "    match: {event_type: \"compute.instance.*\", priority: [info, ERR*]}\n"
        "    to: {url: \"http://127.0.0.1:8080/events\", method: PUT, timeout: 2.5s,\n"
        "         headers: {X-Source: celadon, Authorization: Bearer x}, ca_file: /etc/passwd}\n"
        "    concurrency: 32\n"
        "    max_attempts: 5\n"
        "    max_age: 72h\n"
        "    retry_after_max: 0s\n"
        "    hold_max: 0s\n"
        "    breaker: {open: 1s, cap: 1h}\n"
        "    backoff: {base: 250ms, cap: 2m}\n"
        "    max_message: 1MiB\n"
        "    dead_letter: {queue: graveyard}\n";

TEST(every_key_arrives_in_its_member)
{
        const bridge_route_config *route;
        fixture f;

        fixture_parse(&f, whole);
        CHECK_STR(f.lines, "");
        CHECK_INT(f.result, 0);
        CHECK_STR(f.config->transport, "rabbit://guest:guest@127.0.0.1:5672/");
        CHECK_INT(f.config->drain_ms, 10000);
        CHECK_INT(f.config->routes_n, 1);
        route = &f.config->routes[0];
        CHECK_STR(route->name, "instances");
        CHECK_STR(route->from.exchange, "nova");
        CHECK_STR(route->from.topics[1], "versioned");
        CHECK(!route->from.topics[2]);
        CHECK_STR(route->from.priorities[0], "info");
        CHECK_STR(route->from.priorities[1], "error");
        CHECK(!route->from.priorities[2]);
        CHECK_STR(route->from.pool, "celadon");
        CHECK(route->from.durable);
        CHECK(route->from.auto_delete);
        CHECK_STR(route->match.event_types[0], "compute.instance.*");
        CHECK(!route->match.publisher_ids);
        CHECK_STR(route->match.priorities[1], "ERR*");
        CHECK_STR(route->to.url, "http://127.0.0.1:8080/events");
        CHECK_STR(route->to.method, "PUT");
        CHECK_INT(route->to.timeout_ms, 2500);
        CHECK_INT(route->to.headers_n, 2);
        CHECK_STR(route->to.headers[1].name, "Authorization");
        CHECK_STR(route->to.headers[1].value, "Bearer x");
        CHECK_STR(route->to.ca_file, "/etc/passwd");
        CHECK_INT(route->concurrency, 32);
        CHECK_INT(route->attempts_max, 5);
        CHECK_INT(route->age_ms_max, 72 * 3600 * 1000);
        CHECK_INT(route->retry_after_ms_max, 0);
        CHECK_INT(route->hold_ms_max, 0);
        CHECK_INT(route->open_ms_base, 1000);
        CHECK_INT(route->open_ms_cap, 3600 * 1000);
        CHECK_INT(route->backoff_ms_base, 250);
        CHECK_INT(route->backoff_ms_cap, 120000);
        CHECK_INT(route->message_bytes_max, 1048576);
        CHECK_STR(route->dead_letter_queue, "graveyard");
        fixture_free(&f);
}

TEST(defaults_fill_what_is_left_out_and_pass_every_check)
{
        const bridge_route_config *route;
        fixture f;

        fixture_parse(&f, TO("{url: 'https://[::1]:8443/x?y=z'}"));
        CHECK_STR(f.lines, "");
        route = &f.config->routes[0];
        CHECK_INT(f.config->drain_ms, 30000);
        CHECK_STR(route->from.exchange, "openstack");
        CHECK_STR(route->from.topics[0], "notifications");
        CHECK(!route->from.topics[1]);
        CHECK_STR(route->from.priorities[0], "audit");
        CHECK_STR(route->from.priorities[6], "sample");
        CHECK(!route->from.priorities[7]);
        CHECK(!route->from.pool);
        CHECK(!route->from.durable);
        CHECK(!route->from.auto_delete);
        CHECK(!route->match.event_types);
        CHECK_STR(route->to.method, "POST");
        CHECK_INT(route->to.timeout_ms, 30000);
        CHECK_INT(route->to.headers_n, 0);
        CHECK(!route->to.ca_file);
        CHECK_INT(route->concurrency, 16);
        CHECK_INT(route->attempts_max, 12);
        CHECK_INT(route->age_ms_max, 24 * 3600 * 1000);
        CHECK_INT(route->retry_after_ms_max, 3600 * 1000);
        CHECK_INT(route->hold_ms_max, 60000);
        CHECK_INT(route->open_ms_base, 5000);
        CHECK_INT(route->open_ms_cap, 5 * 60 * 1000);
        CHECK_INT(route->backoff_ms_base, 1000);
        CHECK_INT(route->backoff_ms_cap, 3600 * 1000);
        CHECK_INT(route->message_bytes_max, 16777216);
        CHECK_STR(route->dead_letter_queue, "celadon.dead.a");
        CHECK_INT(bridge_route_hold_ms_max(route), 60000 + 30000);
        fixture_free(&f);
}

TEST(values_at_their_limits_are_accepted)
{
        check_accepted("drain: 0s\n" ROUTE(""));
        check_accepted("drain: 10m\n" ROUTE("concurrency: 1024, max_attempts: 1, max_message: 128MiB"));
        check_accepted(
                TRANSPORT
                "routes:\n- {name: a, from: {notifications: {}}, to: {url: 'http://h/', timeout: 1ms},\n"
                "concurrency: 1, max_attempts: 1000, backoff: {base: 1ms, cap: 1ms}, max_message: 1}\n");
}

#define KNOWN_IN_A_ROUTE                                                                                 \
        " Known keys: name, from, match, on_unmatched, to, profile, status, concurrency, max_attempts, " \
        "max_age, "                                                                                      \
        "backoff, retry_after_max, hold_max, breaker, max_message, dead_letter\n"

TEST(an_unknown_key_is_named_with_the_one_that_was_meant)
{
        static const bad_snippet snippets[] = {
                {TO("{url: 'http://h/',\nurls: x}"),
                 "f:5:1: unknown key \"urls\" in \"to\", did you mean \"url\"? Known keys: url, method, "
                 "timeout, headers, transform, cloudevents, signature, ca_file\n"},
                {"transports: x\n" ROUTE(""),
                 "f:1:1: unknown key \"transports\" at the top, did you mean \"transport\"? "
                 "Known keys: transport, drain, park, routes\n"},
                {ROUTE("retries: 3"), "f:4:1: unknown key \"retries\" in a route." KNOWN_IN_A_ROUTE},
                {ROUTE("match: {payload: x}"), "f:4:9: unknown key \"payload\" in \"match\". Known keys: "
                                               "event_type, publisher_id, priority\n"},
                {ROUTE("backoff: {max: 1s}"),
                 "f:4:11: unknown key \"max\" in \"backoff\". Known keys: base, cap, schedule\n"},
                {ROUTE("dead_letter: {name: x}"),
                 "f:4:15: unknown key \"name\" in \"dead_letter\". Known keys: queue\n"},
                {FROM("{topic: [a]}"),
                 "f:4:2: unknown key \"topic\" in \"notifications\", did you mean \"topics\"? "
                 "Known keys: exchange, topics, priorities, pool, durable, auto_delete\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_key_at_the_wrong_place_is_told_where_it_belongs)
{
        static const bad_snippet snippets[] = {
                {ROUTE("timeout: 3s"),
                 "f:4:1: unknown key \"timeout\" in a route, it belongs in \"to\"." KNOWN_IN_A_ROUTE},
                {ROUTE("url: 'http://h/'"),
                 "f:4:1: unknown key \"url\" in a route, it belongs in \"to\"." KNOWN_IN_A_ROUTE},
                {ROUTE("pool: p"),
                 "f:4:1: unknown key \"pool\" in a route, it belongs in \"notifications\"." KNOWN_IN_A_ROUTE},
        };

        CHECK_REFUSED(snippets);
}

TEST(verdicts_can_be_changed_by_profile_and_by_status)
{
        const bridge_verdict_config *verdicts;
        fixture f;

        fixture_parse(&f, ROUTE("profile: knative, status: {404: reject, '409': ok, 5xx: retry}"));
        CHECK_STR(f.lines, "");
        verdicts = &f.config->routes[0].verdicts;
        CHECK_STR(verdicts->profile, "knative");
        CHECK_INT(verdicts->rules_n, 3);
        CHECK_INT(bridge_verdict_of_status(verdicts, 404).class, BRIDGE_REJECT);
        CHECK_INT(bridge_verdict_of_status(verdicts, 409).class, BRIDGE_OK);
        CHECK_INT(bridge_verdict_of_status(verdicts, 503).class, BRIDGE_RETRY);
        CHECK_INT(bridge_verdict_of_status(verdicts, 408).class, BRIDGE_RETRY);
        fixture_free(&f);
}

TEST(a_verdict_that_there_is_not_is_refused_with_those_that_there_are)
{
        static const bad_snippet snippets[] = {
                {ROUTE("profile: native"), "f:4:10: \"profile\" is \"native\", did you mean \"knative\"?\n"},
                {ROUTE("profile: x"), "f:4:10: \"profile\" is \"x\", write one of default, knative, "
                                      "standard-webhooks, eventgrid, any-non-2xx\n"},
                {ROUTE("status: {404: rejct}"),
                 "f:4:15: the verdict on status 404 is \"rejct\", did you mean \"reject\"?\n"},
                {ROUTE("status: {404: drop}"), "f:4:15: the verdict on status 404 is \"drop\", write one of "
                                               "ok, retry, free, throttle, auth, "
                                               "reject, route\n"},
                {ROUTE("status: {404: [ok]}"),
                 "f:4:15: the verdict on status 404 must be text, not a list\n"},
                {ROUTE("status: {6xx: ok, 99: ok, 4x4: ok, 40x: ok}"),
                 "f:4:10: \"6xx\" is no status, write 200 to 599, or 2xx, 3xx, 4xx or 5xx\n"
                 "f:4:19: \"99\" is no status, write 200 to 599, or 2xx, 3xx, 4xx or 5xx\n"
                 "f:4:27: \"4x4\" is no status, write 200 to 599, or 2xx, 3xx, 4xx or 5xx\n"
                 "f:4:36: \"40x\" is no status, write 200 to 599, or 2xx, 3xx, 4xx or 5xx\n"},
                {ROUTE("breaker: {open: 2s, cap: 1s}"), "f:4:10: \"open\" (2s) is above \"cap\" (1s), lower "
                                                        "\"open\" or raise \"cap\"\n"},
                {ROUTE("status: 404"), "f:4:9: \"status\" must be a mapping, not text\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_misspelt_key_is_not_missing_as_well)
{
        static const bad_snippet snippets[] = {
                {TRANSPORT "routes:\n- {nam: a, from: {notifications: {}}, to: {url: 'http://h/'}}\n",
                 "f:3:4: unknown key \"nam\" in a route, did you mean \"name\"?" KNOWN_IN_A_ROUTE},
                {TO("{urls: 'http://h/'}"),
                 "f:4:2: unknown key \"urls\" in \"to\", did you mean \"url\"? "
                 "Known keys: url, method, timeout, headers, transform, cloudevents, signature, ca_file\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_missing_key_is_reported_where_it_should_be)
{
        static const bad_snippet snippets[] = {
                {"drain: 1s\n", "f:1:1: missing key \"transport\" at the top, it is required\n"
                                "f:1:1: missing key \"routes\" at the top, it is required\n"},
                {TRANSPORT "routes:\n  - match: {}\n",
                 "f:3:5: missing key \"name\" in a route, it is required\n"
                 "f:3:5: missing key \"from\" in a route, it is required\n"
                 "f:3:5: missing key \"to\" in a route, it is required\n"},
                {TRANSPORT "routes:\n- name: a\n  from: {}\n  to: {method: PUT}\n",
                 "f:4:9: missing key \"notifications\" in \"from\", it is required\n"
                 "f:5:7: missing key \"url\" in \"to\", it is required\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_key_without_a_value_is_not_a_default)
{
        static const bad_snippet snippets[] = {
                {TRANSPORT "routes:\n", "f:2:8: \"routes\" has no value, it is required\n"},
                {ROUTE("match: "),
                 "f:4:8: \"match\" has no value, write its keys below it, or {} for the defaults\n"},
                {FROM("{pool: ~}"), "f:4:8: \"pool\" has no value, write one or leave the key out\n"},
                {"---\n", "f:2:1: the file is empty, write a configuration\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_node_of_the_wrong_kind_is_refused)
{
        static const bad_snippet snippets[] = {
                {"just text", "f:1:1: the configuration must be a mapping, not text\n"},
                {"- a\n", "f:1:1: the configuration must be a mapping, not a list\n"},
                {"transport: {}\n"
                 "routes: {}\n",
                 "f:1:12: \"transport\" must be text, not a mapping\n"
                 "f:2:9: \"routes\" must be a list, not a mapping\n"},
                {TRANSPORT "routes: []\n", "f:2:9: \"routes\" has 0 items, it must have 1 to 256\n"},
                {TRANSPORT "routes: [a, [b]]\n",
                 "f:2:10: each item of \"routes\" must be a mapping, not text\n"
                 "f:2:13: each item of \"routes\" must be a mapping, not a list\n"},
                {TO("http://h/"), "f:4:1: \"to\" must be a mapping, not text\n"},
                {TO("{url: [x]}"), "f:4:7: \"url\" must be text, not a list\n"},
                {FROM("{topics: notifications}"), "f:4:10: \"topics\" must be a list, not text\n"},
                {TO("{url: 'http://h/', headers: [X-A]}"),
                 "f:4:29: \"headers\" must be a mapping, not a list\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(numbers_durations_and_sizes_have_their_ranges)
{
        static const bad_snippet snippets[] = {
                {"drain: 11m\n" ROUTE(""), "f:1:8: \"drain\" is \"11m\", it must be between 0s and 10m\n"},
                {"drain: 30\n" ROUTE(""),
                 "f:1:8: \"drain\" is \"30\", write a duration in whole milliseconds, such as 500ms, "
                 "1.5s, 2m or 1h\n"},
                {TO("{url: 'http://h/', timeout: 0ms}"),
                 "f:4:29: \"timeout\" is \"0ms\", it must be between 1ms and 10m\n"},
                {ROUTE("concurrency: 1025"),
                 "f:4:14: \"concurrency\" is \"1025\", write a whole number from 1 to 1024\n"},
                {ROUTE("max_attempts: 0"),
                 "f:4:15: \"max_attempts\" is \"0\", write a whole number from 1 to 1000\n"},
                {ROUTE("max_message: 129MiB"),
                 "f:4:14: \"max_message\" is \"129MiB\", it must be between 1B and 128MiB\n"},
                {ROUTE("backoff: {cap: 24.1h}"),
                 "f:4:16: \"cap\" is \"24.1h\", it must be between 1ms and 1440m\n"},
                {ROUTE("backoff: {base: 2h}"),
                 "f:4:17: \"base\" (120m) is above \"cap\" (60m), lower \"base\" or raise \"cap\"\n"},
                {ROUTE("backoff: {cap: 500ms}"),
                 "f:4:16: \"base\" (1s) is above \"cap\" (500ms), lower \"base\" or raise \"cap\"\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(names_of_routes_queues_and_topics_follow_their_rules)
{
        static const bad_snippet snippets[] = {
                {TRANSPORT "routes:\n- {name: a b, from: {notifications: {}}, to: {url: 'http://h/'}}\n",
                 "f:3:10: \"name\" is \"a b\", write 1 to 64 of A-Z a-z 0-9 _ . -\n"},
                {TRANSPORT "routes:\n- {name: '', from: {notifications: {}}, to: {url: 'http://h/'}}\n",
                 "f:3:10: \"name\" is empty, write at least one character\n"},
                {TRANSPORT
                 "routes:\n- {name: a1234567890123456789012345678901234567890123456789012345678901234, "
                 "from: {notifications: {}}, to: {url: 'http://h/'}}\n",
                 "f:3:10: \"name\" is \"a1234567890123456789012345678901234567890123456789012345678...\", "
                 "write 1 to 64 of A-Z a-z 0-9 _ . -\n"},
                {ROUTE("dead_letter: {queue: amq.x}"),
                 "f:4:22: \"queue\" is \"amq.x\", but names that begin with \"amq.\" are the broker's own, "
                 "choose another\n"},
                {FROM("{pool: amq.x}"), "f:4:8: \"pool\" is \"amq.x\", but names that begin with \"amq.\" "
                                        "are the broker's own, choose another\n"},
                {FROM("{topics: [a, a]}"), "f:4:14: \"topics\" has \"a\" twice, remove one\n"},
                {FROM("{priorities: [info, warning]}"),
                 "f:4:21: unknown priority \"warning\", did you mean \"warn\"? Known priorities: "
                 "audit, debug, info, warn, error, critical, sample\n"},
                {FROM("{priorities: [INFO]}"),
                 "f:4:15: unknown priority \"INFO\", did you mean \"info\"? Known priorities: "
                 "audit, debug, info, warn, error, critical, sample\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_topic_leaves_room_for_the_longest_priority)
{
        char topic[300], text[1024], error[256];
        fixture f;

        memset(topic, 't', sizeof(topic));
        topic[246] = '\0';
        snprintf(text, sizeof(text), FROM("{topics: [%s]}"), topic);
        check_accepted(text);
        topic[246] = 't';
        topic[247] = '\0';
        snprintf(text, sizeof(text), FROM("{topics: [%s]}"), topic);
        snprintf(error, sizeof(error),
                 "f:4:11: a topic has 247 bytes, it may have 246 at most, so that <topic>.critical "
                 "can name a queue\n");
        fixture_parse(&f, text);
        CHECK_STR(f.lines, error);
}

TEST(a_url_is_http_with_a_host_and_without_credentials)
{
#define NO_IPV6 "f:4:7: \"url\" has no IPv6 address between [ and ], write one such as http://[::1]:8080/\n"
#define BAD_HOST \
        "f:4:7: \"url\" has a host with a character that no host name has, write letters, digits, - and .\n"
        static const bad_snippet snippets[] = {
                {TO("{url: 'ftp://h/'}"),
                 "f:4:7: \"url\" must begin with http:// or https://, write such a URL\n"},
                {TO("{url: h}"), "f:4:7: \"url\" must begin with http:// or https://, write such a URL\n"},
                {TO("{url: 'http://user:secret@h/'}"),
                 "f:4:7: \"url\" must not hold a user or password, they would end up in logs: "
                 "send an Authorization header instead\n"},
                {TO("{url: 'http:///x'}"),
                 "f:4:7: \"url\" has no host, write one such as http://host:8080/\n"},
                {TO("{url: 'http://'}"), "f:4:7: \"url\" has no host, write one such as http://host:8080/\n"},
                {TO("{url: 'http://:80/'}"),
                 "f:4:7: \"url\" has no host, write one such as http://host:8080/\n"},
                {TO("{url: 'http://?x'}"),
                 "f:4:7: \"url\" has no host, write one such as http://host:8080/\n"},
                {TO("{url: 'http://[]/'}"), NO_IPV6},
                {TO("{url: 'http://[::1/'}"), NO_IPV6},
                {TO("{url: 'http://[::g]/'}"), NO_IPV6},
                {TO("{url: 'http://[127.0.0.1]/'}"), NO_IPV6},
                {TO("{url: 'http://[fe80::1%25eth0]/'}"), NO_IPV6},
                {TO("{url: 'http://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]/'}"), NO_IPV6},
                {TO("{url: 'http://h%41/'}"), BAD_HOST},
                {TO("{url: 'http://h*/'}"), BAD_HOST},
                {TO("{url: 'http://a,b:80/'}"), BAD_HOST},
                {TO("{url: 'http://a]/'}"), BAD_HOST},
                {TO("{url: 'http://h:0/'}"), "f:4:7: \"url\" has a port that is no number from 1 to 65535, "
                                             "write one such as http://host:8080/\n"},
                {TO("{url: 'http://h:/'}"), "f:4:7: \"url\" has a port that is no number from 1 to 65535, "
                                            "write one such as http://host:8080/\n"},
                {TO("{url: 'http://h:65536'}"), "f:4:7: \"url\" has a port that is no number from 1 to "
                                                "65535, write one such as http://host:8080/\n"},
                {TO("{url: 'http://[::1]x/'}"), "f:4:7: \"url\" has a port that is no number from 1 to "
                                                "65535, write one such as http://host:8080/\n"},
                {TO("{url: 'http://h/a b'}"), "f:4:7: \"url\" has a space or another character that a URL "
                                              "cannot hold, percent-encode it\n"},
                {TO("{url: 'http://h\\x'}"), "f:4:7: \"url\" has a space or another character that a URL "
                                             "cannot hold, percent-encode it\n"},
                {TO("{url: 'http://h/\xC3\xA9'}"), "f:4:7: \"url\" has a space or another character that a "
                                                   "URL cannot hold, percent-encode it\n"},
                {TO("{url: 'http://h/', method: GET}"),
                 "f:4:28: \"method\" is \"GET\", write POST, PUT or PATCH\n"},
        };

        CHECK_REFUSED(snippets);
        check_accepted(TO("{url: 'HTTPS://h.example:65535/a@b?c=d@e'}"));
        check_accepted(TO("{url: 'http://h'}"));
        check_accepted(TO("{url: 'http://my_host-1.example.:80?%41'}"));
        check_accepted(TO("{url: 'http://[::ffff:127.0.0.1]:80/'}"));
}

TEST(headers_are_well_formed_and_not_the_bridges_own)
{
        static const bad_snippet snippets[] = {
                {TO("{url: 'http://h/', headers: {host: x}}"),
                 "f:4:30: header \"host\" is set by the bridge itself, leave it out\n"},
                {TO("{url: 'http://h/', headers: {expect: 100-continue}}"),
                 "f:4:30: header \"expect\" is set by the bridge itself, leave it out\n"},
                {TO("{url: 'http://h/', headers: {Idempotency-Key: x}}"),
                 "f:4:30: header \"Idempotency-Key\" is set by the bridge itself, leave it out\n"},
                {TO("{url: 'http://h/', headers: {X Y: z}}"),
                 "f:4:30: header \"X Y\" is not a header's name, write letters, digits and -\n"},
                {TO("{url: 'http://h/', headers: {'': z}}"),
                 "f:4:30: header \"\" is not a header's name, write letters, digits and -\n"},
                {TO("{url: 'http://h/', headers: {X-A: \"secret\\r\\nHost: x\"}}"),
                 "f:4:35: header \"X-A\" has a control character such as CR or LF in its value, remove it\n"},
                {TO("{url: 'http://h/', headers: {X-A: }}"),
                 "f:4:35: header \"X-A\" must have a text as its value, write one\n"},
                {TO("{url: 'http://h/', headers: {X-A: [x]}}"),
                 "f:4:35: header \"X-A\" must have a text as its value, write one\n"},
                {TO("{url: 'http://h/', headers: {X-A: x, x-a: y}}"),
                 "f:4:38: header \"x-a\" is there twice, in different case, remove one\n"},
        };

        CHECK_REFUSED(snippets);
        check_accepted(TO("{url: 'http://h/', headers: {X-Empty: '', X_~!: \"a\\tb\"}}"));
        check_accepted(TO("{url: 'http://h/', headers: {}}"));
}

/* Headers of `total` bytes in all, names and values: seven of 8,200 bytes, and a last one. */
static void check_headers_of(size_t total, const char *errors)
{
        enum { BIG = 8192, NAME = 2 };
        static char text[80 * 1024], value[BIG + 1];
        size_t n = (size_t)snprintf(text, sizeof(text),
                                    TRANSPORT "routes:\n- {name: a, from: {notifications: {}}, to: "
                                              "{url: 'http://h/', headers:\n{");
        size_t left = total;
        fixture f;

        memset(value, 'x', BIG);
        for (int i = 0; left > 0; i++) {
                size_t bytes = left > NAME + BIG ? BIG : left - NAME;

                n += (size_t)snprintf(text + n, sizeof(text) - n, "h%d: %.*s, ", i, (int)bytes, value);
                left -= NAME + bytes;
        }
        snprintf(text + n, sizeof(text) - n, "}}}\n");
        fixture_parse(&f, text);
        CHECK_STR(f.lines, errors);
        fixture_free(&f);
}

TEST(all_headers_together_fit_into_a_request_with_the_bridges_own)
{
        check_headers_of(61440, "");
        check_headers_of(
                61441, "f:4:1: \"headers\" have 61441 bytes, names and values together, they may have 61440 "
                       "at most\n");
}

TEST(a_template_is_refused_where_it_is_wrong_and_nothing_of_it_is_quoted)
{
        static const bad_snippet snippets[] = {
                {TO("{url: 'http://h/{json:/payload/id}/{evnt_type}'}"),
                 "f:4:37: \"url\" is no template: this field is not known, did you mean event_type?\n"},
                {TO("{url: 'http://h/a?x={route|upper}'}"),
                 "f:4:28: \"url\" is no template: unknown filter. Known filters: url, json, b64, lower, "
                 "default, required\n"},
                {TO("{url: 'http://{headers.host}/'}"),
                 "f:4:7: \"url\" has a value in its scheme, host or port, which must be literal, so that no "
                 "event chooses where it goes: write them out\n"},
                {TO("{url: 'http://h:{json:/port}/'}"),
                 "f:4:7: \"url\" has a value in its scheme, host or port, which must be literal, so that no "
                 "event chooses where it goes: write them out\n"},
                {TO("{url: '{json:/url}'}"),
                 "f:4:7: \"url\" has a value in its scheme, host or port, which must be literal, so that no "
                 "event chooses where it goes: write them out\n"},
                {TO("{url: 'http://h{route}/'}"),
                 "f:4:7: \"url\" has a value in its scheme, host or port, which must be literal, so that no "
                 "event chooses where it goes: write them out\n"},
                {TO("{url: 'http://h/{route}#x'}"),
                 "f:4:7: \"url\" has a # and values, but what follows a # is never sent, leave it out\n"},
                {TO("{url: 'http://h/a{{b'}"), "f:4:7: \"url\" has a space or another character that a URL "
                                               "cannot hold, percent-encode it\n"},
                {TO("{url: 'http://h/', headers: {A: 'b\xC3\xA9{secret}'}}"),
                 "f:4:37: a header's value is no template: this field is not known, write event_type, "
                 "publisher_id, priority, message_id, timestamp, exchange, routing_key, queue, route, key, "
                 "headers.NAME or json:/POINTER\n"},
                {TO("{url: 'http://h/', headers: {A: 'b}'}}"),
                 "f:4:35: a header's value is no template: a } has no { before it, write }} for a brace\n"},
        };

        CHECK_REFUSED(snippets);
        check_accepted(TO("{url: 'http://h/{route}?{key}', headers: {A: '{{\"a\": {json:/x|json}}}'}}"));
}

TEST(a_secret_is_named_and_never_quoted)
{
        static const bad_snippet snippets[] = {
                {TO("{url: 'http://h/', signature: {}}"),
                 "f:4:31: missing key \"secrets\" in \"signature\", it is required\n"},
                {TO("{url: 'http://h/', signature: {secrets: []}}"),
                 "f:4:41: \"secrets\" must be a secret, or a list of 1 to 4\n"},
                {TO("{url: 'http://h/', signature: {secrets: hush}}"),
                 "f:4:41: a secret does not belong into a configuration, write file:PATH, env:NAME or "
                 "credential:NAME\n"},
                {TO("{url: 'http://h/', signature: {secrets: ['file:/no/such', 'env:CELADON_TEST_NO']}}"),
                 "f:4:42: a secret cannot be read from /no/such: No such file or directory\n"
                 "f:4:59: a secret is not in the environment, set CELADON_TEST_NO\n"},
                {TO("{url: 'http://h/', signature: {secrets: 'env:PATH'}}"),
                 "f:4:41: a secret is no key of Standard Webhooks, which is whsec_ and 24 to 64 bytes in "
                 "base64\n"},
                {TO("{url: 'http://h/', headers: {Webhook-ID: x}}"),
                 "f:4:30: header \"Webhook-ID\" is set by the bridge itself, leave it out\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(match_may_be_a_list_of_conditions)
{
        static const bad_snippet snippets[] = {
                {ROUTE("match: []"), "f:4:8: \"match\" has 0 items, it must have 1 to 64\n"},
                {ROUTE("match: [{event_type: x}]"),
                 "f:4:9: each item of \"match\" must be text, not a mapping\n"},
                {ROUTE("match: ['event_type is x']"), "f:4:21: \"match\": unknown operator, did you mean "
                                                      "\"in\"? Known operators: eq, ne, glob, regex, "
                                                      "in, exists, gt, lt\n"},
                {ROUTE("match: [event_type eq x, queue eq]"),
                 "f:4:34: \"match\": has no value here, write one, or \"\" for an empty text\n"},
                {ROUTE("on_unmatched: drop"),
                 "f:4:15: \"on_unmatched\" is \"drop\", write ack or dead_letter\n"},
        };
        fixture f;

        CHECK_REFUSED(snippets);
        fixture_parse(&f,
                      ROUTE("match: [event_type glob a.*, json:/payload/n gt 5], on_unmatched: dead_letter"));
        CHECK_STR(f.lines, "");
        CHECK_INT(f.config->routes[0].match.conditions_n, 2);
        CHECK(f.config->routes[0].dead_letter_unmatched);
        fixture_free(&f);
        check_accepted(ROUTE("on_unmatched: ack"));
}

TEST(a_transport_is_a_url_that_can_be_opened)
{
        static const bad_snippet snippets[] = {
                {"transport: ''\n"
                 "routes: x\n",
                 "f:1:12: \"transport\" is empty, write at least one character\n"
                 "f:2:9: \"routes\" must be a list, not text\n"},
                {"transport: localhost\n"
                 "routes: x\n",
                 "f:1:12: \"transport\" cannot be used, no scheme, such as \"rabbit://\", at the beginning\n"
                 "f:2:9: \"routes\" must be a list, not text\n"},
                {"routes: x\n"
                 "transport: rabit://h/\n",
                 "f:1:9: \"routes\" must be a list, not text\n"
                 "f:2:12: \"transport\" cannot be used, there is no driver for \"rabit://\"; there is one "
                 "for "
                 "rabbit://user:password@host:5672/vhost\n"},
                {"transport: rabbit://h:70000/\n"
                 "routes: x\n",
                 "f:1:12: \"transport\" cannot be used, port \"70000\" is not a number from 1 to 65535\n"
                 "f:2:9: \"routes\" must be a list, not text\n"},
                {"transport: rabbit://guest:secret@h/?ssll=true\n"
                 "routes: x\n",
                 "f:1:12: \"transport\" cannot be used, unknown option \"ssll\"; did you mean \"ssl\"?\n"
                 "f:2:9: \"routes\" must be a list, not text\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_ca_file_can_be_read)
{
        static const bad_snippet snippets[] = {
                {TO("{url: 'https://h/', ca_file: /no/such.pem}"),
                 "f:4:30: \"ca_file\" is \"/no/such.pem\", which cannot be read: No such file or "
                 "directory\n"},
                {TO("{url: 'https://h/', ca_file: /}"),
                 "f:4:30: \"ca_file\" is \"/\", which cannot be read: it is no file\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_transports_password_is_in_no_error)
{
        static const char *const texts[] = {
                "transport: //guest:secret@h/",
                "transport: rabit://guest:secret@h/",
                "transport: rabbit://guest:secret@h:70000/?ssll=1",
                "transport: rabbit://guest:1,a?secret=b@h/",
                "transport: \"rabbit://guest:secret@h/\\n\"",
                "transport rabbit://guest:secret@h/",
                "{transport rabbit://guest:secret@h/}",
                "{transport:rabbit://guest:secret@h/}",
                "{rabbit://guest:secret@h/: 1}",
                "{transport: rabbit://guest:x,secret@h/}",
                "{transport: rabbit://guest:x, rabbit://guest:secret@h/: 1, rabbit://guest:secret@h/: 1}",
                "transport: {rabbit://guest:secret@h/}",
                "transport: [rabbit://guest:secret@h/, rabbit://guest:secret@h/]",
                "transport: rabbit://guest:secret@h/: x",
                "transport: 'rabbit://guest:secret@h/",
                "transport: !rabbit://guest:secret@h/ x",
                "drain: rabbit://guest:secret@h/",
                TO("{url: rabbit://guest:secret@h/, method: rabbit://guest:secret@h/, timeout: "
                   "rabbit://guest:secret@h/}"),
                FROM("{durable: rabbit://guest:secret@h/, pool: 'amq.rabbit://guest:secret@h/', "
                     "priorities: [rabbit://guest:secret@h/]}"),
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                fixture f;

                fixture_parse(&f, texts[i]);
                CHECK_INT(f.result, CEL_EINVAL);
                CHECK(f.lines_n > 0);
                CHECK(!strstr(f.lines, "secret"));
        }
}

TEST(a_message_may_not_be_held_until_rabbitmq_closes_the_channel)
{
        static const bad_snippet snippets[] = {
                {TRANSPORT "routes:\n- {name: a, from: {notifications: {}}, hold_max: 15m,\n"
                           "   to: {url: 'http://h/', timeout: 5.001m}}\n",
                 "f:3:50: this route may hold a message for 20m0.06s (\"hold_max\" and one \"timeout\"), "
                 "after up to "
                 "5m in line, but RabbitMQ closes a channel after 30m without an ack: lower one of them "
                 "until it is "
                 "20m at most\n"},
                {ROUTE("hold_max: 16m"), "f:4:11: \"hold_max\" is \"16m\", it must be between 0s and 15m\n"},
        };

        CHECK_REFUSED(snippets);
        check_accepted(TRANSPORT "routes:\n- {name: a, from: {notifications: {}}, hold_max: 15m,\n"
                                 "   to: {url: 'http://h/', timeout: 5m}}\n"); /* 20m */
}

TEST(a_schedule_has_all_the_waits_and_one_attempt_more)
{
        static const bad_snippet snippets[] = {
                {ROUTE("backoff: {schedule: [1s], cap: 1s}"),
                 "f:4:32: \"schedule\" has all the waits, leave out \"base\" and \"cap\"\n"},
                {ROUTE("backoff: {schedule: []}"),
                 "f:4:21: \"schedule\" has 0 items, it must have 1 to 100\n"},
                {ROUTE("backoff: {schedule: 1s}"), "f:4:21: \"schedule\" must be a list, not text\n"},
                {ROUTE("backoff: {schedule: [1s, soon, [1s], 25h]}"),
                 "f:4:26: \"schedule\" is \"soon\", write a duration in whole milliseconds, such as 500ms, "
                 "1.5s, 2m "
                 "or 1h\n"
                 "f:4:32: each item of \"schedule\" must be text, not a list\n"
                 "f:4:38: \"schedule\" is \"25h\", it must be between 1ms and 1440m\n"},
        };
        fixture f;

        CHECK_REFUSED(snippets);
        fixture_parse(&f, ROUTE("backoff: {schedule: [5s, 5m, 24h]}"));
        CHECK_STR(f.lines, "");
        CHECK_INT(f.config->routes[0].schedule.n, 3);
        CHECK_INT(f.config->routes[0].schedule.ms[1], 300000);
        CHECK_INT(f.config->routes[0].attempts_max, 4);
        fixture_free(&f);
        fixture_parse(&f, ROUTE("max_attempts: 9, backoff: {schedule: [5s]}"));
        CHECK_INT(f.config->routes[0].attempts_max, 9);
        fixture_free(&f);
}

TEST(a_ladder_goes_up)
{
        static const bad_snippet snippets[] = {
                {"park: {ladder: [1s, 1m, 1m]}\n" ROUTE(""),
                 "f:1:16: \"ladder\" has 1m after 1m, write them from short to long\n"},
                {"park: {ladder: [1s, 2s, 3s, 4s, 5s, 6s, 7s, 8s, 9s]}\n" ROUTE(""),
                 "f:1:16: \"ladder\" has 9 items, it must have 1 to 8\n"},
                {"park: {prefix: amq.park}\n" ROUTE(""), "f:1:16: \"prefix\" is \"amq.park\", but names that "
                                                         "begin with \"amq.\" are the broker's own, "
                                                         "choose another\n"},
        };
        fixture f;

        CHECK_REFUSED(snippets);
        fixture_parse(&f, ROUTE(""));
        CHECK_STR(f.config->park.prefix, "celadon");
        CHECK_INT(f.config->park.ladder.n, 5);
        CHECK_INT(f.config->park.ladder.ms[4], 6 * 3600 * 1000);
        fixture_free(&f);
        fixture_parse(&f, "park: {prefix: mine, ladder: [1s, 2m]}\n" ROUTE(""));
        CHECK_STR(f.lines, "");
        CHECK_STR(f.config->park.prefix, "mine");
        CHECK_INT(f.config->park.ladder.n, 2);
        CHECK_INT(f.config->park.ladder.ms[1], 120000);
        fixture_free(&f);
}

TEST(a_priority_that_no_event_of_the_route_has_is_refused)
{
        static const bad_snippet snippets[] = {
                {ROUTE("match: {priority: warning}"),
                 "f:4:19: \"priority\" is \"warning\", which matches none of this route's \"priorities\" "
                 "(audit, debug, "
                 "info, warn, error, critical, sample), did you mean \"warn\"?\n"},
                {TRANSPORT "routes:\n- {name: a, from: {notifications: {priorities: [info, error]}}, to: "
                           "{url: 'http://h/'},\n"
                           "match: {priority: [INFO, 'warn', 'e?ror', 'x*']}}\n",
                 "f:4:26: \"priority\" is \"warn\", which matches none of this route's \"priorities\" (info, "
                 "error), "
                 "leave it out or add it to those\n"
                 "f:4:43: \"priority\" is \"x*\", which matches none of this route's \"priorities\" (info, "
                 "error), "
                 "leave it out or add it to those\n"},
        };

        CHECK_REFUSED(snippets);
        check_accepted(ROUTE("match: {priority: '*'}"));
        check_accepted(ROUTE("match: {priority: [Warn, CRIT*]}"));
}

TEST(two_routes_may_not_take_from_one_queue)
{
        static const bad_snippet snippets[] = {
                {TWO("name: a, from: {notifications: {}}",
                     "name: b, from: {notifications: {exchange: nova}}"),
                 "f:4:43: routes \"a\" and \"b\" would take each other's messages from the queue "
                 "\"notifications.audit\", "
                 "give each route a \"pool\" of its own\n"},
                {TWO("name: a, from: {notifications: {topics: [x, y], priorities: [info, error]}}",
                     "name: b, from: {notifications: {topics: [z, y], priorities: [warn, error]}}"),
                 "f:4:43: routes \"a\" and \"b\" would take each other's messages from the queue "
                 "\"y.error\", "
                 "give each route a \"pool\" of its own\n"},
                {TWO("name: a, from: {notifications: {pool: p, topics: [x]}}",
                     "name: b, from: {notifications: {pool: p, topics: [y]}}"),
                 "f:4:43: routes \"a\" and \"b\" would take each other's messages from the queue \"p\", "
                 "give each route a \"pool\" of its own\n"},
                {TWO("name: a, from: {notifications: {pool: notifications.info}}",
                     "name: b, from: {notifications: {}}"),
                 "f:4:43: routes \"a\" and \"b\" would take each other's messages from the queue "
                 "\"notifications.info\", "
                 "give each route a \"pool\" of its own\n"},
                {TWO("name: a, from: {notifications: {}}", "name: a, from: {notifications: {pool: p}}"),
                 "f:4:34: two routes are called \"a\", give each a name of its own\n"},
        };

        CHECK_REFUSED(snippets);
        check_accepted(
                TWO("name: a, from: {notifications: {}}", "name: b, from: {notifications: {pool: p}}"));
        check_accepted(TWO("name: a, from: {notifications: {pool: q}}",
                           "name: b, from: {notifications: {pool: p}}"));
        check_accepted(TWO("name: a, from: {notifications: {priorities: [info]}}",
                           "name: b, from: {notifications: {priorities: [error]}}"));
        check_accepted(TWO("name: a, from: {notifications: {topics: [a]}}",
                           "name: b, from: {notifications: {topics: [a.info]}}"));
}

TEST(a_dead_letter_may_not_come_back_as_a_notification)
{
        static const bad_snippet snippets[] = {
                {FROM("{pool: celadon.dead.a}"),
                 "f:3:3: dead letters of route \"a\" go to \"celadon.dead.a\", from which route \"a\" "
                 "takes its messages, choose another \"dead_letter\" queue\n"},
                {ROUTE("dead_letter: {queue: notifications.error}"),
                 "f:4:22: dead letters of route \"a\" go to \"notifications.error\", from which route \"a\" "
                 "takes its messages, choose another \"dead_letter\" queue\n"},
                {TWO("name: a, from: {notifications: {pool: p}}, dead_letter: {queue: q}",
                     "name: b, from: {notifications: {pool: q}}"),
                 "f:4:3: dead letters of route \"a\" go to \"q\", from which route \"b\" takes its messages, "
                 "choose another \"dead_letter\" queue\n"},
        };

        CHECK_REFUSED(snippets);
        check_accepted(TWO("name: a, from: {notifications: {pool: p}}, dead_letter: {queue: d}",
                           "name: b, from: {notifications: {pool: q}}, dead_letter: {queue: d}"));
}

TEST(all_errors_are_reported_but_no_more_than_twenty)
{
        char text[8192];
        size_t n;
        fixture f;

        fixture_parse(&f, "drain: x\ndrain: 1s\nroutes: [{nam: a}]\n");
        CHECK_INT(f.lines_n, 6);
        n = (size_t)snprintf(text, sizeof(text), TRANSPORT);
        for (int i = 0; i < 30; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "key%d: x\n", i);
        fixture_parse(&f, text);
        CHECK_INT(f.result, CEL_EINVAL);
        CHECK_INT(f.lines_n, 20);
}

TEST(a_syntax_error_stops_with_its_position)
{
        static const bad_snippet snippets[] = {
                {TRANSPORT "routes:\n- name: [a\n",
                 "f:4:1: not valid YAML: did not find expected ',' or ']', while parsing a flow sequence "
                 "that begins at 3:9\n"},
                {"", "f:1:1: the file is empty, write a configuration\n"},
        };

        CHECK_REFUSED(snippets);
}

TEST(a_file_that_cannot_be_read_says_why)
{
        fixture f = {0};

        CHECK_INT(bridge_config_load("/no/such/file.yaml", on_error, &f, &f.config), CEL_EINVAL);
        CHECK_STR(f.lines, "/no/such/file.yaml: cannot be read: No such file or directory\n");
        f.lines[0] = '\0';
        CHECK_INT(bridge_config_load("/", on_error, &f, &f.config), CEL_EINVAL);
        CHECK_STR(f.lines, "/: cannot be read: Is a directory\n");
        f.lines[0] = '\0';
        CHECK_INT(bridge_config_load("/dev/zero", on_error, &f, &f.config), CEL_EINVAL);
        CHECK_STR(f.lines, "/dev/zero:1:1: the file is larger than 1 MiB, which no configuration needs\n");
        CHECK(!f.config);
}

TEST(a_file_is_read_and_named_in_its_errors)
{
        char path[] = "/tmp/celadon-config-XXXXXX", expected[128];
        int fd = mkstemp(path);
        fixture f = {0};

        CHECK(fd >= 0);
        CHECK_INT(write(fd, whole, sizeof(whole) - 1), sizeof(whole) - 1);
        CHECK_INT(bridge_config_load(path, on_error, &f, &f.config), 0);
        CHECK_STR(f.config->routes[0].name, "instances");
        fixture_free(&f);
        CHECK_INT(write(fd, "drain: x\n", 9), 9);
        close(fd);
        CHECK_INT(bridge_config_load(path, on_error, &f, &f.config), CEL_EINVAL);
        snprintf(expected, sizeof(expected), "%s:20:1: duplicate key \"drain\", it is already at 2:1\n",
                 path);
        CHECK_STR(f.lines, expected);
        unlink(path);
}

TEST(a_notification_matches_when_every_key_does)
{
        static char *event_types[] = {(char *)"compute.instance.*", (char *)"volume.*", NULL};
        static char *priorities[] = {(char *)"info", NULL};
        bridge_match_config all = {0};
        bridge_match_config some = {.event_types = event_types, .priorities = priorities};

        CHECK(bridge_match(&all, "anything", "nova.host", "INFO"));
        CHECK(bridge_match(&all, NULL, NULL, NULL));
        CHECK(bridge_match(&some, "compute.instance.create.end", "", "INFO"));
        CHECK(bridge_match(&some, "volume.create", "", "info"));
        CHECK(!bridge_match(&some, "image.create", "", "info"));
        CHECK(!bridge_match(&some, "volume.create", "", "ERROR"));
        CHECK(!bridge_match(&some, NULL, NULL, NULL));
        CHECK(!bridge_match(&some, "VOLUME.create", "", "info"));
}
