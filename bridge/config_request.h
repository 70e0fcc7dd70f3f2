/* SPDX-License-Identifier: Apache-2.0
 *
 * The sections of a route that say which events it takes and what requests it makes of them: `match` and `to`. */
#ifndef CELADON_BRIDGE_CONFIG_REQUEST_H
#define CELADON_BRIDGE_CONFIG_REQUEST_H

#include "bridge/config.h"
#include "bridge/schema.h"

/* `match`, into a bridge_match_config: a mapping of that section, or a list of conditions. Of type bridge_read_fn. */
extern const bridge_schema_section bridge_match_section;
void bridge_read_match(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                       void *target);

/* `on_unmatched`, into a bool: true for dead_letter. Of type bridge_read_fn. */
void bridge_read_on_unmatched(bridge_decoder *d, const bridge_schema_field *field,
                              const bridge_yaml_node *node, void *target);

extern const bridge_schema_section bridge_to_section; /* into a bridge_target_config */

/* Inside of `to`; the second is for a mapping, and its reader, of type bridge_read_fn, takes a mode alone as well. */
extern const bridge_schema_section bridge_transform_section;   /* into a bridge_transform */
extern const bridge_schema_section bridge_cloudevents_section; /* into a bridge_cloudevents_config */
void bridge_read_cloudevents(bridge_decoder *d, const bridge_schema_field *field,
                             const bridge_yaml_node *node, void *target);

/* For readers: a text as a template; `what` begins the error. What was in *target is freed. */
void bridge_read_template(bridge_decoder *d, const bridge_yaml_node *node, bridge_template_kind kind,
                          const char *what, bridge_template **target);

/* One of some words, a NULL-terminated list, whose index goes into *target. */
void bridge_read_word(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                      const char *const *words, unsigned *target);

/* Free what is in them. */
void bridge_match_config_fini(bridge_match_config *match);
void bridge_target_config_fini(bridge_target_config *to);

#endif
