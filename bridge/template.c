/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. A template is a list of parts, each a literal or a place. Values from the environment are looked up, filtered
 * and encoded while it is read, by the same code that does it for events later, and are literals from then on. */
#include "bridge/template.h"

#include "bridge/dots.h"
#include "bridge/schema.h"

#include <celadon/error.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef enum filter_kind {
        FILTER_URL,
        FILTER_JSON,
        FILTER_B64,
        FILTER_LOWER,
        FILTER_DEFAULT,
        FILTER_REQUIRED,
        FILTERS_N,
} filter_kind;

static const char *const filter_names[FILTERS_N] = {"url", "json", "b64", "lower", "default", "required"};

typedef struct filter {
        filter_kind kind;
        bridge_text text; /* owned; DEFAULT only */
} filter;

typedef struct part {
        char *source; /* owned; a literal's text, or what stands between the braces of a place */
        size_t bytes;
        bool is_place;
        bool in_query; /* of a URL: behind its `?` */
        bridge_field field;
        filter filters[BRIDGE_FILTERS_MAX];
        size_t filters_n;
} part;

struct bridge_template {
        bridge_template_kind kind;
        part *parts; /* owned */
        size_t parts_n;
        size_t places_n; /* among them */
        size_t first_place;
};

static void part_fini(part *p)
{
        free(p->source);
        bridge_field_fini(&p->field);
        for (size_t i = 0; i < p->filters_n; i++)
                bridge_text_fini(&p->filters[i].text);
        *p = (part){0};
}

/* --- Filling in ------------------------------------------------------------------------------- */

/* A value on its way through the filters. */
typedef struct flow {
        const char *text; /* borrowed, or made.bytes; NULL: nothing */
        size_t bytes;
        bridge_text made;   /* owned */
        const json_t *json; /* borrowed; until a filter has changed it */
} flow;

/* Take the `text` that a filter has made of the value. */
static int flow_replace(flow *f, bridge_text *text)
{
        int r = text->error;

        bridge_text_fini(&f->made);
        f->made = *text;
        f->text = f->made.bytes;
        f->bytes = f->made.n;
        f->json = NULL;
        return r;
}

static void put_json(const flow *f, bridge_text *text)
{
        char *dumped;

        if (!f->json) {
                bridge_text_put_json(text, f->text, f->bytes);
                return;
        }
        dumped = json_dumps(f->json, JSON_COMPACT | JSON_ENCODE_ANY);
        if (dumped)
                bridge_text_puts(text, dumped);
        else
                text->error = CEL_ENOMEM;
        free(dumped);
}

static void put_lower(const flow *f, bridge_text *text)
{
        bridge_text_put(text, f->text, f->bytes);
        for (size_t i = 0; i < text->n; i++)
                if (text->bytes[i] >= 'A' && text->bytes[i] <= 'Z')
                        text->bytes[i] = (char)(text->bytes[i] - 'A' + 'a');
}

/* Nothing passes all filters but the two that ask for it. Returns CEL_EINVAL when a value is required and not there. */
static int flow_through(flow *f, const filter *by)
{
        bridge_text text = {.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX};
        bool is_nothing = !f->text && !f->json;

        if (by->kind == FILTER_REQUIRED)
                return is_nothing || (f->text && f->bytes == 0) ? CEL_EINVAL : 0;
        if (by->kind == FILTER_DEFAULT && (is_nothing || (f->text && f->bytes == 0)))
                bridge_text_put(&text, by->text.bytes, by->text.n);
        else if (by->kind == FILTER_DEFAULT || is_nothing)
                return 0;
        else if (by->kind == FILTER_JSON)
                put_json(f, &text);
        else if (!f->text)
                return CEL_ENOSUPPORT;
        else if (by->kind == FILTER_URL)
                bridge_text_put_percent(&text, f->text, f->bytes, "");
        else if (by->kind == FILTER_B64)
                bridge_text_put_base64(&text, f->text, f->bytes);
        else if (by->kind == FILTER_LOWER)
                put_lower(f, &text);
        return flow_replace(f, &text);
}

