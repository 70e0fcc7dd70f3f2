/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. The file is read event by event, each level by a function of its own, so that nothing recurses over how deep
 * it is nested. What oslo.messaging would leave unsaid until a notification is lost is an error here: a driver or a key that
 * there is none of, a text where a list is due, a key that is there twice. */
#include "notify/routing.h"
#include "notify/drivers.h"
#include "notify/glob.h"

#include <celadon/error.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

enum {
        FILE_BYTES_MAX = 1 << 20,
        ROUTES_MAX = 256,
        PATTERNS_MAX = 1024, /* of one list */
        KEYS_MAX = 256,      /* of one mapping */
};

typedef struct patterns {
        bool given; /* else, everything passes */
        unsigned n;
        char **list; /* owned, as its texts are */
} patterns;

/* What one driver gets in one group. */
typedef struct route {
        unsigned driver;
        patterns events, priorities;
} route;

struct cel__routing {
        unsigned routes_n;
        route routes[ROUTES_MAX];
};

typedef struct reader {
        yaml_parser_t parser;
        yaml_event_t event; /* the current one */
        bool has_event;
        cel__routing *routing; /* owned until it is done */
        const char *name;      /* of the file */
        char *why;
        size_t why_bytes;
} reader;

/* --- Events ----------------------------------------------------------------------------------- */

static int fail_at(const reader *r, yaml_mark_t mark, const char *format, ...) CEL_PRINTF(3, 4);

static int fail_at(const reader *r, yaml_mark_t mark, const char *format, ...)
{
        char text[256];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        snprintf(r->why, r->why_bytes, "%s:%zu:%zu: %s", r->name, mark.line + 1, mark.column + 1, text);
        return CEL_EINVAL;
}

/* Go to the next event. */
static int next(reader *r)
{
        if (r->has_event)
                yaml_event_delete(&r->event);
        r->has_event = yaml_parser_parse(&r->parser, &r->event) != 0;
        if (r->has_event)
                return 0;
        if (r->parser.error == YAML_MEMORY_ERROR)
                return CEL_ENOMEM;
        return fail_at(r, r->parser.problem_mark, "this is no YAML: %s",
                       r->parser.problem ? r->parser.problem : "it cannot be read");
}

static int expect(const reader *r, yaml_event_type_t type, const char *what)
{
        if (r->event.type == type)
                return 0;
        if (r->event.type == YAML_ALIAS_EVENT)
                return fail_at(r, r->event.start_mark,
                               "a pattern that begins with * needs quotes, and there are no aliases");
        return fail_at(r, r->event.start_mark, "%s is due here", what);
}

static const char *scalar(const reader *r)
{
        return (const char *)r->event.data.scalar.value;
}

/* Nothing, `~` or null. */
static bool is_null(const reader *r)
{
        return r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
               (!*scalar(r) || strcmp(scalar(r), "~") == 0 || strcmp(scalar(r), "null") == 0);
}

/* --- Mappings --------------------------------------------------------------------------------- */

typedef struct mapping {
        const char *what; /* it is */
        /* Reads the value that is the current event; `key` came at `mark`. */
        int (*read)(reader *r, const char *key, yaml_mark_t mark, void *arg);
        void *arg;
} mapping;

static int remember_key(const reader *r, char **keys, unsigned *n)
{
        for (unsigned i = 0; i < *n; i++)
                if (strcmp(keys[i], scalar(r)) == 0)
                        return fail_at(r, r->event.start_mark, "\"%.60s\" is there twice", scalar(r));
        if (*n == KEYS_MAX)
                return fail_at(r, r->event.start_mark, "there are more than %d keys", KEYS_MAX);
        keys[*n] = strdup(scalar(r));
        return keys[*n] ? (int)++*n : CEL_ENOMEM;
}

/* The current event is the mapping's. */
static int read_mapping(reader *r, const mapping *m)
{
        char *keys[KEYS_MAX];
        unsigned keys_n = 0;
        int e = expect(r, YAML_MAPPING_START_EVENT, m->what);

        while (e >= 0 && (e = next(r)) >= 0 && r->event.type != YAML_MAPPING_END_EVENT) {
                yaml_mark_t mark = r->event.start_mark;

                e = expect(r, YAML_SCALAR_EVENT, "a text as key");
                if (e >= 0)
                        e = remember_key(r, keys, &keys_n);
                if (e >= 0)
                        e = next(r);
                if (e >= 0)
                        e = m->read(r, keys[keys_n - 1], mark, m->arg);
        }
        while (keys_n > 0)
                free(keys[--keys_n]);
        return e;
}

static int read_pattern(reader *r, patterns *p)
{
        int e = expect(r, YAML_SCALAR_EVENT, "a pattern");

        if (e < 0)
                return e;
        if (p->n == PATTERNS_MAX)
                return fail_at(r, r->event.start_mark, "there are more than %d patterns", PATTERNS_MAX);
        char **longer = realloc(p->list, (p->n + 1) * sizeof(*longer));
        if (!longer)
                return CEL_ENOMEM;
        p->list = longer;
        p->list[p->n] = strdup(scalar(r));
        return p->list[p->n] ? (int)++p->n : CEL_ENOMEM;
}

