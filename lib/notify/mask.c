/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/mask.h"
#include "wire/json_text.h"

#include <celadon/error.h>
#include <string.h>

static bool names_secret(const char *text)
{
        static const char *const words[] = {"adminpass",
                                            "admin_pass",
                                            "password",
                                            "auth_token",
                                            "new_pass",
                                            "secret",
                                            "sys_pswd",
                                            "token",
                                            "configdrive",
                                            "encrypted_key",
                                            "private_key",
                                            "fernetkey",
                                            "sslkey",
                                            "passphrase",
                                            "cephclusterfsid",
                                            "octaviaheartbeatkey",
                                            "rabbitcookie",
                                            "cephmanilaclientkey",
                                            "pacemakerremoteauthkey",
                                            "designaterndckey",
                                            "cephadminkey",
                                            "heatauthencryptionkey",
                                            "cephclientkey",
                                            "keystonecredential",
                                            "barbicansimplecryptokek",
                                            "cephrgwkey",
                                            "swifthashsuffix",
                                            "migrationsshkey",
                                            "cephmdskey",
                                            "cephmonkey"};

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcasestr(text, words[i]))
                        return true;
        return false;
}

static int mask(const json_t *json, unsigned depth, json_t **ret_masked);

static int mask_array(const json_t *array, unsigned depth, json_t *masked)
{
        int r = 0;

        for (size_t i = 0; i < json_array_size(array) && r >= 0; i++) {
                json_t *item;

                r = mask(json_array_get(array, i), depth, &item);
                if (r >= 0 && json_array_append_new(masked, item) < 0)
                        r = CEL_ENOMEM;
        }
        return r;
}

static int mask_object(json_t *object, unsigned depth, json_t *masked)
{
        int r = 0;

        for (void *at = json_object_iter(object); at && r >= 0; at = json_object_iter_next(object, at)) {
                const char *name = json_object_iter_key(at);
                const json_t *value = json_object_iter_value(at);
                json_t *member = NULL;

                if (names_secret(name) && !json_is_object(value))
                        member = json_string("***");
                else
                        r = mask(value, depth, &member);
                if (r >= 0 && json_object_set_new_nocheck(masked, name, member) < 0)
                        r = CEL_ENOMEM;
        }
        return r;
}

/* `depth` values are around this one. */
static int mask(const json_t *json, unsigned depth, json_t **ret_masked)
{
        bool is_object = json_is_object(json), is_array = json_is_array(json);
        json_t *masked;
        int r = 0;

        if ((is_object || is_array) && depth == CEL__JSON_DEPTH_MAX)
                return CEL_EINVAL;
        if (is_object || is_array)
                masked = is_object ? json_object() : json_array();
        else if (json_is_string(json) && names_secret(json_string_value(json)))
                masked = json_string("***");
        else
                masked = json ? json_incref((json_t *)(uintptr_t)json) : json_null();
        if (!masked)
                return CEL_ENOMEM;
        if (is_object)
                r = mask_object((json_t *)(uintptr_t)json, depth + 1, masked);
        else if (is_array)
                r = mask_array(json, depth + 1, masked);
        if (r < 0) {
                json_decref(masked);
                return r;
        }
        *ret_masked = masked;
        return 0;
}

int cel__mask_secrets(const json_t *json, json_t **ret_masked)
{
        return mask(json, 0, ret_masked);
}

const char *cel__mask_text(const char *text)
{
        return text && names_secret(text) && strpbrk(text, "=:<\"' \t\r\n") ? "***" : text;
}
