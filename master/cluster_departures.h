/* cluster_departures.h - placements that were given up on a node that lives,
 * and have not ended there yet.
 *
 * Pure. A pod that is moved counts on its new node at once; it is not started
 * there before its old node says that nothing of it runs any more, or is lost.
 * What is still there takes room on the machine that the state gives away
 * already: dispatch holds new pods back where both do not fit. */
#pragma once

#include "base/list.h"
#include "master/placement/resources.h"

struct pod;

/* A pod has one at most. */
struct departure {
    struct list link;
    struct departures *all;
    struct pod *pod;
    uint64_t node_id;
    uint32_t generation; /* the placement's */
};

/* Of one node. */
struct departures {
    struct list list; /* the order is not part of the state */
    struct resources wants;
    uint32_t count;
};

void departures_init(struct departures *departures);

/* The pod leaves the node with that id, where it was in that generation; it
 * leaves no other one. */
void departure_begin(struct departures *departures, uint64_t node_id,
                     struct pod *pod, uint32_t generation);

/* It has gone, if there is one. */
void departure_end(struct pod *pod);

/* Is this the placement that the pod, or NULL, is leaving? */
bool departure_is(const struct pod *pod, uint64_t node_id, uint32_t generation);
