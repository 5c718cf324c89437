/* config.h - what a core is made from: its settings, and what its store held.
 */
#pragma once

#include "raft/core/message.h"

struct raft_config {
    uint32_t self;                /* 1 ... */
    uint64_t election_timeout_ms; /* drawn from [this, 2 x this) */
    uint64_t heartbeat_ms;
    unsigned inflight_messages_max; /* appends unanswered, per follower */
    size_t inflight_bytes_max;      /* the same in bytes of entries */
    size_t append_bytes_max;        /* entries of one message */
    /* Reads without asking anybody (chapter 6.4.1), while a quorum's promise
     * to elect nobody else lasts; that is as good as the clocks: in the time
     * of an election timeout no two may differ by more than so many
     * thousandths, and they run on while a process is stopped or its machine
     * suspended, as CLOCK_BOOTTIME does; raft/README.md, invariant 10.
     * 0: no leases, no such bound. With leases the closed-connection hint
     * says nothing. The same on all members. */
    unsigned lease_drift_permille;
    uint64_t seed; /* for election jitter */
};

/* What the store held at the start: entries first_index ..., a snapshot with
 * first_index - 1 <= snapshot_index <= last index. An empty store: term 0,
 * first_index 1, the configuration that the cluster begins with. */
struct raft_restart {
    uint64_t term;
    uint32_t voted_for;
    uint64_t snapshot_index; /* 0: none */
    uint64_t snapshot_term;
    struct raft_payload
        *configuration; /* in effect at snapshot_index; shared */
    uint64_t first_index;
    const struct raft_entry *entries; /* payloads shared: the caller keeps
                                         its references */
    size_t entry_count;
};
