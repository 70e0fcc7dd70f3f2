/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/endpoints.h"

#include <stdio.h>

static int read_priorities(const cel_notification_endpoint *from, unsigned *ret_priorities, char *why,
                           size_t why_bytes)
{
        unsigned priorities = 0;

        for (const char *const *name = from->priorities; name && *name; name++) {
                int number = cel__priority_find(*name);

                if (number < 0) {
                        snprintf(why, why_bytes, "there is no priority \"%.40s\"", *name);
                        return CEL_EINVAL;
                }
                priorities |= 1u << number;
        }
        if (from->priorities && priorities == 0) {
                snprintf(why, why_bytes, "an endpoint has no priorities");
                return CEL_EINVAL;
        }
        *ret_priorities = priorities;
        return 0;
}

static int add(cel__endpoints *endpoints, const cel_notification_endpoint *from, bool batches, char *why,
               size_t why_bytes)
{
        cel__endpoint *endpoint = &endpoints->list[endpoints->n];

        if (batches ? !from->on_batch || from->on_notification : !from->on_notification || from->on_batch) {
                snprintf(why, why_bytes,
                         batches ? "with batch_size, handlers are on_batch"
                                 : "without batch_size, handlers are on_notification");
                return CEL_EINVAL;
        }
        *endpoint = (cel__endpoint){
                .on_notification = from->on_notification, .on_batch = from->on_batch, .arg = from->arg};
        int r = read_priorities(from, &endpoint->priorities, why, why_bytes);
        if (r >= 0 && from->filter)
                r = cel__filter_new(from->filter, &endpoint->filter, why, why_bytes);
        if (r >= 0)
                endpoints->n++;
        return r;
}

int cel__endpoints_init(cel__endpoints *endpoints, const cel_notification_listener_options *o, char *why,
                        size_t why_bytes)
{
        const cel_notification_endpoint single = {
                .on_notification = o->on_notification, .on_batch = o->on_batch, .arg = o->arg};
        bool several = o->endpoints_n > 0;
        int r = 0;

        *endpoints = (cel__endpoints){0};
        if (several && (o->on_notification || o->on_batch)) {
                snprintf(why, why_bytes, "a listener with endpoints has its handlers there");
                return CEL_EINVAL;
        }
        if (o->endpoints_n > CEL__ENDPOINTS_MAX) {
                snprintf(why, why_bytes, "a listener has at most %d endpoints", CEL__ENDPOINTS_MAX);
                return CEL_EINVAL;
        }
        for (unsigned i = 0; i < (several ? o->endpoints_n : 1) && r >= 0; i++)
                r = add(endpoints, several ? &o->endpoints[i] : &single, o->batch_size > 0, why, why_bytes);
        return r;
}

void cel__endpoints_fini(cel__endpoints *endpoints)
{
        for (unsigned i = 0; i < endpoints->n; i++)
                cel__filter_free(endpoints->list[i].filter);
        endpoints->n = 0;
}

void cel__endpoints_priorities(const cel__endpoints *endpoints, const char *names[CEL__PRIORITIES_N + 1])
{
        unsigned wanted = 0, n = 0;

        for (unsigned i = 0; i < endpoints->n; i++)
                wanted |= endpoints->list[i].priorities ? endpoints->list[i].priorities : ~0u;
        for (unsigned i = 0; i < CEL__PRIORITIES_N; i++)
                if (wanted & 1u << i)
                        names[n++] = cel__priorities[i];
        names[n] = NULL;
}

cel__endpoint_set cel__endpoints_for(const cel__endpoints *endpoints, const char *priority)
{
        int number = cel__priority_find(priority);
        unsigned wanted = number < 0 ? 0 : 1u << number;
        cel__endpoint_set set = 0;

        for (unsigned i = 0; i < endpoints->n; i++)
                if (endpoints->list[i].priorities == 0 || (endpoints->list[i].priorities & wanted))
                        set |= (cel__endpoint_set)1 << i;
        return set;
}

int cel__endpoints_filter(cel__endpoints *endpoints, const json_t *message, cel__endpoint_set *set)
{
        for (unsigned i = 0; i < endpoints->n; i++) {
                cel__endpoint_set one = (cel__endpoint_set)1 << i;
                bool matches = true;

                if (!(*set & one) || !endpoints->list[i].filter)
                        continue;
                int r = cel__filter_match(endpoints->list[i].filter, message, &matches);
                if (r < 0)
                        return r;
                if (!matches)
                        *set &= ~one;
        }
        return 0;
}
