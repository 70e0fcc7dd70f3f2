/* SPDX-License-Identifier: Apache-2.0
 *
 * The sections that say what a request's body is: `transform` and `cloudevents`. */
#include "bridge/config_request.h"

#include <celadon/error.h>
#include <string.h>

enum { SUBJECT_BYTES_MAX = 4096 };

/* ---- Transform. ---- */

/* Read a text as a pointer to something inside of a notification. Returns whether it is one. */
static bool read_pointer(bridge_decoder *d, const char *what, const bridge_yaml_node *node,
                         bridge_pointer *target)
{
        const char *why = "must name a member, as in /payload/instance_id";
        int r = CEL_EINVAL;

        if (!bridge_check_kind(d, what, node, BRIDGE_YAML_TEXT))
                return false;
        if (*node->text)
                r = bridge_pointer_parse(node->text, strlen(node->text), target, &why);
        if (r == CEL_EINVAL)
                bridge_report_node(d->report, node, "%s is %s, which %s", what, bridge_quote(node->text).text,
                                   why);
        else if (r < 0)
                d->out_of_memory = true;
        return r >= 0;
}

/* A zeroed array with room for each child; NULL, and reported, if there are none or too many. */
static void *make_steps(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                        bridge_yaml_kind kind, size_t size)
{
        void *steps;

        if (!bridge_check_kind(d, field->key, node, kind))
                return NULL;
        if (node->children_n == 0 || node->children_n > BRIDGE_TRANSFORM_STEPS_MAX) {
                bridge_report_node(d->report, node, "\"%s\" has %zu items, it must have 1 to %d", field->key,
                                   node->children_n, BRIDGE_TRANSFORM_STEPS_MAX);
                return NULL;
        }
        steps = calloc(node->children_n, size);
        d->out_of_memory |= !steps;
        return steps;
}

static void read_pointers(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                          bridge_pointer **pointers, size_t *pointers_n)
{
        *pointers = make_steps(d, field, node, BRIDGE_YAML_LIST, sizeof(**pointers));
        for (const bridge_yaml_node *child = *pointers ? node->first : NULL; child; child = child->next)
                *pointers_n += read_pointer(d, field->key, child, &(*pointers)[*pointers_n]);
}

/* These four read into the whole bridge_transform. */
static void read_pick(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target)
{
        bridge_transform *t = target;

        read_pointers(d, field, node, &t->pick, &t->pick_n);
}

static void read_drop(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target)
{
        bridge_transform *t = target;

        read_pointers(d, field, node, &t->drop, &t->drop_n);
}

static void read_rename(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                        void *target)
{
        bridge_transform *t = target;

        t->rename = make_steps(d, field, node, BRIDGE_YAML_MAP, sizeof(*t->rename));
        for (const bridge_yaml_node *child = t->rename ? node->first : NULL; child; child = child->next) {
                bridge_rename *rename = &t->rename[t->rename_n++];

                read_pointer(d, field->key, child->key, &rename->from);
                read_pointer(d, field->key, child, &rename->to);
        }
}

/* A plain number, true, false or null is that in JSON; anything else is a template. */
static void read_set_value(bridge_decoder *d, const bridge_yaml_node *node, bridge_set *set)
{
        if (!bridge_check_kind(d, "a value to set", node, BRIDGE_YAML_TEXT))
                return;
        set->literal = node->is_plain ? json_loads(node->text, JSON_DECODE_ANY, NULL) : NULL;
        if (!set->literal)
                bridge_read_template(d, node, BRIDGE_TEMPLATE_DATA, "a value to set", &set->value);
}

static void read_set(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                     void *target)
{
        bridge_transform *t = target;

        t->set = make_steps(d, field, node, BRIDGE_YAML_MAP, sizeof(*t->set));
        for (const bridge_yaml_node *child = t->set ? node->first : NULL; child; child = child->next) {
                bridge_set *set = &t->set[t->set_n++];

                read_pointer(d, field->key, child->key, &set->to);
                read_set_value(d, child, set);
        }
}

/* ---- CloudEvents. ---- */

/* Into the whole bridge_cloudevents_config. */
static void read_mode(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target)
{
        static const char *const words[] = {
                [BRIDGE_CLOUDEVENTS_OFF] = "off",
                [BRIDGE_CLOUDEVENTS_BINARY] = "binary",
                [BRIDGE_CLOUDEVENTS_STRUCTURED] = "structured",
                NULL,
        };
        bridge_cloudevents_config *ce = target;
        unsigned mode = ce->mode;

        bridge_read_word(d, field, node, words, &mode);
        ce->mode = (bridge_cloudevents_mode)mode;
}

static void read_data(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      void *target)
{
        static const char *const words[] = {"payload", "notification", NULL};
        bridge_cloudevents_config *ce = target;
        unsigned whole = 0;

        bridge_read_word(d, field, node, words, &whole);
        ce->whole_notification = whole == 1;
}

static void read_subject(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                         void *target)
{
        if (bridge_check_text(d, field, node))
                bridge_read_template(d, node, BRIDGE_TEMPLATE_TEXT, "\"subject\"", target);
}

void bridge_read_cloudevents(bridge_decoder *d, const bridge_schema_field *field,
                             const bridge_yaml_node *node, void *target)
{
        if (node->kind == BRIDGE_YAML_TEXT)
                read_mode(d, field, node, target);
        else
                bridge_read_nested(d, field, node, target);
}

/* ---- The tables. ---- */

static const bridge_schema_field transform_fields[] = {
        {BRIDGE_KEY_WHOLE("pick", read_pick)},
        {BRIDGE_KEY_WHOLE("drop", read_drop)},
        {BRIDGE_KEY_WHOLE("rename", read_rename)},
        {BRIDGE_KEY_WHOLE("set", read_set)},
};
const bridge_schema_section bridge_transform_section = BRIDGE_SECTION("in \"transform\"", transform_fields);

static const bridge_schema_field cloudevents_fields[] = {
        {BRIDGE_KEY_WHOLE("mode", read_mode), .required = true},
        {BRIDGE_KEY_WHOLE("data", read_data)},
        {BRIDGE_KEY("subject", read_subject, bridge_template *, bridge_cloudevents_config, subject),
         .max = SUBJECT_BYTES_MAX},
};
const bridge_schema_section bridge_cloudevents_section =
        BRIDGE_SECTION("in \"cloudevents\"", cloudevents_fields);
