/* SPDX-License-Identifier: Apache-2.0
 *
 * The sections of a route that say which events it takes and what requests it makes of them: `match` and `to`. */
#ifndef CELADON_BRIDGE_CONFIG_REQUEST_H
#define CELADON_BRIDGE_CONFIG_REQUEST_H

#include "bridge/config.h"
#include "bridge/schema.h"

extern const bridge_schema_section bridge_match_section; /* into a bridge_match_config */
extern const bridge_schema_section bridge_to_section;    /* into a bridge_target_config */

/* Free what is in them. */
void bridge_match_config_fini(bridge_match_config *match);
void bridge_target_config_fini(bridge_target_config *to);

#endif
