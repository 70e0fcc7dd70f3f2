/* SPDX-License-Identifier: Apache-2.0
 *
 * A YAML document as a tree that knows where in the file each node stands, and the one way errors about it
 * are reported.
 *
 * What a configuration does not need is refused: anchors and aliases, tags, several documents, keys that are
 * not text. All scalars are text; what the text means is for its reader to say, so that `pool: no` is the
 * pool called "no". */
#ifndef CELADON_BRIDGE_YAML_H
#define CELADON_BRIDGE_YAML_H

#include <celadon/base.h>
#include <stdbool.h>
#include <stddef.h>

enum {
        BRIDGE_YAML_DEPTH_MAX = 16,
        BRIDGE_YAML_CHILDREN_MAX = 1024, /* of one node */
        BRIDGE_YAML_NODES_MAX = 65536,
};

typedef enum bridge_yaml_kind { BRIDGE_YAML_TEXT, BRIDGE_YAML_LIST, BRIDGE_YAML_MAP } bridge_yaml_kind;

typedef struct bridge_yaml_node bridge_yaml_node;

struct bridge_yaml_node {
        bridge_yaml_kind kind;
        unsigned line; /* counted from 1, as column, which counts characters */
        unsigned column;

        char *text;    /* owned; TEXT only: NUL-terminated, without a NUL inside */
        bool is_plain; /* TEXT only: without quotes */

        bridge_yaml_node *first; /* owned; LIST and MAP: the children, in the order of the file */
        size_t children_n;
        bridge_yaml_node *next; /* owned; the next child of the same parent */
        bridge_yaml_node *key;  /* owned; for a child of a MAP: its key, a TEXT */
};

/* Where errors go. */
typedef struct bridge_report {
        const char *name;                              /* of the file; borrowed */
        void (*on_error)(const char *line, void *arg); /* NULL: errors are counted only */
        void *arg;                                     /* borrowed */
        unsigned errors_max;                           /* reported */
        unsigned errors_n;                             /* found */
} bridge_report;

/* Report one error as `name:line:column: text`; with line 0, one about the file as a whole, as `name: text`.
 */
void bridge_report_at(bridge_report *report, unsigned line, unsigned column, const char *format, ...)
        CEL_PRINTF(4, 5);
void bridge_report_node(bridge_report *report, const bridge_yaml_node *node, const char *format, ...)
        CEL_PRINTF(3, 4);

/* The same for the byte at `offset` of a TEXT. The column is that of the file as long as nothing before it is escaped or
 * folded over lines. */
void bridge_report_within(bridge_report *report, const bridge_yaml_node *node, size_t offset,
                          const char *format, ...) CEL_PRINTF(4, 5);

/* A text of the file's in quotes, fit for an error: short, on one line, and with *** in place of what
 * precedes an `@`, which may be a password that has strayed. Use as bridge_quote(text).text. */
typedef struct bridge_quoted {
        char text[80];
} bridge_quoted;

bridge_quoted bridge_quote(const char *text);

/* Parse one document. A key that is there twice is reported and its second value dropped; the tree is good
 * nevertheless, so look at report->errors_n too.
 * Owns:   *ret_root is yours; free it with bridge_yaml_node_free().
 * Errors: CEL_EINVAL (reported), CEL_ENOMEM. */
int bridge_yaml_parse(const char *text, size_t text_bytes, bridge_report *report,
                      bridge_yaml_node **ret_root);

bridge_yaml_node *bridge_yaml_node_free(bridge_yaml_node *node);

/* The value of a key in a MAP; NULL if it is not there or `map` is NULL or no MAP. Borrowed. */
const bridge_yaml_node *bridge_yaml_get(const bridge_yaml_node *map, const char *key);

/* `~`, `null`, or nothing at all behind a key. */
bool bridge_yaml_is_null(const bridge_yaml_node *node);

/* "text", "a list" or "a mapping". */
const char *bridge_yaml_kind_name(bridge_yaml_kind kind);

CEL_AUTO_WITH(bridge_yaml_node, bridge_yaml_node_free)

#endif
