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

#include <celadon/transport.h>
#include <jansson.h>

typedef struct cel_notifier cel_notifier;

typedef struct cel_notifier_options {
        const char *exchange; /* the service's control exchange; NULL: "openstack" */
        const char *const
                *topics; /* NULL-terminated; NULL: {"notifications"}. Each gets a message of its own */
        /* NULL-terminated names of oslo.messaging's drivers; NULL: {"messagingv2"}. "messaging" sends without the
         * envelope, "messagingv2" with it, "noop" nothing. */
        const char *const *drivers;
        const char *publisher_id; /* such as "compute.host-1"; NULL: none */
        /* How often to try again: attempts to connect, each to one host, and to send what may have been lost with a
         * connection; a listener that had it already recognises it. 0: CEL_RETRY_FOREVER; CEL_RETRY_NEVER. */
        int retry;
} cel_notifier_options;

CEL_BEGIN

/* A notifier does not change, and can be used by any ctx of the runtime, many at a time.
 * Owns:   *ret_notifier is yours; free it before the transport. `options` is copied, `transport` borrowed.
 * Waits:  never.
 * Errors: CEL_EINVAL, CEL_ENOSUPPORT (a driver that there is none of), CEL_ENOMEM. */
CEL_API int cel_notifier_new(cel_ctx *ctx, cel_transport *transport, const cel_notifier_options *options,
                             cel_notifier **ret_notifier);
CEL_API cel_notifier *cel_notifier_free(cel_notifier *notifier);

/* Send a notification at a priority: "audit", "debug", "info", "warn", "error", "critical" or "sample". The queue
 * it goes to is declared first, so that it is kept if nobody listens yet. Of `context` (NULL: none) only those members
 * are sent that oslo.messaging sends: who and what for, and never a token.
 * Owns:   `payload` is taken, also on failure; NULL is null. `context` is borrowed.
 * Waits:  until the bus has confirmed it, the deadline or cancellation; for a bus that is away, too.
 * Errors: CEL_EINVAL (the priority, a payload that is no JSON); CEL_EUNKNOWN: it may have arrived or not, and was
 *         not to be sent again; CEL_ECONNECT and what else connecting may fail with (the retries are used up, or the
 *         bus has refused from the first time on); as cel_publish(), cel_transport_declare_queue(). With several topics or drivers, the
 *         first failure, after all have been tried. */
CEL_API int cel_notify(cel_ctx *ctx, cel_notifier *notifier, const char *priority, const char *event_type,
                       json_t *payload, const json_t *context);

/* Is there a driver that sends anything? */
CEL_API bool cel_notifier_is_enabled(const cel_notifier *notifier);

CEL_END

CEL_AUTO_WITH(cel_notifier, cel_notifier_free)

#endif
