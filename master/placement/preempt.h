/* preempt.h - which pods would have to go so that one of a higher priority has
 * room.
 *
 * Of all nodes that the pod's rules allow and all sets of pods there of lower
 * priority, but those that must not run twice: the set whose greatest priority
 * is lowest; of those the fewest pods; then the least sum of priorities; then
 * the node with the lowest id.
 *
 * Exact up to PREEMPT_EXACT_MAX pods. Beyond that, and on the nodes that are
 * left when PREEMPT_STEPS_MAX sets were looked at, the set is one of which none
 * can be left out, and whose greatest priority is still the lowest. When
 * PREEMPT_LOOKS_MAX pods were looked at, the best until then is the answer. */
#pragma once

#include "master/placement/placement.h"
#include "master/placement/reach.h"

enum {
    PREEMPT_EXACT_MAX = REACH_MAX,
    PREEMPT_STEPS_MAX = 200000, /* some 5 ms */
    PREEMPT_LOOKS_MAX = 300000, /* some 20 ms */
};

struct placement_victims {
    uint64_t node_id;  /* 0: it would not help whoever went */
    uint64_t *pod_ids; /* sorted; owned by the caller, free() */
    size_t count;
    struct resources freed; /* by all of them */
    uint64_t looks;         /* at nodes, pods and sets of pods */
};

/* Whether there is a pod of lower priority that may have to go. O(1). */
bool placement_may_preempt(const struct placement *placement,
                           const struct placement_request *request);

/* How many pods of lower priority would have to go from that node, whose rules
 * allow it; 0: it would not help, it fits, or too few looks are left to find it
 * out. Takes from *looks_left one for each pod there and each set of them that
 * is looked at: a thousand sets at most. */
size_t placement_yielding(const struct placement *placement, uint64_t node_id,
                          const struct placement_request *request,
                          uint64_t *looks_left);

/* O(nodes), and pods on the nodes that come near the best. */
struct placement_victims
placement_preempt(struct placement *placement,
                  const struct placement_request *request);
