/* replica_queues.h - what waits in a replica: commands for the end of the
 * turn, messages for the disk, proposals for the quorum, reads for a round. */
#pragma once

#include "raft/replica.h"

/* A command that waits for the end of the loop turn. */
struct replica_command {
    struct replica_proposal *proposal;
    size_t length;
    struct raft_payload *payload; /* owned; NULL: there is no room for it */
};

/* A message that waits for a write. */
struct replica_held {
    uint64_t store_id;
    struct raft_message message; /* owned */
};

/* First in, first out; elements link by `next`. */
struct replica_proposals {
    struct replica_proposal *first;
    struct replica_proposal **last;
    size_t count;
};

struct replica_reads {
    struct replica_read *first;
    struct replica_read **last;
};