static int explain(const part *p, int error, char *why)
{
        const char *problem = "is not there";

        if (error == CEL_ENOMEM)
                return error;
        if (error == CEL_ETOOBIG)
                problem = "has a value that is too long";
        else if (error == CEL_ENOSUPPORT)
                problem = "is an object or an array, which needs |json";
        else if (error == CEL_EPROTO)
                problem = "has a value with a control character";
        snprintf(why, BRIDGE_TEMPLATE_WHY_BYTES, "{%.*s} %s", (int)strcspn(p->source, "|"), p->source,
                 problem);
        return CEL_EINVAL;
}

/* Put a place's value, filtered, where `kind` says. */
static int put_filtered(const part *p, bridge_template_kind kind, flow *f, bridge_text *out)
{
        bool in_path = kind == BRIDGE_TEMPLATE_URL && !p->in_query;

        for (size_t i = 0; i < p->filters_n; i++) {
                int r = flow_through(f, &p->filters[i]);

                if (r < 0)
                        return r;
        }
        if (!f->text && f->json)
                return CEL_ENOSUPPORT;
        if (in_path && f->bytes == 0) /* /servers//action is another resource */
                return CEL_EINVAL;
        if (f->text && kind != BRIDGE_TEMPLATE_DATA && bridge_has_control(f->text, f->bytes))
                return CEL_EPROTO;
        if (f->text && kind == BRIDGE_TEMPLATE_URL)
                bridge_text_put_percent(out, f->text, f->bytes, "");
        else if (f->text)
                bridge_text_put(out, f->text, f->bytes);
        return out->error;
}

static int put_place(const part *p, bridge_template_kind kind, const bridge_event *event, bridge_text *out,
                     char *why)
{
        bridge_value value;
        int r = bridge_field_get(&p->field, event, &value);

        if (r < 0)
                return r;
        flow f = {.text = value.text, .bytes = value.text ? value.bytes : 0, .json = value.json};

        r = put_filtered(p, kind, &f, out);
        bridge_text_fini(&f.made);
        bridge_value_fini(&value);
        return r < 0 ? explain(p, r, why) : 0;
}

int bridge_template_render(const bridge_template *t, const bridge_event *event, bridge_text *out,
                           char why[BRIDGE_TEMPLATE_WHY_BYTES])
{
        int r = 0;

        bridge_text_put(out, "", 0);
        for (size_t i = 0; i < t->parts_n && r >= 0; i++) {
                const part *p = &t->parts[i];

                if (p->is_place)
                        r = put_place(p, t->kind, event, out, why);
                else
                        bridge_text_put(out, p->source, p->bytes);
        }
        if (r >= 0)
                r = out->error;
        if (r == CEL_ETOOBIG) {
                snprintf(why, BRIDGE_TEMPLATE_WHY_BYTES, "a template's text would be longer than %zu bytes",
                         out->bytes_max);
                return CEL_EINVAL;
        }
        if (r >= 0 && t->kind == BRIDGE_TEMPLATE_URL && t->places_n > 0 && bridge_url_has_dots(out->bytes)) {
                snprintf(why, BRIDGE_TEMPLATE_WHY_BYTES, "a value would add . or .. to the URL's path");
                return CEL_EINVAL;
        }
        return r;
}

/* --- Reading: errors quote nothing of the text, which may be a secret with a brace in it ------ */

typedef struct parser {
        const char *text; /* the whole */
        const char *at;
        bridge_template *t;
        bool in_query;
        bridge_template_error *error;
} parser;

/* Point at `at`. */
static int refuse(parser *p, const char *at, const char *format, ...) CEL_PRINTF(3, 4);

static int refuse(parser *p, const char *at, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        p->error->offset = (size_t)(at - p->text);
        vsnprintf(p->error->text, sizeof(p->error->text), format, arguments);
        va_end(arguments);
        return CEL_EINVAL;
}

/* Append what `fresh` holds, with a copy of its source. On failure it is still the caller's. */
static int add_part(parser *p, part *fresh, const char *source, size_t bytes)
{
        part *longer = realloc(p->t->parts, (p->t->parts_n + 1) * sizeof(*longer));
        char *copy = malloc(bytes + 1);

        if (longer)
                p->t->parts = longer;
        if (!longer || !copy) {
                free(copy);
                return CEL_ENOMEM;
        }
        memcpy(copy, source, bytes);
        copy[bytes] = '\0';
        fresh->source = copy;
        fresh->bytes = bytes;
        longer[p->t->parts_n++] = *fresh;
        return 0;
}

