/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of a route that change verdicts, for the tables of config.c. */
#ifndef CELADON_BRIDGE_VERDICT_CONFIG_H
#define CELADON_BRIDGE_VERDICT_CONFIG_H

#include "bridge/schema.h"
#include "bridge/verdict.h"

/* `status: {404: reject, 409: ok, 5xx: retry}`, into a bridge_verdict_config. */
void bridge_read_statuses(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node,
                          void *target);

/* One of bridge_profiles. */
bool bridge_check_profile(bridge_decoder *d, const bridge_schema_field *field, const bridge_yaml_node *node);

void bridge_verdict_config_fini(bridge_verdict_config *config);

#endif
