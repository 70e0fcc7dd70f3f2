/* SPDX-License-Identifier: Apache-2.0
 *
 * How a function fails, and who frees what. */
#include <celadon/celadon.h>
#include <stdio.h>
#include <string.h>

/* Split "name=value".
 * Owns:   both are yours; free() them.
 * Errors: CEL_EINVAL, CEL_ENOMEM. */
static int split(cel_ctx *ctx, const char *text, char **ret_name, char **ret_value)
{
        cel_auto_free char *name = NULL, *value = NULL; /* freed on every way out */
        const char *sign = strchr(text, '=');

        if (!sign)
                return cel_fail(ctx, CEL_EINVAL, "\"%s\" has no equals sign", text);
        name = strndup(text, (size_t)(sign - text));
        value = strdup(sign + 1);
        if (!name || !value)
                return cel_fail(ctx, CEL_ENOMEM, "no memory for \"%s\"", text);

        *ret_name = CEL_TAKE(name); /* success: now they are the caller's */
        *ret_value = CEL_TAKE(value);
        return 0;
}

static int run(cel_ctx *ctx, void *unused)
{
        cel_auto_free char *name = NULL, *value = NULL;

        (void)unused;
        int r = split(ctx, "colour=green", &name, &value);
        if (r >= 0)
                printf("%s is %s\n", name, value);
        r = split(ctx, "nonsense", &name, &value); /* leaves both as they are */
        printf("%s: %s\n", cel_error_name(r), cel_ctx_error_text(ctx, r));
        return r == CEL_EINVAL ? 0 : r;
}

int main(void)
{
        return cel_main(run, NULL);
}
