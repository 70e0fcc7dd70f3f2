/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. The tree is built from libyaml's events rather than with its document loader: the loader
 * resolves aliases and keeps the last of two equal keys, and both must be errors here. Building recurses once
 * for each level of the document, which BRIDGE_YAML_DEPTH_MAX bounds; that bound also keeps libyaml away from
 * nested flow collections, on which its time is quadratic. */
#include "bridge/yaml.h"

#include <celadon/error.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum {
        QUOTED_BYTES_MAX = 60,
        ERROR_BYTES_MAX = 1024,
        LINE_BYTES_MAX = PATH_MAX + ERROR_BYTES_MAX,
};

typedef struct builder {
        yaml_parser_t parser;
        bridge_report *report;
        const char *text;
        size_t text_bytes;
        size_t nodes_n;
} builder;

static void report_text(bridge_report *report, unsigned line, unsigned column, const char *text)
{
        char whole[LINE_BYTES_MAX];

        if (report->errors_n++ >= report->errors_max || !report->on_error)
                return;
        if (line > 0)
                snprintf(whole, sizeof(whole), "%s:%u:%u: %s", report->name, line, column, text);
        else
                snprintf(whole, sizeof(whole), "%s: %s", report->name, text);
        report->on_error(whole, report->arg);
}

void bridge_report_at(bridge_report *report, unsigned line, unsigned column, const char *format, ...)
{
        char text[ERROR_BYTES_MAX];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        report_text(report, line, column, text);
}

void bridge_report_node(bridge_report *report, const bridge_yaml_node *node, const char *format, ...)
{
        char text[ERROR_BYTES_MAX];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        report_text(report, node->line, node->column, text);
}

void bridge_report_within(bridge_report *report, const bridge_yaml_node *node, size_t offset,
                          const char *format, ...)
{
        unsigned column = node->column + !node->is_plain; /* its quote */
        char text[ERROR_BYTES_MAX];
        va_list args;

        for (size_t i = 0; i < offset && node->text[i]; i++)
                column += ((unsigned char)node->text[i] & 0xC0) != 0x80;
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        report_text(report, node->line, column, text);
}

/* How many bytes the character at `text` takes; one for a broken one. */
static size_t character_bytes(const char *text)
{
        size_t n = 1;

        while (((unsigned char)text[n] & 0xC0) == 0x80)
                n++;
        return n;
}

/* Append as many whole characters as fit, control characters as `?`. Returns false if not all did. */
static bool append_printable(char *quoted, size_t *used, const char *text, size_t n)
{
        for (size_t i = 0; i < n;) {
                unsigned char first = (unsigned char)text[i], second = (unsigned char)text[i + 1];
                bool is_control = first < 0x20 || first == 0x7F || (first == 0xC2 && second < 0xA0);
                size_t bytes = character_bytes(text + i);

                if (*used + bytes > QUOTED_BYTES_MAX)
                        return false;
                if (is_control)
                        quoted[(*used)++] = '?';
                else
                        memcpy(quoted + *used, text + i, bytes);
                *used += is_control ? 0 : bytes;
                i += bytes;
        }
        return true;
}

bridge_quoted bridge_quote(const char *text)
{
        const char *at = strrchr(text, '@'), *scheme_end = strstr(text, "://");
        bridge_quoted quoted = {.text = "\""};
        size_t used = 1;
        bool whole = true;

        if (at && scheme_end && scheme_end < at)
                whole = append_printable(quoted.text, &used, text,
                                         (size_t)(scheme_end - text) + strlen("://"));
        if (at) {
                whole = whole && append_printable(quoted.text, &used, "***", 3);
                text = at;
        }
        whole = whole && append_printable(quoted.text, &used, text, strlen(text));
        snprintf(quoted.text + used, sizeof(quoted.text) - used, "%s", whole ? "\"" : "...\"");
        return quoted;
}

