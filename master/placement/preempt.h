/* preempt.h - which pods would have to go so that one of a higher priority has
 * room.
 *
 * Of all nodes that the pod's rules allow and all sets of pods there of lower
 * priority, but those that must not run twice: the set whose greatest priority
 * is lowest; of those the fewest pods; then the least sum of priorities; then
 * the node with the lowest id. Exact up to PREEMPT_EXACT_MAX pods; beyond that
 * the set is one of which none can be left out. */
#pragma once

#include "master/placement/placement.h"

enum { PREEMPT_EXACT_MAX = 4 };

struct placement_victims {
    uint64_t node_id;  /* 0: it would not help whoever went */
    uint64_t *pod_ids; /* owned by the caller, free() */
    size_t count;
};

/* Whether there ever was a pod of lower priority. O(1). */
bool placement_may_preempt(const struct placement *placement,
                           const struct placement_request *request);

/* O(nodes), and pods on the nodes that come near the best. */
struct placement_victims
placement_preempt(struct placement *placement,
                  const struct placement_request *request);
