/* SPDX-License-Identifier: Apache-2.0
 *
 * How queues are to be, by what a URL's options say (oslo-wire section 4.3). The broker refuses whoever declares a queue
 * otherwise than its peers. */
#ifndef CEL_DRIVER_SETTINGS_H
#define CEL_DRIVER_SETTINGS_H

#include "driver/driver.h"
#include "driver/options.h"

/* Owns:   *ret_settings is yours: settings_fini() it.
 * Errors: CEL_ENOMEM. */
int settings_make(const rabbit_options *options, cel__driver_settings *ret_settings);
void settings_fini(cel__driver_settings *settings);

#endif