const char *bridge_yaml_kind_name(bridge_yaml_kind kind)
{
        switch (kind) {
        case BRIDGE_YAML_TEXT:
                return "text";
        case BRIDGE_YAML_LIST:
                return "a list";
        case BRIDGE_YAML_MAP:
                return "a mapping";
        }
        return "";
}

const bridge_yaml_node *bridge_yaml_get(const bridge_yaml_node *map, const char *key)
{
        if (!map || map->kind != BRIDGE_YAML_MAP)
                return NULL;
        for (const bridge_yaml_node *child = map->first; child; child = child->next)
                if (strcmp(child->key->text, key) == 0)
                        return child;
        return NULL;
}

bool bridge_yaml_is_null(const bridge_yaml_node *node)
{
        static const char *const spellings[] = {"", "~", "null", "Null", "NULL"};

        if (node->kind != BRIDGE_YAML_TEXT || !node->is_plain)
                return false;
        for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
                if (strcmp(node->text, spellings[i]) == 0)
                        return true;
        return false;
}

bridge_yaml_node *bridge_yaml_node_free(bridge_yaml_node *node)
{
        if (!node)
                return NULL;
        for (bridge_yaml_node *child = node->first, *next; child; child = next) {
                next = child->next;
                bridge_yaml_node_free(child);
        }
        bridge_yaml_node_free(node->key);
        free(node->text);
        free(node);
        return NULL;
}

/* Report at one of libyaml's marks, which count from zero. */
static int refuse_at(builder *b, yaml_mark_t mark, const char *text)
{
        bridge_report_at(b->report, (unsigned)mark.line + 1, (unsigned)mark.column + 1, "%s", text);
        return CEL_EINVAL;
}

/* libyaml's reader tells the offset of a byte it does not like, no mark. */
static int refuse_encoding(builder *b)
{
        const char *fix = strstr(b->parser.problem, "UTF-8") ? ", save the file as UTF-8" : ", remove them";
        unsigned line = 1, column = 1;

        for (size_t i = 0; i < b->parser.problem_offset && i < b->text_bytes; i++) {
                if (b->text[i] == '\n') {
                        line++;
                        column = 1;
                } else if (((unsigned char)b->text[i] & 0xC0) != 0x80) {
                        column++;
                }
        }
        bridge_report_at(b->report, line, column, "not valid YAML: %s%s", b->parser.problem, fix);
        return CEL_EINVAL;
}

static bool is_tab_at(const builder *b, yaml_mark_t mark)
{
        const char *line = b->text, *end = b->text + b->text_bytes;

        for (size_t i = 0; i < mark.line && line; i++) {
                line = memchr(line, '\n', (size_t)(end - line));
                line = line ? line + 1 : NULL;
        }
        return line && mark.column < (size_t)(end - line) && line[mark.column] == '\t';
}

static int refuse_syntax(builder *b)
{
        const yaml_parser_t *parser = &b->parser;
        yaml_mark_t mark = parser->problem_mark;
        char context[128] = "";

        if (parser->error == YAML_MEMORY_ERROR)
                return CEL_ENOMEM;
        if (parser->error == YAML_READER_ERROR)
                return refuse_encoding(b);
        if (parser->context)
                snprintf(context, sizeof(context), ", %s that begins at %zu:%zu", parser->context,
                         parser->context_mark.line + 1, parser->context_mark.column + 1);
        if (is_tab_at(b, mark))
                return refuse_at(b, mark, "not valid YAML: a tab, indent with spaces");
        bridge_report_at(b->report, (unsigned)mark.line + 1, (unsigned)mark.column + 1,
                         "not valid YAML: %s%s", parser->problem ? parser->problem : "unknown problem",
                         context);
        return CEL_EINVAL;
}

static int next_event(builder *b, yaml_event_t *ret_event)
{
        return yaml_parser_parse(&b->parser, ret_event) ? 0 : refuse_syntax(b);
}

