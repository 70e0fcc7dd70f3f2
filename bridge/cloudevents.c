/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/cloudevents.h"

#include <celadon/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Attributes ------------------------------------------------------------------------------- */

/* Add a copy of a value; an empty one is not there. */
static int add(bridge_cloudevent *ce, const char *name, const char *value, char *why)
{
        if (!value || !*value)
                return 0;
        if (bridge_has_control(value, strlen(value))) {
                snprintf(why, BRIDGE_CLOUDEVENT_WHY_BYTES,
                         "its CloudEvents %s would have a control character", name + 3);
                return CEL_EINVAL;
        }
        char *copy = strdup(value);

        if (!copy)
                return CEL_ENOMEM;
        ce->attributes[ce->attributes_n].name = name;
        ce->attributes[ce->attributes_n++].value = copy;
        return 0;
}

static int add_source(bridge_cloudevent *ce, const bridge_event *event, const char *exchange, char *why)
{
        const cel_notification *n = event->notification;
        bridge_text source = {.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX};
        static const char keep[] = "!$&'()*+,;=:@";

        if (n->raw->exchange && *n->raw->exchange)
                exchange = n->raw->exchange;
        bridge_text_puts(&source, "//");
        bridge_text_put_percent(&source, exchange, strlen(exchange), keep);
        if (n->publisher_id && *n->publisher_id) {
                bridge_text_puts(&source, "/");
                bridge_text_put_percent(&source, n->publisher_id, strlen(n->publisher_id), keep);
        }
        int r = source.error < 0 ? source.error : add(ce, "ce-source", source.bytes, why);

        bridge_text_fini(&source);
        if (r == CEL_ETOOBIG) {
                snprintf(why, BRIDGE_CLOUDEVENT_WHY_BYTES, "source would be too long");
                return CEL_EINVAL;
        }
        return r;
}

static int add_subject(bridge_cloudevent *ce, const bridge_template *subject, const bridge_event *event,
                       char *why)
{
        bridge_text text = {.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX};
        char problem[BRIDGE_TEMPLATE_WHY_BYTES];
        int r = bridge_template_render(subject, event, &text, problem);

        if (r == CEL_EINVAL)
                snprintf(why, BRIDGE_CLOUDEVENT_WHY_BYTES, "subject: %.200s", problem);
        if (r >= 0)
                r = add(ce, "ce-subject", text.bytes, why);
        bridge_text_fini(&text);
        return r;
}

static const char *context(const bridge_event *event, const char *key)
{
        return json_string_value(json_object_get(event->notification->message, key));
}

static int add_extensions(bridge_cloudevent *ce, const bridge_event *event, char *why)
{
        const char *project = context(event, "_context_project_id");
        char priority[32];
        size_t n = 0;
        int r = add(ce, "ce-openstackproject", project ? project : context(event, "_context_tenant"), why);

        if (r >= 0)
                r = add(ce, "ce-openstackrequestid", context(event, "_context_request_id"), why);
        for (const char *c = event->notification->priority; c && *c && n < sizeof(priority) - 1; c++)
                priority[n++] = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        priority[n] = '\0';
        return r >= 0 ? add(ce, "ce-openstackpriority", priority, why) : r;
}

int bridge_cloudevent_make(const bridge_cloudevents_config *config, const bridge_event *event, const char *id,
                           const char *exchange, char why[BRIDGE_CLOUDEVENT_WHY_BYTES],
                           bridge_cloudevent *ret)
{
        const char *type = event->notification->event_type;
        bridge_cloudevent ce = {0};
        char time[40] = "";
        int r = 0;

        bridge_rfc3339(event->notification->timestamp, time);
        if (!type || !*type) {
                snprintf(why, BRIDGE_CLOUDEVENT_WHY_BYTES,
                         "it has no event_type, which is a CloudEvent's type");
                r = CEL_EINVAL;
        }
        if (r >= 0)
                r = add(&ce, "ce-specversion", "1.0", why);
        if (r >= 0)
                r = add(&ce, "ce-id", id, why);
        if (r >= 0)
                r = add_source(&ce, event, exchange, why);
        if (r >= 0)
                r = add(&ce, "ce-type", type, why);
        if (r >= 0)
                r = add(&ce, "ce-time", time, why);
        if (r >= 0 && config->subject)
                r = add_subject(&ce, config->subject, event, why);
        if (r >= 0)
                r = add_extensions(&ce, event, why);
        if (r >= 0)
                *ret = ce;
        else
                bridge_cloudevent_fini(&ce);
        return r;
}

void bridge_cloudevent_fini(bridge_cloudevent *ce)
{
        for (size_t i = 0; i < ce->attributes_n; i++)
                free(ce->attributes[i].value);
        *ce = (bridge_cloudevent){0};
}

/* --- On the wire ------------------------------------------------------------------------------ */

void bridge_cloudevent_put_header(bridge_text *out, const char *value)
{
        bridge_text_put_percent(out, value, strlen(value), "!#$&'()*+,/:;<=>?@[\\]^`{|}");
}

void bridge_cloudevent_put_structured(bridge_text *out, const bridge_cloudevent *ce, const char *data,
                                      size_t data_bytes)
{
        for (size_t i = 0; i < ce->attributes_n; i++) {
                bridge_text_printf(out, "%s\"%s\":", i > 0 ? "," : "{", ce->attributes[i].name + 3);
                bridge_text_put_json(out, ce->attributes[i].value, strlen(ce->attributes[i].value));
        }
        if (data) {
                bridge_text_puts(out, ",\"datacontenttype\":\"application/json\",\"data\":");
                bridge_text_put(out, data, data_bytes);
        }
        bridge_text_puts(out, "}");
}

/* Does `text` begin as `pattern` says, where 0 stands for a digit? */
static bool looks_like(const char *text, const char *pattern)
{
        for (; *pattern; text++, pattern++)
                if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
                        return false;
        return true;
}

static int number(const char *digits)
{
        return (digits[0] - '0') * 10 + (digits[1] - '0');
}

/* `zone` is what follows the time: nothing, Z, or +hh:mm. */
static bool is_zone(const char *zone)
{
        if (!*zone || strcmp(zone, "Z") == 0 || strcmp(zone, "z") == 0)
                return true;
        return (*zone == '+' || *zone == '-') && strlen(zone) == 6 && looks_like(zone + 1, "00:00") &&
               number(zone + 1) <= 23 && number(zone + 4) <= 59;
}

bool bridge_rfc3339(const char *timestamp, char ret_text[40])
{
        const char *t = timestamp ? timestamp : "";
        size_t fraction = 0;

        if (!looks_like(t, "0000-00-00") || (t[10] != ' ' && t[10] != 'T') || !looks_like(t + 11, "00:00:00"))
                return false;
        if (number(t + 5) < 1 || number(t + 5) > 12 || number(t + 8) < 1 || number(t + 8) > 31 ||
            number(t + 11) > 23 || number(t + 14) > 59 || number(t + 17) > 60)
                return false;
        if (t[19] == '.')
                fraction = 1 + strspn(t + 20, "0123456789");
        if (fraction == 1 || fraction > 10 || !is_zone(t + 19 + fraction))
                return false;
        const char *zone = t + 19 + fraction;

        snprintf(ret_text, 40, "%.10sT%.*s%s", t, (int)(8 + fraction), t + 11,
                 *zone && *zone != 'z' ? zone : "Z");
        return true;
}
