/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/yaml.h"
#include "test.h"

#include <celadon/error.h>
#include <stdio.h>
#include <string.h>

typedef struct fixture {
        bridge_report report;
        bridge_yaml_node *root;
        char lines[2048]; /* the errors, each with a newline */
        int result;
} fixture;

static void on_error(const char *line, void *arg)
{
        fixture *f = arg;
        size_t used = strlen(f->lines);

        snprintf(f->lines + used, sizeof(f->lines) - used, "%s\n", line);
}

static void fixture_parse_bytes(fixture *f, const char *text, size_t text_bytes)
{
        *f = (fixture){.report = {.name = "f", .on_error = on_error, .errors_max = 20}};
        f->report.arg = f;
        f->result = bridge_yaml_parse(text, text_bytes, &f->report, &f->root);
}

static void fixture_parse(fixture *f, const char *text)
{
        fixture_parse_bytes(f, text, strlen(text));
}

static void fixture_free(fixture *f)
{
        f->root = bridge_yaml_node_free(f->root);
}

/* Parsing `text` must fail with exactly this error. */
static void check_refused(const char *text, const char *error)
{
        fixture f;

        fixture_parse(&f, text);
        CHECK_STR(f.lines, error);
        CHECK_INT(f.result, CEL_EINVAL);
        CHECK(!f.root);
        fixture_free(&f);
}

TEST(every_node_knows_its_line_and_column)
{
        const bridge_yaml_node *list, *item;
        fixture f;

        fixture_parse(&f, "# comment\na: 1\nlist:\n  - x\n  - {k: [v, w]}\n");
        CHECK_INT(f.result, 0);
        CHECK_INT(f.root->kind, BRIDGE_YAML_MAP);
        CHECK_INT(f.root->children_n, 2);
        CHECK_INT(f.root->first->line, 2);
        CHECK_INT(f.root->first->column, 4);
        CHECK_INT(f.root->first->key->column, 1);
        list = bridge_yaml_get(f.root, "list");
        CHECK_INT(list->kind, BRIDGE_YAML_LIST);
        CHECK_INT(list->line, 4);
        item = bridge_yaml_get(list->first->next, "k");
        CHECK_INT(item->kind, BRIDGE_YAML_LIST);
        CHECK_STR(item->first->next->text, "w");
        CHECK_INT(item->first->next->line, 5);
        CHECK_INT(item->first->next->column, 13);
        CHECK(!bridge_yaml_get(f.root, "other"));
        CHECK(!bridge_yaml_get(list, "k"));
        CHECK(!bridge_yaml_get(NULL, "k"));
        fixture_free(&f);
}

TEST(columns_count_characters_not_bytes)
{
        fixture f;

        fixture_parse(&f, "\xEF\xBB\xBF{\xC3\xA9: \xE2\x82\xAC, b: 2}\n"); /* behind a byte order mark */
        CHECK_INT(f.result, 0);
        CHECK_INT(f.root->column, 1);
        CHECK_STR(f.root->first->text, "\xE2\x82\xAC");
        CHECK_INT(f.root->first->next->key->column, 8);
        fixture_free(&f);
}

TEST(a_value_is_null_only_without_quotes)
{
        static const bool is_null[] = {true, true, true, false, false, false};
        const bridge_yaml_node *child;
        fixture f;

        fixture_parse(&f, "a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: no\n");
        CHECK_INT(f.root->children_n, 6);
        child = f.root->first;
        for (size_t i = 0; i < 6; i++, child = child->next)
                CHECK_INT(bridge_yaml_is_null(child), is_null[i]);
        CHECK(!bridge_yaml_is_null(f.root));
        fixture_free(&f);
}

TEST(a_syntax_error_says_what_and_where)
{
        check_refused("a: 1\nb: [1, 2\nc: 3\n", "f:3:2: not valid YAML: did not find expected ',' or ']', "
                                                "while parsing a flow sequence that begins at 2:4\n");
        check_refused("a: 'x\n",
                      "f:2:1: not valid YAML: found unexpected end of stream, while scanning a quoted scalar "
                      "that begins at 1:4\n");
        check_refused("a:\n\tb: 1\n", "f:2:1: not valid YAML: a tab, indent with spaces\n");
        check_refused("a: b: c\n", "f:1:5: not valid YAML: mapping values are not allowed in this context\n");
}

TEST(bytes_that_are_not_utf8_are_refused_where_they_stand)
{
        fixture f;

        check_refused("a: 1\nb: \xE9t\xE9\n",
                      "f:2:5: not valid YAML: invalid trailing UTF-8 octet, save the file as UTF-8\n");
        check_refused("a: \xC3\xA9\xFF\n",
                      "f:1:5: not valid YAML: invalid leading UTF-8 octet, save the file as UTF-8\n");
        check_refused("a: x\x01\n",
                      "f:1:5: not valid YAML: control characters are not allowed, remove them\n");
        fixture_parse_bytes(&f, "a: x\0y", 6);
        CHECK_STR(f.lines, "f:1:5: not valid YAML: control characters are not allowed, remove them\n");
        fixture_parse_bytes(&f,
                            "\xFF\xFE"
                            "a\0:\0 \0b\0",
                            10); /* UTF-16, which libyaml alone would take */
        CHECK_INT(f.result, CEL_EINVAL);
        CHECK_STR(f.lines, "f:1:1: not valid YAML: invalid leading UTF-8 octet, save the file as UTF-8\n");
}

