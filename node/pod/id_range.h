/* id_range.h - the ids that a pod with a user namespace has outside, and that
 * namespace.
 *
 * A range is 65,536 ids that no other pod of the node has, from 2^20 (below
 * are the host's users and what useradd(8) gives them) to 2^31 (above it a
 * group cannot be let ping, and programs take ids for negative). It is in the
 * pod's bundle, and the pod's as long as its writable layer is there. */
#pragma once

#include "base/error.h"
#include "node/supervisor/supervisor.h"

#include <netinet/in.h>

enum {
    ID_RANGE_FIRST = 16,  /* the first range, in ranges */
    ID_RANGE_END = 32768, /* behind the last one */
};

struct id_ranges {
    uint64_t taken[ID_RANGE_END / 64]; /* a bit each */
};

/* Take a free range for the pod with this address: it says where to look
 * first, so that nodes on one machine have different ones. *first_id is a
 * multiple of SUPERVISOR_IDS. RESOURCE_EXHAUSTED: none is left. */
int id_ranges_claim(struct id_ranges *ranges, struct in_addr address,
                    uint32_t *first_id, struct error *why);

/* After a restart: a pod has this one. ALREADY_EXISTS: so has another;
 * OUT_OF_RANGE: it is none. */
int id_ranges_adopt(struct id_ranges *ranges, uint32_t first_id,
                    struct error *why);

/* 0: nothing. */
void id_ranges_release(struct id_ranges *ranges, uint32_t first_id);

/* Make a user namespace of the range, and a network namespace that belongs to
 * it and holds it: *netns, the caller's. Blocks for a fork; from any thread.
 * Nothing is left when it fails. */
int id_range_open(uint32_t first_id, int *netns, struct error *why);
