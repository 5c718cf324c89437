/* list.h - intrusive, circular, doubly linked list.
 *
 * A `struct list` is both the head and the link that an element embeds. An
 * element that is on no list points to itself, so removing it is harmless. */
#pragma once

#include "base/lang.h"

#include <stdbool.h>

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

/* Put `link` last. It must be on no list. */
static inline void list_append(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Take `link` off its list, if it is on one. */
static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The element first on the list, or NULL. */
#define list_first(head, type, member) \
    (list_empty(head) ? NULL : container_of((head)->next, type, member))

/* Walk a list; the current element may be removed and freed. */
#define list_for_each(link, following, head)                        \
    for (struct list *link = (head)->next, *following = link->next; \
         link != (head); link = following, following = link->next)
