/* rebalance_parts.h - what the two ways to fewer nodes share. */
#pragma once

#include "master/placement/index.h"
#include "master/placement/rebalance.h"

/* What a pod costs that is sorted and moved. */
enum { REBALANCE_SORT_STEPS = 32 };

/* Pods of one shape that wait for a node. */
struct pile {
    struct resources want;
    uint64_t awkward;
    size_t count;
    size_t first; /* in pods[]: they stand together, by shape */
};

struct loose_pod {
    struct resources want;
    uint64_t pod_id;
    uint64_t from_id;
};

struct rebalance {
    struct placement *placement;
    struct placement_moves moves;
    size_t moves_max;
    uint64_t steps_left;
    size_t together; /* nodes that are repacked at once, at most */
    struct placement_entry **candidates;
    size_t candidate_count;
    struct loose_pod *pods; /* of the nodes that are emptied now */
    size_t pod_count;
    struct pile *piles; /* the most awkward first */
    size_t pile_count;
    struct placement_move *trial; /* moves of this round */
    size_t trial_count;
};

struct rebalance_spot {
    uint64_t key; /* that lists are sorted by, then by the node's id */
    struct placement_entry *entry;
};
int rebalance_by_key(const void *left, const void *right);

/* False: there are not so many steps left. */
bool rebalance_spend(struct rebalance *work, uint64_t steps);

/* Open, and nothing is under way to it. */
bool rebalance_is_free(const struct placement_entry *entry);

/* What was tried is done: the moves of it count. */
void rebalance_keep_trial(struct rebalance *work);

/* The nodes with the fewest pods, one by one, into what others have left. */
void rebalance_drain_emptiest(struct rebalance *work);
