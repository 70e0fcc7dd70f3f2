/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/members.h"
#include "wire/explain.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What stands before the member's value. */
static int begin_member(cel__buf *out, const char *name)
{
        bool first = cel__buf_used(out) == 0;
        int r = first ? cel__buf_append(out, "{", 1) : cel__buf_append(out, ", ", 2);

        if (r >= 0)
                r = cel__json_write_string(name, strlen(name), out);
        return r < 0 ? r : cel__buf_append(out, ": ", 2);
}

int cel__put_member(cel__buf *out, const char *name, const json_t *value)
{
        int r = begin_member(out, name);

        return r < 0 ? r : cel__json_write(value, out);
}

int cel__put_member_string(cel__buf *out, const char *name, const char *value)
{
        int r = begin_member(out, name);

        if (r < 0)
                return r;
        return value ? cel__json_write_string(value, strlen(value), out) : cel__buf_append(out, "null", 4);
}

int cel__put_member_text(cel__buf *out, const char *name, const char *text, size_t n)
{
        int r = begin_member(out, name);

        return r < 0 ? r : cel__buf_append(out, text, n);
}

int cel__put_context(cel__buf *out, const json_t *context)
{
        json_t *object = (json_t *)(uintptr_t)context; /* jansson's iterators do not know const */
        int r = 0;

        for (void *at = json_object_iter(object); at && r >= 0; at = json_object_iter_next(object, at)) {
                char name[512];
                const char *key = json_object_iter_key(at);

                if (snprintf(name, sizeof(name), CEL__CONTEXT_PREFIX "%s", key) >= (int)sizeof(name))
                        return CEL_EINVAL;
                r = cel__put_member(out, name, json_object_iter_value(at));
        }
        return r;
}

int cel__get_context(const json_t *message, json_t **ret_context)
{
        static const char prefix[] = CEL__CONTEXT_PREFIX;
        json_t *object = (json_t *)(uintptr_t)message, *context = json_object();

        if (!context)
                return CEL_ENOMEM;
        for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
                const char *key = json_object_iter_key(at);

                if (strncmp(key, prefix, sizeof(prefix) - 1) != 0)
                        continue;
                if (json_object_set_nocheck(context, key + sizeof(prefix) - 1, json_object_iter_value(at)) <
                    0) {
                        json_decref(context);
                        return CEL_ENOMEM;
                }
        }
        *ret_context = context;
        return 0;
}

int cel__put_members_end(cel__buf *out)
{
        return cel__buf_used(out) == 0 ? cel__buf_append(out, "{}", 2) : cel__buf_append(out, "}", 1);
}

int cel__get_strings(const json_t *object, const char *what, const cel__string_member *members, size_t n,
                     char *why, size_t why_bytes)
{
        for (size_t i = 0; i < n; i++) {
                const json_t *value = json_object_get(object, members[i].name);
                bool absent = !value || json_is_null(value);

                if (absent ? members[i].required : !json_is_string(value)) {
                        cel__explain(why, why_bytes, "not %s: its %s is %s", what, members[i].name,
                                     absent ? "missing" : "not a string");
                        return CEL_EDECODE;
                }
                if (!absent)
                        *members[i].value = json_string_value(value);
        }
        return 0;
}
