/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/deserialize.h"
#include "driver/convert.h"
#include "notify/hub.h"
#include "wire/members.h"

#include <stdio.h>
#include <string.h>

bool is_deserializing(const cel_notification_listener *listener)
{
        return listener->serializer.deserialize_entity || listener->serializer.deserialize_context;
}

/* --- Deserializing ---------------------------------------------------------------------------- */

/* Put every member of `context` into `message`, as it is on the wire. */
static int put_context(json_t *message, json_t *context)
{
        int r = 0;

        for (void *at = json_object_iter(context); at && r == 0; at = json_object_iter_next(context, at)) {
                char name[512];

                if (snprintf(name, sizeof(name), CEL__CONTEXT_PREFIX "%s", json_object_iter_key(at)) >=
                    (int)sizeof(name))
                        return CEL_EINVAL;
                r = json_object_set_nocheck(message, name, json_object_iter_value(at));
        }
        return r < 0 ? CEL_ENOMEM : 0;
}

/* `message` with another context and payload (NULL: none). */
static int remake(const json_t *message, json_t *context, json_t *payload, json_t **ret_made)
{
        static const char prefix[] = CEL__CONTEXT_PREFIX;
        json_t *object = (json_t *)(uintptr_t)message, *made = json_object();
        int r = made ? 0 : CEL_ENOMEM;

        for (void *at = json_object_iter(object); at && r >= 0; at = json_object_iter_next(object, at)) {
                const char *key = json_object_iter_key(at);

                if (strncmp(key, prefix, sizeof(prefix) - 1) != 0 &&
                    json_object_set_nocheck(made, key, json_object_iter_value(at)) < 0)
                        r = CEL_ENOMEM;
        }
        if (r >= 0 && payload && json_object_set_nocheck(made, "payload", payload) < 0)
                r = CEL_ENOMEM;
        if (r >= 0)
                r = put_context(made, context);
        if (r < 0) {
                json_decref(made);
                return r;
        }
        *ret_made = made;
        return 0;
}

int job_deserialize(cel_ctx *ctx, job *j)
{
        const cel_serializer *serializer = &j->listener->serializer;
        cel_notification *n = &j->notification;
        json_t *sent, *context = NULL, *payload = NULL;
        int r = cel__get_context(n->message, &sent);

        if (r < 0)
                return cel_fail(ctx, r, "out of memory");
        r = cel__convert_context(ctx, serializer, CEL__AS_RECEIVED, sent, &context);
        if (r >= 0)
                r = cel__convert_entity(ctx, serializer, CEL__AS_RECEIVED, "the payload", context,
                                        (json_t *)(uintptr_t)n->payload, &payload);
        if (r >= 0 && (r = remake(n->message, context, payload, &j->made)) < 0)
                r = cel_fail(ctx, r, "the deserialized notification: %s", cel_error_text(r));
        if (r >= 0) {
                n->message = j->made;
                n->payload = json_object_get(j->made, "payload");
        }
        json_decref(sent);
        json_decref(context);
        json_decref(payload);
        return r;
}

/* --- Filters ---------------------------------------------------------------------------------- */

typedef struct filtering {
        job *const *jobs;
        unsigned n;
        int r;
} filtering;

static void filter_on_hub(void *arg)
{
        filtering *f = arg;

        for (unsigned i = 0; i < f->n && f->r >= 0; i++) {
                job *j = f->jobs[i];

                f->r = cel__endpoints_filter(&j->listener->endpoints, j->notification.message, &j->endpoints);
        }
}

int jobs_filter(cel_ctx *ctx, job *const *jobs, unsigned n)
{
        filtering f = {.jobs = jobs, .n = n};
        int r = cel__run_on_hub(ctx, filter_on_hub, &f);

        return r >= 0 && f.r < 0 ? cel_fail(ctx, f.r, "out of memory") : r < 0 ? r : 0;
}