static int add_literal(parser *p, const char *text, size_t bytes)
{
        return bytes > 0 ? add_part(p, &(part){0}, text, bytes) : 0;
}

static int parse_default(parser *p, filter *f)
{
        if (*p->at != ':' || p->at[1] != '"')
                return refuse(p, p->at, "default needs a text in quotes, as in |default:\"none\"");
        p->at++;
        f->text.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX;
        if (!bridge_text_put_quoted(&f->text, &p->at))
                return refuse(p, p->at, "a text in quotes has no end, add \"");
        return f->text.error == CEL_ETOOBIG ? refuse(p, p->at, "a default is longer than 8192 bytes")
                                            : f->text.error;
}

/* `p->at` is behind a `|`. */
static int parse_filter(parser *p, part *place)
{
        size_t n = strcspn(p->at, "|}:\" ");
        const char *start = p->at, *meant;
        char word[32] = "";
        filter f = {.kind = FILTERS_N};

        for (unsigned i = 0; i < FILTERS_N; i++)
                if (strlen(filter_names[i]) == n && memcmp(filter_names[i], start, n) == 0)
                        f.kind = (filter_kind)i;
        if (f.kind == FILTERS_N) {
                snprintf(word, sizeof(word), "%.*s", n < sizeof(word) ? (int)n : 0, start);
                meant = bridge_suggest(word, filter_names, FILTERS_N);
                return refuse(p, start,
                              "unknown filter%s%s%s Known filters: url, json, b64, lower, default, required",
                              meant ? ", did you mean \"" : ".", meant ? meant : "", meant ? "\"?" : "");
        }
        if (f.kind == FILTER_URL && p->t->kind == BRIDGE_TEMPLATE_URL)
                return refuse(p, start, "values in a URL are percent-encoded anyway, leave |url out");
        if (place->filters_n == BRIDGE_FILTERS_MAX)
                return refuse(p, start, "a place has more than %d filters", BRIDGE_FILTERS_MAX);
        p->at += n;
        int r = f.kind == FILTER_DEFAULT ? parse_default(p, &f) : 0;

        place->filters[place->filters_n++] = f;
        return r;
}

/* A value from the environment becomes a literal. `name` is `n` bytes long. */
static int put_environment(parser *p, const part *place, const char *name, size_t n)
{
        bridge_text out = {.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX};
        cel_auto_free char *copy = strndup(name, n);
        const char *value = copy ? getenv(copy) : NULL;
        flow f = {.text = value, .bytes = value ? strlen(value) : 0};
        int r = copy ? 0 : CEL_ENOMEM;

        for (size_t i = 0; i < place->filters_n && r >= 0 && !value; i++)
                value = place->filters[i].kind == FILTER_DEFAULT ? "" : NULL;
        if (r >= 0 && !value)
                r = refuse(p, name, "the environment has no %s, set it, or add |default:\"...\"", copy);
        else if (r >= 0)
                r = put_filtered(place, p->t->kind, &f, &out);
        if (r >= 0)
                r = add_literal(p, out.bytes ? out.bytes : "", out.n);
        else if (r != CEL_ENOMEM && value)
                r = refuse(p, name, "%s from the environment is %s", copy,
                           r == CEL_ETOOBIG  ? "too long"
                           : r == CEL_EPROTO ? "no text without control characters"
                                             : "empty");
        bridge_text_fini(&f.made);
        bridge_text_fini(&out);
        return r;
}

/* What stands before the filters. */
static int parse_source(parser *p, part *place, size_t n)
{
        char why[BRIDGE_TEMPLATE_WHY_BYTES / 2 + 96];
        const char *start = p->at;

        p->at += n;
        if (n == 0)
                return refuse(p, start,
                              "{} is empty, write {event_type}, {json:/POINTER} or another field, or {{ for "
                              "a brace");
        if (n > 4 && memcmp(start, "env:", 4) == 0)
                return 0;
        int r = bridge_field_parse(start, n, &place->field, why, sizeof(why));

        return r == CEL_EINVAL ? refuse(p, start, "this field %s", why) : r;
}

