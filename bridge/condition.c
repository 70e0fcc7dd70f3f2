/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. Patterns are POSIX extended regular expressions, because libc has them; PCRE would be another library to
 * patch, for syntax that filters do not need. Without back references and without positions of what matched, which
 * nobody asks for here, glibc matches them by automaton, so in time that grows with the value and not with all ways to
 * match it. What is left to bound is the automaton's size, which repetitions multiply. */
#include "bridge/condition.h"

#include "bridge/glob.h"
#include "bridge/schema.h"
#include "bridge/text.h"

#include <celadon/error.h>
#include <math.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef enum operator_kind {
        OP_EQ,
        OP_NE,
        OP_GLOB,
        OP_REGEX,
        OP_IN,
        OP_EXISTS,
        OP_GT,
        OP_LT,
        OPERATORS_N,
} operator_kind;

static const char *const operator_names[OPERATORS_N] = {"eq", "ne",     "glob", "regex",
                                                        "in", "exists", "gt",   "lt"};

struct bridge_condition {
        bridge_field field;
        operator_kind op;
        char **values; /* owned; NULL-terminated; at least one but for EXISTS and REGEX */
        size_t values_n;
        double number;      /* GT and LT */
        bool expect_exists; /* EXISTS */
        regex_t regex;      /* REGEX */
        bool has_regex;
};

/* --- Asking ----------------------------------------------------------------------------------- */

static bool parse_number(const char *text, double *ret_number)
{
        char *end;

        if (!*text || strchr(" \t\n\v\f\r", *text))
                return false;
        *ret_number = strtod(text, &end);
        return !*end && isfinite(*ret_number);
}

static bool equals(const bridge_condition *c, const char *value, const bridge_value *is)
{
        if (strlen(value) != is->bytes)
                return false;
        return c->field.kind == BRIDGE_FIELD_PRIORITY ? strcasecmp(value, is->text) == 0
                                                      : memcmp(value, is->text, is->bytes) == 0;
}

static bool matches_any(const bridge_condition *c, const bridge_value *is)
{
        for (size_t i = 0; i < c->values_n; i++) {
                const char *value = c->values[i];

                if (c->op != OP_GLOB                         ? equals(c, value, is)
                    : c->field.kind == BRIDGE_FIELD_PRIORITY ? bridge_glob_nocase(value, is->text)
                                                             : bridge_glob(value, is->text))
                        return true;
        }
        return false;
}

/* `is` has a text without a NUL. */
static bool holds_for_text(const bridge_condition *c, const bridge_value *is)
{
        double number;

        switch (c->op) {
        case OP_EQ:
        case OP_IN:
        case OP_GLOB:
                return matches_any(c, is);
        case OP_REGEX:
                return is->bytes <= BRIDGE_REGEX_VALUE_BYTES_MAX &&
                       regexec(&c->regex, is->text, 0, NULL, 0) == 0;
        case OP_GT:
                return parse_number(is->text, &number) && number > c->number;
        case OP_LT:
                return parse_number(is->text, &number) && number < c->number;
        case OP_NE:
        case OP_EXISTS:
        case OPERATORS_N:
                break;
        }
        return false;
}

int bridge_condition_holds(const bridge_condition *c, const bridge_event *event)
{
        bridge_value is;
        int r = bridge_field_get(&c->field, event, &is);

        if (r < 0)
                return r;
        /* No condition can be written with a NUL in it, so no value that has one equals anything. */
        cel_auto_free char *text = is.text && !memchr(is.text, '\0', is.bytes) ? strndup(is.text, is.bytes)
                                                                               : NULL;
        bridge_value whole = {.text = text, .bytes = is.bytes};

        if (is.text && !memchr(is.text, '\0', is.bytes) && !text)
                r = CEL_ENOMEM;
        else if (c->op == OP_EXISTS)
                r = (is.text || is.json) == c->expect_exists;
        else if (c->op == OP_NE)
                r = !(text && matches_any(c, &whole));
        else
                r = text && holds_for_text(c, &whole);
        bridge_value_fini(&is);
        return r;
}

/* --- Reading ---------------------------------------------------------------------------------- */

typedef struct parser {
        const char *text; /* the whole */
        const char *at;
        bridge_condition *c;
        size_t *ret_offset;
        char *why;
} parser;

static int refuse(parser *p, const char *at, const char *format, ...) CEL_PRINTF(3, 4);

static int refuse(parser *p, const char *at, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        *p->ret_offset = (size_t)(at - p->text);
        vsnprintf(p->why, BRIDGE_CONDITION_WHY_BYTES, format, arguments);
        va_end(arguments);
        return CEL_EINVAL;
}

