/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/schema.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
        KEYS_MAX = 32,            /* of a section, that are suggested */
        WORD_BYTES_MAX = 32,      /* of what gets a suggestion */
        EDITS_MAX = 2,            /* between a word and its suggestion */
        PREFIX_BYTES_MIN = 3,     /* or what they begin with, if one of them is no more than that */
        TEXT_BYTES_DEFAULT = 255, /* what AMQP allows for a name */
        FRACTION_DIGITS_MAX = 9,
};

/* Numbers stop growing here: more than any maximum, and times an hour in ms still an int64_t. */
static const int64_t number_max = INT64_C(1000000000000);

typedef struct unit {
        const char *name;
        int64_t factor;
} unit;

static const unit duration_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
static const unit size_units[] = {{"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}};

void bridge_put_text(bridge_decoder *d, char **target, const char *text)
{
        char *copy = strdup(text);

        if (!copy) {
                d->out_of_memory = true;
                return;
        }
        free(*target);
        *target = copy;
}

void bridge_list_add(bridge_decoder *d, char ***list, const char *text)
{
        size_t n = 0;
        char *copy = strdup(text), **longer;

        for (char **item = *list; item && *item; item++)
                n++;
        longer = copy ? realloc(*list, (n + 2) * sizeof(**list)) : NULL;
        if (!longer) {
                free(copy);
                d->out_of_memory = true;
                return;
        }
        longer[n] = copy;
        longer[n + 1] = NULL;
        *list = longer;
}

char **bridge_list_free(char **list)
{
        for (char **item = list; item && *item; item++)
                free(*item);
        free(list);
        return NULL;
}

/* 0 for a unit that is not known. */
static int64_t unit_factor(const unit *units, size_t units_n, const char *name)
{
        for (size_t i = 0; i < units_n; i++)
                if (strcmp(units[i].name, name) == 0)
                        return units[i].factor;
        return 0;
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* The number at the start of `text`, at most number_max. Returns what follows, or NULL if there is no digit.
 */
static const char *parse_digits(const char *text, int64_t *ret_number)
{
        int64_t number = 0;

        if (!is_digit(*text))
                return NULL;
        for (; is_digit(*text); text++) {
                number = number * 10 + (*text - '0');
                if (number > number_max)
                        number = number_max;
        }
        *ret_number = number;
        return text;
}

static bool parse_count(const char *text, int64_t *ret_number)
{
        text = parse_digits(text, ret_number);
        return text && !*text;
}

static bool parse_size(const char *text, int64_t *ret_bytes)
{
        int64_t number = 0, factor;

        text = parse_digits(text, &number);
        factor = text ? unit_factor(size_units, sizeof(size_units) / sizeof(size_units[0]), text) : 0;
        *ret_bytes = number * factor;
        return factor > 0;
}

/* A decimal with its unit, which must come out as a whole number of milliseconds. */
bool bridge_parse_duration(const char *text, int64_t *ret_ms)
{
        int64_t whole = 0, fraction = 0, scale = 1, factor;

        text = parse_digits(text, &whole);
        if (text && *text == '.') {
                const char *digits = text + 1;

                text = parse_digits(digits, &fraction);
                if (!text || text - digits > FRACTION_DIGITS_MAX)
                        return false;
                for (; digits < text; digits++)
                        scale *= 10;
        }
        factor = text ? unit_factor(duration_units, sizeof(duration_units) / sizeof(duration_units[0]), text)
                      : 0;
        if (factor == 0 || fraction * factor % scale != 0)
                return false;
        *ret_ms = whole * factor + fraction * factor / scale;
        return true;
}

bridge_duration_text bridge_duration(int64_t ms)
{
        long long minutes = ms / 60000, seconds = ms / 1000 % 60, rest = ms % 1000;
        bridge_duration_text duration;
        char fraction[8] = "", second[32] = "";

        if (ms > 0 && ms < 1000) {
                snprintf(duration.text, sizeof(duration.text), "%lldms", rest);
                return duration;
        }
        if (rest > 0) {
                snprintf(fraction, sizeof(fraction), ".%03d", (int)rest);
                while (fraction[strlen(fraction) - 1] == '0')
                        fraction[strlen(fraction) - 1] = '\0';
        }
        if (seconds > 0 || rest > 0 || minutes == 0)
                snprintf(second, sizeof(second), "%d%ss", (int)seconds, fraction);
        if (minutes > 0)
                snprintf(duration.text, sizeof(duration.text), "%lldm%.16s", minutes, second);
        else
                snprintf(duration.text, sizeof(duration.text), "%s", second);
        return duration;
}

static char lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
        unsigned least = a < b ? a : b;

        return least < c ? least : c;
}

/* How many letters must be added, removed or replaced (Levenshtein), case aside; UINT32_MAX for long words.
 */
static unsigned edits_between(const char *a, const char *b)
{
        size_t b_bytes = strlen(b);
        unsigned row[WORD_BYTES_MAX + 1];

        if (strlen(a) > WORD_BYTES_MAX || b_bytes > WORD_BYTES_MAX)
                return UINT32_MAX;
        for (unsigned j = 0; j <= b_bytes; j++)
                row[j] = j;
        for (unsigned i = 1; a[i - 1]; i++) {
                unsigned diagonal = row[0];

                row[0] = i;
                for (unsigned j = 1; j <= b_bytes; j++) {
                        unsigned replaced = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));

                        diagonal = row[j];
                        row[j] = smallest(row[j] + 1, row[j - 1] + 1, replaced);
                }
        }
        return row[b_bytes];
}

