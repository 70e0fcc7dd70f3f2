/* SPDX-License-Identifier: Apache-2.0
 *
 * What the configuration's texts may be: one check for each kind of text, for a row of a schema. Each reports
 * what is wrong and returns false. None quotes a URL or a header's value, which may hold a secret. */
#ifndef CELADON_BRIDGE_CHECKS_H
#define CELADON_BRIDGE_CHECKS_H

#include "bridge/schema.h"

enum {
        BRIDGE_PRIORITIES_N = 7,
        BRIDGE_NAME_BYTES_MAX = 64, /* of a route's name */
};

/* oslo.messaging's priorities. */
extern const char *const bridge_priorities[BRIDGE_PRIORITIES_N];

/* Of type bridge_check_fn. */
bool bridge_check_transport(bridge_decoder *d, const bridge_schema_field *field,
                            const bridge_yaml_node *node);
bool bridge_check_name(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node);
bool bridge_check_queue(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node);
bool bridge_check_topic(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node);
bool bridge_check_priority(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node);
bool bridge_check_method(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node);
bool bridge_check_ca_file(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node);

/* What is wrong with an http or https URL without user and password; NULL if nothing. The end of a sentence, static. */
const char *bridge_url_problem(const char *url);

/* One child of the mapping `headers`: its name, its value, and that none before it has the same name. */
bool bridge_check_header(bridge_decoder *d, const bridge_yaml_node *headers, const bridge_yaml_node *header);

#endif
