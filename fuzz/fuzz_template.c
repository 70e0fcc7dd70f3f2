/* SPDX-License-Identifier: Apache-2.0
 *
 * Templates: refused with a reason and a place, or filled in from an event whose values are as bad as values can be. What
 * comes out of a URL has the delimiters of its literals and no others; a header has no control character. */
#include "bridge/template.h"
#include "fuzz.h"

#include <celadon/error.h>
#include <string.h>

static const char document[] = "{\"a\": \"../../x\", \"b\": \"\\r\\nX: y\", \"c\": \"?#&/=%2e%2e%2f\", "
                               "\"d\": [{\"e\": \"\\u0000\"}, 1, 1.5, null], "
                               "\"f\": \"\", \"g\": \"..\", \"h\": \".\", \"\": {\"\": true}, \"i\": "
                               "\"\\\\..\\\\\", \"j\": \"plain\"}";

static size_t count(const char *text, const char *which)
{
        size_t n = 0;

        for (; *text; text++)
                n += strchr(which, *text) != NULL;
        return n;
}

/* Is a part of the path, as it came or decoded, `.` or `..`? */
static bool has_dots(const char *url)
{
        char path[BRIDGE_TEMPLATE_BYTES_MAX + 3] = "/";
        size_t n = 1;

        for (url += strcspn(url, "/?#"); *url && *url != '?' && *url != '#'; url++) {
                unsigned byte = (unsigned char)*url;

                if (*url == '%' && strspn(url + 1, "0123456789abcdefABCDEF") >= 2) {
                        sscanf(url + 1, "%2x", &byte);
                        url += 2;
                }
                path[n++] = byte == '\\' ? '/' : (char)byte;
        }
        strcpy(path + n, "/");
        return strstr(path, "/./") || strstr(path, "/../");
}

static void check_rendered(const bridge_template *t, bridge_template_kind kind, const bridge_text *out)
{
        bridge_text skeleton = {.bytes_max = SIZE_MAX / 2};

        bridge_template_skeleton(t, &skeleton);
        MUST(skeleton.error == 0 && out->n <= BRIDGE_TEMPLATE_BYTES_MAX);
        if (kind == BRIDGE_TEMPLATE_URL) {
                MUST(count(out->bytes, "/?#&=;\\ \"") == count(skeleton.bytes, "/?#&=;\\ \""));
                MUST(bridge_has_control(out->bytes, out->n) ==
                     bridge_has_control(skeleton.bytes, skeleton.n));
                MUST(bridge_template_is_literal(t) || strstr(out->bytes, "://") || !has_dots(out->bytes));
        } else if (kind == BRIDGE_TEMPLATE_TEXT) {
                MUST(bridge_has_control(out->bytes, out->n) ==
                     bridge_has_control(skeleton.bytes, skeleton.n));
        }
        bridge_text_fini(&skeleton);
}

static void check_kind(const char *text, bridge_template_kind kind, const bridge_event *event)
{
        bridge_text out = {.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX};
        char why[BRIDGE_TEMPLATE_WHY_BYTES] = "";
        cel_auto(bridge_template) *t = NULL;
        bridge_template_error error = {0};
        int r = bridge_template_parse(text, kind, &error, &t);

        MUST(r == 0 ? t && !*error.text
                    : r == CEL_EINVAL && !t && *error.text && error.offset <= strlen(text));
        if (r < 0)
                return;
        MUST(bridge_template_first_place(t) <= strlen(text));
        r = bridge_template_render(t, event, &out, why);
        MUST(r == 0 ? !*why : r == CEL_EINVAL && *why);
        if (r == 0)
                check_rendered(t, kind, &out);
        bridge_text_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        cel_auto_free char *text = strndup((const char *)data, n);
        json_t *message = json_loads(document, JSON_ALLOW_NUL, NULL);
        cel_message raw = {.exchange = "nova"};
        cel_notification notification = {
                .message_id = "id", .event_type = "a/b", .message = message, .raw = &raw};
        bridge_event event = {.notification = &notification, .route = "r"};

        MUST(text && message);
        check_kind(text, BRIDGE_TEMPLATE_TEXT, &event);
        check_kind(text, BRIDGE_TEMPLATE_URL, &event);
        check_kind(text, BRIDGE_TEMPLATE_DATA, &event);
        json_decref(message);
        return 0;
}
