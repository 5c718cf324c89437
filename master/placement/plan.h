/* plan.h - what would happen, tried out on a copy.
 *
 * `plan schedule` places on a copy; `plan lose` and `plan drain` close a node
 * of the copy and move its pods; `plan add` sets new nodes there. */
#pragma once

#include "master/placement/placement.h"

/* A pod goes from one node to another, in the order the moves stand. */
struct placement_move {
    uint64_t pod_id;
    uint64_t from_id;
    uint64_t to_id; /* 0: it fits nowhere else */
};

struct placement_moves {
    struct placement_move *moves; /* owned by the caller, free() */
    size_t count;
};

/* All of it, with what is held; holds themselves stay with the original. The
 * pods' specs and nodes' names are borrowed as there. O(nodes and pods). */
struct placement *placement_copy(const struct placement *placement);

/* How many nodes have pods. O(nodes). */
size_t placement_nodes_used(const struct placement *placement);

/* Close a node and place its pods elsewhere, together, in `placement` itself,
 * which is a copy. */
struct placement_moves placement_drain(struct placement *placement,
                                       uint64_t node_id);

/* A pod is there now, and takes room; and no more. Its spec is returned. */
void placement_give(struct placement *placement, uint64_t node_id,
                    uint64_t pod_id, const Kontor__V1__PodSpec *spec);
const Kontor__V1__PodSpec *placement_withdraw(struct placement *placement,
                                              uint64_t node_id,
                                              uint64_t pod_id);

/* Move one pod for which there is room. */
void placement_move(struct placement *placement,
                    const struct placement_move *move);
