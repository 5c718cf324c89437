/* rebalance.h - the same pods on fewer nodes.
 *
 * First the nodes with the fewest pods, one by one: what is there goes where
 * others have room for it, each pod as if it were placed now; or all of it
 * stays. Then nodes that waste something, some at a time: their pods are packed
 * anew into empty nodes, one node as well as it goes before the next,
 * the most awkward pods first (bin completion, Gent and Walsh). Where that
 * takes fewer nodes than it empties, it is kept. As only empty nodes are moved
 * to, every move fits at its turn; how much is repacked at once depends on how
 * many empty nodes there are; here pods with rules stay, and so does their
 * node. Pods that are spread or want others beside them always stay. */
#pragma once

#include "master/placement/plan.h"

struct rebalance_limits {
    size_t moves;
    /* Looks at a pod, a shape or a node, some nanoseconds each. What was found
     * until they are used up is the answer; another call goes on from there. */
    uint64_t steps;
};

/* Moves, in an order in which each fits; none when nothing is gained. A pod may
 * be moved several times. They are done in `placement` itself, which is a
 * copy. */
struct placement_moves
placement_rebalance(struct placement *placement,
                    const struct rebalance_limits *limits);
