/* SPDX-License-Identifier: Apache-2.0
 *
 * Transport URLs: refused with a sentence, or printed in a form that means the same. */
#include "fuzz.h"
#include "wire/url.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const cel__url *a, const cel__url *b)
{
        MUST(strcmp(a->scheme, b->scheme) == 0 && a->hosts_n == b->hosts_n && a->query_n == b->query_n);
        MUST(strcmp(a->virtual_host ? a->virtual_host : "", b->virtual_host) == 0);
        for (size_t i = 0; i < a->hosts_n; i++) {
                MUST(strcmp(a->hosts[i].name, b->hosts[i].name) == 0 && a->hosts[i].port == b->hosts[i].port);
                MUST(same_text(a->hosts[i].user, b->hosts[i].user));
                MUST(same_text(a->hosts[i].password ? "***" : NULL, b->hosts[i].password));
        }
        for (size_t i = 0; i < a->query_n; i++) {
                MUST(strcmp(a->query[i].name, b->query[i].name) == 0);
                MUST(strcmp(a->query[i].value, b->query[i].value) == 0 ||
                     strcmp(b->query[i].value, "***") == 0);
        }
}

static void check_options(const cel__url *url)
{
        static const char *const known[] = {"ssl", "heartbeat_rate", NULL};
        char error[200];

        for (size_t i = 0; i < url->query_n; i++) {
                bool truth = false;
                int64_t number = 0;

                *error = '\0';
                MUST(cel__url_get_bool(url, url->query[i].name, &truth, error, sizeof(error)) == 1 || *error);
                *error = '\0';
                if (cel__url_get_int(url, url->query[i].name, -5, 70000, &number, error, sizeof(error)) != 1)
                        MUST(*error);
                MUST(number >= -5 && number <= 70000);
        }
        *error = '\0';
        MUST((cel__url_check_options(url, known, error, sizeof(error)) < 0) == (*error != '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static char printed[CEL__URL_BYTES_MAX * 4];
        cel_auto(cel__url) *again = NULL;
        cel_auto(cel__url) *url = NULL;
        cel_auto_free char *text = strndup((const char *)data, n);
        char error[200] = "";
        int r;

        MUST(text);
        r = cel__url_parse(text, &url, error, sizeof(error));
        MUST(r == 0 ? url && !*error : !url && *error && (r == CEL_EINVAL || r == CEL_ETOOBIG));
        if (r < 0)
                return 0;
        check_options(url);
        cel__url_redacted(url, printed, sizeof(printed));
        if (strlen(printed) > CEL__URL_BYTES_MAX) /* quoting makes it longer */
                return 0;
        MUST(cel__url_parse(printed, &again, error, sizeof(error)) == 0);
        check_same(url, again);
        return 0;
}
