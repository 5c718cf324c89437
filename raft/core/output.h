/* output.h - what the core wants done.
 *
 * Every event appends to a `struct raft_output`; several events may share
 * one. The caller does it in this order, then clears it:
 *
 *   1. the write, when store_id is not 0: hard state and entries in one
 *      transaction. Writes are durable in the order of their ids; several may
 *      be under way, and may share a transaction. When one is durable, call
 *      raft_stored() with its id (of those that became durable together the
 *      highest is enough).
 *   2. messages. One with `after_store` leaves when every write handed out so
 *      far, this output's too, is durable: at once when none is under way.
 *      All others leave at once, beside the write: a leader's appends, and
 *      answers that claim only what is durable. Losing any is fine.
 *   3. commit_index: apply entries up to it, in order.
 *   4. reads and snapshots. */
#pragma once

#include "raft/core/message.h"

struct raft_outgoing {
    struct raft_message message; /* owned by the output */
    bool after_store;
};

struct raft_output {
    /* 1. Ids count up by one from 1. Entries [store_from, raft_last_index()]
     * replace whatever the store has from store_from on; read them with
     * raft_entry_at(). store_from 0: no entries. */
    uint64_t store_id;
    bool store_state; /* term or vote changed: raft_term(), raft_vote() */
    uint64_t store_from;

    /* 2. */
    struct raft_outgoing *messages; /* owned */
    size_t message_count;
    size_t message_capacity;

    /* 3. Everything up to here is committed. 0: nothing new. */
    uint64_t commit_index;

    /* 4. Reads with an id up to here may be served, once step 3 is done.
     * 0: none. */
    uint64_t reads_ready;
    /* All other reads that were waiting are not answered: we lead no more. */
    bool reads_lost;
    /* Members that need a snapshot. The caller streams the newest one to each
     * and calls raft_snapshot_sent() in the end; while an older stream to
     * that member still runs, its end is the answer. */
    uint32_t snapshot_to[RAFT_MEMBERS_MAX];
    unsigned snapshot_count;
    /* Who sent an append that would replace what is committed here, or what it
     * sent itself; it was ignored. One of the two has lost what it had.
     * RAFT_NOBODY: nobody did. */
    uint32_t contradicts;
    /* role, term or leader changed: for logs and for those who wait. */
    bool changed;
    /* raft_configuration() changed: connect to those it names. */
    bool members_changed;
};

void raft_output_init(struct raft_output *out);
/* Empty it, keeping its memory. */
void raft_output_clear(struct raft_output *out);
void raft_output_fini(struct raft_output *out);
