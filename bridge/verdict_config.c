/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/verdict_config.h"

#include <stdio.h>
#include <string.h>

enum { LIST_BYTES = 160 };

/* The names as people list them: a, b, c. */
static void list_names(const char *const *names, size_t n, char list[LIST_BYTES])
{
        size_t used = 0;

        for (size_t i = 0; i < n && used < LIST_BYTES; i++)
                used += (size_t)snprintf(list + used, LIST_BYTES - used, "%s%s", i > 0 ? ", " : "", names[i]);
}

/* `node` is none of the names: say which one was probably meant, else all that there are. */
static void report_name(bridge_decoder *d, const char *what, const bridge_yaml_node *node,
                        const char *const *names, size_t n)
{
        const char *meant = bridge_suggest(node->text, names, n);
        char list[LIST_BYTES];

        list_names(names, n, list);
        bridge_report_node(d->report, node, "%s is %s, %s%s%s", what, bridge_quote(node->text).text,
                           meant ? "did you mean \"" : "write one of ", meant ? meant : list,
                           meant ? "\"?" : "");
}

bool bridge_check_profile(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        size_t n = 0;

        for (; bridge_profiles[n]; n++)
                if (strcmp(bridge_profiles[n], node->text) == 0)
                        return true;
        report_name(d, "\"profile\"", node, bridge_profiles, n);
        (void)field;
        return false;
}

/* 404, or 4xx for 400 to 499. */
static bool parse_statuses(const char *text, bridge_status_rule *rule)
{
        if (strlen(text) != 3 || text[0] < '2' || text[0] > '5')
                return false;
        rule->first = rule->last = (unsigned)(text[0] - '0') * 100;
        if (strcmp(text + 1, "xx") == 0) {
                rule->last += 99;
                return true;
        }
        if (strspn(text, "0123456789") < 3)
                return false;
        rule->first += (unsigned)(text[1] - '0') * 10 + (unsigned)(text[2] - '0');
        rule->last = rule->first;
        return true;
}

static bool parse_class(const char *text, bridge_class *ret_class)
{
        for (unsigned i = 0; i < BRIDGE_CLASSES_N; i++) {
                if (strcmp(bridge_class_names[i], text) != 0)
                        continue;
                *ret_class = (bridge_class)i;
                return true;
        }
        return false;
}

static bool read_rule(bridge_decoder *d, const bridge_yaml_node *node, bridge_status_rule *rule)
{
        char what[64];

        if (!parse_statuses(node->key->text, rule)) {
                bridge_report_node(d->report, node->key,
                                   "%s is no status, write 200 to 599, or 2xx, 3xx, 4xx or 5xx",
                                   bridge_quote(node->key->text).text);
                return false;
        }
        snprintf(what, sizeof(what), "the verdict on status %s", node->key->text);
        if (!bridge_check_kind(d, what, node, BRIDGE_YAML_TEXT))
                return false;
        if (!parse_class(node->text, &rule->class)) {
                report_name(d, what, node, bridge_class_names, BRIDGE_CLASSES_N);
                return false;
        }
        return true;
}

void bridge_read_statuses(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                          void *target)
{
        bridge_verdict_config *config = target;

        if (!bridge_check_kind(d, "\"status\"", node, BRIDGE_YAML_MAP))
                return;
        if (node->children_n > (size_t)field->max) {
                bridge_report_node(d->report, node, "\"status\" has %zu entries, it may have %lld at most",
                                   node->children_n, (long long)field->max);
                return;
        }
        config->rules = calloc(node->children_n + 1, sizeof(*config->rules));
        if (!config->rules) {
                d->out_of_memory = true;
                return;
        }
        for (const bridge_yaml_node *child = node->first; child; child = child->next)
                if (read_rule(d, child, &config->rules[config->rules_n]))
                        config->rules_n++;
}

void bridge_verdict_config_fini(bridge_verdict_config *config)
{
        free(config->profile);
        free(config->rules);
        *config = (bridge_verdict_config){0};
}
