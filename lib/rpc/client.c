/* SPDX-License-Identifier: Apache-2.0
 *
 * The calling side (oslo-wire sections 6, 9, 11). A client is only its settings; what takes part in a call is in
 * callers.c. */
#include "driver/convert.h"
#include "rpc/callers.h"
#include "wire/request.h"
#include "wire/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        TIMEOUT_MS = 60000, /* oslo.messaging's rpc_response_timeout */
        BODY_BYTES_MAX = 128 << 20,
        NAME_BYTES_MAX = 255, /* of anything that becomes a name in AMQP */
};

const char cel_none[] = "";

/* Whom to call and how, with all choices made. Strings are borrowed. */
typedef struct settings {
        const char *exchange, *topic, *server, *name_space, *version, *version_cap; /* NULL: none */
        int64_t timeout_ms;
        int monitor_s; /* 0: none */
        int retry;     /* how often to try again; CEL_RETRY_FOREVER */
        bool mandatory, fanout;
        const json_t *context;
        const cel_serializer *serializer;
        const char *const *allowed_remote_exmods;
} settings;

struct cel_rpc_client {
        callers *callers; /* a reference */
        settings own;
        json_t *context;  /* owned */
        char *strings[6]; /* owned; what `own` points to */
};

/* --- Choices ---------------------------------------------------------------------------------- */

static const char *choose(const char *option, const char *otherwise)
{
        return option == cel_none ? NULL : option ? option : otherwise;
}

static bool decide(cel_choice choice, bool otherwise)
{
        return choice == CEL_UNDECIDED ? otherwise : choice == CEL_YES;
}

static int retries(int option, int otherwise)
{
        return option == 0 ? otherwise : option == CEL_RETRY_NEVER ? 0 : option;
}

static settings merge(const settings *base, const cel_rpc_options *o)
{
        settings s = *base;

        if (!o)
                return s;
        s.exchange = choose(o->exchange, s.exchange);
        s.topic = choose(o->topic, s.topic);
        s.server = choose(o->server, s.server);
        s.name_space = choose(o->name_space, s.name_space);
        s.version = choose(o->version, s.version);
        s.version_cap = choose(o->version_cap, s.version_cap);
        s.timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : s.timeout_ms;
        s.monitor_s = o->call_monitor_timeout_s != 0 ? o->call_monitor_timeout_s : s.monitor_s;
        s.retry = retries(o->retry, s.retry);
        s.mandatory = decide(o->mandatory, s.mandatory);
        s.fanout = decide(o->fanout, s.fanout);
        s.context = o->context ? o->context : s.context;
        s.serializer = o->serializer ? o->serializer : s.serializer;
        s.allowed_remote_exmods = o->allowed_remote_exmods ? o->allowed_remote_exmods
                                                           : s.allowed_remote_exmods;
        return s;
}

static int check_version(cel_ctx *ctx, const char *version)
{
        if (!version || cel__version_is_valid(version))
                return 0;
        return cel_fail(ctx, CEL_EINVAL, "a version has a major and a minor number, unlike \"%s\"", version);
}

static int check_name(cel_ctx *ctx, const char *what, const char *name)
{
        if (!name || (*name && strlen(name) <= NAME_BYTES_MAX))
                return 0;
        return cel_fail(ctx, CEL_EINVAL, "the %s is empty or longer than %d bytes", what, NAME_BYTES_MAX);
}

/* Do the choices make sense? */
static int check(cel_ctx *ctx, const settings *s)
{
        int r = check_version(ctx, s->version);

        if (r >= 0)
                r = check_version(ctx, s->version_cap);
        if (r >= 0)
                r = check_name(ctx, "exchange", s->exchange);
        if (r >= 0)
                r = check_name(ctx, "topic", s->topic);
        if (r >= 0)
                r = check_name(ctx, "server", s->server);
        if (r >= 0 && !s->topic)
                return cel_fail(ctx, CEL_EINVAL, "a target needs a topic");
        if (r >= 0 && (s->timeout_ms < 0 || s->retry < CEL_RETRY_FOREVER))
                return cel_fail(ctx, CEL_EINVAL, "neither a timeout nor a number of retries is below zero");
        if (r >= 0 && s->context && !json_is_object(s->context))
                return cel_fail(ctx, CEL_EINVAL, "the context is not an object");
        return r;
}

