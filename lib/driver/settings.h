/* SPDX-License-Identifier: Apache-2.0
 *
 * What a URL says about how queues are to be, by the options of oslo.messaging's [oslo_messaging_rabbit] group (oslo-wire
 * sections 1.5, 4.3). The broker refuses whoever declares a queue otherwise than its peers. */
#ifndef CEL_DRIVER_SETTINGS_H
#define CEL_DRIVER_SETTINGS_H

#include "driver/driver.h"

/* The names of these options, for a list that ends with NULL. */
#define SETTINGS_OPTION_NAMES                                                                 \
        "amqp_durable_queues", "amqp_auto_delete", "rabbit_ha_queues", "rabbit_quorum_queue", \
                "rabbit_quorum_delivery_limit", "rabbit_quorum_max_memory_length",            \
                "rabbit_quorum_max_memory_bytes", "rabbit_transient_queues_ttl",              \
                "kombu_missing_consumer_retry_timeout", "direct_mandatory_flag"

/* Read them.
 * Owns:   *ret_settings is yours: settings_fini() it.
 * Errors: CEL_EINVAL, CEL_ENOMEM, with a sentence in `error`. */
int settings_read(const cel__url *url, cel__driver_settings *ret_settings, char *error, size_t error_bytes);
void settings_fini(cel__driver_settings *settings);

#endif
