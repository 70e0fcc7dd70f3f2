/* SPDX-License-Identifier: Apache-2.0
 *
 * Conditions: refused with a reason and a place, or asked of an event with all kinds of values, which must neither take
 * long nor fail. */
#include "bridge/condition.h"
#include "fuzz.h"

#include <celadon/error.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel_auto_free char *text = strndup((const char *)data, n);
        char why[BRIDGE_CONDITION_WHY_BYTES] = "";
        cel_auto(bridge_condition) *c = NULL;
        size_t offset = SIZE_MAX;
        static char value[BRIDGE_REGEX_VALUE_BYTES_MAX + 1];

        MUST(text);
        int r = bridge_condition_parse(text, &offset, why, &c);

        MUST(r == 0 ? c && !*why : r == CEL_EINVAL && !c && *why && offset <= strlen(text));
        if (r < 0)
                return 0;
        memset(value, 'a', sizeof(value) - 1);
        for (unsigned i = 0; i < 3; i++) {
                const char *values[] = {"", "12.5", value};
                json_t *message = json_pack("{s:s, s:i, s:s%, s:[]}", "a", values[i], "b", 42, "c", "x\0y",
                                            (size_t)3, "d");
                cel_message raw = {.exchange = values[i], .routing_key = "a.b", .queue = "q"};
                cel_notification event = {.message_id = "id",
                                          .event_type = values[i],
                                          .priority = "INFO",
                                          .message = message,
                                          .raw = &raw};

                MUST(message);
                r = bridge_condition_holds(c, &(bridge_event){.notification = &event, .route = "r"});
                MUST(r == 0 || r == 1);
                json_decref(message);
        }
        return 0;
}
