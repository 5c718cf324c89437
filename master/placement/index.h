/* index.h - what placement keeps of the nodes; for this folder only.
 *
 * Invariants:
 * 1. nodes[] is sorted by id, each id once; names are not repeated among
 *    nodes that are asked for by name.
 * 2. A node that is not on `changed` stands in `order` exactly when it is
 *    open, and there with the room it has. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "master/placement/demand.h"
#include "master/placement/order.h"
#include "master/placement/placement.h"

struct placement_entry {
    struct placement_node node;
    struct resources reserved; /* for proposals under way */
    struct map_link by_name;
    struct list changed;
    struct order_item ordered; /* as it stands in the order */
    bool in_order;
};

struct placement {
    struct placement_entry **nodes; /* owned, each */
    size_t count;
    size_t capacity;
    struct map by_name;
    struct list changed; /* entries whose place in the order is old */
    struct order order;  /* the open nodes */
    struct demand demand;
};

/* What is left of a node for new pods. */
static inline struct resources
placement_room(const struct placement_entry *entry)
{
    return resources_less(&entry->node.free, &entry->reserved);
}

/* NULL when there is none. */
struct placement_entry *placement_find(const struct placement *placement,
                                       uint64_t id);

/* Bring the order up to date; before it is asked. */
void placement_settle(struct placement *placement);

struct placement_verdict placement_judge(const struct placement_entry *entry,
                                         const struct placement_request *want);
