/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/pointer.h"

#include <celadon/error.h>
#include <stdlib.h>
#include <string.h>

/* One token, unescaped; `n` bytes up to the next slash. */
static int parse_token(const char *text, size_t n, char **ret_token, const char **ret_why)
{
        char *token = malloc(n + 1);
        size_t bytes = 0;

        if (!token)
                return CEL_ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (text[i] != '~') {
                        token[bytes++] = text[i];
                        continue;
                }
                if (++i == n || (text[i] != '0' && text[i] != '1')) {
                        *ret_why = "has ~ before neither 0 nor 1, write ~0 for ~ and ~1 for /";
                        free(token);
                        return CEL_EINVAL;
                }
                token[bytes++] = text[i] == '0' ? '~' : '/';
        }
        token[bytes] = '\0';
        *ret_token = token;
        return 0;
}

static size_t count_slashes(const char *text, size_t n)
{
        size_t slashes = 0;

        for (size_t i = 0; i < n; i++)
                slashes += text[i] == '/';
        return slashes;
}

int bridge_pointer_parse(const char *text, size_t n, bridge_pointer *ret_pointer, const char **ret_why)
{
        size_t tokens_n = count_slashes(text, n);
        bridge_pointer pointer = {0};
        int r = 0;

        if (n > 0 && *text != '/') {
                *ret_why = "must begin with /, as in /payload/instance_id";
                return CEL_EINVAL;
        }
        if (tokens_n > BRIDGE_POINTER_TOKENS_MAX) {
                *ret_why = "has more than 32 parts";
                return CEL_EINVAL;
        }
        pointer.tokens = calloc(tokens_n + 1, sizeof(*pointer.tokens));
        if (!pointer.tokens)
                return CEL_ENOMEM;
        for (const char *end = text + n; text < end && r >= 0;) {
                const char *token = text + 1, *slash = memchr(token, '/', (size_t)(end - token));

                text = slash ? slash : end;
                r = parse_token(token, (size_t)(text - token), &pointer.tokens[pointer.tokens_n], ret_why);
                pointer.tokens_n += r >= 0;
        }
        if (r < 0) {
                bridge_pointer_fini(&pointer);
                return r;
        }
        *ret_pointer = pointer;
        return 0;
}

void bridge_pointer_fini(bridge_pointer *pointer)
{
        for (size_t i = 0; i < pointer->tokens_n; i++)
                free(pointer->tokens[i]);
        free(pointer->tokens);
        *pointer = (bridge_pointer){0};
}

bool bridge_pointer_index(const char *token, size_t *ret_index)
{
        size_t n = strlen(token), index = 0;

        if (n == 0 || n > 9 || strspn(token, "0123456789") < n || (n > 1 && *token == '0'))
                return false;
        for (; *token; token++)
                index = index * 10 + (size_t)(*token - '0');
        *ret_index = index;
        return true;
}

json_t *bridge_pointer_get(const bridge_pointer *pointer, const json_t *root)
{
        json_t *at = (json_t *)root; /* jansson's getters are like strchr(): const in, not const out */
        size_t index;

        for (size_t i = 0; i < pointer->tokens_n && at; i++) {
                if (json_is_object(at))
                        at = json_object_get(at, pointer->tokens[i]);
                else if (json_is_array(at) && bridge_pointer_index(pointer->tokens[i], &index))
                        at = json_array_get(at, index);
                else
                        at = NULL;
        }
        return at;
}
