/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/settings.h"
#include "wire/compress.h"

#include <stdio.h>

/* An argument of a queue; none if it is 0. */
static int set_limit(cel_headers *arguments, const char *name, int64_t value)
{
        return value > 0 ? cel_headers_set_int(arguments, name, value) : 0;
}

static int set_quorum(cel_headers *arguments, const rabbit_options *o)
{
        int r = cel_headers_set_str(arguments, "x-queue-type", "quorum");

        if (r >= 0)
                r = set_limit(arguments, "x-delivery-limit", o->rabbit_quorum_delivery_limit);
        if (r >= 0)
                r = set_limit(arguments, "x-max-in-memory-length", o->rabbit_quorum_max_memory_length);
        if (r >= 0)
                r = set_limit(arguments, "x-max-in-memory-bytes", o->rabbit_quorum_max_memory_bytes);
        return r;
}

/* Of shared queues, or of those of one process, in oslo.messaging's order; when they expire comes last, and is not said
 * here.
 * Owns: *ret_arguments is yours; NULL: there are none. */
static int make_arguments(const rabbit_options *o, bool quorum, cel_headers **ret_arguments)
{
        cel_auto(cel_headers) *arguments = NULL;
        int r = 0;

        if (!o->rabbit_ha_queues && !quorum)
                return 0;
        r = cel_headers_new(&arguments);
        if (r >= 0 && o->rabbit_ha_queues)
                r = cel_headers_set_str(arguments, "x-ha-policy", "all");
        if (r >= 0 && quorum)
                r = set_quorum(arguments, o);
        if (r >= 0)
                *ret_arguments = CEL_TAKE(arguments);
        return r;
}

/* A stream does not expire: what is in it does. */
static int make_stream_arguments(const rabbit_options *o, cel_headers **ret_arguments)
{
        cel_auto(cel_headers) *arguments = NULL;
        char age[24];
        int r = cel_headers_new(&arguments);

        snprintf(age, sizeof(age), "%llds", (long long)o->rabbit_transient_queues_ttl_s);
        if (r >= 0)
                r = cel_headers_set_str(arguments, "x-queue-type", "stream");
        if (r >= 0 && o->rabbit_transient_queues_ttl_s > 0)
                r = cel_headers_set_str(arguments, "x-max-age", age);
        if (r >= 0)
                *ret_arguments = CEL_TAKE(arguments);
        return r;
}

int settings_make(const rabbit_options *o, cel__driver_settings *ret_settings)
{
        unsigned expires_ms = (unsigned)o->rabbit_transient_queues_ttl_s * 1000;
        bool stream = o->rabbit_stream_fanout;
        cel__driver_settings s = {
                .durable = o->amqp_durable_queues || o->rabbit_quorum_queue,
                .auto_delete = o->amqp_auto_delete,
                .transient_durable = o->rabbit_transient_quorum_queue,
                .transient_kept = o->use_queue_manager,
                .transient_expires_ms = expires_ms,
                .fanout_stream = stream,
                .fanout_expires_ms = stream ? 0 : expires_ms,
                .prefetch = (unsigned)o->rabbit_qos_prefetch_count,
                .missing_reply_queue_ms = o->kombu_missing_consumer_retry_timeout_s * 1000,
                .reply_mandatory = o->direct_mandatory_flag,
                .compression = o->kombu_compression ? cel__compression_find(o->kombu_compression) : NULL,
        };
        int r = make_arguments(o, o->rabbit_quorum_queue, &s.arguments);

        if (r >= 0)
                r = make_arguments(o, o->rabbit_transient_quorum_queue, &s.transient_arguments);
        if (r >= 0)
                r = stream ? make_stream_arguments(o, &s.fanout_arguments)
                           : make_arguments(o, o->rabbit_transient_quorum_queue, &s.fanout_arguments);
        if (r < 0) {
                settings_fini(&s);
                return r;
        }
        *ret_settings = s;
        return 0;
}

void settings_fini(cel__driver_settings *settings)
{
        settings->arguments = cel_headers_free(settings->arguments);
        settings->transient_arguments = cel_headers_free(settings->transient_arguments);
        settings->fanout_arguments = cel_headers_free(settings->fanout_arguments);
}
