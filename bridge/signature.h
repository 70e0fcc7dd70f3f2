/* SPDX-License-Identifier: Apache-2.0
 *
 * Standard Webhooks (1.0.0): a signature by which an API server knows that a request is from us, and when it was made.
 * Several keys sign at once while one replaces another. */
#ifndef CELADON_BRIDGE_SIGNATURE_H
#define CELADON_BRIDGE_SIGNATURE_H

#include "bridge/text.h"

#include <stdint.h>

enum {
        BRIDGE_SIGNING_KEYS_MAX = 4,
        BRIDGE_SIGNING_KEY_BYTES_MIN = 24,
        BRIDGE_SIGNING_KEY_BYTES_MAX = 64,
        BRIDGE_WEBHOOK_ID_BYTES = 256,
};

typedef struct bridge_signing_key bridge_signing_key;

/* Read a key as `whsec_` and base64.
 * Owns:   *ret_key is yours; free it with bridge_signing_key_free(), which wipes it. `secret` is copied.
 * Errors: CEL_EINVAL: it is no such key, or too short or too long; CEL_ENOMEM. */
int bridge_signing_key_new(const char *secret, bridge_signing_key **ret_key);
bridge_signing_key *bridge_signing_key_free(bridge_signing_key *key);

/* The webhook-id for an event's id: the same, or, as it may not have a dot, the beginning of its SHA-256. */
void bridge_webhook_id(const char *id, char ret_id[BRIDGE_WEBHOOK_ID_BYTES]);

/* Append the value of webhook-signature: `v1,` and base64 of the HMAC-SHA256 over `id.seconds.body`, for each key.
 * Errors: CEL_ENOMEM. */
int bridge_sign(bridge_signing_key *const *keys, size_t keys_n, const char *id, int64_t seconds,
                const void *body, size_t body_bytes, bridge_text *out);

CEL_AUTO_WITH(bridge_signing_key, bridge_signing_key_free)

#endif
