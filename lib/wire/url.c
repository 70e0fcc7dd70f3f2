/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. The text is cut at its separators first and each piece decoded once, so no decoded byte can
 * act as a separator. A "%" without two hexadecimal digits stands for itself, as in Python. Where the two
 * versions of oslo.messaging that we know disagree:
 *
 *  - "host:" has no port, as in 14.0.3. HEAD raises a ValueError for what templates make of an empty port.
 *  - "fd00::1" is an IPv6 address without a port, as in HEAD.
 *
 * Secrets. A password that should have been percent-encoded ends up in the wrong piece (behind a comma, it
 * leaves "user:start" to be read as host and port), so a piece is only quoted in an error when no "@" follows
 * anywhere in the text. */
#include "wire/url.h"
#include "base/assert.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A piece of the text. */
typedef struct url_piece {
        const char *at;
        size_t n;
} url_piece;

typedef struct url_parser {
        cel__url *url;
        const char *text_end;
        char *error;
        size_t error_bytes;
} url_parser;

static int CEL_PRINTF(3, 4) refuse(const url_parser *parser, int code, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(parser->error, parser->error_bytes, format, arguments);
        va_end(arguments);
        return code;
}

/* Cut `from` at the first of the bytes in `separators`: the piece before it stays, what begins with it is
 * returned. */
static url_piece cut_before(url_piece *from, const char *separators)
{
        url_piece rest = {from->at + from->n, 0};

        for (size_t i = 0; i < from->n; i++)
                if (strchr(separators, from->at[i])) {
                        rest = (url_piece){from->at + i, from->n - i};
                        from->n = i;
                        break;
                }
        return rest;
}

/* Cut at one separator, which belongs to neither side. False: it is not in there. */
static bool cut_at(url_piece *from, char separator, url_piece *ret_rest)
{
        char *found = memchr(from->at, separator, from->n);

        if (!found)
                return false;
        *ret_rest = (url_piece){found + 1, from->n - (size_t)(found - from->at) - 1};
        from->n = (size_t)(found - from->at);
        return true;
}

