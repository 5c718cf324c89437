/* even.h - the same pods, spread more evenly over the nodes.
 *
 * A node's share is the largest part that is used of one of its four
 * resources. The fullest node gives first: to the emptiest one that takes a pod
 * of it with gain, the pod that lowers the variance of the shares most. It ends
 * when no move pays: one has to go between nodes at least EVEN_APART apart, and
 * to do as much for the variance as making two nodes equal that are just so far
 * apart. So a large difference is worth small pods, a small one is not.
 *
 * A node gives or takes, not both: every move fits whatever became of the
 * others. Only open nodes matter, and every rule that a pod, or one that stays,
 * has on where it may be is kept. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "master/placement/plan.h"

enum { EVEN_APART = RESOURCE_SHARE_ONE / 50 }; /* 2 % of a node */

struct even_limits {
    size_t moves;
    uint64_t steps; /* as of struct rebalance_limits */
    bool (*may_move)(const void *data, uint64_t pod_id);
    const void *data;
};

/* Moves, in an order in which each pays; none when none does. They are done in
 * `placement` itself, which is a copy. Each node's part of the steps is alike:
 * those that can give nothing do not use up what is left for others. */
struct placement_moves placement_even(struct placement *placement,
                                      const struct even_limits *limits);

/* Of the open nodes' shares, in 1/65536. */
struct evenness {
    uint32_t highest;
    uint32_t lowest;
    uint32_t deviation; /* the standard one */
};

/* O(nodes). */
struct evenness placement_evenness(const struct placement *placement);

void evenness_tell(const struct evenness *evenness,
                   Kontor__V1__Evenness *message);