/* Is one of them the beginning of the other, case aside? */
static bool begins_like(const char *a, const char *b)
{
        size_t a_bytes = strlen(a), b_bytes = strlen(b), n = a_bytes < b_bytes ? a_bytes : b_bytes;

        return n >= PREFIX_BYTES_MIN && strncasecmp(a, b, n) == 0;
}

const char *bridge_suggest(const char *word, const char *const *known, size_t known_n)
{
        const char *closest = NULL;
        unsigned edits_min = EDITS_MAX + 1;

        for (size_t i = 0; i < known_n; i++) {
                unsigned edits = edits_between(word, known[i]);

                if (edits < edits_min && edits <= strlen(known[i]) / 2) { /* "x" is not almost "to" */
                        edits_min = edits;
                        closest = known[i];
                }
        }
        for (size_t i = 0; i < known_n && !closest; i++)
                if (begins_like(word, known[i])) /* "warning" is "warn" */
                        closest = known[i];
        return closest;
}

static const bridge_schema_field *find_field(const bridge_schema_section *section, const char *key)
{
        for (size_t i = 0; i < section->fields_n; i++)
                if (strcmp(section->fields[i].key, key) == 0)
                        return &section->fields[i];
        return NULL;
}

/* The field that was probably meant by a key that is not known; NULL if none comes close. */
static const bridge_schema_field *meant_field(const bridge_schema_section *section, const char *key)
{
        const char *keys[KEYS_MAX] = {NULL}, *meant;
        size_t keys_n = section->fields_n < KEYS_MAX ? section->fields_n : KEYS_MAX;

        for (size_t i = 0; i < keys_n; i++)
                keys[i] = section->fields[i].key;
        meant = bridge_suggest(key, keys, keys_n);
        return meant ? find_field(section, meant) : NULL;
}

/* The section inside of this one that has such a key; NULL if none does. */
static const bridge_schema_section *find_home(const bridge_schema_section *section, const char *key)
{
        for (size_t i = 0; i < section->fields_n; i++) {
                const bridge_schema_section *inner = section->fields[i].section, *home;

                if (!inner)
                        continue;
                home = find_field(inner, key) ? inner : find_home(inner, key);
                if (home)
                        return home;
        }
        return NULL;
}

static void report_unknown_key(bridge_decoder *d, const bridge_schema_section *section,
                               const bridge_yaml_node *key)
{
        const bridge_schema_section *home = find_home(section, key->text);
        const bridge_schema_field *meant = meant_field(section, key->text);
        char listed[512] = "", fix[128] = ".";

        for (size_t i = 0, used = 0; i < section->fields_n && used < sizeof(listed); i++)
                used += (size_t)snprintf(listed + used, sizeof(listed) - used, "%s%s", i > 0 ? ", " : "",
                                         section->fields[i].key);
        if (home)
                snprintf(fix, sizeof(fix), ", it belongs %s.", home->where);
        else if (meant)
                snprintf(fix, sizeof(fix), ", did you mean \"%s\"?", meant->key);
        bridge_report_node(d->report, key, "unknown key %s %s%s Known keys: %s", bridge_quote(key->text).text,
                           section->where, fix, listed);
}

static void report_null(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        const char *fix = "write one or leave the key out";

        if (field->section)
                fix = "write its keys below it, or {} for the defaults";
        else if (field->required)
                fix = "it is required";
        bridge_report_node(d->report, node, "\"%s\" has no value, %s", field->key, fix);
}

/* Is one of the mapping's keys, which was reported as unknown, probably meant to be this field? */
static bool is_misspelt(const bridge_schema_section *section, const bridge_yaml_node *node,
                        const bridge_schema_field *field)
{
        for (const bridge_yaml_node *child = node->first; child; child = child->next)
                if (!find_field(section, child->key->text) && !find_home(section, child->key->text) &&
                    meant_field(section, child->key->text) == field)
                        return true;
        return false;
}

