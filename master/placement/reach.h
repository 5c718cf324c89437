/* reach.h - how much a few pods take at most, each dimension by itself: what
 * shows, without trying sets of them, that as many do not make enough room.
 *
 * Pure. */
#pragma once

#include "master/placement/resources.h"

enum { REACH_MAX = 4 };

struct reach {
    /* In each dimension the most that a pod takes, the second most ... */
    struct resources largest[REACH_MAX];
};

/* A pod more that takes `want`. */
void reach_add(struct reach *reach, const struct resources *want);

/* So many pods, REACH_MAX at most, may be enough. */
bool reach_covers(const struct reach *reach, uint32_t pods,
                  const struct resources *lacking);

/* Fewer pods are not enough; UINT32_MAX: nor are all together. */
uint32_t reach_fewest(const struct reach *reach,
                      const struct resources *lacking);
