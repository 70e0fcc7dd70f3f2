/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending notifications, as oslo.messaging's Notifier does; <celadon/notification.h> is the other side.
 *
 *     r = cel_notifier_new(ctx, bus, &(cel_notifier_options){.exchange = "nova", .publisher_id = "compute.h1"},
 *                          &notifier);
 *     if (r >= 0)
 *             r = cel_notify(ctx, notifier, "info", "compute.instance.create.end",
 *                            json_pack("{s:s}", "instance_id", id), NULL); */
#ifndef CELADON_NOTIFIER_H
#define CELADON_NOTIFIER_H

#include <celadon/serializer.h>
#include <celadon/transport.h>
#include <jansson.h>

typedef struct cel_notifier cel_notifier;

typedef struct cel_notifier_options {
        const char *exchange; /* the service's control exchange; NULL: "openstack" */
        const char *const
                *topics; /* NULL-terminated; NULL: {"notifications"}. Each gets a message of its own */
        /* NULL-terminated names of oslo.messaging's drivers; NULL: {"messagingv2"}:
         *   messaging, messagingv2   send to each topic; without the envelope, and with it
         *   log       log it as JSON, with "oslo.messaging.notification.<event_type>" for an id, at the level of its priority;
         *             what looks like a secret is masked, a line is cut at its 4,095 bytes, and "audit" and "sample", which
         *             are no levels, are left out
         *   noop      nothing
         *   test      keep it for cel_notifier_take_sent()
         *   routing   those that routing_config says for it */
        const char *const *drivers;
        /* Path of oslo.messaging's YAML file for "routing": groups of drivers, each with accepted_events and
         * accepted_priorities, lists of patterns. It is read when the notifier is made. */
        const char *routing_config;
        const char *publisher_id; /* such as "compute.host-1"; NULL: none */
        /* How often to try again: attempts to connect, each to one host, and to send what may have been lost with a
         * connection; a listener that had it already recognises it. 0: CEL_RETRY_FOREVER; CEL_RETRY_NEVER. */
        int retry;
        /* What is made of the payload, in the context as cel_notify() is given it, and then of what is sent of that context.
         * Copied; NULL: they are left as they are. */
        const cel_serializer *serializer;
} cel_notifier_options;

CEL_BEGIN

/* A notifier does not change, and can be used by any ctx of the runtime, many at a time.
 * Owns:   *ret_notifier is yours; free it before the transport. `options` is copied, `transport` borrowed.
 * Waits:  never.
 * Errors: CEL_EINVAL (routing_config: the text has file, line and column), CEL_ENOSUPPORT (a driver that there is none
 *         of), CEL_ENOMEM. */
CEL_API int cel_notifier_new(cel_ctx *ctx, cel_transport *transport, const cel_notifier_options *options,
                             cel_notifier **ret_notifier);
CEL_API cel_notifier *cel_notifier_free(cel_notifier *notifier);

/* The same notifier for another publisher, as oslo.messaging's prepare(): a small thing that shares all the rest. NULL, and a
 * `retry` of 0: as the notifier has it.
 * Owns:   *ret_notifier is yours, and may outlive `notifier`; free it before the transport.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_notifier_prepare(cel_ctx *ctx, const cel_notifier *notifier, const char *publisher_id,
                                 int retry, cel_notifier **ret_notifier);

/* Send a notification at a priority: "audit", "debug", "info", "warn" or "warning", "error", "critical" or
 * "sample". The queue it goes to is declared first, so that it is kept if nobody listens yet. Of `context` (NULL: none) only those members
 * are sent that oslo.messaging sends: who and what for, and never a token.
 * Owns:   `payload` is taken, also on failure; NULL is null. `context` is borrowed.
 * Waits:  until the bus has confirmed it, the deadline or cancellation; for a bus that is away, too.
 * Errors: CEL_EINVAL (the priority, a payload that is no JSON); the serializer's, and then nothing is sent;
 *         CEL_EUNKNOWN: it may have arrived or not, and was not to be sent again; CEL_ECONNECT and what else connecting
 *         may fail with (the retries are used up, or the bus has refused from the first time on); as cel_publish(),
 *         cel_transport_declare_queue(). With several topics or drivers, the first failure, after all have been tried. */
CEL_API int cel_notify(cel_ctx *ctx, cel_notifier *notifier, const char *priority, const char *event_type,
                       json_t *payload, const json_t *context);

/* Is there a driver but "noop"? No drivers at all count as enabled, as with oslo.messaging. */
CEL_API bool cel_notifier_is_enabled(const cel_notifier *notifier);

/* Take what the driver "test" has kept, since the last time, of this notifier and those prepared from it: an array, oldest
 * first, of {"context", "message", "priority", "retry"}, as oslo.messaging's test driver has them. The last 1,000 are kept.
 * Owns:   *ret_sent is yours.
 * Waits:  never.
 * Errors: CEL_ENOMEM. */
CEL_API int cel_notifier_take_sent(cel_ctx *ctx, cel_notifier *notifier, json_t **ret_sent);

CEL_END

CEL_AUTO_WITH(cel_notifier, cel_notifier_free)

#endif