/* What an event has beside its content, and we do not take. */
static int refuse_extras(builder *b, const yaml_event_t *event)
{
        const yaml_char_t *anchor = NULL, *tag = NULL;

        if (event->type == YAML_SCALAR_EVENT) {
                anchor = event->data.scalar.anchor;
                tag = event->data.scalar.tag;
        } else if (event->type == YAML_SEQUENCE_START_EVENT) {
                anchor = event->data.sequence_start.anchor;
                tag = event->data.sequence_start.tag;
        } else if (event->type == YAML_MAPPING_START_EVENT) {
                anchor = event->data.mapping_start.anchor;
                tag = event->data.mapping_start.tag;
        }
        if (event->type == YAML_ALIAS_EVENT)
                return refuse_at(b, event->start_mark,
                                 "aliases (*name) are not supported, write the value out");
        if (anchor)
                return refuse_at(b, event->start_mark,
                                 "anchors (&name) are not supported, write the value out where it is needed");
        if (tag)
                return refuse_at(b, event->start_mark, "tags (!name) are not supported, leave the tag out");
        return 0;
}

static int new_node(builder *b, const yaml_event_t *event, bridge_yaml_kind kind, bridge_yaml_node **ret_node)
{
        bridge_yaml_node *node;
        int r;

        r = refuse_extras(b, event);
        if (r < 0)
                return r;
        if (++b->nodes_n > BRIDGE_YAML_NODES_MAX)
                return refuse_at(b, event->start_mark,
                                 "more than 65536 values, which no configuration needs");
        node = calloc(1, sizeof(*node));
        if (!node)
                return CEL_ENOMEM;
        node->kind = kind;
        node->line = (unsigned)event->start_mark.line + 1;
        node->column = (unsigned)event->start_mark.column + 1;
        *ret_node = node;
        return 0;
}

static int read_text(builder *b, const yaml_event_t *event, bridge_yaml_node **ret_node)
{
        const char *text = (const char *)event->data.scalar.value;
        cel_auto(bridge_yaml_node) *node = NULL;
        int r;

        r = new_node(b, event, BRIDGE_YAML_TEXT, &node);
        if (r < 0)
                return r;
        if (strlen(text) != event->data.scalar.length) /* "\0" */
                return refuse_at(b, event->start_mark, "text must not contain a NUL character, remove it");
        node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node->text = strdup(text);
        if (!node->text)
                return CEL_ENOMEM;
        *ret_node = CEL_TAKE(node);
        return 0;
}

static int read_node(builder *b, const yaml_event_t *event, unsigned depth, bridge_yaml_node **ret_node);

/* Read one child of `parent`, which `event` begins: in a map its key, and then its value. */
static int read_child(builder *b, const yaml_event_t *event, const bridge_yaml_node *parent, unsigned depth,
                      bridge_yaml_node **ret_child)
{
        __attribute__((cleanup(yaml_event_delete))) yaml_event_t value = {0};
        cel_auto(bridge_yaml_node) *key = NULL;
        int r;

        if (parent->kind == BRIDGE_YAML_LIST)
                return read_node(b, event, depth, ret_child);

        if (event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT)
                return refuse_at(b, event->start_mark,
                                 "a key must be text; put a value with braces in quotes");
        r = read_node(b, event, depth, &key);
        if (r < 0)
                return r;
        r = next_event(b, &value);
        if (r < 0)
                return r;
        r = read_node(b, &value, depth, ret_child);
        if (r < 0)
                return r;
        (*ret_child)->key = CEL_TAKE(key);
        return 0;
}

/* Is the child's key already there? Reports it if so. */
static bool is_duplicate(builder *b, const bridge_yaml_node *parent, const bridge_yaml_node *child)
{
        const bridge_yaml_node *earlier = child->key ? bridge_yaml_get(parent, child->key->text) : NULL;

        if (earlier)
                bridge_report_node(b->report, child->key, "duplicate key %s, it is already at %u:%u",
                                   bridge_quote(child->key->text).text, earlier->key->line,
                                   earlier->key->column);
        return earlier;
}

