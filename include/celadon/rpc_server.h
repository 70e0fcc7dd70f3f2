/* SPDX-License-Identifier: Apache-2.0
 *
 * Offering methods to other services, as oslo.messaging does.
 *
 *     static int add(cel_ctx *ctx, cel_request *request)
 *     {
 *             return cel_request_reply(request, json_integer(cel_request_int(request, "a", 0) +
 *                                                            cel_request_int(request, "b", 0)));
 *     }
 *
 *     static const cel_method methods[] = {{"add", add, .concurrency_max = 16}, {0}};
 *
 *     r = cel_rpc_server_open(ctx, bus, &(cel_target){.topic = "calc", .server = "host-1"}, methods, &server);
 *     if (r >= 0)
 *             r = cel_rpc_server_run(ctx, server);    // until SIGTERM; then drains */
#ifndef CELADON_RPC_SERVER_H
#define CELADON_RPC_SERVER_H

#include <celadon/executor.h>
#include <celadon/rpc.h>

typedef struct cel_rpc_server cel_rpc_server;
typedef struct cel_request cel_request;

/* Handles one request, in a task of its own or as the executor does, and says how it went by
 * cel_request_reply() or cel_request_fail(); without either, the result is null. A negative error is told to the
 * caller as a RuntimeError with the ctx's text; CEL_EREMOTE passes on the error of a call that this handler has
 * made. */
typedef int (*cel_method_fn)(cel_ctx *ctx, cel_request *request);

typedef struct cel_method {
        const char *name;
        cel_method_fn fn;
        unsigned concurrency_max; /* at once; 0: as many as the server has */
        /* Classes of errors that are part of the method's work, and logged as such. NULL-terminated; NULL: none. */
        const char *const *expected;
        cel_executor *executor; /* NULL: the endpoint's */
        bool exposed;           /* for cel_rpc_access_explicit() */
} cel_method;

/* Methods of one namespace and version. Must live as long as the server, with all it points to. */
typedef struct cel_endpoint {
        const char *name_space;                /* NULL: none */
        const char *version;                   /* NULL: "1.0" */
        const char *const *legacy_name_spaces; /* NULL-terminated, "" being none; NULL: no others */
        const cel_method *methods;             /* ends with one that has no name; NULL: none */
        /* Is there a method of this name, although it is not among `methods`? Then `dynamic` handles it, and tells it by
         * cel_request_method(); its own name is not looked at, its concurrency_max is for all of them together. Called on
         * the loop; must not wait. NULL: there is none. */
        bool (*lookup)(const struct cel_endpoint *endpoint, const char *method);
        cel_method dynamic;
        /* A request is acknowledged before it is handled, so it is never handled twice. With this, it is once its
         * reply is sent, so it is handled again after a crash; a cast that failed is rejected. */
        bool ack_late;
        /* Who runs the handlers; it must not end before the server does. NULL: each has a task of its own, which is
         * what most want. */
        cel_executor *executor;
        void *arg; /* for cel_request_endpoint_arg() */
} cel_endpoint;

/* May a method that `endpoint` has be called? Called on the loop; must not wait. */
typedef bool (*cel_rpc_access_policy)(const cel_endpoint *endpoint, const char *method, void *arg);

typedef struct cel_rpc_server_options {
        const cel_endpoint *endpoints; /* asked in this order */
        unsigned endpoints_n;          /* at most 64 */
        unsigned concurrency;          /* handlers at once, 1 to 60,000; 0: 1,000 */
        size_t bytes_max; /* of requests that are handled or wait for it; 0: 256 MiB. A single one is always taken */
        bool ping;        /* oslo.messaging's rpc_ping_enabled: answer "oslo_rpc_server_ping" with "pong" */
        /* One of those below, or one's own. A method that it does not allow does not exist for the caller. NULL:
         * cel_rpc_access_default(). */
        cel_rpc_access_policy access_policy;
        void *arg;                        /* borrowed, for access_policy */
        const cel_serializer *serializer; /* copied; NULL: values are left as they are */
} cel_rpc_server_options;

typedef struct cel_rpc_server_stats {
        uint64_t received;
        uint64_t handled;            /* by a method, whatever the outcome */
        uint64_t failed;             /* of these */
        uint64_t refused;            /* no such method, or version */
        uint64_t duplicates_dropped; /* seen within the last 60 s */
        uint64_t expired_dropped;    /* their callers had given up */
        uint64_t invalid;            /* not understood, and rejected */
        uint64_t replies_lost;       /* nobody took them within 60 s */
        unsigned running, waiting;   /* handlers now, requests for a handler now */
        unsigned replying;           /* replies on their way now */
} cel_rpc_server_stats;

CEL_BEGIN

/* --- Requests: for the handler, while it runs ------------------------------------------------- */

/* Everything returned is borrowed, and lives as long as the request. */
CEL_API const char *cel_request_method(const cel_request *request);
CEL_API const char *cel_request_name_space(const cel_request *request); /* NULL: none */
CEL_API const char *cel_request_version(const cel_request *request);
CEL_API const json_t *cel_request_context(const cel_request *request); /* an object */
CEL_API const json_t *cel_request_args(const cel_request *request);    /* an object; NULL: none came */
CEL_API void *cel_request_endpoint_arg(const cel_request *request);

/* One argument; NULL: there is none. */
CEL_API const json_t *cel_request_arg(const cel_request *request, const char *name);

/* One argument of a certain type; NULL, or `otherwise`, if there is none or it is of another type. A whole number
 * counts as a real one. */
