/* check.h - what must always hold in the log, over all masters at once.
 *
 * 1. Election safety: one leader a term, one vote a term.
 * 2. Log matching: index and term name one entry and one history.
 * 3. Leader completeness: a leader has what earlier terms committed.
 * 4. Durability: what a message claims is on the sender's disk, and found there
 *    when it starts again, to the last byte, whatever was lost or rotted.
 * 5. Terms and, within one life, commit indexes only grow; the state is what
 *    was applied.
 * 6. Nodes are given orders in a term by its leader alone.
 * The same as test/sim/check.c, asked of whole masters through struct
 * replica. check_state.h has what is said about the cluster's state. */
#pragma once

#include "raft/store.h"
#include "test/sim/stack/world.h"

#include <protobuf-c/protobuf-c.h>

/* How much happened in a run: a quiet one shows nothing. */
struct tally {
    uint64_t joined; /* commands in an entry with one before them */
    uint64_t elections, commits, crashes, restarts, installs, snapshots;
    uint64_t acknowledged, reads, events, retries, pods_started, pods_moved;
    uint64_t changes, transfers, virtual_ms;
    uint64_t cuts, faults, rots, refusals, replaced, logs, cordons, labels;
    uint64_t drains, rebalances, evenings;
    uint64_t drained, rebalanced, moves_refused; /* pods; commands */
    uint64_t scales, gangs, preemptions, upgrades, early;
    uint64_t full; /* starts, snapshots and lives that ended for want of room */
    uint64_t turns_kept; /* of masters, with room kept for who waits long */
};
extern struct tally tally;

void checks_init(void);
void checks_fini(void);

/* After every turn of a process. */
void check_turn(struct host *host);
/* A store was opened: what is on the disk. */
void check_opened(struct host *host, const struct store_content *content);
/* There is nothing on it any more. */
void check_emptied(struct host *host);
/* Entries were handed to the store. */
void check_submitted(struct host *host, const struct store_write *write);
/* What check_stored() and check_compacted() tell next, up to the next such
 * call, is one transaction; `maybe`: a crash or an error came, and all of it
 * may be there or nothing. */
void check_transaction(struct host *host, bool maybe);
/* They are on the disk. */
void check_stored(struct host *host, const struct store_write *write);
void check_compacted(struct host *host,
                     const struct store_compaction *compaction);
/* A message leaves. */
void check_sent(const struct process *process, const ProtobufCMessage *message);

/* The newest index that some master knows to be committed. */
uint64_t check_committed(void);
