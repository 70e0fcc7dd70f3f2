/* SPDX-License-Identifier: Apache-2.0
 *
 * To add a key: a member in config.h, a row in a table below, and its end in one of the two fini functions. */
#include "bridge/config_request.h"

#include "bridge/checks.h"
#include "bridge/secret.h"
#include "bridge/template.h"

#include <celadon/error.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
        CONDITIONS_MAX = 64,
        GLOBS_MAX = 64,
        URL_BYTES_MAX = 4096,
        MINUTE = 60 * 1000,
};

/* ---- Templates. ---- */

void bridge_read_template(bridge_decoder *d, const bridge_yaml_node *node, bridge_template_kind kind,
                          const char *what, bridge_template **target)
{
        bridge_template_error error = {0};
        bridge_template *t = NULL;
        int r = bridge_template_parse(node->text, kind, &error, &t);

        if (r == CEL_EINVAL)
                bridge_report_within(d->report, node, error.offset, "%s is no template: %s", what,
                                     error.text);
        else if (r < 0)
                d->out_of_memory = true;
        if (r < 0)
                return;
        bridge_template_free(*target);
        *target = t;
}

/* What is wrong with a URL around its places; NULL if nothing. */
static const char *url_problem(bridge_decoder *d, const char *url, const bridge_template *t)
{
        bridge_text skeleton = {.bytes_max = SIZE_MAX / 2};
        const char *problem = NULL, *authority = strstr(url, "://");
        size_t place = bridge_template_first_place(t);

        bridge_template_skeleton(t, &skeleton);
        if (skeleton.error < 0)
                d->out_of_memory = true;
        else if (url[place] &&
                 (!authority || place <= (size_t)(authority + 3 - url) + strcspn(authority + 3, "/?")))
                problem = "has a value in its scheme, host or port, which must be literal, so that no event "
                          "chooses where it goes: write them out";
        else if (url[place] && strchr(skeleton.bytes, '#'))
                problem = "has a # and values, but what follows a # is never sent, leave it out";
        else
                problem = bridge_url_problem(skeleton.bytes);
        bridge_text_fini(&skeleton);
        return problem;
}

/* Into the whole bridge_target_config. */
static void read_url(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                     void *target)
{
        bridge_target_config *to = target;
        const char *problem;

        if (!bridge_check_text(d, field, node))
                return;
        bridge_read_template(d, node, BRIDGE_TEMPLATE_URL, "\"url\"", &to->url_template);
        if (!to->url_template)
                return;
        problem = url_problem(d, node->text, to->url_template);
        if (problem)
                bridge_report_node(d->report, node, "\"%s\" %s", field->key, problem);
        else
                bridge_put_text(d, &to->url, node->text);
        if (!strchr(node->text, '{'))
                to->url_template = bridge_template_free(to->url_template);
}

/* ---- Headers, a mapping of free names. ---- */

/* With the bridge's own, they must be what the HTTP client takes: a request that is refused is refused each time. */
static void check_header_bytes(bridge_decoder *d, const bridge_target_config *to,
                               const bridge_yaml_node *node)
{
        const size_t max = CEL_HTTP_HEADER_BYTES_MAX - BRIDGE_OWN_HEADER_BYTES_MAX;
        size_t bytes = 0;

        for (size_t i = 0; i < to->headers_n; i++)
                bytes += strlen(to->headers[i].name) + strlen(to->headers[i].value);
        if (bytes > max)
                bridge_report_node(
                        d->report, node,
                        "\"headers\" have %zu bytes, names and values together, they may have %zu at most",
                        bytes, max);
}

/* A value that is the same for every event is worked out here, once. */
static void settle_value(bridge_decoder *d, bridge_template **value, char **text)
{
        bridge_text skeleton = {.bytes_max = SIZE_MAX / 2};

        if (!*value || !bridge_template_is_literal(*value))
                return;
        bridge_template_skeleton(*value, &skeleton);
        d->out_of_memory |= skeleton.error < 0;
        free(*text);
        *text = skeleton.bytes;
        *value = bridge_template_free(*value);
}

static void read_header(bridge_decoder *d, const bridge_yaml_node *node, bridge_target_config *to)
{
        bridge_template **value_template = &to->header_templates[to->headers_n];
        char *name = NULL, *value = NULL;

        bridge_put_text(d, &name, node->key->text);
        bridge_put_text(d, &value, node->text);
        bridge_read_template(d, node, BRIDGE_TEMPLATE_TEXT, "a header's value", value_template);
        settle_value(d, value_template, &value);
        to->headers[to->headers_n++] = (cel_http_header){.name = name, .value = value};
}