static int hex_digit(char c)
{
        return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* Room for `n` bytes and a zero. The block was made large enough for any text: see text_room(). */
static char *take_room(cel__url *url, size_t n)
{
        char *room = url->text + url->text_used;

        cel_assert(n < url->text_bytes - url->text_used);
        url->text_used += n + 1;
        room[n] = '\0';
        return room;
}

/* Percent-decode a piece into the URL's block. NULL: there is a zero byte in it. */
static const char *decode(const url_parser *parser, url_piece piece, bool plus_is_space)
{
        char *to = take_room(parser->url, piece.n);
        const char *start = to;

        for (size_t i = 0; i < piece.n; i++) {
                int c = (unsigned char)piece.at[i];

                if (c == '%' && piece.n - i > 2 && hex_digit(piece.at[i + 1]) >= 0 &&
                    hex_digit(piece.at[i + 2]) >= 0) {
                        c = hex_digit(piece.at[i + 1]) * 16 + hex_digit(piece.at[i + 2]);
                        i += 2;
                } else if (c == '+' && plus_is_space) {
                        c = ' ';
                }
                if (c == '\0')
                        return NULL;
                *to++ = (char)c;
        }
        *to = '\0';
        return start;
}

static int refuse_zero(const url_parser *parser, const char *where)
{
        return refuse(parser, CEL_EINVAL, "the %s contains a zero byte (%%00)", where);
}

/* Quoting what stands before `end` can only give a secret away if credentials end behind it. */
static bool may_quote(const url_parser *parser, const char *end)
{
        return !memchr(end, '@', (size_t)(parser->text_end - end));
}

static int parse_port(const url_parser *parser, url_piece port, cel__url_host *host)
{
        unsigned value = 0;
        bool valid = port.n <= 5;

        for (size_t i = 0; valid && i < port.n; i++) {
                valid = isdigit((unsigned char)port.at[i]);
                value = value * 10 + (unsigned)(port.at[i] - '0');
        }
        if (port.n == 0)
                return 0;
        if (valid && value >= 1 && value <= UINT16_MAX) {
                host->port = (uint16_t)value;
                return 0;
        }
        if (isdigit((unsigned char)port.at[0]) && may_quote(parser, port.at + port.n))
                return refuse(parser, CEL_EINVAL, "port \"%.*s\" is not a number from 1 to 65535",
                              (int)port.n, port.at);
        return refuse(parser, CEL_EINVAL,
                      "host %zu: the port is not a number from 1 to 65535; if this is part of a password, "
                      "write its special characters as %%XX",
                      parser->url->hosts_n + 1);
}

/* An address with an optional zone: fe80::1%eth0. */
static bool is_ipv6(url_piece piece)
{
        char text[INET6_ADDRSTRLEN];
        struct in6_addr address;

        cut_before(&piece, "%");
        if (piece.n >= sizeof(text))
                return false;
        memcpy(text, piece.at, piece.n);
        text[piece.n] = '\0';
        return inet_pton(AF_INET6, text, &address) == 1;
}

static int parse_address(const url_parser *parser, url_piece address, cel__url_host *host)
{
        size_t number = parser->url->hosts_n + 1;
        url_piece port = {address.at + address.n, 0};
        url_piece name = address;

        if (address.n > 0 && address.at[0] == '[') {
                name = (url_piece){address.at + 1, address.n - 1};
                if (!cut_at(&name, ']', &port) || !is_ipv6(name))
                        return refuse(parser, CEL_EINVAL, "host %zu: there is no IPv6 address in brackets",
                                      number);
                if (port.n > 0 && port.at[0] != ':')
                        return refuse(parser, CEL_EINVAL,
                                      "host %zu: \"]\" is followed by something else than a port", number);
                if (port.n > 0)
                        port = (url_piece){port.at + 1, port.n - 1};
        } else if (cut_at(&name, ':', &port) && memchr(port.at, ':', port.n)) {
                if (!is_ipv6(address))
                        return refuse(parser, CEL_EINVAL, "host %zu: two colons, but not an IPv6 address",
                                      number);
                name = address;
                port = (url_piece){address.at + address.n, 0};
        }
        if (memchr(name.at, '[', name.n) || memchr(name.at, ']', name.n) || memchr(name.at, ' ', name.n))
                return refuse(parser, CEL_EINVAL, "host %zu: its name contains a bracket or a space", number);

        if (name.n == 0 && !host->user)
                return refuse(parser, CEL_EINVAL, "host %zu has no name", number);

        char *copy = take_room(parser->url, name.n);

        memcpy(copy, name.at, name.n);
        host->name = copy;
        return parse_port(parser, port, host);
}

/* [user[:password]@]address */
static int parse_host(const url_parser *parser, url_piece item)
{
        cel__url_host host = {0};
        const char *at = memrchr(item.at, '@', item.n);
        const char *item_end = item.at + item.n;
        int r;

        if (parser->url->hosts_n == CEL__URL_HOSTS_MAX)
                return refuse(parser, CEL_ETOOBIG, "more than %d hosts", CEL__URL_HOSTS_MAX);
        if (at) {
                url_piece user = {item.at, (size_t)(at - item.at)}, password;
                bool has_password = cut_at(&user, ':', &password);

                host.user = decode(parser, user, false);
                if (!host.user)
                        return refuse_zero(parser, "user name");
                host.password = has_password ? decode(parser, password, false) : NULL;
                if (has_password && !host.password)
                        return refuse_zero(parser, "password");
                item = (url_piece){at + 1, (size_t)(item_end - at) - 1};
        }
        r = parse_address(parser, item, &host);
        if (r < 0)
                return r;
        parser->url->hosts[parser->url->hosts_n++] = host;
        return 0;
}

static int parse_hosts(const url_parser *parser, url_piece hosts)
{
        bool more = true;

        while (more) {
                url_piece item = hosts;

                more = cut_at(&item, ',', &hosts);
                if (item.n > 0) { /* empty items are skipped */
                        int r = parse_host(parser, item);

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* Put the values of the pairs named like `pairs[first]` together, and mark them as done by a NULL name. */
static void join_values(cel__url *url, cel__url_pair *pairs, size_t pairs_n, size_t first)
{
        const char *name = pairs[first].name;
        size_t n = 0;

        for (size_t i = first; i < pairs_n; i++)
                if (pairs[i].name && strcmp(pairs[i].name, name) == 0)
                        n += strlen(pairs[i].value) + 1;

        char *value = take_room(url, n - 1);

        url->query[url->query_n++] = (cel__url_pair){name, value};
        for (size_t i = first; i < pairs_n; i++) {
                if (!pairs[i].name || strcmp(pairs[i].name, name) != 0)
                        continue;
                if (i > first)
                        *value++ = ',';
                value = stpcpy(value, pairs[i].value);
                pairs[i].name = NULL;
        }
}

static int parse_query(const url_parser *parser, url_piece query)
{
        cel__url_pair pairs[CEL__URL_QUERY_MAX];
        size_t pairs_n = 0;
        bool more = true;

        while (more) {
                url_piece name = query, value;

                more = cut_at(&name, '&', &query);
                if (!cut_at(&name, '=', &value) || value.n == 0) /* blank values are dropped */
                        continue;
                if (pairs_n == CEL__URL_QUERY_MAX)
                        return refuse(parser, CEL_ETOOBIG, "more than %d options", CEL__URL_QUERY_MAX);
                pairs[pairs_n] = (cel__url_pair){decode(parser, name, true), decode(parser, value, true)};
                if (!pairs[pairs_n].name || !pairs[pairs_n].value)
                        return refuse_zero(parser, "query");
                pairs_n++;
        }
        for (size_t i = 0; i < pairs_n; i++)
                if (pairs[i].name)
                        join_values(parser->url, pairs, pairs_n, i);
        return 0;
}

/* A letter, then letters, digits, "+", "-", "."; kept in lower case. */
static int parse_scheme(const url_parser *parser, url_piece *text)
{
        url_piece scheme = *text;
        char *to;

        if (!cut_at(&scheme, ':', text) || scheme.n == 0)
                return refuse(parser, CEL_EINVAL, "no scheme, such as \"rabbit://\", at the beginning");
        to = take_room(parser->url, scheme.n);
        parser->url->scheme = to;
        for (size_t i = 0; i < scheme.n; i++) {
                char c = scheme.at[i];
                bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

                if (!is_letter && (i == 0 || !memchr("0123456789+-.", c, 13)))
                        return refuse(parser, CEL_EINVAL,
                                      "no scheme, such as \"rabbit://\", at the beginning: byte %zu cannot "
                                      "be in one",
                                      i + 1);
                *to++ = (char)(is_letter ? c | 0x20 : c);
        }
        return 0;
}

/* "user:12/3@host" would be valid with another meaning: host "user", port 12. An "@" in the path is only
 * taken for what it is when it cannot be that. */
static bool password_is_cut(const url_parser *parser, url_piece hosts, url_piece path)
{
        url_piece rest;

        while (cut_at(&hosts, ',', &rest)) /* the last one is what counts */
                hosts = rest;
        if (!memchr(hosts.at, ':', hosts.n) || memchr(hosts.at, '@', hosts.n))
                return false;
        if (path.n > 0 && path.at[0] == '/')
                return memchr(path.at, '@', path.n);
        return !may_quote(parser, hosts.at + hosts.n);
}

static int parse_all(const url_parser *parser, url_piece text)
{
        cel__url *url = parser->url;
        url_piece path, query, hosts = {0};
        int r = parse_scheme(parser, &text);

        if (r < 0)
                return r;
        cut_before(&text, "#"); /* a fragment means nothing here */
        path = text;
        if (text.n >= 2 && memcmp(text.at, "//", 2) == 0) {
                hosts = (url_piece){text.at + 2, text.n - 2};
                path = cut_before(&hosts, "/?");
        }
        query = cut_before(&path, "?");
        if (hosts.n > 0 && password_is_cut(parser, hosts, path))
                return refuse(
                        parser, CEL_EINVAL,
                        "an \"@\" follows the hosts: write the special characters of a password as %%XX");
        r = hosts.n > 0 ? parse_hosts(parser, hosts) : 0;
        if (r < 0)
                return r;
        if (path.n > 0 && path.at[0] != '/')
                return refuse(parser, CEL_EINVAL, "the scheme is not followed by \"//\"");
        if (path.n > 0) {
                url->virtual_host = decode(parser, (url_piece){path.at + 1, path.n - 1}, false);
                if (!url->virtual_host)
                        return refuse_zero(parser, "virtual host");
        }
        return query.n > 0 ? parse_query(parser, (url_piece){query.at + 1, query.n - 1}) : 0;
}

/* Decoding never makes anything longer. Each byte of the text ends up at most twice in the block (options are
 * joined from decoded pieces), each with the zeros behind the pieces, of which there is one for each
 * separator, and a few to spare. */
static size_t text_room(size_t n)
{
        return 4 * n + 16;
}

int cel__url_parse(const char *text, cel__url **ret_url, char *error, size_t error_bytes)
{
        size_t n = strnlen(text, CEL__URL_BYTES_MAX + 1);
        url_parser parser = {.text_end = text + n, .error = error, .error_bytes = error_bytes};
        cel_auto(cel__url) *url = NULL;
        int r;

        if (n > CEL__URL_BYTES_MAX)
                return refuse(&parser, CEL_ETOOBIG, "longer than %d bytes", CEL__URL_BYTES_MAX);
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
                        return refuse(&parser, CEL_EINVAL,
                                      "byte %zu is a control character (0x%02x): write it as %%%02X", i + 1,
                                      (unsigned char)text[i], (unsigned char)text[i]);

        url = calloc(1, sizeof(*url) + text_room(n));
        if (!url)
                return refuse(&parser, CEL_ENOMEM, "out of memory");
        url->text_bytes = text_room(n);
        atomic_init(&url->refs, 1);
        parser.url = url;
        r = parse_all(&parser, (url_piece){text, n});
        if (r < 0)
                return r;
        *ret_url = CEL_TAKE(url);
        return 0;
}

cel__url *cel__url_ref(cel__url *url)
{
        atomic_fetch_add_explicit(&url->refs, 1, memory_order_relaxed);
        return url;
}

cel__url *cel__url_free(cel__url *url)
{
        if (!url || atomic_fetch_sub(&url->refs, 1) > 1)
                return NULL;
        explicit_bzero(url->text, url->text_bytes);
        free(url);
        return NULL;
}

/* Prints into what room is left, and counts on. */
typedef struct url_printer {
        char *at;
        size_t left;
} url_printer;

static void print_byte(url_printer *printer, char c)
{
        if (printer->left > 1) {
                *printer->at++ = c;
                *printer->at = '\0';
                printer->left--;
        }
}

static void print_plain(url_printer *printer, const char *text)
{
        while (*text)
                print_byte(printer, *text++);
}

/* What is not in `safe`, and neither letter nor digit nor one of "_.-~", becomes %XX. */
static void print_quoted(url_printer *printer, const char *text, const char *safe)
{
        for (; *text; text++) {
                unsigned char c = (unsigned char)*text;

                if (c < 0x80 && (isalnum(c) || strchr("_.-~", c) || strchr(safe, c))) {
                        print_byte(printer, (char)c);
                } else {
                        print_byte(printer, '%');
                        print_byte(printer, "0123456789ABCDEF"[c >> 4]);
                        print_byte(printer, "0123456789ABCDEF"[c & 0xf]);
                }
        }
}

static void print_host(url_printer *printer, const cel__url_host *host)
{
        bool has_brackets = strchr(host->name, ':');
        char port[sizeof(":65535")];

        if (host->user) {
                print_quoted(printer, host->user, "");
                print_plain(printer, host->password ? ":***@" : "@");
        }
        print_plain(printer, has_brackets ? "[" : "");
        print_plain(printer, host->name);
        print_plain(printer, has_brackets ? "]" : "");
        if (host->port != 0) {
                snprintf(port, sizeof(port), ":%u", host->port);
                print_plain(printer, port);
        }
}

void cel__url_redacted(const cel__url *url, char *out, size_t out_bytes)
{
        url_printer printer = {out, out_bytes};

        if (out_bytes > 0)
                *out = '\0';
        print_plain(&printer, url->scheme);
        print_plain(&printer, "://");
        for (size_t i = 0; i < url->hosts_n; i++) {
                print_plain(&printer, i > 0 ? "," : "");
                print_host(&printer, &url->hosts[i]);
        }
        print_plain(&printer, "/");
        print_quoted(&printer, url->virtual_host ? url->virtual_host : "", "/");
        for (size_t i = 0; i < url->query_n; i++) {
                print_plain(&printer, i > 0 ? "&" : "?");
                print_quoted(&printer, url->query[i].name, "");
                print_plain(&printer, "=");
                if (strcasestr(url->query[i].name, "password"))
                        print_plain(&printer, "***");
                else
                        print_quoted(&printer, url->query[i].value, ",/:");
        }
}
