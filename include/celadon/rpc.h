/* SPDX-License-Identifier: Apache-2.0
 *
 * Calling methods of other services, as oslo.messaging does; <celadon/rpc_server.h> is the other side.
 *
 *     cel_auto(cel_rpc_client) *compute = NULL;
 *     json_t *state;
 *
 *     r = cel_rpc_client_new(ctx, bus, &(cel_target){.exchange = "nova", .topic = "compute"}, NULL, &compute);
 *     if (r >= 0)
 *             r = cel_rpc_call(ctx, compute, &(cel_rpc_options){.server = "host-1", .timeout_ms = 5000}, "state",
 *                              json_pack("{s:s}", "domain", "web-1"), &state);
 *     if (r == CEL_EREMOTE)
 *             … cel_remote_error_of(ctx)->class_name … */
#ifndef CELADON_RPC_H
#define CELADON_RPC_H

#include <celadon/serializer.h>
#include <celadon/transport.h>
#include <jansson.h>

typedef struct cel_rpc_client cel_rpc_client;

/* Who is meant. A server is reached by topic and server; a client that names no server reaches any one of those
 * on its topic. */
typedef struct cel_target {
        const char *exchange; /* the services' control exchange; NULL: "openstack" */
        const char *topic;
        const char *server;
        const char *name_space; /* NULL: none, which is a namespace of its own */
        const char *version;    /* "major.minor"; a client's NULL: none is sent, which counts as "1.0" */
} cel_target;

typedef enum cel_choice { CEL_UNDECIDED, CEL_YES, CEL_NO } cel_choice;

/* For a string of the options below: none, whatever the client has. Compared by address. */
#define CEL_NONE cel_none

/* How to call, for a client or for one call; what is zero is as the client has it, or else the default. All is
 * borrowed during the call. */
typedef struct cel_rpc_options {
        const char *exchange, *topic, *server, *name_space, *version;
        const char *version_cap; /* refuse to send a version that a server of this one does not understand */
        int64_t timeout_ms;      /* for the reply, connecting and sending included; default: 60,000 */
        /* For a long call: the server shows twice within this time that it is still at work, and timeout_ms may be
         * long; silence for this time ends the call, too. -1: none, which is the default. */
        int call_monitor_timeout_s;
        /* How often to try again: attempts to connect, each to one host, and to send what may have been lost with a
         * connection; the server recognises what it has had already. Default: CEL_RETRY_FOREVER. */
        int retry;
        cel_choice mandatory;  /* fail with CEL_EUNROUTABLE at once when nobody listens; default: no */
        cel_choice fanout;     /* a cast to every server of the topic; default: no */
        const json_t *context; /* an object: the caller's context, who asks and the like */
        /* What is made of arguments and context before they are sent, and of the result. A client's must live as long as
         * the client. */
        const cel_serializer *serializer;
        /* Modules whose errors are allowed, beside Python's builtins: see cel_remote_error. NULL-terminated; a client's
         * must live as long as the client. Default: none. */
        const char *const *allowed_remote_exmods;
} cel_rpc_options;

/* What the other side failed with. All is borrowed; strings are "" if unknown.
 *
 * Where oslo.messaging makes a remote exception again, from the class, args and kwargs, it does so only if its module is
 * allowed: else it raises a RemoteError of exc_type, value and traceback, which are class_name, message and traceback
 * here. `allowed` says which of both it is, for whoever makes objects of classes that others name. */
typedef struct cel_remote_error {
        const char *class_name; /* such as "InstanceNotFound" */
        const char *module;     /* where that class is defined: "nova.exception" */
        const char *message;
        const json_t *args;      /* array: what to make the exception of again; NULL: [message] */
        const json_t *kwargs;    /* object; NULL: {} */
        const json_t *traceback; /* array of strings, each with its newline; NULL: [] */
        bool allowed; /* is the module in the client's allowed_remote_exmods, or Python's builtins? */
} cel_remote_error;

