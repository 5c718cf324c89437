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
#include "master/placement/presence.h"
#include "master/placement/priorities.h"
#include "master/placement/reach.h"

struct resident {
    uint64_t pod_id;
    const Kontor__V1__PodSpec *spec; /* borrowed */
};

/* What pods could give back; only of those that may ever have to go. */
struct shed {
    bool known;     /* false: residents have changed since */
    int32_t lowest; /* priority */
    struct reach reach;
    struct resources all;
};

/* It may have to go for one of that priority. One that must not run twice would
 * not come back. */
static inline bool resident_may_go(const struct resident *pod, int32_t priority)
{
    return pod->spec->priority < priority &&
           pod->spec->restart != KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
}

struct placement_entry {
    struct placement_node node; /* its labels are in `kind` */
    struct resources reserved;  /* what is held */
    uint32_t number;            /* small; for good */
    struct kind *kind;
    struct resident *residents; /* owned */
    uint32_t resident_count;
    uint32_t resident_capacity;
    struct shed shed;
    struct map_link by_name;
    struct list changed;
    struct order_item ordered; /* as it stands in the order */
    bool in_order;
};

struct placement {
    struct placement_entry **nodes; /* owned, each */
    uint32_t *kind_numbers;         /* owned; of nodes by number */
    size_t count;
    size_t capacity;
    struct map by_name;
    struct list changed; /* entries whose place in the order is old */
    struct order order;  /* the open nodes */
    struct demand demand;
    struct kinds kinds;
    struct presences presences;   /* of pods that are there or held */
    struct priorities priorities; /* of pods that may ever have to go */
};

struct placement_hold {
    struct placement_entry *entry;
    struct resources want;
    Kontor__V1__PodSpec *spec; /* owned; its app and anti; or NULL */
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

/* The first node of that name, or NULL. */
struct placement_entry *placement_find_name(const struct placement *placement,
                                            const char *name);

/* What is held or free of a node has changed: its place in the order, too. */
void placement_touch(struct placement *placement,
                     struct placement_entry *entry);

/* Of the pods that are on the node; worked out when asked for. */
const struct shed *placement_shed(struct placement_entry *entry);

/* The rank in the order of a node with so much room. A request's own is not
 * above that of any node it fits. */
uint64_t placement_rank(const struct placement *placement,
                        const struct resources *room);