static int read_rule(reader *r, const char *key, yaml_mark_t mark, void *arg)
{
        route *to = arg;
        bool events = strcmp(key, "accepted_events") == 0;

        if (!events && strcmp(key, "accepted_priorities") != 0)
                return fail_at(r, mark,
                               "unknown key \"%.60s\"; there are accepted_events, accepted_priorities", key);
        patterns *p = events ? &to->events : &to->priorities;
        int e = expect(r, YAML_SEQUENCE_START_EVENT, "a list of patterns");
        p->given = true;
        while (e >= 0 && (e = next(r)) >= 0 && r->event.type != YAML_SEQUENCE_END_EVENT)
                e = read_pattern(r, p);
        for (unsigned i = 0; i < p->n && !events; i++)
                for (char *c = p->list[i]; *c; c++)
                        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
        return e;
}

static int read_driver(reader *r, const char *key, yaml_mark_t mark, void *arg)
{
        unsigned driver = cel__driver_find(key);

        (void)arg;
        if (driver == CEL__DRIVER_ROUTING)
                return fail_at(r, mark, "the driver routing cannot route to itself");
        if (driver == 0)
                return fail_at(r, mark, "there is no driver \"%.60s\"; there are %s", key, CEL__DRIVER_NAMES);
        if (r->routing->routes_n == ROUTES_MAX)
                return fail_at(r, mark, "there are more than %d drivers in all groups", ROUTES_MAX);
        route *to = &r->routing->routes[r->routing->routes_n++];
        to->driver = driver;
        return read_mapping(
                r, &(mapping){"a mapping of accepted_events and accepted_priorities, or {},", read_rule, to});
}

static int read_group(reader *r, const char *key, yaml_mark_t mark, void *arg)
{
        (void)key, (void)mark, (void)arg;
        return read_mapping(r, &(mapping){"a mapping of drivers", read_driver, NULL});
}

static int read_document(reader *r)
{
        int e = next(r); /* behind the start of the stream */

        if (e >= 0)
                e = next(r);
        if (e < 0 || r->event.type == YAML_STREAM_END_EVENT)
                return e;
        e = next(r);
        if (e >= 0 && !is_null(r))
                e = read_mapping(r, &(mapping){"a mapping of groups", read_group, NULL});
        if (e >= 0)
                e = next(r);
        if (e >= 0)
                e = next(r);
        return e < 0 ? e : expect(r, YAML_STREAM_END_EVENT, "the end of the file, which is one document,");
}

/* --- Files ------------------------------------------------------------------------------------ */

int cel__routing_parse(const char *text, size_t n, const char *name, cel__routing **ret_routing, char *why,
                       size_t why_bytes)
{
        reader r = {.name = name, .why = why, .why_bytes = why_bytes};

        snprintf(why, why_bytes, "%s: out of memory", name);
        r.routing = calloc(1, sizeof(*r.routing));
        if (!r.routing)
                return CEL_ENOMEM;
        if (!yaml_parser_initialize(&r.parser)) {
                free(r.routing);
                return CEL_ENOMEM;
        }
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
        int e = read_document(&r);
        if (r.has_event)
                yaml_event_delete(&r.event);
        yaml_parser_delete(&r.parser);
        if (e < 0) {
                cel__routing_free(r.routing);
                return e;
        }
        *ret_routing = r.routing;
        return 0;
}

/* Read the regular file behind `fd`, whole. */
static int read_all(int fd, char *text, size_t text_bytes, size_t *ret_n)
{
        struct stat status;
        size_t n = 0;
        ssize_t r;

        if (fstat(fd, &status) < 0)
                return errno;
        if (!S_ISREG(status.st_mode))
                return EINVAL;
        while ((r = read(fd, text + n, text_bytes - n)) != 0) {
                if (r < 0)
                        return errno;
                n += (size_t)r;
                if (n == text_bytes)
                        return EFBIG;
        }
        *ret_n = n;
        return 0;
}

int cel__routing_read(const char *path, cel__routing **ret_routing, char *why, size_t why_bytes)
{
        cel_auto_free char *text = malloc(FILE_BYTES_MAX + 1);
        size_t n = 0;

        snprintf(why, why_bytes, "out of memory");
        if (!text)
                return CEL_ENOMEM;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* whoever names a pipe waits for nobody */
        int error = fd < 0 ? errno : read_all(fd, text, FILE_BYTES_MAX + 1, &n);
        if (fd >= 0)
                close(fd);
        if (error) {
                snprintf(why, why_bytes, "%s cannot be read: %s", path, strerror(error));
                return CEL_EINVAL;
        }
        return cel__routing_parse(text, n, path, ret_routing, why, why_bytes);
}

static void patterns_free(patterns *p)
{
        for (unsigned i = 0; i < p->n; i++)
                free(p->list[i]);
        free(p->list);
}

cel__routing *cel__routing_free(cel__routing *routing)
{
        if (!routing)
                return NULL;
        for (unsigned i = 0; i < routing->routes_n; i++) {
                patterns_free(&routing->routes[i].events);
                patterns_free(&routing->routes[i].priorities);
        }
        free(routing);
        return NULL;
}

/* --- Routing ---------------------------------------------------------------------------------- */

static bool passes(const patterns *p, const char *text)
{
        for (unsigned i = 0; i < p->n; i++)
                if (cel__glob_match(p->list[i], text))
                        return true;
        return !p->given;
}

unsigned cel__routing_drivers(const cel__routing *routing, const char *event_type, const char *priority)
{
        unsigned drivers = 0;

        for (unsigned i = 0; i < routing->routes_n; i++) {
                const route *to = &routing->routes[i];

                if (passes(&to->events, event_type) && passes(&to->priorities, priority))
                        drivers |= to->driver;
        }
        return drivers;
}
