/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets do not belong into a log. */
#ifndef CEL_NOTIFY_MASK_H
#define CEL_NOTIFY_MASK_H

#include <jansson.h>

/* Copy `json` (NULL is null) with "***" for what looks like a secret by the words of oslo.utils' mask_dict_password(), such as
 * "password" or "token": the value of a member whose name contains one, and a text that contains one, wherever it is.
 * oslo.utils looks into no list, and masks only what seems to be the password in a text.
 * Owns:   *ret_masked is yours.
 * Errors: CEL_EINVAL (nested deeper than CEL__JSON_DEPTH_MAX), CEL_ENOMEM. */
int cel__mask_secrets(const json_t *json, json_t **ret_masked);

/* "***" if `text` seems to tell a secret, such as "password=x"; else `text`, which may be NULL. What is a single name, such
 * as the event "identity.token.revoked", only speaks of one. */
const char *cel__mask_text(const char *text);

#endif
