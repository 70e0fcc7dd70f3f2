/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Python's `re` and PCRE2 read nearly the same language; the options below bring them together: the match
 * begins at the start (re.match), text is Unicode, and \d, \w and \s are Unicode's. Python has no bound on backtracking
 * and would hang; here it is bounded. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "notify/filter.h"
#include "wire/members.h"

#include <celadon/log.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        RULES_MAX = 64,
        PARENS_DEPTH_MAX = 100,
        STEPS_MAX = 100000,
        HEAP_KIB_MAX = 4096,
};

/* Where a value is: its name in the message, or in the payload. */
typedef struct filter_rule {
        char *name; /* owned */
        bool in_payload;
        bool absent;      /* no message has it */
        pcre2_code *code; /* owned */
} filter_rule;

struct cel__filter {
        pcre2_compile_context *compile; /* owned, as is all here */
        pcre2_match_context *match;
        pcre2_match_data *data;
        unsigned rules_n;
        filter_rule rules[RULES_MAX];
};

/* --- Making one ------------------------------------------------------------------------------- */

static int compile(const cel__filter *f, const char *field, const char *pattern, pcre2_code **ret_code,
                   char *why, size_t why_bytes)
{
        char text[128];
        int code;
        PCRE2_SIZE offset;
        pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                             PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP, &code, &offset,
                                             f->compile);

        if (compiled) {
                *ret_code = compiled;
                return 0;
        }
        if (pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text)) < 0)
                snprintf(text, sizeof(text), "error %d", code);
        snprintf(why, why_bytes, "the filter's %s is no regular expression: \"%.80s\": %s at byte %zu", field,
                 pattern, text, offset);
        return code == PCRE2_ERROR_HEAP_FAILED ? CEL_ENOMEM : CEL_EINVAL;
}

static int add(cel__filter *f, const char *field, const char *name, const char *pattern, char *why,
               size_t why_bytes)
{
        if (f->rules_n == RULES_MAX) {
                snprintf(why, why_bytes, "a filter has at most %d expressions", RULES_MAX);
                return CEL_EINVAL;
        }
        if (!pattern) {
                snprintf(why, why_bytes, "the filter's %s has no expression", field);
                return CEL_EINVAL;
        }
        filter_rule *rule = &f->rules[f->rules_n];
        int r = compile(f, field, pattern, &rule->code, why, why_bytes);
        if (r < 0)
                return r;
        f->rules_n++;
        rule->name = strdup(name);
        return rule->name ? 0 : CEL_ENOMEM;
}

typedef enum filter_part { IN_CONTEXT, IN_METADATA, IN_PAYLOAD } filter_part;

static bool is_metadata(const char *name)
{
        return strcmp(name, "message_id") == 0 || strcmp(name, "timestamp") == 0;
}

static int add_members(cel__filter *f, filter_part part, const cel_member_pattern *members, char *why,
                       size_t why_bytes)
{
        static const char *const names[] = {"context", "metadata", "payload"};
        int r = 0;

        for (const cel_member_pattern *m = members; m && m->name && r >= 0; m++) {
                char field[96], name[256];

                snprintf(field, sizeof(field), "%s \"%.64s\"", names[part], m->name);
                if (snprintf(name, sizeof(name), "%s%s", part == IN_CONTEXT ? CEL__CONTEXT_PREFIX : "",
                             m->name) >= (int)sizeof(name)) {
                        snprintf(why, why_bytes, "the filter's %s is longer than 200 bytes", field);
                        return CEL_EINVAL;
                }
                r = add(f, field, name, m->pattern, why, why_bytes);
                if (r >= 0) {
                        f->rules[f->rules_n - 1].in_payload = part == IN_PAYLOAD;
                        f->rules[f->rules_n - 1].absent = part == IN_METADATA && !is_metadata(m->name);
                }
        }
        return r;
}

static int add_all(cel__filter *f, const cel_notification_filter *rules, char *why, size_t why_bytes)
{
        int r = 0;

        if (rules->publisher_id)
                r = add(f, "publisher_id", "publisher_id", rules->publisher_id, why, why_bytes);
        if (r >= 0 && rules->event_type)
                r = add(f, "event_type", "event_type", rules->event_type, why, why_bytes);
        if (r >= 0)
                r = add_members(f, IN_CONTEXT, rules->context, why, why_bytes);
        if (r >= 0)
                r = add_members(f, IN_METADATA, rules->metadata, why, why_bytes);
        return r < 0 ? r : add_members(f, IN_PAYLOAD, rules->payload, why, why_bytes);
}

int cel__filter_new(const cel_notification_filter *rules, cel__filter **ret_filter, char *why,
                    size_t why_bytes)
{
        cel__filter *f = calloc(1, sizeof(*f));

        snprintf(why, why_bytes, "out of memory");
        if (!f)
                return CEL_ENOMEM;
        f->compile = pcre2_compile_context_create(NULL);
        f->match = pcre2_match_context_create(NULL);
        f->data = pcre2_match_data_create(1, NULL);
        if (!f->compile || !f->match || !f->data) {
                cel__filter_free(f);
                return CEL_ENOMEM;
        }
        pcre2_set_parens_nest_limit(f->compile, PARENS_DEPTH_MAX);
        pcre2_set_newline(f->compile, PCRE2_NEWLINE_LF);
        pcre2_set_match_limit(f->match, STEPS_MAX);
        pcre2_set_heap_limit(f->match, HEAP_KIB_MAX);
        int r = add_all(f, rules, why, why_bytes);
        if (r < 0) {
                cel__filter_free(f);
                return r;
        }
        *ret_filter = f;
        return 0;
}

cel__filter *cel__filter_free(cel__filter *f)
{
        if (!f)
                return NULL;
        for (unsigned i = 0; i < f->rules_n; i++) {
                pcre2_code_free(f->rules[i].code);
                free(f->rules[i].name);
        }
        pcre2_compile_context_free(f->compile);
        pcre2_match_context_free(f->match);
        pcre2_match_data_free(f->data);
        free(f);
        return NULL;
}

/* --- Matching --------------------------------------------------------------------------------- */

static int match_rule(cel__filter *f, const filter_rule *rule, const json_t *message, bool *ret_matches)
{
        const json_t *object = rule->in_payload ? json_object_get(message, "payload") : message;
        const json_t *value = rule->absent ? NULL : json_object_get(object, rule->name);

        *ret_matches = false;
        if (!json_is_string(value))
                return 0;
        int r = pcre2_match(rule->code, (PCRE2_SPTR)json_string_value(value), json_string_length(value), 0, 0,
                            f->data, f->match);
        if (r == PCRE2_ERROR_NOMEMORY)
                return CEL_ENOMEM;
        if (r < 0 && r != PCRE2_ERROR_NOMATCH)
                cel_warn(NULL, "NOTIFICATION-FILTER-GAVE-UP",
                         "the filter's expression for %s took too much on a value of %zu bytes: it counts as "
                         "no match",
                         rule->name, json_string_length(value));
        *ret_matches = r >= 0;
        return 0;
}

int cel__filter_match(cel__filter *f, const json_t *message, bool *ret_matches)
{
        bool matches = true;

        for (unsigned i = 0; i < f->rules_n && matches; i++) {
                int r = match_rule(f, &f->rules[i], message, &matches);

                if (r < 0)
                        return r;
        }
        *ret_matches = matches;
        return 0;
}
