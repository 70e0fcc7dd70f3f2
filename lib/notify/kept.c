/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/kept.h"

#include <celadon/error.h>

enum { KEPT_MAX = 1000 };

void cel__kept_init(cel__kept *kept)
{
        *kept = (cel__kept){0};
        pthread_mutex_init(&kept->mutex, NULL);
}

void cel__kept_fini(cel__kept *kept)
{
        json_decref(kept->list);
        pthread_mutex_destroy(&kept->mutex);
}

int cel__kept_add(cel__kept *kept, json_t *entry)
{
        pthread_mutex_lock(&kept->mutex);
        if (!kept->list)
                kept->list = json_array();
        int r = json_array_append_new(kept->list, entry) < 0 ? CEL_ENOMEM : 0;
        if (json_array_size(kept->list) > KEPT_MAX)
                json_array_remove(kept->list, 0);
        pthread_mutex_unlock(&kept->mutex);
        return r;
}

json_t *cel__kept_take(cel__kept *kept)
{
        pthread_mutex_lock(&kept->mutex);
        json_t *list = kept->list;
        kept->list = NULL;
        pthread_mutex_unlock(&kept->mutex);
        return list ? list : json_array();
}