/* Into the whole bridge_target_config. */
static void read_headers(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                         void *target)
{
        bridge_target_config *to = target;

        if (!bridge_check_kind(d, "\"headers\"", node, BRIDGE_YAML_MAP))
                return;
        if (node->children_n > (size_t)field->max) {
                bridge_report_node(d->report, node, "\"headers\" has %zu entries, it may have %lld at most",
                                   node->children_n, (long long)field->max);
                return;
        }
        to->headers = calloc(node->children_n + 1, sizeof(*to->headers));
        to->header_templates = calloc(node->children_n + 1, sizeof(*to->header_templates));
        if (!to->headers || !to->header_templates) {
                d->out_of_memory = true;
                return;
        }
        for (const bridge_yaml_node *child = node->first; child; child = child->next)
                if (bridge_check_header(d, node, child))
                        read_header(d, child, to);
        if (!d->out_of_memory)
                check_header_bytes(d, to, node);
}

/* ---- Words. ---- */

void bridge_read_word(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      const char *const *words, unsigned *target)
{
        char listed[128] = "";

        if (!bridge_check_text(d, field, node))
                return;
        for (unsigned i = 0; words[i]; i++) {
                if (strcmp(words[i], node->text) == 0) {
                        *target = i;
                        return;
                }
                snprintf(listed + strlen(listed), sizeof(listed) - strlen(listed), "%s%s",
                         i == 0         ? ""
                         : words[i + 1] ? ", "
                                        : " or ",
                         words[i]);
        }
        bridge_report_node(d->report, node, "\"%s\" is %s, write %s", field->key,
                           bridge_quote(node->text).text, listed);
}

/* ---- Signatures. ---- */

static void read_signing_key(bridge_decoder *d, const bridge_yaml_node *node, bridge_target_config *to)
{
        char why[BRIDGE_SECRET_WHY_BYTES] = "";
        bridge_secret secret;
        int r;

        if (!bridge_check_kind(d, "a secret", node, BRIDGE_YAML_TEXT))
                return;
        r = bridge_secret_read(node->text, &secret, why);
        if (r < 0) {
                bridge_report_node(d->report, node, "a secret %s", why);
                return;
        }
        r = bridge_signing_key_new(secret.bytes, &to->signing_keys[to->signing_keys_n]);
        bridge_secret_wipe(&secret);
        if (r >= 0)
                to->signing_keys_n++;
        else if (r == CEL_EINVAL)
                bridge_report_node(d->report, node,
                                   "a secret is no key of Standard Webhooks, which is whsec_ and %d to %d "
                                   "bytes in base64",
                                   BRIDGE_SIGNING_KEY_BYTES_MIN, BRIDGE_SIGNING_KEY_BYTES_MAX);
        else
                d->out_of_memory = true;
}

/* Into the whole bridge_target_config: one secret or a list. */
static void read_secrets(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                         void *target)
{
        bridge_target_config *to = target;

        if (node->kind == BRIDGE_YAML_MAP ||
            (node->kind == BRIDGE_YAML_LIST &&
             (node->children_n == 0 || node->children_n > (size_t)field->max))) {
                bridge_report_node(d->report, node, "\"%s\" must be a secret, or a list of 1 to %d",
                                   field->key, (int)field->max);
                return;
        }
        to->signing_keys = calloc((size_t)field->max, sizeof(bridge_signing_key *));
        if (!to->signing_keys) {
                d->out_of_memory = true;
                return;
        }
        if (node->kind == BRIDGE_YAML_TEXT)
                read_signing_key(d, node, to);
        else
                for (const bridge_yaml_node *child = node->first; child; child = child->next)
                        read_signing_key(d, child, to);
}

/* ---- Conditions. ---- */

static void read_condition(bridge_decoder *d, const bridge_yaml_node *node, bridge_match_config *match)
{
        char why[BRIDGE_CONDITION_WHY_BYTES] = "";
        size_t offset = 0;

        if (!bridge_check_kind(d, "each item of \"match\"", node, BRIDGE_YAML_TEXT))
                return;
        int r = bridge_condition_parse(node->text, &offset, why, &match->conditions[match->conditions_n]);

        if (r >= 0)
                match->conditions_n++;
        else if (r == CEL_EINVAL)
                bridge_report_within(d->report, node, offset, "\"match\": %s", why);
        else
                d->out_of_memory = true;
}

