/* message.h - what masters say to each other, and the entries they agree on.
 *
 * Pure. The wire form is proto/kontor/v1/raft.proto; raft/codec.c turns one
 * into the other. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RAFT_NOBODY = 0, RAFT_MEMBERS_MAX = 9 };

/* Terms and indices that members name are no greater: what is added to one
 * never overflows, and the store's integers hold it. */
#define RAFT_NUMBER_MAX (UINT64_MAX / 4)

enum raft_entry_kind {
    RAFT_ENTRY_NOOP = 0,          /* a new leader's first (section 5.4.2) */
    RAFT_ENTRY_COMMAND = 1,       /* bytes for the state machine */
    RAFT_ENTRY_CONFIGURATION = 2, /* who belongs to the cluster (chapter 4) */
};

/* Counted, immutable bytes, shared by log, messages and store requests. The
 * count is not atomic: take and drop on the thread that steps the core. */
struct raft_payload {
    unsigned references;
    uint32_t length;
    uint8_t bytes[];
};

struct raft_payload *raft_payload_new(const void *bytes, size_t length);
/* One reference more; NULL-safe. */
struct raft_payload *raft_payload_take(struct raft_payload *payload);
void raft_payload_drop(struct raft_payload *payload); /* NULL-safe */

struct raft_entry {
    uint64_t term;
    enum raft_entry_kind kind;
    struct raft_payload *payload; /* NULL: no bytes */
};

enum raft_message_kind {
    RAFT_PRE_VOTE = 1,    /* would you vote for me? (dissertation 9.6) */
    RAFT_PRE_VOTE_RESULT, /* granted */
    RAFT_VOTE,            /* RequestVote (section 5.2) */
    RAFT_VOTE_RESULT,     /* granted */
    RAFT_APPEND,          /* AppendEntries (section 5.3); empty: heartbeat */
    RAFT_APPEND_RESULT,   /* granted: match_index; else hint_index */
    RAFT_TIMEOUT_NOW,     /* stand at once: leadership is yours (3.10) */
};

struct raft_message {
    enum raft_message_kind kind;
    uint32_t from;
    uint32_t to;
    /* The sender's. Pre-vote, and its result when granted: the term that the
     * candidate would stand in, one above its own. */
    uint64_t term;
    /* Votes: the candidate's last. Append: the one before the entries.
     * Append result, granted: the sender's log equals the leader's up to
     * here, durable or not; refused: the last_index that was refused. */
    uint64_t last_index;
    uint64_t last_term;    /* of last_index; refused: of hint_index */
    uint64_t commit_index; /* append */
    uint64_t match_index;  /* append result, granted: durable up to here */
    uint64_t hint_index;   /* append result, refused: may be equal up to here */
    uint64_t read_context; /* append and its result: newest ReadIndex round */
    uint64_t leader_ms;    /* append and its result: the leader's clock */
    /* Append result: from leader_ms on the sender votes for nobody else for so
     * long; 0: it makes no such promise. */
    uint64_t promise_ms;
    bool granted;
    bool handed_over; /* vote: on the leader's own wish */
    /* Append: entries last_index + 1 ... Owned by the message. */
    struct raft_entry *entries;
    size_t entry_count;
};

/* Drop the entries. */
void raft_message_fini(struct raft_message *message);