void bridge_read_section(bridge_decoder *d, const bridge_schema_section *section,
                         const bridge_yaml_node *node, void *object)
{
        for (const bridge_yaml_node *child = node->first; child; child = child->next) {
                const bridge_schema_field *field = find_field(section, child->key->text);

                if (!field)
                        report_unknown_key(d, section, child->key);
                else if (bridge_yaml_is_null(child))
                        report_null(d, field, child);
                else
                        field->read(d, field, child, (char *)object + field->offset);
        }
        for (size_t i = 0; i < section->fields_n; i++)
                if (section->fields[i].required && !bridge_yaml_get(node, section->fields[i].key) &&
                    !is_misspelt(section, node, &section->fields[i]))
                        bridge_report_node(d->report, node, "missing key \"%s\" %s, it is required",
                                           section->fields[i].key, section->where);
}

bool bridge_check_kind(bridge_decoder *d, const char *what, const bridge_yaml_node *node,
                       bridge_yaml_kind kind)
{
        if (node->kind == kind)
                return true;
        bridge_report_node(d->report, node, "%s must be %s, not %s", what, bridge_yaml_kind_name(kind),
                           bridge_yaml_kind_name(node->kind));
        return false;
}

static bool check_field_kind(bridge_decoder *d, const bridge_schema_field *field,
                             const bridge_yaml_node *node, bridge_yaml_kind kind)
{
        char what[64];

        snprintf(what, sizeof(what), "\"%s\"", field->key);
        return bridge_check_kind(d, what, node, kind);
}

/* Quotes nothing: the text may be a transport with its password. */
static bool check_text_bytes(bridge_decoder *d, const char *key, const bridge_yaml_node *node,
                             size_t bytes_max)
{
        if (!*node->text) {
                bridge_report_node(d->report, node, "\"%s\" is empty, write at least one character", key);
                return false;
        }
        if (strlen(node->text) > bytes_max) {
                bridge_report_node(d->report, node, "\"%s\" has %zu bytes, it may have %zu at most", key,
                                   strlen(node->text), bytes_max);
                return false;
        }
        for (const char *c = node->text; *c; c++) {
                if ((unsigned char)*c >= 0x20 && *c != 0x7F)
                        continue;
                bridge_report_node(d->report, node, "\"%s\" contains a control character (0x%02x), remove it",
                                   key, (unsigned char)*c);
                return false;
        }
        return true;
}

bool bridge_check_text(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node)
{
        size_t bytes_max = field->max > 0 ? (size_t)field->max : TEXT_BYTES_DEFAULT;

        return check_field_kind(d, field, node, BRIDGE_YAML_TEXT) &&
               check_text_bytes(d, field->key, node, bytes_max) &&
               (!field->check || field->check(d, field, node));
}

void bridge_read_nested(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                        void *target)
{
        if (check_field_kind(d, field, node, BRIDGE_YAML_MAP))
                bridge_read_section(d, field->section, node, target);
}

void bridge_read_text(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target)
{
        if (bridge_check_text(d, field, node))
                bridge_put_text(d, target, node->text);
}

void bridge_read_bool(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target)
{
        bool is_true;

        if (!check_field_kind(d, field, node, BRIDGE_YAML_TEXT))
                return;
        is_true = strcmp(node->text, "true") == 0;
        if (is_true || strcmp(node->text, "false") == 0)
                *(bool *)target = is_true;
        else
                bridge_report_node(d->report, node, "\"%s\" is %s, write true or false", field->key,
                                   bridge_quote(node->text).text);
}

void bridge_read_count(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                       void *target)
{
        int64_t count = 0;

        if (!check_field_kind(d, field, node, BRIDGE_YAML_TEXT))
                return;
        if (parse_count(node->text, &count) && count >= field->min && count <= field->max)
                *(unsigned *)target = (unsigned)count;
        else
                bridge_report_node(d->report, node, "\"%s\" is %s, write a whole number from %lld to %lld",
                                   field->key, bridge_quote(node->text).text, (long long)field->min,
                                   (long long)field->max);
}

/* One duration within the field's limits. */
static bool read_duration(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                          int64_t *ret_ms)
{
        int64_t ms = 0;

        if (!bridge_parse_duration(node->text, &ms)) {
                bridge_report_node(
                        d->report, node,
                        "\"%s\" is %s, write a duration in whole milliseconds, such as 500ms, 1.5s, 2m or 1h",
                        field->key, bridge_quote(node->text).text);
                return false;
        }
        if (ms < field->min || ms > field->max) {
                bridge_report_node(d->report, node, "\"%s\" is %s, it must be between %s and %s", field->key,
                                   bridge_quote(node->text).text, bridge_duration(field->min).text,
                                   bridge_duration(field->max).text);
                return false;
        }
        *ret_ms = ms;
        return true;
}

