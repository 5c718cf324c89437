/* index.h - what placement keeps of the nodes; for this folder only.
 *
 * Invariant: nodes[] is sorted by id, each id once. */
#pragma once

#include "master/placement/placement.h"

struct placement_entry {
    struct placement_node node;
    struct resources reserved; /* for proposals under way */
};

struct placement {
    struct placement_entry *nodes; /* owned */
    size_t count;
    size_t capacity;
};

/* part / whole in 1/65536, part <= whole; 0 when whole is 0. */
uint32_t placement_share(uint64_t part, uint64_t whole);

struct placement_verdict placement_judge(const struct placement_entry *entry,
                                         const struct placement_request *want);
