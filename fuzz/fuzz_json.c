/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON: the parser for what is simple makes of it what jansson makes of it, member by member. */
#include "fuzz.h"
#include "wire/json_simple.h"
#include "wire/json_text.h"

#include <stdlib.h>
#include <string.h>

static void check_same(const json_t *simple, const json_t *whole)
{
        char *a = json_dumps(simple, 0), *b = json_dumps(whole, 0); /* in the order of the members */

        MUST(a && b && strcmp(a, b) == 0);
        free(a);
        free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *text = (const char *)data;
        json_t *simple = cel__json_read_simple(text, n), *whole, *read;
        char why[300] = "";

        if (simple) {
                whole = json_loadb(text, n, JSON_ALLOW_NUL, NULL);
                MUST(whole && json_equal(simple, whole));
                check_same(simple, whole);
                json_decref(whole);
        }
        int r = cel__json_read(text, n, "it", &read, why, sizeof(why));
        MUST(r < 0 ? !simple && *why : read != NULL);
        if (r >= 0)
                json_decref(read);
        json_decref(simple);
        return 0;
}
