/* SPDX-License-Identifier: Apache-2.0
 *
 * The responses of the two SASL mechanisms that RabbitMQ offers by default, for connection.start-ok. */
#ifndef CEL_WIRE_SASL_H
#define CEL_WIRE_SASL_H

#include "base/buf.h"

/* Append the response. The strings are taken as they are; the buffer then holds a password: wipe it when
 * sent.
 * Errors: CEL_ETOOBIG (the buffer's maximum), CEL_ENOMEM; nothing was appended then. */
int cel__sasl_plain(const char *user, const char *password, cel__buf *out);
int cel__sasl_amqplain(const char *user, const char *password, cel__buf *out);

#endif
