/* raft.h - the Raft algorithm as one struct stepped by events.
 *
 * Ongaro, "Consensus: Bridging Theory and Practice" (2014); sections named in
 * the code are the extended paper's, chapters the dissertation's.
 *
 * Pure: no I/O, clock, thread, log or randomness of its own. Every event
 * function appends what is to be done to a `struct raft_output`; the caller
 * does it, in this order, and empties it:
 *
 *   1. store_* : write hard state and entries, in one transaction, then call
 *                raft_stored(). Writes may be pipelined, never reordered.
 *   2. messages: send, except those with `after_store`, which may leave only
 *                when the write handed out with or before them is durable
 *                (votes, append results). Loss is fine.
 *   3. commit_index: apply entries up to it, in order.
 *   4. reads, snapshots: as said there.
 *
 * A leader's own write runs beside its followers': its append messages do not
 * wait, and its own copy counts only when raft_stored() has said so. */
#pragma once

#include "base/random.h"
#include "raft/core/message.h"

struct raft_config {
    uint32_t self;                      /* 1 ... */
    uint32_t members[RAFT_MEMBERS_MAX]; /* self too */
    unsigned member_count;
    uint64_t election_timeout_ms; /* drawn from [this, 2 x this) */
    uint64_t heartbeat_ms;
    unsigned inflight_messages_max; /* appends unanswered, per follower */
    size_t inflight_bytes_max;      /* the same in bytes of entries */
    size_t append_bytes_max;        /* entries of one message */
    uint64_t seed;                  /* for election jitter */
};

/* What the store held at the start. Entries [first_index, ...) follow the
 * snapshot (snapshot_index >= first_index - 1). */
struct raft_restart {
    uint64_t term;
    uint32_t voted_for;
    uint64_t snapshot_index; /* 0: none */
    uint64_t snapshot_term;
    uint64_t first_index;
    const struct raft_entry *entries; /* payloads are taken, not the array */
    size_t entry_count;
};

enum raft_role {
    RAFT_FOLLOWER,
    RAFT_PRE_CANDIDATE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

struct raft_outgoing {
    struct raft_message message; /* owned by the output */
    bool after_store;
};

struct raft_output {
    /* 1. Hard state and log. Entries [store_from, raft_last_index()] replace
     * whatever the store has from store_from on; read them with
     * raft_entry_at(). store_from 0: no entries. */
    bool store_state; /* term and vote changed: raft_term(), raft_vote() */
    uint64_t store_from;

    /* 2. */
    struct raft_outgoing *messages; /* owned */
    size_t message_count;
    size_t message_capacity;

    /* 3. Everything up to here is committed. 0: nothing new. */
    uint64_t commit_index;

    /* 4. Reads with an id up to here may be served once commit_index of the
     * moment they were asked, raft_read_index(), is applied. 0: none. */
    uint64_t reads_ready;
    /* All reads that were waiting will not be answered: we lead no more. */
    bool reads_lost;
    /* Followers that need a snapshot: a bit for each member's position in
     * config.members. The caller streams one and calls
     * raft_snapshot_sent(). */
    uint32_t snapshot_to;
    /* role, term or leader changed: for logs and for those who wait. */
    bool changed;
};

struct raft;

struct raft *raft_new(const struct raft_config *config,
                      const struct raft_restart *restart, uint64_t now_ms);
void raft_free(struct raft *raft);

void raft_output_init(struct raft_output *out);
/* Empty it, keeping its memory. */
void raft_output_clear(struct raft_output *out);
void raft_output_fini(struct raft_output *out);

/* ---- events ---- */

/* Time passes. Call it at raft_next_tick_ms() or earlier. */
void raft_tick(struct raft *raft, uint64_t now_ms, struct raft_output *out);
uint64_t raft_next_tick_ms(const struct raft *raft);

/* A message from another member. Its entries' payloads are taken. */
void raft_receive(struct raft *raft, const struct raft_message *message,
                  uint64_t now_ms, struct raft_output *out);

/* Append commands to the log; only as leader (assert). Returns the index of
 * the first; they are committed, in the current term, or lost. */
uint64_t raft_propose(struct raft *raft, struct raft_payload *const *commands,
                      size_t count, struct raft_output *out);

/* Everything handed out to be stored up to entry `index` of `term` is
 * durable (section 10.2.1: the leader's disk write runs in parallel). An
 * index that has been overwritten since is ignored (ABA). */
void raft_stored(struct raft *raft, uint64_t index, uint64_t term,
                 struct raft_output *out);

/* The connection from `member`'s process was closed: when that is the
 * leader, its process is gone; pre-vote at once instead of waiting for the
 * timeout. Only a hint: wrong ones cost a pre-vote round. */
void raft_peer_lost(struct raft *raft, uint32_t member, uint64_t now_ms,
                    struct raft_output *out);

/* Linearizable read (ReadIndex, chapter 6.4); only as leader (assert).
 * Returns the read's id; see reads_ready. */
uint64_t raft_read(struct raft *raft, uint64_t now_ms, struct raft_output *out);
/* The index that must be applied before read `id` is served. */
uint64_t raft_read_index(const struct raft *raft, uint64_t id);

/* A local snapshot up to `index` is durable: entries up to `keep_from` - 1
 * are dropped (keep_from <= index + 1: a tail stays for slow followers). */
void raft_compact(struct raft *raft, uint64_t index, uint64_t keep_from);

/* A leader's snapshot was installed durably in place of log and state. */
void raft_installed(struct raft *raft, uint64_t index, uint64_t term,
                    struct raft_output *out);

/* A chunk of a snapshot stream arrived from the leader of `term`: adopts the
 * term, counts as a heartbeat. False: the term is old, refuse it. */
bool raft_snapshot_incoming(struct raft *raft, uint32_t from, uint64_t term,
                            uint64_t now_ms, struct raft_output *out);

/* The snapshot stream to `member` ended; `index` is what it has now, 0 when
 * the stream failed. */
void raft_snapshot_sent(struct raft *raft, uint32_t member, uint64_t index,
                        uint64_t now_ms, struct raft_output *out);

/* ---- questions ---- */

enum raft_role raft_role(const struct raft *raft);
uint64_t raft_term(const struct raft *raft);
uint32_t raft_vote(const struct raft *raft);   /* or RAFT_NOBODY */
uint32_t raft_leader(const struct raft *raft); /* or RAFT_NOBODY */
uint64_t raft_first_index(const struct raft *raft);
uint64_t raft_last_index(const struct raft *raft);
uint64_t raft_commit_index(const struct raft *raft);
/* A leader may serve once its first entry is committed (section 8). */
bool raft_leader_ready(const struct raft *raft);
/* Borrowed; first_index <= index <= last_index. */
const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index);
/* The index up to which `member` is known to have the log; as leader. */
uint64_t raft_match_index(const struct raft *raft, uint32_t member);
