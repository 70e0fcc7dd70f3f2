/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/explain.h"
#include "wire/json_rewrite.h"
#include "wire/json_simple.h"
#include "wire/json_text.h"

static json_t *load(const char *text, size_t n, json_error_t *ret_error)
{
        return json_loadb(text, n, JSON_ALLOW_NUL, ret_error);
}

/* Is any value inside more than CEL__JSON_DEPTH_MAX others? What is no JSON may get either answer. */
static bool nests_too_deep(const char *text, size_t n)
{
        const char *end = text + n;
        unsigned depth = 0;
        bool in_string = false;

        for (; text < end; text++) {
                if (*text == '"')
                        in_string = !in_string;
                else if (in_string)
                        text += *text == '\\'; /* and what it escapes */
                else if (*text == '{' || *text == '[')
                        depth++;
                else if ((*text == '}' || *text == ']') && depth > 0)
                        depth--;
                if (depth > CEL__JSON_DEPTH_MAX)
                        return true;
        }
        return false;
}

/* What is not simple, or not right. */
static int read_with_jansson(const char *text, size_t n, const char *what, json_t **ret_json, char *why,
                             size_t why_bytes)
{
        json_error_t error;

        if (nests_too_deep(text, n)) {
                cel__explain(why, why_bytes, "%s is nested deeper than %d levels", what, CEL__JSON_DEPTH_MAX);
                return CEL_EDECODE;
        }
        json_t *json = load(text, n, &error);
        if (!json) {
                cel_auto_free char *copy = NULL;
                size_t copy_bytes;
                int r = cel__json_rewrite(text, n, &copy, &copy_bytes);

                if (r < 0)
                        return r;
                if (r > 0)
                        json = load(copy, copy_bytes, &error);
        }
        if (!json) {
                if (json_error_code(&error) == json_error_out_of_memory)
                        return CEL_ENOMEM;
                cel__explain(why, why_bytes, "%s is not JSON: line %d, column %d: %s", what, error.line,
                             error.column, error.text);
                return CEL_EDECODE;
        }
        *ret_json = json;
        return 0;
}

int cel__json_read(const char *text, size_t n, const char *what, json_t **ret_json, char *why,
                   size_t why_bytes)
{
        json_t *json = cel__json_read_simple(text, n);

        if (!json)
                return read_with_jansson(text, n, what, ret_json, why, why_bytes);
        *ret_json = json;
        return 0;
}

int cel__json_read_object(const char *text, size_t n, const char *what, json_t **ret_json, char *why,
                          size_t why_bytes)
{
        json_t *json;
        int r = cel__json_read(text, n, what, &json, why, why_bytes);

        if (r < 0)
                return r;
        if (!json_is_object(json)) {
                cel__explain(why, why_bytes, "%s is JSON, but not an object", what);
                json_decref(json);
                return CEL_EDECODE;
        }
        *ret_json = json;
        return 0;
}
