/* state.h - what the files of the core share. Nobody else includes it.
 *
 * Invariants:
 * 1. snapshot_index <= commit_index <= last index.
 * 2. Entries up to commit_index are never truncated.
 * 3. durable_index is what the store has of *this* log: a truncation takes
 *    it, and what the writes under way will bring, back with it.
 * 4. A leader's log only grows; entries it appends have its term.
 * 5. verified_index is a prefix of the log of the term's leader.
 * 6. The configuration in effect is the newest in the log; peers stand at its
 *    members' places.
 *
 *            due                granted by a quorum        the same
 *  FOLLOWER ----> PRE_CANDIDATE ------------> CANDIDATE ----------> LEADER
 *     ^ ^              | due: again              | due: pre-vote      |
 *     | +--------------+-------------------------+                    |
 *     |   the term's leader is heard, or a newer term                 |
 *     +---------------------------------------------------------------+
 *         a newer term, no quorum heard, or the disk hangs            */
#pragma once

#include "base/random.h"
#include "raft/core/configuration.h"
#include "raft/core/log.h"
#include "raft/core/peer.h"
#include "raft/core/raft.h"

/* A leader whose oldest write has been under way for this many election
 * timeouts has a disk that hangs. */
enum { RAFT_DISK_TIMEOUTS = 10 };

/* What an entry counts beside its bytes, so that empty ones are bounded. */
enum { RAFT_ENTRY_OVERHEAD_BYTES = 32 };

/* A write handed out and not yet durable. */
struct raft_write {
    uint64_t id;
    uint64_t last_index; /* of this log that is durable with it */
    uint64_t since_ms;
};

/* A ring, oldest first. Ids are contiguous up to last_id. */
struct raft_writes {
    struct raft_write *ring; /* owned */
    size_t first;
    size_t count;
    size_t capacity; /* a power of two, or 0 */
    uint64_t last_id;
    uint64_t stored_id; /* durable up to here */
};

struct raft {
    struct raft_config config;
    struct raft_configurations configurations;
    bool members_stale; /* peers and quorum are of another configuration */
    unsigned quorum;    /* of the voters */
    struct random random;
    uint64_t now_ms;

    /* Persistent (figure 2). */
    uint64_t term;
    uint32_t voted_for;
    struct raft_log log;
    struct raft_writes writes;
    uint64_t state_id; /* the write that term and vote went out with */
    uint64_t durable_index;

    /* All roles. */
    enum raft_role role;
    uint32_t leader;
    uint64_t commit_index;
    uint64_t election_due_ms;

    /* Follower, of this term's leader. */
    uint64_t leader_heard_ms;
    uint64_t verified_index;
    uint64_t acked_index; /* match_index that it was told */
    uint64_t leader_context;
    uint64_t leader_ms; /* its clock, the newest that it sent */

    /* Somebody asked for a vote whose log is older than ours, and no leader
     * was heard since: we are needed, voter or not. */
    bool needed;

    /* Candidates: a bit for each peer. */
    uint32_t granted;

    /* Leader. */
    struct raft_peer peers[RAFT_MEMBERS_MAX];
    unsigned peer_count;
    uint64_t term_start_index; /* its no-op */
    uint64_t heartbeat_due_ms;
    uint64_t read_newest; /* ids; they go on through terms */
    uint64_t read_round;  /* newest that a heartbeat was sent for */
    uint64_t read_ready;
    uint32_t transfer_to;    /* RAFT_NOBODY: nothing is handed over */
    uint64_t transfer_after; /* it has this first; 0: we accept nothing */
    uint64_t transfer_due_ms;
    bool lease_over; /* somebody may have been asked to take over */
};
