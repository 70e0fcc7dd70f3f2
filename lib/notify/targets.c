/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/targets.h"

#include <stdio.h>

static const char *const default_topics[] = {"notifications", NULL};

typedef struct lister {
        cel_ctx *ctx;
        const cel__driver_settings *settings;
        const cel_notification_listener_options *options;
        const char *const *priorities;
        cel__queue_list *list;
} lister;

static int add(lister *l, const char *exchange, const char *topic, const char *priority)
{
        const cel_notification_listener_options *o = l->options;
        cel__queue_list *list = l->list;

        if (list->n == CEL__LISTENER_QUEUES_MAX)
                return cel_fail(l->ctx, CEL_EINVAL, "topics times priorities exceeds %d",
                                CEL__LISTENER_QUEUES_MAX);
        char *key = list->keys[list->n];
        if (snprintf(key, sizeof(list->keys[0]), "%s.%s", topic, priority) >= (int)sizeof(list->keys[0]))
                return cel_fail(l->ctx, CEL_EINVAL, "topic \"%s\" is longer than AMQP allows", topic);
        list->queues[list->n++] = (cel_queue){.name = o->pool ? o->pool : key,
                                              .exchange = exchange ? exchange : "openstack",
                                              .binding_key = key,
                                              .durable = o->durable || l->settings->durable,
                                              .auto_delete = o->auto_delete || l->settings->auto_delete,
                                              .arguments = l->settings->arguments};
        return 0;
}

static int add_topic(lister *l, const char *exchange, const char *topic)
{
        int r = 0;

        for (const char *const *p = l->priorities; *p && r >= 0; p++)
                r = add(l, exchange, topic ? topic : default_topics[0], *p);
        return r;
}

int cel__list_queues(cel_ctx *ctx, const cel__driver_settings *settings,
                     const cel_notification_listener_options *o, const char *const *priorities,
                     cel__queue_list *list)
{
        lister l = {.ctx = ctx, .settings = settings, .options = o, .priorities = priorities, .list = list};
        int r = 0;

        if (o->targets_n > 0 && (o->exchange || o->topics))
                return cel_fail(ctx, CEL_EINVAL, "a listener has targets, or exchange and topics, not both");
        for (unsigned i = 0; i < o->targets_n && r >= 0; i++)
                r = add_topic(&l, o->targets[i].exchange, o->targets[i].topic);
        if (o->targets_n == 0)
                for (const char *const *t = o->topics ? o->topics : default_topics; *t && r >= 0; t++)
                        r = add_topic(&l, o->exchange, *t);
        if (r < 0)
                return r;
        return list->n > 0 ? 0 : cel_fail(ctx, CEL_EINVAL, "no topics or no priorities to listen to");
}
