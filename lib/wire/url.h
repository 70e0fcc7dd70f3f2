/* SPDX-License-Identifier: Apache-2.0
 *
 * Transport URLs, in oslo.messaging's grammar:
 *
 *     scheme://[user[:password]@]host[:port],…/virtual-host?option=value&…
 *
 * User, password, virtual host and options are percent-decoded, once: any byte but zero can be written that
 * way, a comma or a slash in a password among them. Commas separate hosts; each has its own credentials.
 * Sentences in errors never contain a password. */
#ifndef CEL_WIRE_URL_H
#define CEL_WIRE_URL_H

#include <celadon/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        CEL__URL_BYTES_MAX = 8 * 1024,
        CEL__URL_HOSTS_MAX = 64,
        CEL__URL_QUERY_MAX = 64,
};

typedef struct cel__url_host {
        const char *name;     /* an IPv6 address without its brackets; "": the URL has credentials only */
        uint16_t port;        /* 0: not given */
        const char *user;     /* NULL: not given */
        const char *password; /* NULL: not given */
} cel__url_host;

typedef struct cel__url_pair {
        const char *name;
        const char *value; /* the values of a repeated name, joined by commas */
} cel__url_pair;

/* Everything a URL points to is in the same block of memory. */
typedef struct cel__url {
        const char *scheme;       /* lower case, with its "+suffix" if any */
        const char *virtual_host; /* NULL: no path at all; "": the path was "/" */
        size_t hosts_n;
        size_t query_n;
        cel__url_host hosts[CEL__URL_HOSTS_MAX];
        cel__url_pair query[CEL__URL_QUERY_MAX]; /* in the order of first appearance; without empty values */

        _Atomic unsigned refs; /* for url.c only, as all below */
        size_t text_used;
        size_t text_bytes;
        char text[];
} cel__url;

/* Parse `text`; on failure, `error` is a sentence that says what is wrong.
 * Owns:   *ret_url is yours.
 * Errors: CEL_EINVAL, CEL_ETOOBIG (longer than CEL__URL_BYTES_MAX, too many hosts or options), CEL_ENOMEM. */
int cel__url_parse(const char *text, cel__url **ret_url, char *error, size_t error_bytes);

/* One more owner of the same URL, which never changes: each calls cel__url_free(). */
cel__url *cel__url_ref(cel__url *url);

/* With the last owner, passwords are wiped. */
cel__url *cel__url_free(cel__url *url);

/* Print the URL in normal form, cut to fit, with "***" for passwords and for options named …password…. */
void cel__url_redacted(const cel__url *url, char *out, size_t out_bytes);

/* The value of option `name`, borrowed; NULL if it was not given. */
const char *cel__url_get(const cel__url *url, const char *name);

/* The value of option `name`, converted. Booleans are true, 1, on, yes and false, 0, off, no in any case.
 * Returns 1 when it was given, 0 when not: *value is then unchanged, so put the default there.
 * Errors: CEL_EINVAL, with a sentence in `error`. */
int cel__url_get_bool(const cel__url *url, const char *name, bool *value, char *error, size_t error_bytes);
int cel__url_get_int(const cel__url *url, const char *name, int64_t min, int64_t max, int64_t *value,
                     char *error, size_t error_bytes);
int cel__url_get_seconds(const cel__url *url, const char *name, int64_t max_ms, int64_t *value_ms,
                         char *error, size_t error_bytes); /* such as "1.5" */

/* Is every option of the URL in `known` (NULL-terminated)?
 * Errors: CEL_EINVAL: `error` names the first unknown one and, if there is one, the known name that is most
 *         like it. */
int cel__url_check_options(const cel__url *url, const char *const *known, char *error, size_t error_bytes);

CEL_AUTO_WITH(cel__url, cel__url_free)

#endif
