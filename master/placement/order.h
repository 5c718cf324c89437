/* order.h - nodes in order of a rank, and the first of them with enough room.
 *
 * Pure. A B+ tree that knows, for every subtree, the most that is free there
 * in each dimension: what asks for more in any of them need not look inside.
 * Finding, putting in and taking out cost O(log nodes); a search that is led
 * on by maxima of different nodes looks at some more, at each node once when
 * it goes worst. */
#pragma once

#include "master/placement/resources.h"

#include <stddef.h>

/* Where a node stands. Those of one rank stand by id. */
struct order_key {
    uint64_t rank;
    uint64_t id;
};

static inline bool order_key_less(struct order_key a, struct order_key b)
{
    return a.rank < b.rank || (a.rank == b.rank && a.id < b.id);
}

struct order_page;

struct order {
    struct order_page *root; /* owned; NULL: empty */
};

void order_fini(struct order *order);

/* What is kept of a node, and of all nodes in a subtree together. */
struct order_item {
    struct order_key key;  /* the lowest one */
    struct resources room; /* the most, in each dimension by itself */
    uint64_t kinds;        /* all their bits */
    void *what;            /* the node, borrowed; in here for pages, too */
};

/* Put a node in; its key is not in yet. */
void order_insert(struct order *order, const struct order_item *item);

/* Take a node out; its key is in. */
void order_remove(struct order *order, struct order_key key);

/* May the node be taken, though it has room? */
typedef bool order_accept_cb(void *data, void *what);

struct order_query {
    struct resources want;
    uint64_t kinds;          /* one of these bits is set */
    uint64_t from_rank;      /* those of a lower one are passed by */
    order_accept_cb *accept; /* NULL: any */
    void *data;
    uint64_t *looks; /* items looked at are added; NULL: not counted */
};

/* The first node with room that is accepted, or NULL. */
void *order_first(const struct order *order, const struct order_query *query);

/* The lowest key of all, which is told; false: it is empty. O(1). */
bool order_lowest(const struct order *order, struct order_key *key);

/* The greatest rank of a node with room that is accepted. */
bool order_last_rank(const struct order *order, const struct order_query *query,
                     uint64_t *rank);
