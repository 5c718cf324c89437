/* ceiling.h - how many pods that are alike could ever be there together. Pure.
 */
#pragma once

#include "master/placement/placement.h"

/* What pods of one app say of each other. */
enum placement_company {
    PLACEMENT_ANYHOW,
    PLACEMENT_APART,    /* none is on a node with another */
    PLACEMENT_TOGETHER, /* all are on one; there are none yet */
};

enum placement_company placement_company(const struct placement *placement,
                                         const Kontor__V1__PodSpec *spec);

/* How many of these, which have a spec, fit if nothing else is on the nodes,
 * whatever state those are in: by room, by the nodes' labels and taints, and by
 * what they say of each other. Counts no further than `enough`. O(nodes). */
size_t placement_ceiling(const struct placement *placement,
                         const struct placement_request *request,
                         size_t enough);
