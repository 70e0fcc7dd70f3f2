/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of a member: inside of the text whatever that is, and the same as jansson's if it is JSON. */
#include "bridge/member.h"
#include "fuzz.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *text = (const char *)data, *member = NULL;
        size_t bytes = 0;
        bool found = bridge_member_find(text, n, "a", &member, &bytes);
        json_t *whole = json_loadb(text, n, JSON_ALLOW_NUL, NULL);

        if (found)
                MUST(member >= text && member + bytes <= text + n);
        if (json_is_object(whole)) {
                json_t *same = found ? json_loadb(member, bytes, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL)
                                     : NULL;

                MUST(found == (json_object_get(whole, "a") != NULL));
                MUST(!found || json_equal(same, json_object_get(whole, "a")));
                json_decref(same);
        }
        json_decref(whole);
        return 0;
}
