/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/checks.h"

#include <arpa/inet.h>
#include <celadon/transport.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        TOPIC_BYTES_MAX = 255 - (int)sizeof("critical"), /* so that <topic>.<priority> can name a queue */
        HEADER_NAME_BYTES_MAX = 255,
        HEADER_VALUE_BYTES_MAX = 8192,
};

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

const char *const bridge_priorities[BRIDGE_PRIORITIES_N] = {"audit", "debug",    "info",  "warn",
                                                            "error", "critical", "sample"};

bool bridge_check_transport(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        char why[512];
        int r = cel_transport_check_url(node->text, why, sizeof(why));

        if (r == CEL_ENOMEM)
                d->out_of_memory = true;
        else if (r < 0)
                bridge_report_node(d->report, node, "\"%s\" cannot be used, %s", field->key, why);
        return r >= 0;
}

bool bridge_check_name(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        if (strlen(node->text) <= BRIDGE_NAME_BYTES_MAX &&
            !node->text[strspn(node->text, LETTERS_AND_DIGITS "_.-")])
                return true;
        bridge_report_node(d->report, node, "\"%s\" is %s, write 1 to 64 of A-Z a-z 0-9 _ . -", field->key,
                           bridge_quote(node->text).text);
        return false;
}

bool bridge_check_queue(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        if (strncmp(node->text, "amq.", 4) != 0)
                return true;
        bridge_report_node(
                d->report, node,
                "\"%s\" is %s, but names that begin with \"amq.\" are the broker's own, choose another",
                field->key, bridge_quote(node->text).text);
        return false;
}

bool bridge_check_topic(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        if (strlen(node->text) <= TOPIC_BYTES_MAX)
                return bridge_check_queue(d, field, node);
        bridge_report_node(
                d->report, node,
                "a topic has %zu bytes, it may have %d at most, so that <topic>.critical can name a queue",
                strlen(node->text), TOPIC_BYTES_MAX);
        return false;
}

bool bridge_check_priority(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        const char *meant;

        (void)field;
        for (size_t i = 0; i < BRIDGE_PRIORITIES_N; i++)
                if (strcmp(bridge_priorities[i], node->text) == 0)
                        return true;
        meant = bridge_suggest(node->text, bridge_priorities, BRIDGE_PRIORITIES_N);
        bridge_report_node(d->report, node,
                           "unknown priority %s%s%s%s Known priorities: audit, debug, info, warn, error, "
                           "critical, sample",
                           bridge_quote(node->text).text, meant ? ", did you mean \"" : ".",
                           meant ? meant : "", meant ? "\"?" : "");
        return false;
}

bool bridge_check_method(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        if (strcmp(node->text, "POST") == 0 || strcmp(node->text, "PUT") == 0 ||
            strcmp(node->text, "PATCH") == 0)
                return true;
        bridge_report_node(d->report, node, "\"%s\" is %s, write POST, PUT or PATCH", field->key,
                           bridge_quote(node->text).text);
        return false;
}

bool bridge_check_ca_file(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        struct stat status;
        const char *problem = NULL;

        if (stat(node->text, &status) < 0 || access(node->text, R_OK) < 0)
                problem = strerror(errno);
        else if (!S_ISREG(status.st_mode))
                problem = "it is no file";
        if (problem)
                bridge_report_node(d->report, node, "\"%s\" is %s, which cannot be read: %s", field->key,
                                   bridge_quote(node->text).text, problem);
        return !problem;
}

/* 1 to 65535 in `n` digits. */
static bool is_port(const char *text, size_t n)
{
        unsigned port = 0;

        if (n == 0 || n > 5 || strspn(text, "0123456789") < n)
                return false;
        for (size_t i = 0; i < n; i++)
                port = port * 10 + (unsigned)(text[i] - '0');
        return port >= 1 && port <= 65535;
}

/* An address without a zone. */
static bool is_ipv6(const char *text, size_t n)
{
        char address[INET6_ADDRSTRLEN];
        struct in6_addr binary;

        snprintf(address, sizeof(address), "%.*s", (int)n, text);
        return n < sizeof(address) && inet_pton(AF_INET6, address, &binary) == 1;
}