void bridge_read_duration(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                          void *target)
{
        if (check_field_kind(d, field, node, BRIDGE_YAML_TEXT))
                read_duration(d, field, node, target);
}

void bridge_read_durations(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                           void *target)
{
        bridge_durations *durations = target;
        char what[64];

        if (!check_field_kind(d, field, node, BRIDGE_YAML_LIST))
                return;
        if (node->children_n == 0 || node->children_n > field->items_max) {
                bridge_report_node(d->report, node, "\"%s\" has %zu items, it must have 1 to %zu", field->key,
                                   node->children_n, field->items_max);
                return;
        }
        free(durations->ms);
        *durations = (bridge_durations){.ms = calloc(node->children_n, sizeof(*durations->ms))};
        if (!durations->ms) {
                d->out_of_memory = true;
                return;
        }
        snprintf(what, sizeof(what), "each item of \"%s\"", field->key);
        for (const bridge_yaml_node *item = node->first; item; item = item->next)
                if (bridge_check_kind(d, what, item, BRIDGE_YAML_TEXT) &&
                    read_duration(d, field, item, &durations->ms[durations->n]))
                        durations->n++;
}

void bridge_read_size(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target)
{
        const int64_t mib = 1024 * 1024;
        int64_t bytes = 0;

        if (!check_field_kind(d, field, node, BRIDGE_YAML_TEXT))
                return;
        if (!parse_size(node->text, &bytes))
                bridge_report_node(
                        d->report, node,
                        "\"%s\" is %s, write a whole number with B, KiB, MiB or nothing, such as 16MiB",
                        field->key, bridge_quote(node->text).text);
        else if (bytes < field->min || bytes > field->max)
                bridge_report_node(d->report, node, "\"%s\" is %s, it must be between %lldB and %lldMiB",
                                   field->key, bridge_quote(node->text).text, (long long)field->min,
                                   (long long)(field->max / mib));
        else
                *(size_t *)target = (size_t)bytes;
}

/* Is `item`, a good text, already among the items before it? Reports it if so. */
static bool is_repeated(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *list,
                        const bridge_yaml_node *item)
{
        for (const bridge_yaml_node *earlier = list->first; earlier != item; earlier = earlier->next) {
                if (earlier->kind != BRIDGE_YAML_TEXT || strcmp(earlier->text, item->text) != 0)
                        continue;
                bridge_report_node(d->report, item, "\"%s\" has %s twice, remove one", field->key,
                                   bridge_quote(item->text).text);
                return true;
        }
        return false;
}

static bool check_item(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *list,
                       const bridge_yaml_node *item)
{
        char what[64];

        snprintf(what, sizeof(what), "each item of \"%s\"", field->key);
        if (!bridge_check_kind(d, what, item, BRIDGE_YAML_TEXT))
                return false;
        if (bridge_yaml_is_null(item)) {
                bridge_report_node(d->report, item, "an item of \"%s\" has no value, write one or remove it",
                                   field->key);
                return false;
        }
        return check_text_bytes(d, field->key, item, TEXT_BYTES_DEFAULT) &&
               (!field->check || field->check(d, field, item)) &&
               (!list || !is_repeated(d, field, list, item));
}

static void replace_list(char ***target, char **list)
{
        bridge_list_free(*target);
        *target = list;
}

void bridge_read_list(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target)
{
        char **list = NULL;
        bool good = true;

        if (!check_field_kind(d, field, node, BRIDGE_YAML_LIST))
                return;
        if (node->children_n == 0 || node->children_n > (size_t)field->max) {
                bridge_report_node(d->report, node, "\"%s\" has %zu items, it must have 1 to %lld",
                                   field->key, node->children_n, (long long)field->max);
                return;
        }
        for (const bridge_yaml_node *item = node->first; item; item = item->next)
                good &= check_item(d, field, node, item);
        for (const bridge_yaml_node *item = node->first; item && good; item = item->next)
                bridge_list_add(d, &list, item->text);
        if (good)
                replace_list(target, list);
}

void bridge_read_text_or_list(bridge_decoder *d, const bridge_schema_field *field,
                              const bridge_yaml_node *node, void *target)
{
        char **list = NULL;

        if (node->kind != BRIDGE_YAML_TEXT) {
                bridge_read_list(d, field, node, target);
        } else if (check_item(d, field, NULL, node)) {
                bridge_list_add(d, &list, node->text);
                replace_list(target, list);
        }
}