static int read_children(builder *b, bridge_yaml_node *parent, yaml_event_type_t end, unsigned depth)
{
        bridge_yaml_node **tail = &parent->first;
        int r;

        for (;;) {
                __attribute__((cleanup(yaml_event_delete))) yaml_event_t event = {0};
                cel_auto(bridge_yaml_node) *child = NULL;

                r = next_event(b, &event);
                if (r < 0)
                        return r;
                if (event.type == end)
                        return 0;
                if (parent->children_n == BRIDGE_YAML_CHILDREN_MAX)
                        return refuse_at(b, event.start_mark,
                                         "more than 1024 entries here, which no configuration needs");
                r = read_child(b, &event, parent, depth, &child);
                if (r < 0)
                        return r;
                if (is_duplicate(b, parent, child))
                        continue;
                parent->children_n++;
                *tail = CEL_TAKE(child);
                tail = &(*tail)->next;
        }
}

static int read_node(builder *b, const yaml_event_t *event, unsigned depth, bridge_yaml_node **ret_node)
{
        bool is_map = event->type == YAML_MAPPING_START_EVENT;
        cel_auto(bridge_yaml_node) *node = NULL;
        int r;

        if (event->type == YAML_SCALAR_EVENT)
                return read_text(b, event, ret_node);
        if (depth == BRIDGE_YAML_DEPTH_MAX)
                return refuse_at(b, event->start_mark,
                                 "nested more than 16 levels deep, which no configuration needs");
        r = new_node(b, event, is_map ? BRIDGE_YAML_MAP : BRIDGE_YAML_LIST, &node); /* refuses an alias */
        if (r < 0)
                return r;
        r = read_children(b, node, is_map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, depth + 1);
        if (r < 0)
                return r;
        *ret_node = CEL_TAKE(node);
        return 0;
}

/* Read the next event, which must be of this type. */
static int expect_event(builder *b, yaml_event_type_t type, const char *otherwise)
{
        __attribute__((cleanup(yaml_event_delete))) yaml_event_t event = {0};
        int r;

        r = next_event(b, &event);
        if (r < 0)
                return r;
        return event.type == type ? 0 : refuse_at(b, event.start_mark, otherwise);
}

static int read_document(builder *b, bridge_yaml_node **ret_root)
{
        static const char second[] = "a second document begins here, keep one in each file";
        __attribute__((cleanup(yaml_event_delete))) yaml_event_t event = {0};
        cel_auto(bridge_yaml_node) *root = NULL;
        int r;

        r = expect_event(b, YAML_STREAM_START_EVENT, "");
        if (r < 0)
                return r;
        r = expect_event(b, YAML_DOCUMENT_START_EVENT, "the file is empty, write a configuration");
        if (r < 0)
                return r;
        r = next_event(b, &event);
        if (r < 0)
                return r;
        r = read_node(b, &event, 0, &root);
        if (r < 0)
                return r;
        r = expect_event(b, YAML_DOCUMENT_END_EVENT, second);
        if (r < 0)
                return r;
        r = expect_event(b, YAML_STREAM_END_EVENT, second);
        if (r < 0)
                return r;
        *ret_root = CEL_TAKE(root);
        return 0;
}

int bridge_yaml_parse(const char *text, size_t text_bytes, bridge_report *report, bridge_yaml_node **ret_root)
{
        builder b = {.report = report, .text = text_bytes > 0 ? text : "", .text_bytes = text_bytes};
        int r;

        if (text_bytes >= 3 &&
            memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark, which is no character */
                b.text += 3;
                b.text_bytes -= 3;
        }
        if (!yaml_parser_initialize(&b.parser))
                return CEL_ENOMEM;
        yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&b.parser, (const unsigned char *)b.text, b.text_bytes);
        r = read_document(&b, ret_root);
        yaml_parser_delete(&b.parser);
        return r;
}
