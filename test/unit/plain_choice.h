/* plain_choice.h - which of the nodes that fit is to be taken, as placement.h
 * defines it and in the plainest way. */
#pragma once

#include "master/placement/demand.h"

#include <stddef.h>

struct plain_node {
    uint64_t id;
    struct resources room;
    uint64_t least, sum; /* filled in */
};

/* What the greatest nodes have, and what has been asked for. */
struct plain_measure {
    struct resources greatest;
    const struct demand *demand;
};

/* Its id, or 0 when there is none. Sorts them. */
uint64_t plain_choose(struct plain_node *fits, size_t count,
                      const struct plain_measure *by,
                      const struct resources *want);
