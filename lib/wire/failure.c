/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/failure.h"
#include "wire/members.h"

#include <string.h>

/* --- Encoding --------------------------------------------------------------------------------- */

/* How long `text` is without "_Remote" at its end, which it has. */
static size_t without_remote(const char *text)
{
        static const char suffix[] = "_Remote";
        size_t n = strlen(text), suffix_n = sizeof(suffix) - 1;

        return n > suffix_n && strcmp(text + n - suffix_n, suffix) == 0 ? n - suffix_n : n;
}

static int put_name(cel__buf *out, const char *name, const char *text, size_t n)
{
        int r = cel__put_member_text(out, name, "", 0);

        return r < 0 ? r : cel__json_write_string(text, n, out);
}

static int put_args(const cel_remote_error *error, cel__buf *out)
{
        int r;

        if (error->args)
                return cel__put_member(out, "args", error->args);
        r = cel__put_member_text(out, "args", "[", 1);
        if (r >= 0)
                r = cel__json_write_string(error->message, strlen(error->message), out);
        return r < 0 ? r : cel__buf_append(out, "]", 1);
}

int cel__failure_encode(const cel_remote_error *error, cel__buf *out)
{
        size_t class_n = without_remote(error->class_name), module_n = without_remote(error->module);

        if (!error->class_name[class_n] || !error->module[module_n]) { /* only together they mean it */
                class_n = strlen(error->class_name);
                module_n = strlen(error->module);
        }
        int r = put_name(out, "class", error->class_name, class_n);
        if (r >= 0)
                r = put_name(out, "module", error->module, module_n);
        if (r >= 0)
                r = cel__put_member_string(out, "message", error->message);
        if (r >= 0)
                r = error->traceback ? cel__put_member(out, "tb", error->traceback)
                                     : cel__put_member_text(out, "tb", "[]", 2);
        if (r >= 0)
                r = put_args(error, out);
        if (r >= 0)
                r = error->kwargs ? cel__put_member(out, "kwargs", error->kwargs)
                                  : cel__put_member_text(out, "kwargs", "{}", 2);
        return r < 0 ? r : cel__put_members_end(out);
}

/* --- Decoding --------------------------------------------------------------------------------- */

/* A member that is an array or an object; what is something else counts as missing. */
static const json_t *of_type(const json_t *json, const char *name, json_type type)
{
        const json_t *value = json_object_get(json, name);

        return value && json_typeof(value) == type ? value : NULL;
}

int cel__failure_decode(const char *text, size_t n, cel_remote_error *ret_error, json_t **ret_json, char *why,
                        size_t why_bytes)
{
        cel_remote_error error = {.class_name = "", .module = "", .message = ""};
        const cel__string_member strings[] = {{"class", &error.class_name, true},
                                              {"module", &error.module, false},
                                              {"message", &error.message, false}};
        json_t *json;
        int r = cel__json_read_object(text, n, "the failure", &json, why, why_bytes);

        if (r < 0)
                return r;
        r = cel__get_strings(json, "a failure", strings, sizeof(strings) / sizeof(strings[0]), why,
                             why_bytes);
        if (r < 0) {
                json_decref(json);
                return r;
        }
        error.args = of_type(json, "args", JSON_ARRAY);
        error.kwargs = of_type(json, "kwargs", JSON_OBJECT);
        error.traceback = of_type(json, "tb", JSON_ARRAY);
        *ret_error = error;
        *ret_json = json;
        return 0;
}