static void skip_spaces(parser *p)
{
        p->at += strspn(p->at, " \t");
}

/* Behind a bracket expression that begins at `at`; at its end if it has none. */
static const char *skip_brackets(const char *at)
{
        at++;
        at += *at == '^';
        at += *at == ']';
        while (*at && *at != ']') {
                char kind = *at == '[' && at[1] && strchr(".:=", at[1]) ? at[1] : '\0';

                at += kind ? 2 : 1;
                while (kind && *at && !(*at == kind && at[1] == ']'))
                        at++;
                at += kind && *at ? 2 : 0;
        }
        return *at ? at + 1 : at;
}

/* How often what stands before `*at` is written out; `*at` moves behind the repetitions. */
static size_t repetitions(const char **at)
{
        size_t times = 1;

        while (**at && strchr("*+?{", **at)) {
                size_t n = 2; /* x+ is xx* */

                if (**at == '{') {
                        const char *comma = *at + strcspn(*at, ",}"), *end = *at + strcspn(*at, "}");
                        size_t least = strtoul(*at + 1, NULL, 10),
                               most = comma < end ? strtoul(comma + 1, NULL, 10) : least;

                        n = (least > most ? least : most) + 1;
                        *at = end;
                }
                times = n > BRIDGE_REGEX_COST_MAX || times * n > BRIDGE_REGEX_COST_MAX
                                ? BRIDGE_REGEX_COST_MAX + 1
                                : times * n;
                *at += **at != '\0';
        }
        return times;
}

/* How many characters the pattern has up to the end of its group, written out; more than allowed if it goes deeper than
 * a small stack should. */
static size_t pattern_cost(const char **at, unsigned depth)
{
        size_t cost = 0;

        while (**at && **at != ')' && cost <= BRIDGE_REGEX_COST_MAX) {
                size_t atom = 1;

                if (**at == '(') {
                        if (depth == 0)
                                return BRIDGE_REGEX_COST_MAX + 1;
                        ++*at;
                        atom += pattern_cost(at, depth - 1);
                        *at += **at == ')';
                } else if (**at == '[') {
                        *at = skip_brackets(*at);
                } else {
                        *at += (*at)[0] == '\\' && (*at)[1] ? 2 : 1;
                }
                cost += atom * repetitions(at);
        }
        return cost;
}

static bool has_back_reference(const char *pattern)
{
        for (; *pattern; pattern++)
                if (*pattern == '\\' && *++pattern >= '1' && *pattern <= '9')
                        return true;
                else if (!*pattern)
                        return false;
        return false;
}

static int compile_regex(parser *p, const char *start, const char *pattern)
{
        int flags = REG_EXTENDED | REG_NOSUB | (p->c->field.kind == BRIDGE_FIELD_PRIORITY ? REG_ICASE : 0);
        const char *at = pattern;
        char problem[128];

        if (strlen(pattern) > BRIDGE_REGEX_BYTES_MAX)
                return refuse(p, start, "a pattern has %zu bytes, it may have %d at most", strlen(pattern),
                              BRIDGE_REGEX_BYTES_MAX);
        if (has_back_reference(pattern))
                return refuse(p, start,
                              "a pattern refers back with \\1 or the like, which may take for ever, write it "
                              "without");
        if (pattern_cost(&at, 16) > BRIDGE_REGEX_COST_MAX)
                return refuse(p, start, "a pattern repeats or nests too much, write smaller counts");
        int r = regcomp(&p->c->regex, pattern, flags);

        if (r == REG_ESPACE)
                return CEL_ENOMEM;
        if (r != 0) {
                regerror(r, &p->c->regex, problem, sizeof(problem));
                return refuse(p, start, "a pattern is no POSIX extended regular expression: %s", problem);
        }
        p->c->has_regex = true;
        return 0;
}

static int add_value(parser *p, const char *start, const char *text, size_t n)
{
        char *copy = strndup(text, n);

        if (!copy)
                return CEL_ENOMEM;
        if (p->c->values_n == BRIDGE_CONDITION_VALUES_MAX) {
                free(copy);
                return refuse(p, start, "has more than %d values", BRIDGE_CONDITION_VALUES_MAX);
        }
        p->c->values[p->c->values_n++] = copy;
        return 0;
}

