/* demand.h - what has lately been asked for, and what of a node's room would
 * be wasted as far as that goes on.
 *
 * Pure. A cluster is asked for few different shapes again and again. Room that
 * none of them fills is lost: 32 cores left of 192 where most ask for 64 or 96
 * (Weng et al., "Beware of Fragmentation", ATC 2023, measure it likewise).
 *
 * The shapes with most weight are kept as in Metwally et al., "Efficient
 * Computation of Frequent and Top-k Elements in Data Streams", 2005, and old
 * weight is halved now and then. */
#pragma once

#include "master/placement/resources.h"

#include <stddef.h>

enum { DEMAND_SEEN_MAX = 64, DEMAND_STAPLES_MAX = 12 };

struct demand {
    struct resources greatest; /* what the largest node has, by dimension */
    struct resources seen[DEMAND_SEEN_MAX];
    uint64_t weight[DEMAND_SEEN_MAX];
    size_t seen_count;
    uint64_t asked[RESOURCE_COUNT]; /* shares of the greatest, in sum */
    unsigned noted;
    enum resource_kind scarcest; /* most is asked of it */
    /* Those of most weight, the first of them first. */
    struct resources staples[DEMAND_STAPLES_MAX];
    size_t staple_count;
};

/* Something was asked for. */
void demand_note(struct demand *demand, const struct resources *want);

/* So large a part of a node that it matters what it leaves over. */
bool demand_is_bulky(const struct demand *demand, const struct resources *want);

/* How much of the scarcest resource is left when as many staples as possible
 * are put into `room`; 0 when it is next to nothing. Looks at one staple and
 * at two together. */
uint64_t demand_waste(const struct demand *demand,
                      const struct resources *room);

/* How much more than of the scarcest resource it wants of another, and then
 * how much of the scarcest: what is large in this is hard to complete a node
 * with, and is best placed before the rest. */
uint64_t demand_awkwardness(const struct demand *demand,
                            const struct resources *want);
