/* SPDX-License-Identifier: Apache-2.0
 *
 * From YAML to structs by table. A section is a mapping with known keys; each key is one row, which says who
 * reads its value, where that goes, and what it may be:
 *
 *     static const bridge_schema_field to_fields[] = {
 *             {BRIDGE_KEY("timeout", bridge_read_duration, int64_t, bridge_target_config, timeout_ms), .min =
 * 1, .max = 9},
 *             ...
 *     };
 *     static const bridge_schema_section to_section = BRIDGE_SECTION("in \"to\"", to_fields);
 *
 * Readers report what is wrong and leave their target as it was, which is its default. So they return
 * nothing: when all is read, the decoder knows whether there were errors. */
#ifndef CELADON_BRIDGE_SCHEMA_H
#define CELADON_BRIDGE_SCHEMA_H

#include "bridge/durations.h"
#include "bridge/yaml.h"

#include <stdint.h>

typedef struct bridge_decoder {
        bridge_report *report; /* borrowed */
        bool out_of_memory;    /* set once, at the first failed allocation */
} bridge_decoder;

typedef struct bridge_schema_field bridge_schema_field;

typedef struct bridge_schema_section {
        const char *where; /* as in: unknown key "x" <where> */
        const bridge_schema_field *fields;
        size_t fields_n;
} bridge_schema_section;

/* Reads `node` into `target`, whose type is the reader's business. `node` is never null in YAML's sense. */
typedef void (*bridge_read_fn)(bridge_decoder *d, const bridge_schema_field *field,
                               const bridge_yaml_node *node, void *target);

/* Looks at a text, or at one item of a list, which is otherwise fine. Reports and returns false if it is not.
 */
typedef bool (*bridge_check_fn)(bridge_decoder *d, const bridge_schema_field *field,
                                const bridge_yaml_node *node);

struct bridge_schema_field {
        const char *key;
        bridge_read_fn read;
        size_t offset; /* of the target in the section's struct */
        bool required;
        int64_t min;                          /* numbers; in their target's unit */
        int64_t max;                          /* likewise; texts: bytes, 0: 255; lists: items */
        size_t items_max;                     /* of lists whose `min` and `max` are those of an item */
        bridge_check_fn check;                /* texts and lists; NULL: none */
        const bridge_schema_section *section; /* nested sections only */
};

#define BRIDGE_SECTION(where, fields)                               \
        {                                                           \
                where, fields, sizeof(fields) / sizeof((fields)[0]) \
        }

/* The start of a row: a key, its reader, and the member it goes to. Does not compile unless the member has
 * the type that the reader writes. */
#define BRIDGE_KEY(name, reader, member_type, type, member) \
        .key = (name), .read = (reader),                    \
        .offset = offsetof(type, member) + 0 * sizeof(_Generic(((type *)0)->member, member_type : 1))

/* The same for a reader that fills the section's whole struct. */
#define BRIDGE_KEY_WHOLE(name, reader) .key = (name), .read = (reader), .offset = 0

/* Read the mapping `node` into `object`, key by key: unknown keys are reported, with the one that was
 * probably meant or the section inside of this one where they belong, and so are required keys that are
 * missing, unless they are among those probably meant. */
void bridge_read_section(bridge_decoder *d, const bridge_schema_section *section,
                         const bridge_yaml_node *node, void *object);

/* Readers, with the type of their target. */
void bridge_read_nested(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                        void *target); /* the nested section's struct */
void bridge_read_text(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target); /* char *; at least one byte, no control characters */
void bridge_read_bool(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target); /* bool; true or false */
void bridge_read_count(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                       void *target); /* unsigned; a whole number */
void bridge_read_duration(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                          void *target); /* int64_t, in ms; 500ms, 1.5s, 2m, 1h */
void bridge_read_size(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target); /* size_t, in bytes; 4096, 64KiB, 16MiB */
void bridge_read_list(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target); /* char **; one text or more, none twice; NULL-terminated */
void bridge_read_text_or_list(bridge_decoder *d, const bridge_schema_field *field,
                              const bridge_yaml_node *node,
                              void *target); /* the same; one text stands for a list of one */
void bridge_read_durations(
        bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
        void *target); /* bridge_durations; a list of one or more, at most field->items_max */

/* For readers of one's own. */
bool bridge_check_kind(bridge_decoder *d, const char *what, const bridge_yaml_node *node,
                       bridge_yaml_kind kind);
bool bridge_check_text(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node);

/* The known word closest to `word`, if close enough to be what was meant: two letters away at most, or one is the
 * beginning of the other. Else NULL. */
const char *bridge_suggest(const char *word, const char *const *known, size_t known_n);

/* Replace an owned text by a copy of `text`. */
void bridge_put_text(bridge_decoder *d, char **target, const char *text);

/* Append a copy of `text` to an owned, NULL-terminated list; NULL is the empty one. */
void bridge_list_add(bridge_decoder *d, char ***list, const char *text);
char **bridge_list_free(char **list);

/* A duration as people write it: 500ms, 1.5s, 25m, 12m3s. */
typedef struct bridge_duration_text {
        char text[40];
} bridge_duration_text;

bridge_duration_text bridge_duration(int64_t ms);

/* Read one: a number and ms, s, m or h, which comes to whole milliseconds. Returns whether it is one. */
bool bridge_parse_duration(const char *text, int64_t *ret_ms);

#endif
