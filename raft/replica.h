/* replica.h - one member of the cluster: core, store and network together. */
#pragma once

#include "base/error.h"
#include "raft/core/raft.h"
#include "raft/machine.h"
#include "rpc/server.h"

struct replica;

/* A larger command is RESOURCE_EXHAUSTED; so are more that wait or are under
 * way, in number or in bytes. */
enum {
    REPLICA_COMMAND_MAX_BYTES = 1 << 20,
    REPLICA_PROPOSALS_MAX = 1 << 16,
    REPLICA_PROPOSALS_MAX_BYTES = 64 << 20,
};

struct replica_member {
    const char *name;    /* "m1" */
    const char *address; /* HOST:PORT */
    uint32_t id;         /* 0 for all: counted from 1 by their names' order */
    bool learner;
};

struct replica_config {
    const char *name;   /* which member this is */
    const char *folder; /* for the store and snapshots */
    /* For an empty folder: the founders of a cluster, or, with ids, those of
     * the cluster that is joined, this one among them; copied. After that the
     * log says who belongs to it. */
    const struct replica_member *members;
    unsigned member_count;
    struct tls_context *tls;       /* borrowed, outlives the replica */
    unsigned lease_drift_permille; /* see raft.h; 0: reads ask a quorum */
    uint64_t election_timeout_ms;  /* 0: 150 */
    uint64_t heartbeat_ms;         /* 0: 50 */
    /* Between snapshots, more when they are large; 0: 50,000. A fifth stays,
     * but of bytes no more than a half. */
    uint64_t snapshot_entries;
    uint64_t snapshot_bytes; /* or bytes of entries; 0: 8 MiB */
    unsigned apply_entries;  /* in a turn of the loop; 0: for some ms */
    uint32_t format;         /* of commands that the machine can apply */
    struct replica_machine machine;
};

/* Opens the store, loads the newest snapshot, adds the Raft service to `server`
 * (not yet serving), connects to the others. INVALID_ARGUMENT names what is
 * wrong with the members; else what the store or the snapshot says. Blocks. */
int replica_open(struct replica **out, uv_loop_t *loop, struct server *server,
                 const struct replica_config *config, struct error *why);

struct replica_proposal {
    /* code 0: committed and applied at `index`. ABORTED: lost to another
     * leader, or its fate is unknown: ask again with the same request id.
     * UNAVAILABLE: not the leader. RESOURCE_EXHAUSTED: the command is too
     * large, too many wait, or the disk is nearly full. */
    void (*done)(struct replica_proposal *proposal, uint64_t index,
                 const struct error *why);
    struct replica_proposal *next; /* the replica's */
    uint64_t index;
    uint64_t term;
    size_t bytes;      /* those kept, and the command's */
    size_t kept_bytes; /* the caller's: what it holds until `done` */
    size_t changes;    /* the caller's: what the command changes, such as pods,
                          so that no entry brings too much; 0: one thing */
};

/* Propose a command (bytes are copied). `proposal` belongs to the replica
 * until `done` runs. Proposals of one loop turn travel together. */
void replica_propose(struct replica *replica, struct replica_proposal *proposal,
                     const uint8_t *bytes, size_t length);

struct replica_read {
    /* code 0: the state machine is at least as new as when the read was
     * asked for, so it may be read now. UNAVAILABLE: not the leader. */
    void (*done)(struct replica_read *read, const struct error *why);
    struct replica_read *next;
    uint64_t id;
    uint64_t index; /* to be applied first; 0: not confirmed yet */
};

void replica_read(struct replica *replica, struct replica_read *read);

struct replica_status {
    enum raft_role role;
    bool ready; /* leads, has applied what earlier leaders committed, and nobody
                   is about to take over: it may serve */
    bool hands_over; /* leads, and another is to take over */
    uint64_t term;
    const char *leader; /* name, or NULL; borrowed */
    uint64_t last_index, commit_index, applied_index, snapshot_index;
};

struct replica_status replica_status(const struct replica *replica);

/* The warm connection to another member, or NULL: we, or unknown. Borrowed. */
struct channel *replica_channel(const struct replica *replica,
                                const char *name);

/* Proposals and reads that wait end with ABORTED or UNAVAILABLE. `server` must
 * have closed: it holds calls of the Raft service. */
void replica_close(struct replica *replica, void (*closed)(void *data),
                   void *data);