CEL_API const char *cel_request_str(const cel_request *request, const char *name);
CEL_API int64_t cel_request_int(const cel_request *request, const char *name, int64_t otherwise);
CEL_API double cel_request_real(const cel_request *request, const char *name, double otherwise);
CEL_API bool cel_request_bool(const cel_request *request, const char *name, bool otherwise);

/* Does somebody wait for the reply? If not, it was cast. */
CEL_API bool cel_request_is_call(const cel_request *request);

/* When the caller will have given up, at the latest; CEL_TIME_NEVER: unknown. */
CEL_API cel_time cel_request_deadline(const cel_request *request);

/* The result, sent when the handler returns; the last one counts. Never waits.
 * Owns:   `result` is taken, also on failure; NULL is null.
 * Errors: none; returns 0, so that a handler can end with it. */
CEL_API int cel_request_reply(cel_request *request, json_t *result);

/* The same for a failure: a class as the caller's Python knows it, where that is defined ("builtins" for Python's
 * own), and the text.
 * Errors: CEL_ENOMEM; else 0, so that a handler can end with it. */
CEL_API int cel_request_fail(cel_request *request, const char *class_name, const char *module,
                             const char *format, ...) CEL_PRINTF(4, 5);

/* The same with all that a failure may have. `error` is copied. */
CEL_API int cel_request_fail_with(cel_request *request, const cel_remote_error *error);

/* --- Access policies: oslo.messaging's. `unused` may be NULL --------------------------------- */

/* Everything but what begins with "_". */
CEL_API bool cel_rpc_access_default(const cel_endpoint *endpoint, const char *method, void *unused);
/* Everything. */
CEL_API bool cel_rpc_access_legacy(const cel_endpoint *endpoint, const char *method, void *unused);
/* What is `exposed`. */
CEL_API bool cel_rpc_access_explicit(const cel_endpoint *endpoint, const char *method, void *unused);

/* --- Servers ---------------------------------------------------------------------------------- */

/* A server on `target`, which needs a topic and a server; its namespace and version are not looked at. It does not
 * consume before it is started.
 * Owns:   *ret_server is yours; free it on the same loop. `target` is copied, `transport` borrowed.
 * Waits:  never.
 * Errors: CEL_EINVAL, CEL_ENOMEM, CEL_ENOSUPPORT (not on the transport's loop). */
CEL_API int cel_rpc_server_new(cel_ctx *ctx, cel_transport *transport, const cel_target *target,
                               const cel_rpc_server_options *options, cel_rpc_server **ret_server);

/* Declare the queues of topic, server and fanout as oslo.messaging does, and consume. After cel_rpc_server_stop(),
 * begin again; while that goes on, wait for its end first.
 * Waits:  until the bus has accepted the consumers, the deadline or cancellation.
 * Errors: as cel_transport_declare_queue(); CEL_EBUSY when it is started; CEL_ECLOSED when it was stopped meanwhile.
 *         After any but CEL_EBUSY it counts as stopped, and may be started again. */
CEL_API int cel_rpc_server_start(cel_ctx *ctx, cel_rpc_server *server);

/* new and start in one, with one endpoint: the target's namespace and version, and these methods. */
CEL_API int cel_rpc_server_open(cel_ctx *ctx, cel_transport *transport, const cel_target *target,
                                const cel_method *methods, cel_rpc_server **ret_server);

/* start, stop and wait have an order, which holds whoever calls them, as in oslo.messaging: what is called too early
 * waits for what comes before it, in another task; after 30 s a warning is logged, because that may have been
 * forgotten. What has been done already is not done again. */

/* Take no more requests, and give back those that no handler has begun. Handlers go on. A start that is under way ends.
 * Waits:  until it was started, if it never was; until the bus has agreed, the deadline or cancellation.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED: the bus has not answered, but nothing is taken any more. */
CEL_API int cel_rpc_server_stop(cel_ctx *ctx, cel_rpc_server *server);

/* Wait until the server was stopped, no handler runs and all replies are sent; then its queues are let go.
 * Waits:  for that, the deadline or cancellation; the handlers are left alone.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED. */
CEL_API int cel_rpc_server_wait(cel_ctx *ctx, cel_rpc_server *server);

/* stop and wait; when the deadline passes or the ctx is cancelled, cancel the handlers and wait for their end. Nothing
 * is done if the server was never started.
 * Waits:  for the handlers.
 * Errors: CEL_ETIMEDOUT, CEL_ECANCELED: handlers had to be cancelled. */
CEL_API int cel_rpc_server_drain(cel_ctx *ctx, cel_rpc_server *server);

/* For when the process is told to look at its configuration anew (SIGHUP): reply queues that were found to be gone are
 * tried again. Queues, requests, handlers and what was seen stay as they are; upstream's does nothing at all. Never
 * waits. */
CEL_API void cel_rpc_server_reset(cel_rpc_server *server);

/* Start, if it is not started, serve until cel_stop_future() completes, and drain for at most 30 s.
 * Waits:  for that, or cancellation, which ends it the same way.
 * Errors: as start and drain. */
CEL_API int cel_rpc_server_run(cel_ctx *ctx, cel_rpc_server *server);

/* Free at once: handlers that run are cancelled. Never waits. */
CEL_API cel_rpc_server *cel_rpc_server_free(cel_rpc_server *server);

CEL_API cel_rpc_server_stats cel_rpc_server_get_stats(const cel_rpc_server *server);

CEL_END

CEL_AUTO_WITH(cel_rpc_server, cel_rpc_server_free)

#endif
