/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. The notification is borrowed, and may be large, so it is not copied: the containers on the way to a change are,
 * one level each, and what they hold is shared. */
#include "bridge/transform.h"

#include <celadon/error.h>
#include <stdio.h>
#include <string.h>

bool bridge_transform_is_empty(const bridge_transform *t)
{
        return t->pick_n == 0 && t->drop_n == 0 && t->rename_n == 0 && t->set_n == 0;
}

static const char *last_token(const bridge_pointer *p)
{
        return p->tokens[p->tokens_n - 1];
}

static json_t *child_of(const json_t *container, const char *token)
{
        size_t index;

        if (json_is_object(container))
                return json_object_get(container, token);
        return bridge_pointer_index(token, &index) ? json_array_get(container, index) : NULL;
}

/* Takes `value`, which may be NULL: no memory. */
static int put_child(json_t *container, const char *token, json_t *value)
{
        size_t index;
        int r = -1;

        if (json_is_object(container))
                r = json_object_set_new(container, token, value);
        else if (bridge_pointer_index(token, &index))
                r = json_array_set_new(container, index, value);
        return r < 0 ? CEL_ENOMEM : 0;
}

/* The container that holds what the pointer points to, private to `root` with all containers on the way, so that it may
 * be changed. `create`: objects that are not there are made.
 * Errors: CEL_ENOTFOUND; CEL_EINVAL: on the way is what is no container; CEL_ENOMEM. */
static int open_path(json_t *root, const bridge_pointer *p, bool create, json_t **ret_container)
{
        json_t *at = root;

        for (size_t i = 0; i + 1 < p->tokens_n; i++) {
                json_t *child = child_of(at, p->tokens[i]);

                if (!child && (!create || !json_is_object(at)))
                        return create ? CEL_EINVAL : CEL_ENOTFOUND;
                if (child && !json_is_object(child) && !json_is_array(child))
                        return create ? CEL_EINVAL : CEL_ENOTFOUND;
                json_t *private = child ? json_copy(child) : json_object();
                int r = put_child(at, p->tokens[i], private);

                if (r < 0)
                        return r;
                at = private;
        }
        *ret_container = at;
        return 0;
}

/* Takes `value`. */
static int set(json_t *root, const bridge_pointer *to, json_t *value)
{
        json_t *container;
        size_t index;
        int r = open_path(root, to, true, &container);

        if (r >= 0 && json_is_array(container) && strcmp(last_token(to), "-") == 0)
                return json_array_append_new(container, value) < 0 ? CEL_ENOMEM : 0;
        if (r >= 0 && json_is_array(container) &&
            (!bridge_pointer_index(last_token(to), &index) || index >= json_array_size(container)))
                r = CEL_EINVAL;
        if (r >= 0)
                return put_child(container, last_token(to), value);
        json_decref(value);
        return r;
}

/* What is not there is not removed. */
static int drop(json_t *root, const bridge_pointer *p)
{
        json_t *container;
        size_t index;
        int r = open_path(root, p, false, &container);

        if (r < 0)
                return r == CEL_ENOTFOUND ? 0 : r;
        if (json_is_object(container))
                json_object_del(container, last_token(p));
        else if (bridge_pointer_index(last_token(p), &index))
                json_array_remove(container, index);
        return 0;
}

/* The member that the pointer leads to through objects only; an array is picked whole or not at all. */
static json_t *find_in_objects(const json_t *root, const bridge_pointer *p)
{
        json_t *at = (json_t *)root;

        for (size_t i = 0; i < p->tokens_n && at; i++)
                at = json_object_get(at, p->tokens[i]);
        return at;
}

static int pick(const bridge_transform *t, const json_t *from, json_t *to)
{
        int r = 0;

        for (size_t i = 0; i < t->pick_n && r >= 0; i++) {
                json_t *found = find_in_objects(from, &t->pick[i]);

                if (found)
                        r = set(to, &t->pick[i], json_incref(found));
        }
        return r;
}

static int rename_all(const bridge_transform *t, json_t *root)
{
        int r = 0;

        for (size_t i = 0; i < t->rename_n && r >= 0; i++) {
                json_t *found = bridge_pointer_get(&t->rename[i].from, root);

                if (!found)
                        continue;
                json_incref(found);
                r = drop(root, &t->rename[i].from);
                if (r >= 0)
                        r = set(root, &t->rename[i].to, found);
                else
                        json_decref(found);
        }
        return r;
}

/* The value to set; NULL: none, as a template that comes out empty sets nothing. */
static int make_value(const bridge_set *s, const bridge_event *event, char *why, json_t **ret_value)
{
        bridge_text text = {.bytes_max = BRIDGE_TEMPLATE_BYTES_MAX};
        int r = 0;

        *ret_value = NULL;
        if (s->literal) {
                *ret_value = json_incref(s->literal);
                return 0;
        }
        r = bridge_template_render(s->value, event, &text, why);
        if (r >= 0 && text.n > 0) {
                *ret_value = bridge_template_is_json(s->value)
                                     ? json_loadb(text.bytes, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
                                     : json_stringn(text.bytes, text.n);
                if (!*ret_value) {
                        snprintf(why, BRIDGE_TRANSFORM_WHY_BYTES, "a value to set is not UTF-8");
                        r = CEL_EINVAL;
                }
        }
        bridge_text_fini(&text);
        return r;
}

static int set_all(const bridge_transform *t, const bridge_event *event, char *why, json_t *root)
{
        int r = 0;

        for (size_t i = 0; i < t->set_n && r >= 0; i++) {
                json_t *value;

                r = make_value(&t->set[i], event, why, &value);
                if (r >= 0 && value)
                        r = set(root, &t->set[i].to, value);
        }
        return r;
}

int bridge_transform_apply(const bridge_transform *t, const bridge_event *event,
                           char why[BRIDGE_TRANSFORM_WHY_BYTES], json_t **ret_json)
{
        const json_t *message = event->notification->message;
        json_t *root = t->pick_n > 0 ? json_object() : json_copy((json_t *)message);
        int r = root ? 0 : CEL_ENOMEM;

        snprintf(why, BRIDGE_TRANSFORM_WHY_BYTES,
                 "a member cannot be set, for on the way to it is what has no members");
        if (r >= 0)
                r = pick(t, message, root);
        for (size_t i = 0; i < t->drop_n && r >= 0; i++)
                r = drop(root, &t->drop[i]);
        if (r >= 0)
                r = rename_all(t, root);
        if (r >= 0)
                r = set_all(t, event, why, root);
        if (r >= 0)
                *ret_json = root;
        else
                json_decref(root);
        return r;
}

static void free_pointers(bridge_pointer *pointers, size_t n)
{
        for (size_t i = 0; i < n; i++)
                bridge_pointer_fini(&pointers[i]);
        free(pointers);
}

void bridge_transform_fini(bridge_transform *t)
{
        free_pointers(t->pick, t->pick_n);
        free_pointers(t->drop, t->drop_n);
        for (size_t i = 0; i < t->rename_n; i++) {
                bridge_pointer_fini(&t->rename[i].from);
                bridge_pointer_fini(&t->rename[i].to);
        }
        free(t->rename);
        for (size_t i = 0; i < t->set_n; i++) {
                bridge_pointer_fini(&t->set[i].to);
                bridge_template_free(t->set[i].value);
                json_decref(t->set[i].literal);
        }
        free(t->set);
        *t = (bridge_transform){0};
}