TEST(a_key_that_is_there_twice_is_reported_and_dropped)
{
        fixture f;

        fixture_parse(&f, "a: 1\nb: {c: 1, c: 2}\n\"a\": 2\n");
        CHECK_INT(f.result, 0);
        CHECK_INT(f.report.errors_n, 2);
        CHECK_STR(f.lines, "f:2:11: duplicate key \"c\", it is already at 2:5\n"
                           "f:3:1: duplicate key \"a\", it is already at 1:1\n");
        CHECK_INT(f.root->children_n, 2);
        CHECK_STR(bridge_yaml_get(f.root, "a")->text, "1");
        fixture_free(&f);
}

TEST(what_a_configuration_does_not_need_is_refused)
{
        check_refused("a: &x 1\n",
                      "f:1:4: anchors (&name) are not supported, write the value out where it is needed\n");
        check_refused("a: &x {b: 1}\n",
                      "f:1:4: anchors (&name) are not supported, write the value out where it is needed\n");
        check_refused("a: *x\n", "f:1:4: aliases (*name) are not supported, write the value out\n");
        check_refused("*x : 1\n", "f:1:1: aliases (*name) are not supported, write the value out\n");
        check_refused("a: !!str 1\n", "f:1:4: tags (!name) are not supported, leave the tag out\n");
        check_refused("- !x [1]\n", "f:1:3: tags (!name) are not supported, leave the tag out\n");
        check_refused("url: {{ host }}\n", "f:1:7: a key must be text; put a value with braces in quotes\n");
        check_refused("? [a]\n: 1\n", "f:1:3: a key must be text; put a value with braces in quotes\n");
        check_refused("a: 1\n---\nb: 1\n", "f:2:1: a second document begins here, keep one in each file\n");
        check_refused("a: \"x\\0y\"\n", "f:1:4: text must not contain a NUL character, remove it\n");
        check_refused("", "f:1:1: the file is empty, write a configuration\n");
        check_refused("# nothing\n", "f:2:1: the file is empty, write a configuration\n");
}

TEST(depth_width_and_size_have_their_maxima)
{
        static char text[300000];
        fixture f;
        size_t n = 0;

        check_refused("[[[[[[[[[[[[[[[[[",
                      "f:1:17: nested more than 16 levels deep, which no configuration needs\n");
        fixture_parse(&f, "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]");
        CHECK_INT(f.result, 0);
        fixture_free(&f);

        memset(text, '{', sizeof(text) - 1); /* libyaml alone would take minutes over this */
        check_refused(text, "f:1:2: a key must be text; put a value with braces in quotes\n");

        for (int i = 0; i < 1025; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "- x\n");
        check_refused(text, "f:1025:3: more than 1024 entries here, which no configuration needs\n");

        n = 0;
        for (int list = 0; list < 65; list++) {
                n += (size_t)snprintf(text + n, sizeof(text) - n, "- [");
                for (int i = 0; i < 1020; i++)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "x, ");
                n += (size_t)snprintf(text + n, sizeof(text) - n, "]\n");
        }
        fixture_parse(&f, text);
        CHECK_STR(f.lines, "f:65:574: more than 65536 values, which no configuration needs\n");
}

TEST(no_more_errors_are_reported_than_asked_for)
{
        bridge_report report = {.name = "f", .on_error = on_error, .errors_max = 2};
        fixture f = {0};

        report.arg = &f;
        for (unsigned i = 1; i <= 3; i++)
                bridge_report_at(&report, i, 1, "error %u", i);
        CHECK_STR(f.lines, "f:1:1: error 1\nf:2:1: error 2\n");
        CHECK_INT(report.errors_n, 3);
        report.on_error = NULL;
        bridge_report_at(&report, 0, 0, "counted only");
        CHECK_INT(report.errors_n, 4);
}

TEST(a_quoted_text_is_short_printable_and_without_password)
{
        CHECK_STR(bridge_quote("").text, "\"\"");
        CHECK_STR(bridge_quote("a \"b\"").text, "\"a \"b\"\"");
        CHECK_STR(bridge_quote("a\nb\x1B[1m\x7F\xC2\x9B").text, "\"a?b?[1m??\"");
        CHECK_STR(bridge_quote("rabbit://guest:secret@host/").text, "\"rabbit://***@host/\"");
        CHECK_STR(bridge_quote("transport rabbit://u:p@h1,u:se://cret@h2").text,
                  "\"transport rabbit://***@h2\"");
        CHECK_STR(bridge_quote("cret@host").text, "\"***@host\"");
        CHECK_STR(bridge_quote("0123456789012345678901234567890123456789012345678901234567890").text,
                  "\"01234567890123456789012345678901234567890123456789012345678...\"");
        CHECK_STR(bridge_quote("0123456789012345678901234567890123456789012345678901234567\xE2\x82\xAC").text,
                  "\"0123456789012345678901234567890123456789012345678901234567...\"");
}