/* One value, in quotes or up to one of `ends` or the end, without the spaces around it. */
static int parse_value(parser *p, const char *ends)
{
        bridge_text quoted = {.bytes_max = strlen(p->at)};
        const char *start = p->at;
        size_t n = strcspn(start, ends);
        int r;

        if (*start != '"') {
                p->at += n;
                while (n > 0 && strchr(" \t", start[n - 1]))
                        n--;
                return n > 0 ? add_value(p, start, start, n)
                             : refuse(p, start, "has no value here, write one, or \"\" for an empty text");
        }
        if (!bridge_text_put_quoted(&quoted, &p->at))
                r = refuse(p, start, "a text in quotes has no end, add \"");
        else
                r = quoted.error < 0 ? quoted.error : add_value(p, start, quoted.bytes, quoted.n);
        bridge_text_fini(&quoted);
        skip_spaces(p);
        if (r >= 0 && *p->at && !strchr(ends, *p->at))
                r = refuse(p, p->at, "has more behind a text in quotes, remove it");
        return r;
}

static int parse_values(parser *p, bool is_list)
{
        size_t commas = 0;
        int r;

        for (const char *c = p->at; is_list && *c; c++)
                commas += *c == ',';
        p->c->values = calloc(commas + 2, sizeof(*p->c->values));
        if (!p->c->values)
                return CEL_ENOMEM;
        r = parse_value(p, is_list ? "," : "");
        while (r >= 0 && *p->at == ',') {
                p->at++;
                skip_spaces(p);
                r = parse_value(p, ",");
        }
        return r;
}

static int parse_exists(parser *p)
{
        p->c->expect_exists = !*p->at || strcmp(p->at, "true") == 0;
        if (p->c->expect_exists || strcmp(p->at, "false") == 0)
                return 0;
        return refuse(p, p->at, "exists takes no value, or true or false");
}

static int parse_operand(parser *p)
{
        const char *start = p->at;
        int r;

        if (p->c->op == OP_EXISTS)
                return parse_exists(p);
        r = parse_values(p, p->c->op == OP_IN || p->c->op == OP_GLOB);
        if (r >= 0 && p->c->op == OP_REGEX)
                r = compile_regex(p, start, p->c->values[0]);
        if (r >= 0 && (p->c->op == OP_GT || p->c->op == OP_LT) &&
            !parse_number(p->c->values[0], &p->c->number))
                r = refuse(p, start, "%s needs a number, such as 4096", operator_names[p->c->op]);
        return r;
}

static int parse_operator(parser *p)
{
        size_t n = strcspn(p->at, " \t");
        char word[32] = "";
        const char *meant;

        for (unsigned i = 0; i < OPERATORS_N; i++)
                if (strlen(operator_names[i]) == n && memcmp(operator_names[i], p->at, n) == 0) {
                        p->c->op = (operator_kind)i;
                        p->at += n;
                        skip_spaces(p);
                        return parse_operand(p);
                }
        snprintf(word, sizeof(word), "%.*s", n < sizeof(word) ? (int)n : 0, p->at);
        meant = bridge_suggest(word, operator_names, OPERATORS_N);
        return refuse(p, p->at, "%s operator%s%s%s Known operators: eq, ne, glob, regex, in, exists, gt, lt",
                      n > 0 ? "unknown" : "needs an", meant ? ", did you mean \"" : ".", meant ? meant : "",
                      meant ? "\"?" : "");
}

int bridge_condition_parse(const char *text, size_t *ret_offset, char why[BRIDGE_CONDITION_WHY_BYTES],
                           bridge_condition **ret_condition)
{
        cel_auto(bridge_condition) *c = calloc(1, sizeof(*c));
        parser p = {.text = text, .at = text, .c = c, .ret_offset = ret_offset, .why = why};
        char problem[BRIDGE_CONDITION_WHY_BYTES - 32];

        if (!c)
                return CEL_ENOMEM;
        skip_spaces(&p);
        size_t n = strcspn(p.at, " \t");
        int r = bridge_field_parse(p.at, n, &c->field, problem, sizeof(problem));

        if (r == CEL_EINVAL)
                refuse(&p, p.at, "the field %s", problem);
        else if (r >= 0 && c->field.kind == BRIDGE_FIELD_KEY)
                r = refuse(&p, p.at,
                           "the field key is not there yet when events are chosen, write message_id");
        p.at += n;
        skip_spaces(&p);
        if (r >= 0)
                r = parse_operator(&p);
        if (r >= 0)
                *ret_condition = CEL_TAKE(c);
        return r;
}

bridge_condition *bridge_condition_free(bridge_condition *c)
{
        if (!c)
                return NULL;
        bridge_field_fini(&c->field);
        for (size_t i = 0; i < c->values_n; i++)
                free(c->values[i]);
        free(c->values);
        if (c->has_regex)
                regfree(&c->regex);
        free(c);
        return NULL;
}