/* May this version be sent, as far as the cap tells? */
static int check_cap(cel_ctx *ctx, const settings *s)
{
        if (cel__version_compatible(s->version_cap, s->version) == 1)
                return 0;
        return cel_fail(
                ctx, CEL_EVERSION,
                "version %s is not to be sent: it needs to be equal in major version, and less or equal in "
                "minor version, to the version cap %s",
                s->version ? s->version : "(none)", s->version_cap);
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* One request on its way. */
typedef struct outgoing {
        const settings *settings;
        const char *method;
        json_t *context; /* a reference; an object */
        char unique_id[CEL__UUID_BYTES];
        char exchange[NAME_BYTES_MAX + sizeof("_fanout")];
        char routing_key[2 * NAME_BYTES_MAX + 2];
        cel__buf body;
} outgoing;

/* Whom it is for, for sentences. */
static const char *describe(const outgoing *s, char *text, size_t text_bytes)
{
        snprintf(text, text_bytes, "method \"%.80s\" of topic \"%.80s\"%s%.80s%s", s->method,
                 s->settings->topic, s->settings->server ? ", server \"" : "",
                 s->settings->server ? s->settings->server : "", s->settings->server ? "\"" : "");
        return text;
}

/* oslo-wire section 6.2. */
static int address(cel_ctx *ctx, outgoing *s)
{
        const settings *to = s->settings;
        int n = 0;

        if (to->fanout)
                n = snprintf(s->exchange, sizeof(s->exchange), "%s_fanout", to->topic);
        else if (to->server)
                n = snprintf(s->routing_key, sizeof(s->routing_key), "%s.%s", to->topic, to->server);
        else
                snprintf(s->routing_key, sizeof(s->routing_key), "%s", to->topic);
        if (n > NAME_BYTES_MAX)
                return cel_fail(ctx, CEL_EINVAL, "topic and server together are longer than %d bytes",
                                NAME_BYTES_MAX);
        if (!to->fanout)
                snprintf(s->exchange, sizeof(s->exchange), "%s", to->exchange ? to->exchange : "openstack");
        return 0;
}

/* `call` is NULL for a cast. */
static int encode_as(cel_ctx *ctx, const callers *c, outgoing *s, const json_t *args, const json_t *context,
                     const pending_call *call)
{
        const settings *to = s->settings;
        cel__request request = {.method = s->method,
                                .args = args,
                                .name_space = to->name_space,
                                .version = to->version,
                                .msg_id = call ? call->msg_id : NULL,
                                .reply_queue = call ? callers_reply_queue(c) : NULL,
                                .monitor_s = to->monitor_s,
                                .unique_id = s->unique_id,
                                .context = context};

        cel__uuid_hex(s->unique_id);
        int r = cel__request_encode(&request, &s->body);
        if (r == CEL_EINVAL)
                return cel_fail(
                        ctx, r,
                        "arguments or context cannot be sent: no objects, nested too deep, or not UTF-8");
        return r < 0 ? cel_fail(ctx, r, "the request cannot be sent: %s", cel_error_text(r)) : 0;
}

static int encode(cel_ctx *ctx, const callers *c, outgoing *s, const json_t *args, const pending_call *call)
{
        const cel_serializer *serializer = s->settings->serializer;
        json_t *made_args = NULL, *made_context = NULL;
        int r = cel__convert_args(ctx, serializer, CEL__TO_SEND, s->context, args, &made_args);

        if (r >= 0)
                r = cel__convert_context(ctx, serializer, CEL__TO_SEND, s->context, &made_context);
        if (r >= 0)
                r = encode_as(ctx, c, s, made_args, made_context, call);
        json_decref(made_args);
        json_decref(made_context);
        return r;
}

/* With `awaited`, a reply is waited for until the ctx's deadline. */
static int deliver(cel_ctx *ctx, callers *c, const outgoing *s, bool awaited)
{
        cel_auto(cel_headers) *headers = NULL;
        const cel__driver_settings *wanted = callers_settings(c);
        bool fanout = s->settings->fanout, mandatory = s->settings->mandatory && !fanout;
        cel_queue exchange = {.exchange = s->exchange,
                              .fanout = fanout,
                              .durable = fanout ? wanted->transient_durable : wanted->durable,
                              .auto_delete = !fanout && wanted->auto_delete};

        if (cel_headers_new(&headers) < 0)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel_message message = {.exchange = s->exchange,
                               .routing_key = s->routing_key,
                               .content_type = "application/json",
                               .content_encoding = "utf-8",
                               .headers = headers, /* present, and empty */
                               .delivery_mode = 2,
                               .has_priority = true,
                               .body = cel__buf_head(&s->body),
                               .body_bytes = cel__buf_used(&s->body)};
        cel__publishing publishing = {.queue = &exchange,
                                      .message = &message,
                                      .flags = mandatory ? CEL_PUBLISH_MANDATORY : 0,
                                      .retry = s->settings->retry,
                                      .expires = awaited,
                                      .patient = awaited && !mandatory,
                                      .sent_again = &callers_get_counts(c)->sent_again};
        return cel__errands_publish(ctx, callers_errands(c), &publishing);
}

/* --- Calls and casts -------------------------------------------------------------------------- */

static int fail_late(cel_ctx *ctx, callers *c, const outgoing *s, const char *what, bool sent)
{
        char to[400], why[CEL__ERROR_TEXT_BYTES];

        callers_get_counts(c)->timeouts++;
        snprintf(why, sizeof(why), "%s", cel_ctx_error_text(ctx, CEL_ETIMEDOUT));
        if (sent)
                return cel_fail(ctx, CEL_ETIMEDOUT, "no %s from %s in time (reply queue %s)", what,
                                describe(s, to, sizeof(to)), callers_reply_queue(c));
        return cel_fail(ctx, CEL_ETIMEDOUT, "%s could not be called in time: %s", describe(s, to, sizeof(to)),
                        why);
}

/* Send the request until it is known to have arrived, or to be of no use any more: a reply that comes before the
 * confirmation tells more than that. */
static int deliver_call(cel_ctx *ctx, callers *c, const outgoing *s, pending_call *call)
{
        cel__interrupt sending;

        cel__interrupt_enter(&sending, ctx);
        callers_note_sending(c, call, &sending);
        int r = deliver(ctx, c, s, true);
        callers_note_sending(c, call, NULL);
        cel__interrupt_leave(&sending);
        return r < 0 && callers_is_done(c, call) ? 0 : r;
}

/* Send the request and wait for what comes back. */
static int converse(cel_ctx *ctx, callers *c, outgoing *s, const json_t *args, pending_call *call)
{
        int64_t monitor_ms = s->settings->monitor_s > 0 ? s->settings->monitor_s * INT64_C(1000) : 0;
        cel_time deadline = cel_ctx_deadline(ctx);
        int r = encode(ctx, c, s, args, call);

        if (r < 0)
                return r;
        r = deliver_call(ctx, c, s, call);
        if (r == CEL_ETIMEDOUT)
                return fail_late(ctx, c, s, "reply", false);
        if (r < 0)
                return r;
        r = callers_await(ctx, c, call, monitor_ms);
        if (r == CEL_ETIMEDOUT)
                return fail_late(ctx, c, s, cel_ctx_now(ctx).ns >= deadline.ns ? "reply" : "sign of life",
                                 true);
        return r;
}

static int call_with(cel_ctx *ctx, callers *c, outgoing *s, const json_t *args, json_t **ret_result)
{
        pending_call call;
        CEL_WITHIN_MS(ctx, s->settings->timeout_ms);

        int r = cel__errands_await_bus(ctx, callers_errands(c), s->settings->retry);
        if (r >= 0)
                r = callers_await_replies(ctx, c);
        if (r == CEL_ETIMEDOUT)
                return fail_late(ctx, c, s, "reply", false);
        if (r >= 0)
                r = callers_expect(ctx, c, s->settings->allowed_remote_exmods, &call);
        if (r < 0)
                return r;
        r = converse(ctx, c, s, args, &call);
        json_t *result = NULL;
        if (r >= 0)
                r = cel__convert_entity(ctx, s->settings->serializer, CEL__AS_RECEIVED, "the result",
                                        s->context, call.result, &result);
        callers_forget(c, &call);
        if (r < 0)
                return r;
        if (ret_result)
                *ret_result = result ? result : json_null();
        else
                json_decref(result);
        return 0;
}

/* What calls and casts begin with. */
static int begin(cel_ctx *ctx, const cel_rpc_client *client, const cel_rpc_options *options, settings *s,
                 outgoing *sending, const char *method)
{
        *s = merge(&client->own, options);
        int r = check(ctx, s);
        if (r >= 0)
                r = check_cap(ctx, s);
        sending->settings = s;
        sending->method = method;
        if (r >= 0)
                r = address(ctx, sending);
        sending->context = s->context ? json_incref((json_t *)(uintptr_t)s->context) : json_object();
        if (r >= 0 && !sending->context)
                r = cel_fail(ctx, CEL_ENOMEM, "out of memory");
        cel__buf_init(&sending->body, BODY_BYTES_MAX);
        return r;
}

static void end(callers *c, outgoing *sending, json_t *args)
{
        cel__buf_fini(&sending->body);
        json_decref(sending->context);
        json_decref(args);
        callers_unref(c);
}

int cel_rpc_call(cel_ctx *ctx, cel_rpc_client *client, const cel_rpc_options *options, const char *method,
                 json_t *args, json_t **ret_result)
{
        callers *c = callers_ref(client->callers); /* the client may be freed while this waits */
        outgoing sending = {0};
        settings s;
        int r = begin(ctx, client, options, &s, &sending, method);

        if (r >= 0 && s.fanout)
                r = cel_fail(ctx, CEL_EINVAL,
                             "a fanout cannot be called: nobody would know whose reply to take");
        if (r >= 0) {
                callers_get_counts(c)->calls++;
                r = call_with(ctx, c, &sending, args, ret_result);
        }
        end(c, &sending, args);
        return r;
}

int cel_rpc_cast(cel_ctx *ctx, cel_rpc_client *client, const cel_rpc_options *options, const char *method,
                 json_t *args)
{
        callers *c = callers_ref(client->callers);
        outgoing sending = {0};
        settings s;
        int r = begin(ctx, client, options, &s, &sending, method);

        if (r >= 0)
                r = encode(ctx, c, &sending, args, NULL);
        if (r >= 0) {
                callers_get_counts(c)->casts++;
                r = deliver(ctx, c, &sending, false);
        }
        end(c, &sending, args);
        return r;
}

bool cel_rpc_can_send_version(const cel_rpc_client *client, const cel_rpc_options *options,
                              const char *version)
{
        settings s = merge(&client->own, options);

        return cel__version_compatible(s.version_cap, choose(version, s.version)) == 1;
}

cel_rpc_stats cel_rpc_client_get_stats(const cel_rpc_client *client)
{
        callers_counts *counts = callers_get_counts(client->callers);

        return (cel_rpc_stats){.calls = counts->calls,
                               .casts = counts->casts,
                               .timeouts = counts->timeouts,
                               .replies_late = counts->replies_late,
                               .replies_invalid = counts->replies_invalid,
                               .sent_again = counts->sent_again,
                               .waiting = callers_waiting(client->callers)};
}

cel_rpc_options cel_rpc_client_get_options(const cel_rpc_client *client)
{
        const settings *s = &client->own;

        return (cel_rpc_options){.exchange = s->exchange,
                                 .topic = s->topic,
                                 .server = s->server,
                                 .name_space = s->name_space,
                                 .version = s->version,
                                 .version_cap = s->version_cap,
                                 .timeout_ms = s->timeout_ms,
                                 .call_monitor_timeout_s = s->monitor_s > 0 ? s->monitor_s : -1,
                                 .retry = s->retry == 0 ? CEL_RETRY_NEVER : s->retry,
                                 .mandatory = s->mandatory ? CEL_YES : CEL_NO,
                                 .fanout = s->fanout ? CEL_YES : CEL_NO,
                                 .context = s->context,
                                 .serializer = s->serializer,
                                 .allowed_remote_exmods = s->allowed_remote_exmods};
}

/* --- Clients ---------------------------------------------------------------------------------- */

cel_rpc_client *cel_rpc_client_free(cel_rpc_client *client)
{
        if (!client)
                return NULL;
        callers_unref(client->callers);
        json_decref(client->context);
        for (size_t i = 0; i < sizeof(client->strings) / sizeof(client->strings[0]); i++)
                free(client->strings[i]);
        free(client);
        return NULL;
}

/* Make everything that the settings point to the client's own. */
static int keep(cel_rpc_client *client)
{
        const char **strings[] = {&client->own.exchange,   &client->own.topic,   &client->own.server,
                                  &client->own.name_space, &client->own.version, &client->own.version_cap};

        for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
                if (!*strings[i])
                        continue;
                client->strings[i] = strdup(*strings[i]);
                if (!client->strings[i])
                        return CEL_ENOMEM;
                *strings[i] = client->strings[i];
        }
        if (client->own.context) {
                client->context = json_deep_copy(client->own.context);
                if (!client->context)
                        return CEL_ENOMEM;
                client->own.context = client->context;
        }
        return 0;
}

int cel_rpc_client_new(cel_ctx *ctx, cel_transport *transport, const cel_target *target,
                       const cel_rpc_options *options, cel_rpc_client **ret_client)
{
        const settings defaults = {.exchange = target->exchange,
                                   .topic = target->topic,
                                   .server = target->server,
                                   .name_space = target->name_space,
                                   .version = target->version,
                                   .timeout_ms = TIMEOUT_MS,
                                   .retry = CEL_RETRY_FOREVER};
        settings s = merge(&defaults, options);
        int r = check(ctx, &s);

        if (r < 0)
                return r;
        cel_rpc_client *client = calloc(1, sizeof(*client));
        if (!client)
                return cel_fail(ctx, CEL_ENOMEM, "out of memory");
        client->own = s;
        r = keep(client);
        if (r >= 0)
                r = callers_of(transport, &client->callers);
        if (r < 0) {
                cel_rpc_client_free(client);
                return cel_fail(ctx, r, "%s", cel_error_text(r));
        }
        *ret_client = client;
        return 0;
}
