/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/remote.h"
#include "wire/failure.h"

#include <stdlib.h>
#include <string.h>

#define BUILTINS "builtins"

typedef struct remote {
        cel__error_detail detail;
        cel_remote_error error;
        json_t *json; /* owned; what `error` points to is in it */
} remote;

static void remote_free(cel__error_detail *detail)
{
        remote *r = cel__container(detail, remote, detail);

        json_decref(r->json);
        free(r);
}

int remote_read(const char *text, size_t n, cel__error_detail **ret_detail, char *why, size_t why_bytes)
{
        remote *made = calloc(1, sizeof(*made));

        if (!made)
                return CEL_ENOMEM;
        int r = cel__failure_decode(text, n, &made->error, &made->json, why, why_bytes);
        if (r < 0) {
                free(made);
                return r;
        }
        if (strcmp(made->error.module, "exceptions") == 0) /* as Python 2 calls them */
                made->error.module = BUILTINS;
        made->detail.refs = 1;
        made->detail.free = remote_free;
        *ret_detail = &made->detail;
        return 0;
}

/* oslo-wire section 10.2: names are compared whole. */
static bool is_allowed(const char *module, const char *const *allowed_modules)
{
        if (strcmp(module, BUILTINS) == 0)
                return true;
        for (const char *const *m = allowed_modules; m && *m; m++)
                if (strcmp(module, *m) == 0)
                        return true;
        return false;
}

int remote_fail(cel_ctx *ctx, cel__error_detail *detail, const char *const *allowed_modules)
{
        remote *r = cel__container(detail, remote, detail);

        r->error.allowed = is_allowed(r->error.module, allowed_modules);
        cel_fail(ctx, CEL_EREMOTE, "%s: %s", r->error.class_name, r->error.message);
        cel__ctx_set_error_detail(ctx, CEL_EREMOTE, detail);
        return CEL_EREMOTE;
}

const cel_remote_error *cel_remote_error_of(const cel_ctx *ctx)
{
        cel__error_detail *detail = cel__ctx_error_detail(ctx, CEL_EREMOTE);

        return detail ? &cel__container(detail, remote, detail)->error : NULL;
}
