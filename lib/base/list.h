/* SPDX-License-Identifier: Apache-2.0
 *
 * A doubly linked list whose nodes live inside what they link. A node that is in no list points to itself. */
#ifndef CEL_BASE_LIST_H
#define CEL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cel__list {
        struct cel__list *next, *previous;
} cel__list;

/* The struct of `type` that holds `node` as its `member`. */
#define cel__container(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Walk the nodes of `list`; the current one may be removed. */
#define cel__list_for_each(node, list)                                                  \
        for (cel__list *node = (list)->next, *node##_next = node->next; node != (list); \
             node = node##_next, node##_next = node->next)

static inline void cel__list_init(cel__list *list)
{
        list->next = list->previous = list;
}

static inline bool cel__list_empty(const cel__list *list)
{
        return list->next == list;
}

static inline void cel__list_append(cel__list *list, cel__list *node)
{
        node->next = list;
        node->previous = list->previous;
        list->previous->next = node;
        list->previous = node;
}

/* Take `node` out of the list it is in, if any. */
static inline void cel__list_remove(cel__list *node)
{
        node->previous->next = node->next;
        node->next->previous = node->previous;
        cel__list_init(node);
}

/* Take out and return the first node; NULL if there is none. */
static inline cel__list *cel__list_pop(cel__list *list)
{
        cel__list *node = list->next;

        if (node == list)
                return NULL;
        cel__list_remove(node);
        return node;
}

#endif