void bridge_read_match(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                       void *target)
{
        bridge_match_config *match = target;

        if (node->kind != BRIDGE_YAML_LIST) {
                bridge_read_nested(d, field, node, target);
                return;
        }
        if (node->children_n == 0 || node->children_n > CONDITIONS_MAX) {
                bridge_report_node(d->report, node, "\"match\" has %zu items, it must have 1 to %d",
                                   node->children_n, CONDITIONS_MAX);
                return;
        }
        match->conditions = calloc(node->children_n, sizeof(bridge_condition *));
        if (!match->conditions) {
                d->out_of_memory = true;
                return;
        }
        for (const bridge_yaml_node *item = node->first; item; item = item->next)
                read_condition(d, item, match);
}

void bridge_read_on_unmatched(bridge_decoder *d, const bridge_schema_field *field,
                              const bridge_yaml_node *node, void *target)
{
        static const char *const words[] = {"ack", "dead_letter", NULL};
        unsigned is_dead_letter = 0;

        bridge_read_word(d, field, node, words, &is_dead_letter);
        *(bool *)target = is_dead_letter == 1;
}

/* ---- The tables. ---- */

static const bridge_schema_field match_fields[] = {
        {BRIDGE_KEY("event_type", bridge_read_text_or_list, char **, bridge_match_config, event_types),
         .max = GLOBS_MAX},
        {BRIDGE_KEY("publisher_id", bridge_read_text_or_list, char **, bridge_match_config, publisher_ids),
         .max = GLOBS_MAX},
        {BRIDGE_KEY("priority", bridge_read_text_or_list, char **, bridge_match_config, priorities),
         .max = GLOBS_MAX},
};
const bridge_schema_section bridge_match_section = BRIDGE_SECTION("in \"match\"", match_fields);

static const bridge_schema_field signature_fields[] = {
        {BRIDGE_KEY_WHOLE("secrets", read_secrets), .required = true, .max = BRIDGE_SIGNING_KEYS_MAX},
};
static const bridge_schema_section signature_section = BRIDGE_SECTION("in \"signature\"", signature_fields);

static const bridge_schema_field to_fields[] = {
        {BRIDGE_KEY_WHOLE("url", read_url), .required = true, .max = URL_BYTES_MAX},
        {BRIDGE_KEY("method", bridge_read_text, char *, bridge_target_config, method),
         .check = bridge_check_method},
        {BRIDGE_KEY("timeout", bridge_read_duration, int64_t, bridge_target_config, timeout_ms), .min = 1,
         .max = 10 * MINUTE},
        {BRIDGE_KEY_WHOLE("headers", read_headers), .max = BRIDGE_HEADERS_MAX},
        {BRIDGE_KEY("transform", bridge_read_nested, bridge_transform, bridge_target_config, transform),
         .section = &bridge_transform_section},
        {BRIDGE_KEY("cloudevents", bridge_read_cloudevents, bridge_cloudevents_config, bridge_target_config,
                    cloudevents),
         .section = &bridge_cloudevents_section},
        {BRIDGE_KEY_WHOLE("signature", bridge_read_nested), .section = &signature_section},
        {BRIDGE_KEY("ca_file", bridge_read_text, char *, bridge_target_config, ca_file), .max = URL_BYTES_MAX,
         .check = bridge_check_ca_file},
};
const bridge_schema_section bridge_to_section = BRIDGE_SECTION("in \"to\"", to_fields);

/* ---- Freeing. ---- */

void bridge_match_config_fini(bridge_match_config *match)
{
        bridge_list_free(match->event_types);
        bridge_list_free(match->publisher_ids);
        bridge_list_free(match->priorities);
        for (size_t i = 0; i < match->conditions_n; i++)
                bridge_condition_free(match->conditions[i]);
        free(match->conditions);
}

static void headers_fini(bridge_target_config *to)
{
        for (size_t i = 0; i < to->headers_n; i++) {
                free((char *)to->headers[i].name);
                free((char *)to->headers[i].value);
                bridge_template_free(to->header_templates[i]);
        }
        free(to->headers);
        free(to->header_templates);
}

void bridge_target_config_fini(bridge_target_config *to)
{
        free(to->url);
        bridge_template_free(to->url_template);
        free(to->method);
        headers_fini(to);
        bridge_transform_fini(&to->transform);
        bridge_template_free(to->cloudevents.subject);
        for (size_t i = 0; i < to->signing_keys_n; i++)
                bridge_signing_key_free(to->signing_keys[i]);
        free(to->signing_keys);
        free(to->ca_file);
}
