/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/mask.h"
#include "test.h"
#include "wire/json_text.h"

#include <stdlib.h>
#include <string.h>

static void check_masked(const char *text, const char *expected)
{
        json_t *json = json_loads(text, JSON_DECODE_ANY, NULL), *masked;

        CHECK(json != NULL);
        CHECK_INT(cel__mask_secrets(json, &masked), 0);
        char *printed = json_dumps(masked, JSON_ENCODE_ANY | JSON_COMPACT);
        CHECK_STR(printed, expected);
        free(printed);
        json_decref(masked);
        json_decref(json);
}

TEST(what_looks_like_a_secret_is_masked_wherever_it_is)
{
        check_masked("{\"a\":1,\"adminPass\":\"x\"}", "{\"a\":1,\"adminPass\":\"***\"}");
        check_masked("{\"original_PASSWORD_2\":5}", "{\"original_PASSWORD_2\":\"***\"}");
        check_masked("{\"tokens\":[\"x\"]}", "{\"tokens\":\"***\"}");
        check_masked("{\"secret\":{\"a\":1,\"auth_token\":\"x\"}}",
                     "{\"secret\":{\"a\":1,\"auth_token\":\"***\"}}");
        check_masked("[{\"sslkey\":null}]", "[{\"sslkey\":\"***\"}]");
        check_masked("{\"line\":\"mysql --password x\",\"b\":\"c\"}", "{\"line\":\"***\",\"b\":\"c\"}");
        check_masked("[1.5,true,null,\"x\"]", "[1.5,true,null,\"x\"]");
}

TEST(what_is_nested_too_deep_is_refused)
{
        json_t *json = json_array(), *masked;

        for (int i = 0; i < CEL__JSON_DEPTH_MAX; i++) {
                if (i == CEL__JSON_DEPTH_MAX - 1) {
                        CHECK_INT(cel__mask_secrets(json, &masked), 0);
                        json_decref(masked);
                }
                json = json_pack("[o]", json);
        }
        CHECK_INT(cel__mask_secrets(json, &masked), CEL_EINVAL);
        json_decref(json);
}
