/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A key is an OpenSSL context that has been given the secret; each signature begins with a copy of it. So the
 * secret is in no memory of ours, and its schedule is worked out once. */
#include "bridge/signature.h"

#include <celadon/error.h>
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHA256_BYTES = 32 };

struct bridge_signing_key {
        EVP_MAC_CTX *ready; /* owned */
};

static EVP_MAC_CTX *make_context(const unsigned char *bytes, size_t n)
{
        OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                               OSSL_PARAM_construct_end()};
        EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;

        EVP_MAC_free(mac); /* the context keeps it */
        if (context && !EVP_MAC_init(context, bytes, n, params)) {
                EVP_MAC_CTX_free(context);
                return NULL;
        }
        return context;
}

int bridge_signing_key_new(const char *secret, bridge_signing_key **ret_key)
{
        unsigned char bytes[BRIDGE_SIGNING_KEY_BYTES_MAX];
        cel_auto(bridge_signing_key) *key = calloc(1, sizeof(*key));

        if (!key)
                return CEL_ENOMEM;
        if (strncmp(secret, "whsec_", 6) != 0)
                return CEL_EINVAL;
        int n = bridge_base64_decode(secret + 6, strlen(secret + 6), bytes, sizeof(bytes));

        if (n >= BRIDGE_SIGNING_KEY_BYTES_MIN)
                key->ready = make_context(bytes, (size_t)n);
        OPENSSL_cleanse(bytes, sizeof(bytes));
        if (n < BRIDGE_SIGNING_KEY_BYTES_MIN)
                return CEL_EINVAL;
        if (!key->ready)
                return CEL_ENOMEM;
        *ret_key = CEL_TAKE(key);
        return 0;
}

bridge_signing_key *bridge_signing_key_free(bridge_signing_key *key)
{
        if (!key)
                return NULL;
        EVP_MAC_CTX_free(key->ready); /* wipes it */
        free(key);
        return NULL;
}

void bridge_webhook_id(const char *id, char ret_id[BRIDGE_WEBHOOK_ID_BYTES])
{
        unsigned char digest[EVP_MAX_MD_SIZE] = {0};

        if (!strchr(id, '.')) {
                snprintf(ret_id, BRIDGE_WEBHOOK_ID_BYTES, "%s", id);
                return;
        }
        EVP_Digest(id, strlen(id), digest, NULL, EVP_sha256(), NULL);
        for (size_t i = 0; i < 16; i++)
                snprintf(ret_id + 2 * i, 3, "%02x", digest[i]);
}

static int sign_with(const bridge_signing_key *key, const char *head, const void *body, size_t body_bytes,
                     unsigned char ret_mac[SHA256_BYTES])
{
        EVP_MAC_CTX *context = EVP_MAC_CTX_dup(key->ready);
        size_t n = 0;
        bool ok = context && EVP_MAC_update(context, (const unsigned char *)head, strlen(head)) &&
                  (body_bytes == 0 || EVP_MAC_update(context, body, body_bytes)) &&
                  EVP_MAC_final(context, ret_mac, &n, SHA256_BYTES) && n == SHA256_BYTES;

        EVP_MAC_CTX_free(context);
        return ok ? 0 : CEL_ENOMEM; /* it cannot fail otherwise */
}

int bridge_sign(bridge_signing_key *const *keys, size_t keys_n, const char *id, int64_t seconds,
                const void *body, size_t body_bytes, bridge_text *out)
{
        char head[BRIDGE_WEBHOOK_ID_BYTES + 32];
        unsigned char mac[SHA256_BYTES];

        snprintf(head, sizeof(head), "%s.%" PRId64 ".", id, seconds);
        for (size_t i = 0; i < keys_n; i++) {
                int r = sign_with(keys[i], head, body, body_bytes, mac);

                if (r < 0)
                        return r;
                bridge_text_puts(out, i > 0 ? " v1," : "v1,");
                bridge_text_put_base64(out, mac, sizeof(mac));
        }
        return out->error;
}
