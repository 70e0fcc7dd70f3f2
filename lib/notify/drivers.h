/* SPDX-License-Identifier: Apache-2.0
 *
 * A notifier's drivers, under oslo.messaging's names. */
#ifndef CEL_NOTIFY_DRIVERS_H
#define CEL_NOTIFY_DRIVERS_H

/* A set of them is a sum of bits. */
enum {
        CEL__DRIVER_MESSAGING = 1,
        CEL__DRIVER_MESSAGINGV2 = 2,
        CEL__DRIVER_LOG = 4,
        CEL__DRIVER_NOOP = 8,
        CEL__DRIVER_TEST = 16,
        CEL__DRIVER_ROUTING = 32,
};

#define CEL__DRIVER_NAMES "messaging, messagingv2, log, noop, test, routing"

/* The bit of the driver with this name; 0: there is none. */
unsigned cel__driver_find(const char *name);

#endif