/* What is wrong with `host`, `host:port` or `[address]:port`; NULL if nothing. */
static const char *authority_problem(const char *authority, size_t n)
{
        const char *end = authority + n, *host_end;

        if (memchr(authority, '@', n))
                return "must not hold a user or password, they would end up in logs: send an Authorization "
                       "header instead";
        if (n > 0 && *authority == '[') {
                host_end = memchr(authority, ']', n);
                if (!host_end || !is_ipv6(authority + 1, (size_t)(host_end - authority - 1)))
                        return "has no IPv6 address between [ and ], write one such as http://[::1]:8080/";
                host_end++;
        } else {
                host_end = memchr(authority, ':', n);
                host_end = host_end ? host_end : end;
                if (host_end == authority)
                        return "has no host, write one such as http://host:8080/";
                if (strspn(authority, LETTERS_AND_DIGITS "-._~") < (size_t)(host_end - authority))
                        return "has a host with a character that no host name has, write letters, digits, - "
                               "and .";
        }
        if (host_end < end && (*host_end != ':' || !is_port(host_end + 1, (size_t)(end - host_end - 1))))
                return "has a port that is no number from 1 to 65535, write one such as http://host:8080/";
        return NULL;
}

const char *bridge_url_problem(const char *url)
{
        const char *authority = NULL;

        if (strncasecmp(url, "http://", 7) == 0)
                authority = url + 7;
        else if (strncasecmp(url, "https://", 8) == 0)
                authority = url + 8;
        if (!authority)
                return "must begin with http:// or https://, write such a URL";
        for (const char *c = url; *c; c++)
                if (*c <= ' ' || *c > '~' || strchr("\"<>\\^`{|}", *c))
                        return "has a space or another character that a URL cannot hold, percent-encode it";
        return authority_problem(authority, strcspn(authority, "/?#"));
}

/* What is wrong with a header's name; NULL if nothing. */
static const char *header_name_problem(const char *name)
{
        static const char *const own[] = {
                "Content-Length", "Host",   "Transfer-Encoding", "Connection",        "Idempotency-Key",
                "Content-Type",   "Expect", "webhook-id",        "webhook-timestamp", "webhook-signature"};

        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
                if (strcasecmp(own[i], name) == 0)
                        return "is set by the bridge itself, leave it out";
        if (!*name || name[strspn(name, LETTERS_AND_DIGITS "!#$%&'*+-.^_`|~")])
                return "is not a header's name, write letters, digits and -";
        if (strlen(name) > HEADER_NAME_BYTES_MAX)
                return "is too long for a header's name, write 255 bytes at most";
        return NULL;
}

/* What is wrong with a header's value, which may be a secret; NULL if nothing. */
static const char *header_value_problem(const bridge_yaml_node *value)
{
        if (value->kind != BRIDGE_YAML_TEXT || bridge_yaml_is_null(value))
                return "must have a text as its value, write one";
        if (strlen(value->text) > HEADER_VALUE_BYTES_MAX)
                return "has a value that is too long, write 8192 bytes at most";
        for (const char *c = value->text; *c; c++)
                if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7F)
                        return "has a control character such as CR or LF in its value, remove it";
        return NULL;
}

bool bridge_check_header(bridge_decoder *d, const bridge_yaml_node *headers, const bridge_yaml_node *header)
{
        const char *name = header->key->text, *problem = header_name_problem(name);
        const bridge_yaml_node *where = header->key;

        for (const bridge_yaml_node *earlier = headers->first; earlier != header && !problem;
             earlier = earlier->next)
                if (strcasecmp(earlier->key->text, name) == 0)
                        problem = "is there twice, in different case, remove one";
        if (!problem) {
                problem = header_value_problem(header);
                where = header;
        }
        if (problem)
                bridge_report_node(d->report, where, "header %s %s", bridge_quote(name).text, problem);
        return !problem;
}