typedef struct cel_rpc_stats {
        uint64_t calls, casts;
        uint64_t timeouts;        /* calls without a reply in time */
        uint64_t replies_late;    /* nobody waited any more */
        uint64_t replies_invalid; /* not understood */
        uint64_t sent_again;      /* it was unknown whether they had arrived */
        unsigned waiting;         /* calls that wait for a reply now */
} cel_rpc_stats;

CEL_BEGIN

CEL_API extern const char cel_none[];

/* A client of one target; for what is zero in `options` (NULL: all of it), the defaults hold. It does not change,
 * and can be used by any ctx of the runtime, many at a time.
 * Owns:   *ret_client is yours; free it before the transport. Everything else is copied, or borrowed: `transport`.
 * Waits:  never.
 * Errors: CEL_EINVAL (no topic, a version that is none), CEL_ENOMEM. */
CEL_API int cel_rpc_client_new(cel_ctx *ctx, cel_transport *transport, const cel_target *target,
                               const cel_rpc_options *options, cel_rpc_client **ret_client);
CEL_API cel_rpc_client *cel_rpc_client_free(cel_rpc_client *client);

/* Call `method` and wait for its result. A request that no queue takes, since its server is not there or is connecting
 * again, is sent again, less and less often, until the timeout.
 * Owns:   `args` (an object; NULL: none) is taken, also on failure; *ret_result is yours; ret_result may be NULL.
 * Waits:  for the connection, for the reply; until the timeout, the ctx's deadline or its cancellation.
 * Errors: CEL_EREMOTE: the method failed, see cel_remote_error_of(); CEL_ETIMEDOUT: the text names the target;
 *         CEL_EVERSION (the cap), CEL_EINVAL (a fanout, arguments that are no JSON), CEL_EUNROUTABLE (mandatory
 *         only), CEL_EDECODE (a reply that is none), CEL_EFULL (100,000 calls wait), CEL_ECONNECT and what else
 *         connecting may fail with (the retries are used up), the serializer's, as cel_publish(). */
CEL_API int cel_rpc_call(cel_ctx *ctx, cel_rpc_client *client, const cel_rpc_options *options,
                         const char *method, json_t *args, json_t **ret_result);

/* Have `method` called by one server, or with `fanout` by all of them, without a reply. What no queue takes is gone, and
 * that is no error, except in the first 3 seconds after a reconnect: then it is sent again, since the servers may be
 * connecting again, too.
 * Owns:   as cel_rpc_call().
 * Waits:  until the bus has confirmed it, the ctx's deadline or its cancellation.
 * Errors: CEL_EUNROUTABLE (mandatory only), CEL_EUNKNOWN: it may have arrived or not, and was not to be sent
 *         again; CEL_EVERSION, CEL_EINVAL, CEL_ECONNECT and the like as cel_rpc_call(), the serializer's, as
 *         cel_publish(). */
CEL_API int cel_rpc_cast(cel_ctx *ctx, cel_rpc_client *client, const cel_rpc_options *options,
                         const char *method, json_t *args);

/* Would the version cap let `version` (NULL: the one that would be sent; CEL_NONE: none) pass? What is no version does
 * not pass a cap. `options` may be NULL. */
CEL_API bool cel_rpc_can_send_version(const cel_rpc_client *client, const cel_rpc_options *options,
                                      const char *version);

/* The remote error that came with the last failure of this ctx; NULL unless that was CEL_EREMOTE. It comes with the
 * result of a task that failed with it, too: by cel_task_await(), cel_await() and cel_scope_close(). Borrowed: valid
 * until the next failure on this ctx. */
CEL_API const cel_remote_error *cel_remote_error_of(const cel_ctx *ctx);

/* How `client` calls: its target, and its options with the defaults filled in. A string that is NULL is none, an exchange
 * "openstack".
 * Owns:   what the strings and other pointers point to is borrowed, as long as the client lives.
 * Waits:  never; from any thread. */
CEL_API cel_rpc_options cel_rpc_client_get_options(const cel_rpc_client *client);

/* Of all clients of this client's transport. From any thread. */
CEL_API cel_rpc_stats cel_rpc_client_get_stats(const cel_rpc_client *client);

CEL_END

CEL_AUTO_WITH(cel_rpc_client, cel_rpc_client_free)

#endif