/* A place, into `place`, which is the caller's to free; `p->at` is at its brace, then behind its end. */
static int parse_place(parser *p, part *place)
{
        const char *start = p->at++, *source = p->at;
        size_t n = strcspn(source, "|}");
        int r = parse_source(p, place, n);

        while (r >= 0 && *p->at == '|') {
                p->at++;
                r = parse_filter(p, place);
        }
        if (r < 0)
                return r;
        if (*p->at != '}')
                return refuse(p, start, "a { has no matching }, add it, or write {{ for a brace");
        place->in_query = p->in_query;
        if (n > 4 && memcmp(source, "env:", 4) == 0)
                r = put_environment(p, place, source + 4, n - 4);
        else if (p->t->places_n == BRIDGE_TEMPLATE_PLACES_MAX)
                r = refuse(p, start, "a template has more than %d places", BRIDGE_TEMPLATE_PLACES_MAX);
        p->at++;
        return r;
}

static int add_place(parser *p)
{
        const char *start = p->at;
        part place = {.is_place = true};
        int r = parse_place(p, &place);
        bool is_literal = strncmp(start, "{env:", 5) == 0;

        if (p->t->first_place == SIZE_MAX)
                p->t->first_place = (size_t)(start - p->text);
        if (r >= 0 && !is_literal)
                r = add_part(p, &place, start + 1, (size_t)(p->at - start - 2));
        if (r < 0 || is_literal) {
                part_fini(&place);
                return r;
        }
        p->t->places_n++;
        return 0;
}

static int parse_all(parser *p)
{
        int r = 0;

        while (*p->at && r >= 0) {
                size_t n = strcspn(p->at, "{}");

                p->in_query = p->in_query || memchr(p->at, '?', n);
                r = add_literal(p, p->at, n);
                p->at += n;
                if (r < 0 || !*p->at)
                        break;
                if (p->at[0] == p->at[1]) {
                        r = add_literal(p, p->at, 1);
                        p->at += 2;
                } else if (*p->at == '{') {
                        r = add_place(p);
                } else {
                        r = refuse(p, p->at, "a } has no { before it, write }} for a brace");
                }
        }
        return r;
}

/* What is refused in each text of the template is refused once, at once. */
static int check_dots(parser *p)
{
        bridge_text skeleton = {.bytes_max = SIZE_MAX / 2};
        int r;

        bridge_template_skeleton(p->t, &skeleton);
        r = skeleton.error;
        if (r >= 0 && bridge_url_has_dots(skeleton.bytes))
                r = refuse(p, p->text,
                           "the path has a part that is . or .., which no URL with values may have");
        bridge_text_fini(&skeleton);
        return r;
}

int bridge_template_parse(const char *text, bridge_template_kind kind, bridge_template_error *ret_error,
                          bridge_template **ret_template)
{
        cel_auto(bridge_template) *t = calloc(1, sizeof(*t));
        parser p = {.text = text, .at = text, .t = t, .error = ret_error};

        if (!t)
                return CEL_ENOMEM;
        t->kind = kind;
        t->first_place = SIZE_MAX;
        int r = parse_all(&p);

        if (r < 0)
                return r;
        if (t->first_place == SIZE_MAX)
                t->first_place = strlen(text);
        if (kind == BRIDGE_TEMPLATE_URL && t->places_n > 0)
                r = check_dots(&p);
        if (r < 0)
                return r;
        *ret_template = CEL_TAKE(t);
        return 0;
}

bool bridge_template_is_literal(const bridge_template *t)
{
        return t->places_n == 0;
}

bool bridge_template_is_json(const bridge_template *t)
{
        const part *only = t->parts_n == 1 && t->parts[0].is_place ? &t->parts[0] : NULL;

        return only && only->filters_n > 0 && only->filters[only->filters_n - 1].kind == FILTER_JSON;
}

size_t bridge_template_first_place(const bridge_template *t)
{
        return t->first_place;
}

void bridge_template_skeleton(const bridge_template *t, bridge_text *out)
{
        bridge_text_put(out, "", 0);
        for (size_t i = 0; i < t->parts_n; i++)
                bridge_text_puts(out, t->parts[i].is_place ? "x" : t->parts[i].source);
}

bridge_template *bridge_template_free(bridge_template *t)
{
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->parts_n; i++)
                part_fini(&t->parts[i]);
        free(t->parts);
        free(t);
        return NULL;
}
