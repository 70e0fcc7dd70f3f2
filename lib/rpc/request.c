/* SPDX-License-Identifier: Apache-2.0
 *
 * A request: its life, and what its handler sees of it. */
#include "base/assert.h"
#include "rpc/server.h"
#include "wire/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Life ------------------------------------------------------------------------------------- */

cel_request *request_ref(cel_request *request)
{
        request->refs++;
        return request;
}

void request_clear_outcome(cel_request *request)
{
        json_decref(request->result);
        request->result = NULL;
        request->failed = false;
        cel__buf_clear(&request->failure, 0);
}

void request_unref(cel_request *request)
{
        if (--request->refs > 0)
                return;
        request_clear_outcome(request);
        turns_free_room(request);
        cel__list_remove(&request->lane_node);
        cel_future_unref(request->done);
        json_decref(request->context);
        json_decref(request->args);
        if (request->opened)
                cel__envelope_fini(&request->envelope);
        cel__buf_fini(&request->plain);
        cel__buf_fini(&request->failure);
        free(request);
}

bool request_settle(cel_request *q, cel__settlement how)
{
        cel_assert(!q->settled);
        q->settled = true;
        if (how == CEL__SETTLE_REQUEUE && q->opened && *q->wire.unique_id)
                cel__seen_remove(q->server->seen,
                                 q->wire.unique_id); /* it is to be handled when it comes again */
        return q->server->driver->settle(&q->delivery, how) >= 0;
}

void request_drop(cel_request *q, cel__settlement how)
{
        request_settle(q, how);
        request_unref(q);
}

bool request_has_expired(const cel_request *q)
{
        return cel_clock_now(q->server->clock).ns >= q->deadline.ns;
}

/* --- What was asked --------------------------------------------------------------------------- */

const char *cel_request_method(const cel_request *request)
{
        return request->wire.method;
}

const char *cel_request_name_space(const cel_request *request)
{
        return request->wire.name_space;
}

const char *cel_request_version(const cel_request *request)
{
        return request->wire.version;
}

const json_t *cel_request_context(const cel_request *request)
{
        return request->context;
}

const json_t *cel_request_args(const cel_request *request)
{
        return request->args;
}

void *cel_request_endpoint_arg(const cel_request *request)
{
        return request->lane->endpoint->arg;
}

const json_t *cel_request_arg(const cel_request *request, const char *name)
{
        return json_object_get(request->args, name);
}

const char *cel_request_str(const cel_request *request, const char *name)
{
        return json_string_value(cel_request_arg(request, name));
}

int64_t cel_request_int(const cel_request *request, const char *name, int64_t otherwise)
{
        const json_t *value = cel_request_arg(request, name);

        return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

double cel_request_real(const cel_request *request, const char *name, double otherwise)
{
        const json_t *value = cel_request_arg(request, name);

        return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool cel_request_bool(const cel_request *request, const char *name, bool otherwise)
{
        const json_t *value = cel_request_arg(request, name);

        return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

bool cel_request_is_call(const cel_request *request)
{
        return request->wire.msg_id != NULL;
}

cel_time cel_request_deadline(const cel_request *request)
{
        return request->deadline;
}

/* --- How it went ------------------------------------------------------------------------------ */

int cel_request_reply(cel_request *request, json_t *result)
{
        request_clear_outcome(request);
        request->result = result;
        return 0;
}

/* What Python shows of an exception that nobody raised. */
static json_t *make_traceback(const cel_remote_error *error)
{
        bool builtin = !*error->module || strcmp(error->module, "builtins") == 0;

        return json_pack("[s+++++]", builtin ? "" : error->module, builtin ? "" : ".", error->class_name,
                         ": ", error->message, "\n");
}

int cel_request_fail_with(cel_request *request, const cel_remote_error *error)
{
        cel_remote_error e = *error;
        json_t *traceback = e.traceback ? NULL : make_traceback(&e);

        request_clear_outcome(request);
        if (!e.traceback)
                e.traceback = traceback;
        int r = cel__failure_encode(&e, &request->failure);
        json_decref(traceback);
        if (r < 0) { /* args or kwargs are no JSON that can be sent */
                cel__buf_clear(&request->failure, 0);
                return r;
        }
        request->failed = true;
        snprintf(request->failed_class, sizeof(request->failed_class), "%s", error->class_name);
        snprintf(request->why, sizeof(request->why), "%s", error->message);
        return 0;
}

int cel_request_fail(cel_request *request, const char *class_name, const char *module, const char *format,
                     ...)
{
        cel_auto_free char *message = NULL;
        va_list arguments;

        va_start(arguments, format);
        int n = vasprintf(&message, format, arguments);
        va_end(arguments);
        if (n < 0) {
                message = NULL;
                return CEL_ENOMEM;
        }
        return cel_request_fail_with(
                request, &(cel_remote_error){.class_name = class_name, .module = module, .message = message});
}
